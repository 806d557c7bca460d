"""`python -m pipeline train`: every objective end to end, and what it refuses."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from pipeline.__main__ import main
from pipeline.checkpoints import load_weights, read_meta
from pipeline.files import read_json, sha256
from tests.objectives.settings import MEAN_POSE, NOT_VALIDATED, RUNS, TRAINING, pretrain_run


def train(files, out, settings, *more, inputs=True, code=0):
    folders = ["--checkpoints", str(out / "checkpoints"), "--out", str(out / "run")]
    arguments = ["train", "--settings", json.dumps(settings), "--body", str(files.body),
                 *folders, *more]  # fmt: skip
    if inputs and settings["objective"] == "mesh_pretrain":
        arguments += ["--pairs", str(files.pairs)]
    elif inputs:
        arguments += ["--records", f"toy_train={files.train}"]
    if settings["network"].get("auxiliary") == "iuv" or settings["objective"] == "silhouette":
        arguments += ["--iuv", f"toy_train={files.iuv}"]
    assert main(arguments) == code
    return out / "run"


@pytest.fixture(scope="module")
def pose2d(files, tmp_path_factory):
    """A trained 2D pose network, from which others start."""
    return train(files, tmp_path_factory.mktemp("pose2d"), RUNS["pose2d"])


@pytest.mark.parametrize("name", RUNS)
def test_every_objective_trains(files, tmp_path, name):
    validation = ["--records", f"validation={files.validation}"]
    if RUNS[name]["objective"] in NOT_VALIDATED:
        validation = []
    out = train(files, tmp_path, RUNS[name], *validation)
    assert not (tmp_path / "checkpoints").exists()
    assert sorted(path.name for path in out.iterdir()) == [
        "history.csv", "metrics.json", "model.pt", "settings.json"]  # fmt: skip
    assert read_json(out / "settings.json") == RUNS[name]
    with open(out / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["1", "2", "3"]
    terms = sum(
        float(v) for k, v in rows[0].items() if k not in ("step", "lr", "loss", "grad_norm")
    )
    assert float(rows[0]["loss"]) == pytest.approx(terms, rel=1e-4)
    metrics = read_json(out / "metrics.json")
    assert metrics["selected_step"] == 3 and metrics["train"]["loss"] > 0
    if validation:
        assert metrics["validation"]["loss" if name == "pose2d" else "pa_mpjpe"] > 0
    weights = load_weights(out / "model.pt")
    assert not any("template" in key or "regressor_" in key for key in weights)
    assert read_meta(out / "model.pt")["network"] == RUNS[name]["network"]


@pytest.mark.parametrize("name", ["pymaf", "mpt", "mesh", "mesh_silhouettes"])
def test_the_same_bytes_again_with_workers_and_after_an_interruption(files, tmp_path, name):
    first = train(files, tmp_path / "a", RUNS[name])
    settings = RUNS[name]
    interrupt_after(files, tmp_path / "b", settings, 2)
    second = train(files, tmp_path / "b", settings, "--workers", "3")
    for file in ("model.pt", "history.csv", "metrics.json"):
        assert sha256(first / file) == sha256(second / file), file


def test_killed_pretraining_ends_with_the_same_bytes(files, tmp_path):
    """SIGKILL to the verb's process in the middle of its steps."""
    settings = pretrain_run(steps=30, workers=1, checkpoint_every=3)
    whole = train(files, tmp_path / "whole", settings)
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "pipeline", "train", "--settings", json.dumps(settings),
               "--body", str(files.body), "--pairs", str(files.pairs), "--out", str(out / "run"),
               "--checkpoints", str(out / "checkpoints")]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list((out / "checkpoints").glob("*.ckpt")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)
    process.kill()
    assert process.wait() == -signal.SIGKILL and not (out / "run").exists()
    subprocess.run(command, env=environment, check=True)
    for file in ("model.pt", "history.csv", "metrics.json", "settings.json"):
        assert sha256(whole / file) == sha256(out / "run" / file), file


def test_recomputed_activations_change_no_byte(files, tmp_path):
    recomputed = TRAINING | {"checkpoint_activations": True}
    first = train(files, tmp_path / "a", RUNS["mesh"])
    second = train(files, tmp_path / "b", RUNS["mesh"] | {"training": recomputed})
    assert sha256(first / "model.pt") == sha256(second / "model.pt")
    train(files, tmp_path / "c", RUNS["hmr"] | {"training": recomputed}, code=1)


def test_the_course_of_the_scores_survives_an_interruption(files, tmp_path):
    settings = RUNS["hmr"] | {"training": TRAINING | {"validate_every": 1}}
    validation = ["--records", f"validation={files.validation}"]
    whole = read_json(train(files, tmp_path / "a", settings, *validation) / "metrics.json")
    interrupt_after(files, tmp_path / "b", settings, 2, *validation)
    resumed = read_json(train(files, tmp_path / "b", settings, *validation) / "metrics.json")
    assert resumed["course"] == whole["course"]
    assert [point["step"] for point in whole["course"]] == [0, 1, 2, 3]
    assert whole["course"][-1]["pa_mpjpe"] == whole["validation"]["pa_mpjpe"] > 0


def interrupt_after(files, out, settings, steps, *more):
    """Leave the checkpoint of a training that died after some steps."""
    import pipeline.training as training

    class Died(Exception):
        pass

    real = training._Loop._milestones

    def dying(loop, report):
        real(loop, report)
        if loop.done == steps:
            raise Died

    training._Loop._milestones = dying
    try:
        with pytest.raises(Died):
            train(files, out, settings, "--checkpoint-every", "1", *more)
    finally:
        training._Loop._milestones = real
    assert list((out / "checkpoints").glob("*.ckpt"))


def test_mean_pose_needs_no_data(files, tmp_path):
    out = train(files, tmp_path, MEAN_POSE, "--records", f"validation={files.validation}",
                inputs=False)  # fmt: skip
    metrics = read_json(out / "metrics.json")
    assert metrics["parameters"] == 0 and metrics["steps"] == 0 and metrics["train"] == {}
    assert metrics["validation"]["pa_mpjpe"] > 0


def test_a_run_starts_from_another(files, pose2d, tmp_path, capsys):
    untrained = {"steps": 0}
    settings = {**RUNS["hmr"], "init": {"backbone": "pretrain/pose2d"}, "training": untrained}
    out = train(files, tmp_path / "hmr", settings, "--init", f"backbone={pose2d / 'model.pt'}")
    before, after = load_weights(pose2d / "model.pt"), load_weights(out / "model.pt")
    assert torch.equal(before["layer1.0.conv1.weight"], after["backbone.layer1.0.conv1.weight"])
    assert "not needed" in capsys.readouterr().out
    settings = {**RUNS["mpt"], "init": {"pose_network": "pretrain/pose2d"}, "training": untrained}
    out = train(files, tmp_path / "mpt", settings, "--init", f"pose_network={pose2d / 'model.pt'}")
    after = load_weights(out / "model.pt")
    assert torch.equal(before["final_layer.weight"], after["pose_network.final_layer.weight"])
    settings = {**RUNS["pose2d"], "init": {"backbone": "pretrain/pose2d"}, "training": untrained}
    out = train(files, tmp_path / "pose", settings, "--init", f"backbone={pose2d / 'model.pt'}")
    after = load_weights(out / "model.pt")
    assert torch.equal(before["conv1.weight"], after["conv1.weight"])
    assert not torch.equal(before["final_layer.weight"], after["final_layer.weight"])


def test_selection_on_the_validation_split(files, tmp_path):
    training = RUNS["hmr"]["training"] | {"validate_every": 1, "selection": "validation"}
    settings = {**RUNS["hmr"], "training": training}
    out = train(files, tmp_path, settings, "--records", f"validation={files.validation}")
    assert 1 <= read_json(out / "metrics.json")["selected_step"] <= 3


def test_selection_on_a_benchmark_says_so(files, tmp_path, capsys):
    training = RUNS["hmr"]["training"] | {"validate_every": 2, "selection": "paper"}
    data = RUNS["hmr"]["data"] | {"validation": "pw3d_test"}
    settings = {**RUNS["hmr"], "training": training, "data": data}
    out = train(files, tmp_path, settings, "--records", f"validation={files.validation}")
    metrics = read_json(out / "metrics.json")
    assert metrics["selection"] == "paper" and metrics["selected_step"] in (2, 3)
    assert "CHOSEN ON THE TEST BENCHMARK pw3d_test" in metrics["warning"]
    assert "warning: WEIGHTS CHOSEN" in capsys.readouterr().err


@pytest.mark.parametrize(
    "change, more, message",
    [({"init": {"backbone": "a"}}, [], "--init"),
     ({"objective": "gan"}, [], "objective"),
     ({"data": {"mixture": {"other_train": 1.0}}}, [], "other_train"),
     ({}, ["--init", "backbone"], "NAME=PATH"),
     ({}, ["--records", "toy_train=again"], "two paths"),
     ({}, ["--pairs", "missing.h5"], "no such file"),
     ({"training": TRAINING | {"optimizer": "lion"}}, [], "optimizer")],
)  # fmt: skip
def test_refused_with_one_line(files, tmp_path, capsys, change, more, message):
    train(files, tmp_path, RUNS["hmr"] | change, *more, code=1)
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1
    assert not (tmp_path / "run" / "model.pt").exists()


def test_iuv_is_needed_with_an_auxiliary_head(files, tmp_path, capsys):
    settings = json.dumps(RUNS["pymaf"])
    code = main(["train", "--settings", settings, "--body", str(files.body), "--records",
                 f"toy_train={files.train}", "--checkpoints", str(tmp_path / "c"),
                 "--out", str(tmp_path / "o")])  # fmt: skip
    assert code == 1 and "--iuv: toy_train" in capsys.readouterr().err


def test_pretraining_needs_pairs(files, tmp_path, capsys):
    train(files, tmp_path, pretrain_run(), inputs=False, code=1)
    assert "--pairs" in capsys.readouterr().err
