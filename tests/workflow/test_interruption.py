"""A workflow that is killed goes on where it was, and ends with the same bytes."""

import os
import signal
import subprocess
import time

from pipeline.files import sha256
from tests.conftest import Workspace

RUN = "runs/finetune/pymaf/seed0/model.pt"
STEPS = 20


def start_and_kill(workspace: Workspace) -> None:
    """Start the workflow and kill all its processes once a checkpoint is there."""
    process = subprocess.Popen(
        ["snakemake", "--cores", "1", RUN], cwd=workspace.path, env=workspace.environment(),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    try:
        while not list(workspace.path.glob("checkpoints/finetune/pymaf/seed0/*.ckpt")):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_kill_in_training(copy: Workspace) -> None:
    copy.put("finetune.hmr.training.steps", STEPS)
    start_and_kill(copy)
    done = copy.run("snakemake", "--cores", "1", RUN, ok=False)
    assert done.returncode and "unlock" in done.stdout
    copy.run("snakemake", "--unlock")
    copy.run("snakemake", "--cores", "1", RUN)
    assert "resuming from step" in (copy.path / "logs/finetune/pymaf/seed0.log").read_text()
    assert not list(copy.path.glob("checkpoints/finetune/pymaf/seed0/*"))
    killed = sha256(copy.path / RUN)
    copy.run("snakemake", "--cores", "1", "--forcerun", "finetune", "--", RUN)
    assert sha256(copy.path / RUN) == killed


def test_half_written_output_is_made_again(copy: Workspace) -> None:
    whole = sha256(copy.path / "data/records/pw3d_test.h5")
    path = copy.path / "data/records/pw3d_test.h5.part"
    path.write_bytes(b"half")
    (copy.path / "data/records/pw3d_test.h5").unlink()
    assert "data/records/pw3d_test.h5" in copy.jobs("data/records/pw3d_test.h5")
    copy.run("snakemake", "--cores", "1", "data/records/pw3d_test.h5")
    assert sha256(copy.path / "data/records/pw3d_test.h5") == whole and not path.exists()
