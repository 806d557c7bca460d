"""Interrupted trainings: whatever happens to process or files, the weights are the same."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from pipeline import files
from pipeline.checkpoints import load_weights
from pipeline.errors import InputError
from pipeline.resume import KEPT, CheckpointFolder, fingerprint
from tests.tiny_training import SETTINGS, TinyObjective, main, train

ROOT = Path(__file__).parents[1]


class Interrupted(Exception):
    pass


class Interrupting(TinyObjective):
    """Fails in the middle of a step."""

    stop = 0

    def losses(self, network, batch, step):
        if step == self.stop:
            raise Interrupted
        return super().losses(network, batch, step)


def interrupted(folder, stop, **changes):
    objective = Interrupting(SETTINGS | changes)
    objective.stop = stop
    with pytest.raises(Interrupted):
        train(objective, folder)


def finished(folder, log=print, **changes):
    objective = TinyObjective(SETTINGS | changes)
    outcome = train(objective, folder, log)
    return {k: v.clone() for k, v in objective.network.state_dict().items()}, outcome


def assert_equal(first, second):
    for key, value in first[0].items():
        assert torch.equal(value, second[0][key]), key
    assert first[1].history.table() == second[1].history.table()
    assert first[1].history.final() == second[1].history.final()


@pytest.mark.parametrize("stop", [1, 3, 5, 11])
@pytest.mark.parametrize("changes", [{}, {"precision": "bf16-mixed"}])
def test_resumed_weights_are_bit_identical(tmp_path, stop, changes):
    interrupted(tmp_path / "a", stop, **changes)
    lines = []
    resumed = finished(tmp_path / "a", lines.append, **changes)
    assert_equal(finished(tmp_path / "b", **changes), resumed)
    assert lines == ([f"resuming from step {stop // 3 * 3}"] if stop >= 3 else [])


def test_the_best_weights_survive_an_interruption(tmp_path):
    class Validated(Interrupting):
        score = "error"

    changes = {"validate_every": 2, "selection": "validation", "checkpoint_every": 1}
    results = []
    for folder, stop in (("a", 7), ("b", -1)):
        objective = Validated(SETTINGS | changes)
        objective.stop = stop
        if stop > 0:
            with pytest.raises(Interrupted):
                train(objective, tmp_path / folder)
            objective = Validated(SETTINGS | changes)
            objective.stop = -1
        results.append((objective, train(objective, tmp_path / folder)))
    (first, a), (second, b) = results
    assert (a.selected_step, a.validation) == (b.selected_step, b.validation)
    assert torch.equal(first.network[0].weight, second.network[0].weight)


def test_a_damaged_checkpoint_costs_one_interval(tmp_path):
    interrupted(tmp_path / "a", 8)
    newest = sorted((tmp_path / "a").glob("*.ckpt"))[-1]
    newest.write_bytes(newest.read_bytes()[:-50])
    lines = []
    resumed = finished(tmp_path / "a", lines.append)
    assert "damaged checkpoint, ignored" in lines[0] and lines[1] == "resuming from step 3"
    assert_equal(finished(tmp_path / "b"), resumed)


def test_two_damaged_checkpoints_restart_the_training(tmp_path):
    interrupted(tmp_path / "a", 8)
    for path in (tmp_path / "a").glob("*.ckpt"):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    lines = []
    resumed = finished(tmp_path / "a", lines.append)
    assert [line.split(": ")[-1] for line in lines] == ["damaged checkpoint, ignored"] * 2
    assert_equal(finished(tmp_path / "b"), resumed)


def test_checkpoints_of_other_settings_are_ignored_and_replaced(tmp_path):
    interrupted(tmp_path / "a", 11)
    lines = []
    resumed = finished(tmp_path / "a", lines.append, lr=0.02)
    assert "other settings or inputs, ignored" in lines[0]
    assert_equal(finished(tmp_path / "b", lr=0.02), resumed)


def test_the_last_two_are_kept_and_half_written_ones_removed(tmp_path):
    interrupted(tmp_path / "a", 11)
    names = sorted(path.name for path in (tmp_path / "a").glob("*.ckpt"))
    assert names == ["step-000000006.ckpt", "step-000000009.ckpt"] and len(names) == KEPT
    (tmp_path / "a" / "step-000000010.ckpt.part").write_bytes(b"half")
    with CheckpointFolder(tmp_path / "a", "0" * 64):
        assert not list((tmp_path / "a").glob("*.part"))


def test_fingerprint_is_of_settings_and_contents(tmp_path):
    path = tmp_path / "input"
    path.write_text("a")
    base = fingerprint({"training": SETTINGS}, {"x": path})
    assert base == fingerprint({"training": SETTINGS | {"workers": 7}}, {"x": path})
    assert base != fingerprint({"training": SETTINGS | {"lr": 7.0}}, {"x": path})
    assert base != fingerprint({"training": SETTINGS}, {"y": path})
    moved = path.rename(tmp_path / "moved")
    assert base == fingerprint({"training": SETTINGS}, {"x": moved})
    moved.write_text("b")
    assert base != fingerprint({"training": SETTINGS}, {"x": moved})


def test_two_trainings_cannot_share_a_folder(tmp_path):
    with CheckpointFolder(tmp_path / "a", "0" * 64):
        with pytest.raises(InputError, match="another process still training here"):
            CheckpointFolder(tmp_path / "a", "0" * 64).__enter__()
    with CheckpointFolder(tmp_path / "a", "0" * 64) as folder:
        folder.remove()
    assert not (tmp_path / "a").exists()


def start(tmp_path, name, *options):
    folder = tmp_path / name
    command = [sys.executable, "-m", "tests.tiny_training", "--out", str(folder),
               "--checkpoints", str(folder / "checkpoints"), *options]  # fmt: skip
    return subprocess.Popen(
        command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def output(process):
    text = process.communicate(timeout=120)[0]
    assert process.returncode == 0, text
    return text


def newest(folder):
    return max((path.name for path in folder.glob("*.ckpt")), default="")


def test_killed_at_random_moments(tmp_path):
    """SIGKILL in the middle of steps and writes; the last process finishes."""
    options = ("--steps", "60", "--delay", "0.01")
    checkpoints = tmp_path / "killed" / "checkpoints"
    for _ in range(2):
        process, before = start(tmp_path, "killed", *options), newest(checkpoints)
        while process.poll() is None and newest(checkpoints) == before:
            time.sleep(0.01)
        time.sleep(random.uniform(0, 0.2))
        process.kill()
        process.communicate()
    text = output(start(tmp_path, "killed", *options))
    assert "resuming from step" in text
    whole = tmp_path / "whole"
    main(["--checkpoints", str(whole / "checkpoints"), "--out", str(whole), *options])
    for name in ("model.pt", "history.json"):
        assert files.sha256(tmp_path / "killed" / name) == files.sha256(tmp_path / "whole" / name)


DDP = ("--steps", "12", "--devices", "2", "--accumulate", "2")


def killed_with_its_children(tmp_path, name, *options):
    """Kill a training and the processes that it started once a checkpoint is there."""
    process = start(tmp_path, name, *options, "--delay", "0.2")
    deadline = time.monotonic() + 120
    while newest(tmp_path / name / "checkpoints") == "":
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def test_two_killed_processes_that_accumulate_equal_one(tmp_path):
    """DDP over gloo: the losses and weights of one process with the same global batch."""
    (tmp_path / "two").mkdir()
    killed_with_its_children(tmp_path, "two", *DDP, "--plain")
    assert output(start(tmp_path, "two", *DDP, "--plain")).count("resuming from step") == 1
    one = tmp_path / "one"
    main(["--checkpoints", str(one / "checkpoints"), "--out", str(one), *DDP[:2], "--plain"])
    histories = (files.read_json(tmp_path / name / "history.json") for name in ("one", "two"))
    for row, other in zip(*histories, strict=True):
        assert row == pytest.approx(other, rel=1e-5)
    weights, others = (load_weights(tmp_path / name / "model.pt") for name in ("one", "two"))
    for key, value in weights.items():
        assert torch.allclose(value, others[key], rtol=1e-4, atol=1e-6), key


@pytest.mark.slow
def test_two_killed_processes_end_with_the_same_bits(tmp_path):
    """Dropout and running statistics included: these belong to a process, not to the batch."""
    for name in ("killed", "whole"):
        (tmp_path / name).mkdir()
    killed_with_its_children(tmp_path, "killed", *DDP)
    for name in ("killed", "whole"):
        output(start(tmp_path, name, *DDP))
    for name in ("model.pt", "history.json"):
        assert files.sha256(tmp_path / "killed" / name) == files.sha256(tmp_path / "whole" / name)
