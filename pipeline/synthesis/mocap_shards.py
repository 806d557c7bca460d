"""Poses of many motions, read a few files ahead and kept on disk until all are there.

Sampling two million poses unpacks tens of gigabytes. So the rows of every few motions are saved
as a shard beside the output; a run that was killed takes up the whole shards of the one before.
"""

import shutil
import zipfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from pipeline.files import atomic
from pipeline.synthesis.amass_files import Motion, read_frames

Task = tuple[Motion, np.ndarray]  # a motion and the frames to take
Rows = dict[str, np.ndarray]  # pose (n, 66) float32, betas (n, 10) float32, gender (n,) uint8


@contextmanager
def shard_folder(out: Path, mark: str) -> Iterator[Path]:
    """Yield the folder of an output's shards, empty unless it is of the same `mark`.

    It is removed at the end and on any error; a process that was killed or stopped leaves it.

    Args:
        out: the output.
        mark: of everything that decides the rows.
    """
    folder = out.with_name(f"{out.name}.shards")
    label = folder / "mark"
    if not label.is_file() or label.read_text() != mark:
        shutil.rmtree(folder, ignore_errors=True)
        with atomic(label) as part:
            part.write_text(mark)
    try:
        yield folder
    except KeyboardInterrupt:
        raise
    except BaseException:
        shutil.rmtree(folder)
        raise
    shutil.rmtree(folder)


def read_shards(tasks: list[Task], folder: Path, size: int, workers: int) -> Iterator[Rows]:
    """Yield the rows of every `size` motions, in order, from their shard where it is whole.

    Args:
        tasks: what to read.
        folder: of `shard_folder`.
        size: motions in a shard.
        workers: files read at once; unpacking frees the GIL.

    Raises:
        InputError: from `read_frames`.
    """
    groups = [tasks[start : start + size] for start in range(0, len(tasks), size)]
    paths = [folder / f"{number:06d}.npz" for number in range(len(groups))]
    pairs = enumerate(zip(paths, groups, strict=True))
    done = next((k for k, (path, group) in pairs if not _is_whole(path, group)), len(groups))
    if done:
        print(f"resuming after {min(done * size, len(tasks))} of {len(tasks)} motions", flush=True)
    for path in paths[:done]:
        yield _read(path)
    missing = [task for group in groups[done:] for task in group]
    ahead = _read_ahead(missing, workers)
    for path, group in zip(paths[done:], groups[done:], strict=True):
        rows = _together([next(ahead) for _ in group], group)
        with atomic(path) as part, open(part, "wb") as file:
            np.savez(file, **rows)
        yield rows


def _is_whole(path: Path, group: list[Task]) -> bool:
    """Return whether a shard holds the frames of these motions."""
    try:
        return len(_read(path)["gender"]) == sum(len(frames) for _, frames in group)
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return False


def _read(path: Path) -> Rows:
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


def _together(values: list[tuple], group: list[Task]) -> Rows:
    """Return the rows of a shard; betas and gender are a motion's."""
    pose, betas, gender = zip(*values, strict=True)
    counts = [len(frames) for _, frames in group]
    return {
        "pose": np.concatenate(pose),
        "betas": np.repeat(np.stack(betas), counts, axis=0),
        "gender": np.repeat(np.array(gender, np.uint8), counts),
    }


def _read_ahead(tasks: list[Task], workers: int) -> Iterator[tuple]:
    """Yield the frames of each task in order, a few files ahead."""
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future] = deque()
        try:
            for task in tasks:
                waiting.append(pool.submit(read_frames, *task))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
