"""Sample body poses from motion capture (AMASS) into one file.

Frames are taken by time, then put into one seeded order whose every beginning holds the same share
of each sub-dataset. The cut to `count` and the nested subsets of MPT, Table 5, are beginnings of
that order. Memory does not grow with the data: files are read one by one and appended.

The file holds, per sampled frame: `pose` (N, 66) float32 axis-angle of SMPL's first 22 joints in
the recording's z-up world, `betas` (N, 10) float32, `gender`, `dataset`, `sequence`, `frame`,
`split` (0 train, 1 validation) and `order` (rank within its split).
"""

import argparse
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from pipeline.errors import InputError
from pipeline.files import atomic, sha256
from pipeline.progress import progress
from pipeline.seeding import rng
from pipeline.synthesis.amass_files import (
    Motion,
    canonical_name,
    find_motions,
    sample_frames,
)
from pipeline.synthesis.mocap_shards import Rows, Task, read_shards, shard_folder

SCHEMA_VERSION = 1
TRAIN, VALIDATION = 0, 1
SHARD = 64


@dataclass(frozen=True)
class Sample:
    """Which frames are taken; rows go through the motions one after the other.

    Attributes:
        motion: (N,) index of the row's motion.
        frame: (N,) frame in that motion.
        split: (N,) TRAIN or VALIDATION.
        order: (N,) rank within the split.
    """

    motion: np.ndarray
    frame: np.ndarray
    split: np.ndarray
    order: np.ndarray


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("--raw", type=Path, required=True, help="folder of the sub-datasets")
    parser.add_argument("--manifest", type=Path, help="list of the raw files, kept by its hash")
    parser.add_argument(
        "--settings", type=json.loads, required=True, help="section mocap and seed"
    )
    parser.add_argument("--workers", type=int, default=1, help="files read at once")
    parser.add_argument(
        "--shard",
        type=int,
        default=SHARD,
        help=f"motions read between two savings for a killed run; changes no result ({SHARD})",
    )
    parser.add_argument("--out", type=Path, required=True)


def main(args: argparse.Namespace) -> None:
    """Sample the raw folder and write the file."""
    settings = args.settings
    datasets = [canonical_name(n, "params", "mocap.datasets") for n in settings["datasets"]]
    motions, left_out = find_motions(args.raw, datasets)
    short = [motion for motion in motions if motion.frames < settings["min_frames"]]
    left_out["too short"] = len(short)
    motions = [motion for motion in motions if motion.frames >= settings["min_frames"]]
    sample = choose(motions, settings)
    attributes = {
        "schema_version": SCHEMA_VERSION,
        "settings": json.dumps(settings, sort_keys=True),
        "source_sha256": sha256(args.manifest) if args.manifest else _listing_hash(motions),
        "files_left_out": json.dumps(left_out, sort_keys=True),
        "frames": "axis-angle in radians; global orientation in the recording's z-up world",
    }
    with (
        shard_folder(args.out, _mark(attributes, motions, args.shard)) as folder,
        atomic(args.out) as part,
        h5py.File(part, "w") as file,
    ):

        def read(tasks: list[Task]) -> Iterator[Rows]:
            shards = read_shards(tasks, folder, args.shard, args.workers)
            label = f"shards of {args.shard} motions"
            return progress(shards, -(-len(tasks) // args.shard), label)

        write(file, motions, sample, read)
        file.attrs.update(attributes)
    _report(motions, sample, left_out, settings["count"])


def choose(motions: list[Motion], settings: Mapping) -> Sample:
    """Return the frames to take.

    Args:
        motions: all motions.
        settings: count, rate_hz, trim, hold_out (sub-datasets or dataset/subject), seed.

    Raises:
        InputError: if nothing is left to train on or hold_out names nothing that is there.
    """
    frames = [sample_frames(m, settings["rate_hz"], settings["trim"]) for m in motions]
    motion = np.repeat(np.arange(len(motions)), [len(f) for f in frames])
    frame = np.concatenate([np.zeros(0, np.int64), *frames])
    split = _held_out(motions, settings["hold_out"])[motion]
    names = sorted({m.dataset for m in motions})
    dataset = np.array([names.index(m.dataset) for m in motions], np.int64)[motion]
    order = np.zeros(len(motion), np.int64)
    for part, name in ((TRAIN, "train"), (VALIDATION, "validation")):
        rows = split == part
        order[rows] = stratified_order(dataset[rows], rng(settings["seed"], "mocap", name))
    train = np.count_nonzero(split == TRAIN)
    if not train:
        raise InputError("params", "mocap", "no frame to train on", "motions not held out")
    share = min(1.0, settings["count"] / train)
    limits = np.array([round(share * n) for n in (train, len(split) - train)])
    keep = order < limits[split]
    return Sample(motion[keep], frame[keep], split[keep], order[keep])


def stratified_order(groups: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return each row's rank in a random order whose beginnings hold equal shares of each group.

    Row i of a group's own random order of n gets the place (i + u) / n, u ~ U(0, 1); all places
    are sorted. So the first p per cent hold p per cent of each group, give or take one row.

    Args:
        groups: (N,) group of each row.
        random: the generator.
    """
    place = np.empty(len(groups))
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        place[rows] = (random.permutation(len(rows)) + random.random(len(rows))) / len(rows)
    order = np.empty(len(groups), np.int64)
    order[np.argsort(place, kind="stable")] = np.arange(len(groups))
    return order


def subset(order: np.ndarray, split: np.ndarray, percent: float) -> np.ndarray:
    """Return a mask of the first `percent` of the training rows and all validation rows.

    Masks of growing percentages are nested.

    Raises:
        InputError: if percent is not in (0, 100] or no row is left.
    """
    if not 0 < percent <= 100:
        raise InputError("params", "synthesis.pairs.percent", percent, "more than 0, at most 100")
    limit = int(round(np.count_nonzero(split == TRAIN) * percent / 100))
    if not limit:
        raise InputError("params", "synthesis.pairs.percent", percent, "a share with a mesh in it")
    return (split == VALIDATION) | (order < limit)


def write(
    file: h5py.File,
    motions: list[Motion],
    sample: Sample,
    read: Callable[[list[Task]], Iterator[Rows]],
) -> None:
    """Write the sampled frames and the tables of motions.

    Args:
        file: open for writing.
        motions: all motions.
        sample: the rows.
        read: yields the rows of consecutive motions, see `read_shards`.
    """
    names = sorted({motion.dataset for motion in motions})
    dataset = np.array([names.index(motion.dataset) for motion in motions], np.uint8)
    rows = {
        "dataset": dataset[sample.motion],
        "sequence": sample.motion.astype(np.int32),
        "frame": sample.frame.astype(np.int32),
        "split": sample.split.astype(np.uint8),
        "order": sample.order,
    }
    for name, values in rows.items():
        file.create_dataset(name, data=values, track_times=False)
    texts = {
        "datasets": names,
        "sequences/name": [motion.name for motion in motions],
        "sequences/release": [motion.release for motion in motions],
    }
    for name, values in texts.items():
        file.create_dataset(
            name, data=np.array([text.encode() for text in values]), track_times=False
        )
    rates = np.array([motion.rate for motion in motions])
    file.create_dataset("sequences/rate", data=rates, track_times=False)
    _write_poses(file, motions, sample, read)


def _write_poses(
    file: h5py.File,
    motions: list[Motion],
    sample: Sample,
    read: Callable[[list[Task]], Iterator[Rows]],
) -> None:
    total = len(sample.motion)
    file.create_dataset("pose", (total, 66), np.float32, track_times=False)
    file.create_dataset("betas", (total, 10), np.float32, track_times=False)
    file.create_dataset("gender", (total,), np.uint8, track_times=False)
    counts = np.bincount(sample.motion, minlength=len(motions))
    ends = np.cumsum(counts)
    tasks = [
        (motion, sample.frame[end - count : end])
        for motion, count, end in zip(motions, counts, ends, strict=True)
        if count
    ]
    start = 0
    for shard in read(tasks):
        rows = slice(start, start + len(shard["gender"]))
        for name, values in shard.items():
            file[name][rows] = values
        start = rows.stop


def _held_out(motions: list[Motion], hold_out: list[str]) -> np.ndarray:
    """Return each motion's split; hold_out lists sub-datasets or dataset/subject."""
    split = np.full(len(motions), TRAIN)
    for entry in hold_out:
        name, _, subject = entry.partition("/")
        name = canonical_name(name, "params", "mocap.hold_out")
        rows = [m.dataset == name and subject in ("", m.subject) for m in motions]
        if not any(rows):
            raise InputError("params", "mocap.hold_out", entry, "a sub-dataset that is sampled")
        split[rows] = VALIDATION
    return split


def _listing_hash(motions: list[Motion]) -> str:
    """Return a hash of the files' names and sizes."""
    lines = [f"{motion.name}\t{motion.path.stat().st_size}\n" for motion in motions]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _mark(attributes: Mapping, motions: list[Motion], shard: int) -> str:
    """Return a hash of all that decides the rows of a shard, files changed meanwhile included."""
    times = [motion.path.stat().st_mtime_ns for motion in motions]
    text = json.dumps([dict(attributes), _listing_hash(motions), times, shard], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _report(motions: list[Motion], sample: Sample, left_out: Counter, count: int) -> None:
    """Print what was taken, one line a sub-dataset."""
    files = Counter(motion.dataset for motion in motions)
    taken = Counter(motions[index].dataset for index in sample.motion)
    for name in sorted(files):
        print(f"{name}: {files[name]} motions, {taken[name]} frames")
    for reason, number in sorted((+left_out).items()):
        print(f"left out: {number} files {reason}")
    train = int(np.count_nonzero(sample.split == TRAIN))
    print(f"sampled {train} frames to train on, {len(sample.split) - train} held out")
    if train < count:
        print(f"fewer than count = {count}: raise mocap.rate_hz or lower mocap.trim to get more")
