"""Leases of GPUs end with their process, however that ends."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.workflow import launch
from tests.conftest import ROOT

HOLD = """
import sys, time
from pathlib import Path
from pipeline.workflow.launch import lease
(gpu,) = lease(1, ["0", "1"], Path(sys.argv[1]))
Path(sys.argv[2]).write_text(gpu)
time.sleep(60)
"""


@pytest.fixture
def holders(tmp_path: Path) -> Iterator[dict[Path, subprocess.Popen]]:
    """Three processes that want one GPU of two each, by the file that will name it."""
    started = {
        tmp_path / name: subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path / "locks"), str(tmp_path / name)], cwd=ROOT
        )
        for name in "abc"
    }
    yield started
    for process in started.values():
        process.kill()
        process.wait()


def given(holders: dict[Path, subprocess.Popen], count: int) -> dict[Path, str]:
    """Wait until so many have a GPU."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = {path: path.read_text() for path in holders if path.exists()}
        if sum(map(len, found.values())) == count:
            return found
        time.sleep(0.05)
    raise AssertionError(f"fewer than {count} leases after a minute")


def test_each_process_has_a_gpu_of_its_own(holders: dict[Path, subprocess.Popen]) -> None:
    first = given(holders, 2)
    assert sorted(first.values()) == ["0", "1"]
    ended = next(iter(first))
    holders[ended].send_signal(signal.SIGKILL)
    last = given(holders, 3)
    (late,) = last.keys() - first.keys()
    assert last[late] == first[ended]


def test_gpus_are_those_that_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    assert launch.gpus() == ["2", "3"]
    monkeypatch.setenv("PIPELINE_GPUS", "1")
    assert launch.gpus() == ["1"]
    monkeypatch.setenv("PIPELINE_GPUS", "")
    assert launch.gpus() == []


def test_several_gpus_start_several_processes() -> None:
    assert launch.command(1, ["train", "--x"])[1:] == ["-m", "pipeline", "train", "--x"]
    words = launch.command(2, ["train"])
    assert words[1:3] == ["-m", "torch.distributed.run"]
    assert words[-3:] == ["-m", "pipeline", "train"]
