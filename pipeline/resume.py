"""The folder in which a training can be interrupted at any moment.

A checkpoint is one file, `step-<number>.ckpt`: 64 hexadecimal digits of its content's SHA-256,
64 of the training's fingerprint, then the content. The last two are kept, so that a damaged one
costs one interval. A lock on the folder keeps a second training out; the operating system lifts
it with the process, however that ends.
"""

import fcntl
import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from pipeline.checkpoints import read_safely, to_bytes
from pipeline.errors import InputError
from pipeline.files import atomic, sha256

KEPT = 2
DIGITS = 64
# Keys of `training` that do not restart it. Another number of threads continues it, too, though
# its sums are then rounded otherwise.
PASSIVE = ("workers", "checkpoint_every", "checkpoint_activations", "threads")


def fingerprint(settings: dict, inputs: dict[str, Path | str]) -> str:
    """Return the SHA-256 of all that decides a training's result, apart from the code.

    Args:
        settings: the run's resolved settings.
        inputs: role -> file; the contents count, not the paths.
    """
    training = {k: v for k, v in settings["training"].items() if k not in PASSIVE}
    hashes = {role: sha256(path) for role, path in inputs.items()}
    text = json.dumps([{**settings, "training": training}, hashes], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


class CheckpointFolder:
    """Saves and restores one training; use as a context manager, which holds the lock.

    Further processes of the same training read (`load`) without entering.
    """

    def __init__(self, folder: Path | str, mark: str, log: Callable[[str], None] = print) -> None:
        """Name the folder; nothing is touched yet.

        Args:
            folder: made when it is entered.
            mark: the training's `fingerprint`.
            log: takes plain lines about what was found.
        """
        self.folder, self.mark, self.log = Path(folder), mark, log
        self._own: list[Path] = []  # oldest first
        self._lock: int | None = None

    def __enter__(self) -> "CheckpointFolder":
        """Make the folder and lock it.

        Raises:
            InputError: if another process holds the lock.
        """
        while self._lock is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                raise InputError(
                    self.folder, "", "another process still training here (an orphan of a "
                    "killed run?)", "to be the only one; stop it first",
                ) from None  # fmt: skip
            if self._still_there(lock):
                self._lock = lock
            else:  # removed between open and lock by a training that had just finished
                os.close(lock)
        for part in self.folder.glob("*.part"):  # of a killed write
            part.unlink()
        return self

    def __exit__(self, *error: object) -> None:
        """Lift the lock; checkpoints stay unless `remove` was called."""
        os.close(self._lock)
        self._lock = None

    def save(self, step: int, state: dict) -> None:
        """Write a checkpoint and drop all files but this one and the one before.

        Args:
            step: number of finished steps.
            state: tensors and plain values.
        """
        body = to_bytes(state)
        path = self.folder / f"step-{step:09d}.ckpt"
        with atomic(path) as part:
            part.write_bytes(hashlib.sha256(body).hexdigest().encode() + self.mark.encode() + body)
        self._own = [*(p for p in self._own if p != path), path][-KEPT:]
        for other in self._files():
            if other not in self._own:
                other.unlink()

    def load(self) -> dict | None:
        """Return the newest whole state of this training, or None; each refusal is logged."""
        self._own = []
        for path in reversed(self._files()):
            state = self._read(path)
            if state is not None:
                self._own = [path]
                return state
        return None

    def remove(self) -> None:
        """Remove the folder: the training is over and its outputs are written."""
        shutil.rmtree(self.folder)

    def _read(self, path: Path) -> dict | None:
        content = path.read_bytes()
        digest, mark, body = content[:DIGITS], content[DIGITS : 2 * DIGITS], content[2 * DIGITS :]
        if hashlib.sha256(body).hexdigest().encode() != digest:
            self.log(f"{path}: damaged checkpoint, ignored")
            return None
        if mark != self.mark.encode():
            self.log(f"{path}: checkpoint of other settings or inputs, ignored")
            return None
        return read_safely(io.BytesIO(body))

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("step-*.ckpt"))

    def _still_there(self, lock: int) -> bool:
        try:
            return os.fstat(lock).st_ino == os.stat(self.folder / "lock").st_ino
        except FileNotFoundError:
            return False
