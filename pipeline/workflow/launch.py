"""`python -m pipeline.workflow.launch N VERB ...`: run a verb on N GPUs of its own.

Snakemake's resource `gpu` counts GPUs, it does not name them. A batch system names them itself;
elsewhere one lock file per GPU is held for as long as the process lives, however it ends. With
N = 0, or without a GPU, the verb runs as it is.
"""

import fcntl
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BATCH = "SLURM_JOB_ID"


def gpus() -> list[str]:
    """Return the ids of the GPUs that may be used."""
    for name in ("PIPELINE_GPUS", "CUDA_VISIBLE_DEVICES"):
        if name in os.environ:
            return [gpu for gpu in os.environ[name].split(",") if gpu]
    if not any(Path("/dev").glob("nvidia[0-9]*")):
        return []
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return []
    return [str(i) for i in range(listed.stdout.count("GPU "))]


def lease(count: int, ids: list[str], folder: Path) -> list[str]:
    """Return `count` of the ids once no other process holds them; waits until that is so."""
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        held: list[tuple[str, int]] = []
        for gpu in ids:
            lock = os.open(folder / f"{gpu}.lock", os.O_CREAT | os.O_RDWR, 0o666)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                continue
            held.append((gpu, lock))
            if len(held) == count:
                for _, kept in held:
                    os.set_inheritable(kept, True)  # exec keeps it, so the lock ends with the verb
                return [gpu for gpu, _ in held]
        for _, lock in held:
            os.close(lock)
        time.sleep(1)


def command(count: int, words: list[str]) -> list[str]:
    """Return the command line of a verb on `count` GPUs: torchrun starts one process for each."""
    run = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    return [sys.executable, *(run if count > 1 else []), "-m", "pipeline", *words]


def main(words: list[str]) -> None:
    """Take the GPUs and become the verb."""
    wanted, ids = int(words[0]), gpus()
    count = min(wanted, len(ids))
    if count and BATCH not in os.environ:
        folder = Path(tempfile.gettempdir(), f"pipeline-gpus-{os.getuid()}")
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(lease(count, ids, folder))
    line = command(count, words[1:])
    os.execv(line[0], line)


if __name__ == "__main__":
    main(sys.argv[1:])
