"""Render the surface coordinates (part, U, V) of every labelled record's body.

The maps cover the stored crop, so that a training crop with any rotation, scale and shift can
take its target from them. Chunks are one row each, compressed by the process that renders them.
"""

import argparse
import json
import zlib
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from pipeline.body.assets import load_assets
from pipeline.errors import InputError
from pipeline.files import atomic
from pipeline.parallel import one_thread, ordered_map
from pipeline.progress import progress
from pipeline.records import Records
from pipeline.rendering.iuv import Atlas, render_iuv
from pipeline.rendering.labels import LabelledBodies

ENGINES = ("zbuffer", "pyrender")
SHARD = 32  # rows per task
LEVEL = 4  # of zlib
MAPS = ("part", "u", "v")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb `iuv`."""
    parser.add_argument("--records", type=Path, required=True)
    parser.add_argument("--body", type=Path, required=True, help="the body asset (.npz)")
    parser.add_argument(
        "--settings", type=json.loads, required=True, help="resolution, engine, [workers]"
    )
    parser.add_argument("--out", type=Path, required=True, help="the .h5 to write")
    parser.add_argument("--workers", type=int, help="processes, in place of the settings'")


def main(args: argparse.Namespace) -> None:
    """Run the verb `iuv`."""
    settings = _checked(args.settings)
    workers = args.workers or settings["workers"]
    count = render_records(
        args.records, args.body, settings["resolution"], settings["engine"], args.out, workers
    )
    print(f"{args.out.name}: {count} of {len(Records(args.records))} records have a map")


def _checked(settings: dict) -> dict:
    """Return the settings with the number of workers filled in.

    Raises:
        InputError: if one is missing, unknown or out of range.
    """
    settings = {"workers": 1} | settings
    expected = {"resolution", "engine", "workers"}
    if set(settings) != expected:
        raise InputError("iuv settings", "", sorted(settings), sorted(expected))
    if settings["engine"] not in ENGINES:
        raise InputError("iuv settings", "engine", settings["engine"], " or ".join(ENGINES))
    for key in ("resolution", "workers"):
        if not isinstance(settings[key], int) or settings[key] < 1:
            raise InputError("iuv settings", key, settings[key], "a positive whole number")
    return settings


def render_records(
    records_path: Path, body: Path, resolution: int, engine: str, out: Path, workers: int
) -> int:
    """Write the maps of a records file; return the number of rows that have one.

    Args:
        records_path: the records.
        body: the body asset.
        resolution: side of the maps, pixels.
        engine: "zbuffer" or "pyrender".
        out: HDF5 with part, u, v (N, R, R) uint8 and valid (N,) uint8; u and v in 1/255.
        workers: processes; the file does not depend on their number.
    """
    records = Records(records_path)
    count, shape = len(records), (resolution, resolution)
    valid = np.zeros(count, np.uint8)
    with atomic(out) as part, h5py.File(part, "w") as file:
        maps = [
            file.create_dataset(
                name, (count, *shape), "u1", chunks=(1, *shape), compression="gzip",
                compression_opts=LEVEL, track_times=False,
            )
            for name in MAPS
        ]  # fmt: skip
        shards = [range(at, min(at + SHARD, count)) for at in range(0, count, SHARD)]
        start = (records_path, body, resolution, engine)
        rows = _rows(ordered_map(_render, shards, workers, _start, start))
        for row, chunks in progress(rows, count, f"iuv {out.stem}"):
            valid[row] = chunks is not None
            for dataset, chunk in zip(maps, chunks or (), strict=False):
                dataset.id.write_direct_chunk((row, 0, 0), chunk)
        file.create_dataset("valid", data=valid, track_times=False)
        file.attrs.update(
            resolution=resolution, engine=engine, count=count, valid=int(valid.sum()),
            dataset=records.attrs["dataset"], split=records.attrs["split"],
            source_sha256=records.attrs["source_sha256"],
            frames="pixel (i, j) of R x R covers its share of the stored crop",
        )  # fmt: skip
    return int(valid.sum())


def _rows(shards: Iterator[list]) -> Iterator[tuple[int, list[bytes] | None]]:
    for shard in shards:
        yield from shard


_state: tuple  # of this process, set by `_start`


def _start(records_path: Path, body: Path, resolution: int, engine: str) -> None:
    """Load what a process needs."""
    global _state
    one_thread()
    records, assets = Records(records_path), load_assets(body)
    bodies = LabelledBodies(records, assets)
    _state = (records, bodies, Atlas.from_assets(assets), resolution, engine)


def _render(rows: range) -> list[tuple[int, list[bytes] | None]]:
    """Return each row with its three compressed maps, None where there is nothing to see."""
    records, bodies, atlas, resolution, engine = _state
    placed = bodies.place(rows)
    result = []
    for row in rows:
        chunks = None
        if row in placed:
            body = placed[row]
            scale = resolution / records.image_size[row]
            part, uv = render_iuv(
                body.vertices_cam, body.K, resolution, atlas, engine, scale[:, None] * body.affine
            )
            if part.any():
                chunks = _compress(part, uv)
        result.append((row, chunks))
    return result


def _compress(part: np.ndarray, uv: np.ndarray) -> list[bytes]:
    """Return part, u and v as the bytes of gzip-filtered chunks."""
    u, v = np.round(uv * 255).astype(np.uint8).transpose(2, 0, 1)
    return [zlib.compress(np.ascontiguousarray(array), LEVEL) for array in (part, u, v)]
