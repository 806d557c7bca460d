"""Cutting persons out of images, by several processes, in the order of the samples."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby, islice
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from pipeline.convert.video import Video
from pipeline.data.crops import crop_affine, warp_image
from pipeline.errors import InputError
from pipeline.images import decode_jpeg, encode_jpeg

CHUNK = 32  # samples that a process handles at once


@dataclass(frozen=True)
class Job:
    """One square to cut out of an image."""

    image: Path
    center: tuple[float, float]
    side: float
    size: tuple[int, int] | None  # that the image must have
    video_frame: int | None = None  # from 0, where `image` is a video
    mirror: bool = False  # left to right, before anything else


@dataclass(frozen=True)
class Cut:
    """A stored crop."""

    jpeg: bytes
    image_size: tuple[int, int]
    affine: np.ndarray  # (2, 3) from original image to stored crop
    original_size: tuple[int, int]


def stored_affine(
    center: tuple[float, float], side: float, size: int, margin: float
) -> tuple[np.ndarray, int]:
    """Return the map from the original image to the stored crop, and the crop's side.

    The crop shows `margin` times the box. A person that is small in the image is stored at the
    image's own resolution, shifted by whole pixels only, so that nothing is resampled.
    """
    wanted = side * margin
    if wanted > size:
        return crop_affine(np.array(center), wanted, size), size
    native = max(8, round(wanted))
    corner = np.round(np.array(center) - native / 2)
    return np.column_stack([np.eye(2), -corner]), native


def cut(jobs: list[Job], settings: dict) -> list[Cut | str]:
    """Return the crops; where an image cannot be read, the reason.

    Args:
        jobs: squares to cut.
        settings: size, margin and jpeg_quality of the stored crop.
    """
    return [_cut(job, settings) for job in jobs]


def _cut(job: Job, settings: dict) -> Cut | str:
    try:
        image = _read(job.image, job.video_frame)
    except (OSError, InputError) as error:
        return f"{job.image}: {error}" if isinstance(error, OSError) else str(error)
    image = np.ascontiguousarray(image[:, ::-1]) if job.mirror else image
    original = (image.shape[1], image.shape[0])
    if job.size not in (None, original):
        return f"{job.image}: saw {original} pixels, expected {job.size}"
    affine, size = stored_affine(job.center, job.side, settings["size"], settings["margin"])
    crop = warp_image(image, affine, (size, size))
    return Cut(encode_jpeg(crop, settings["jpeg_quality"]), (size, size), affine, original)


@lru_cache(maxsize=1)
def _read(path: Path, video_frame: int | None) -> np.ndarray:
    """Return the image; several persons of one image follow each other."""
    if video_frame is None:
        return decode_jpeg(path.read_bytes(), path)
    return _video(path).frame(video_frame)


@lru_cache(maxsize=1)
def _video(path: Path) -> Video:
    """Return the video that is being read; its frames are asked for in order."""
    return Video(path)


def _chunks(jobs: Iterable[Job]) -> Iterator[list[Job]]:
    """Group jobs: a handful of images, or all frames of a video, which is decoded only once."""
    for video, group in groupby(jobs, lambda job: job.video_frame is not None and job.image):
        while chunk := list(group if video else islice(group, CHUNK)):
            yield chunk


def cut_all(jobs: Iterable[Job], settings: dict, workers: int) -> Iterator[Cut | str]:
    """Yield the crops in the order of the jobs, whatever the number of processes.

    Only a few chunks are under way at once, so that neither samples nor crops pile up.
    """
    if workers <= 1:
        for job in jobs:
            yield _cut(job, settings)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        due = deque()
        for chunk in _chunks(jobs):
            due.append(pool.submit(cut, chunk, settings))
            if len(due) > 2 * workers:
                yield from due.popleft().result()
        while due:
            yield from due.popleft().result()
