"""Make demo data in the official layout of a data set: pictures, motions, annotations.

Equal settings give equal bytes, whatever the number of workers: every sequence draws from its
own generator. The manifest is written last, so its presence means that the data are whole.
"""

import argparse
import importlib
import json
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from pipeline.body.assets import load_assets
from pipeline.errors import InputError
from pipeline.files import part_path, sha256, write_json
from pipeline.parallel import one_thread, ordered_map
from pipeline.progress import progress

DATASETS = (
    "amass",
    "h36m",
    "pw3d",
    "coco",
    "oh3d",
    "ssp3d",
    "freihand",
    "complement",
    "mpi_inf_3dhp",
    "muco",
    "mupots",
    "lsp",
    "lspet",
    "mpii",
    "up3d",
    "spin",
    "h36m_official",
    "coco_densepose",
    "surreal",
    "agora",
    "imagenet",
    "instavariety",
)
MODULES = {name: f"pipeline.demo.{name}" for name in DATASETS}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb `demo`."""
    parser.add_argument("dataset", choices=MODULES)
    parser.add_argument("--body", type=Path, required=True, help="the body asset (.npz)")
    parser.add_argument(
        "--settings", type=json.loads, required=True, help="section `demo` of the params, and seed"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to make")
    parser.add_argument("--manifest", type=Path, required=True, help="list of files, written last")
    parser.add_argument("--workers", type=int, default=1, help="processes")


def main(args: argparse.Namespace) -> None:
    """Run the verb `demo`."""
    args.manifest.unlink(missing_ok=True)
    settings = dataset_settings(args.dataset, args.settings)
    generate(args.dataset, args.body, settings, args.out, args.workers)
    write_json(args.manifest, manifest(args.dataset, args.out))


def dataset_settings(dataset: str, section: dict) -> dict:
    """Return a data set's own settings with those that all share.

    Args:
        dataset: name of the data set.
        section: {"seed", "heading_deg", <dataset>: {...}}; other data sets may be there.

    Raises:
        InputError: if a key is missing.
    """
    for key in ("seed", "heading_deg", dataset):
        if key not in section:
            raise InputError("demo settings", key, sorted(section), "this key")
    shared = {key: section[key] for key in ("seed", "heading_deg")}
    return {**section[dataset], **shared}


def manifest(dataset: str, folder: Path) -> dict:
    """Return the list of a folder's files with size and content hash."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    listed = {
        path.relative_to(folder).as_posix(): {"size": path.stat().st_size, "sha256": sha256(path)}
        for path in files
    }
    return {"dataset": dataset, "files": listed}


def generate(dataset: str, body: Path, settings: dict, out: Path, workers: int) -> None:
    """Make the folder `out`; an interrupted run leaves only its `.part` folder behind."""
    module = importlib.import_module(MODULES[dataset])
    part = part_path(out)
    for stale in (part, out):
        if stale.exists():
            shutil.rmtree(stale)
    part.mkdir(parents=True)
    try:
        tasks = module.plan(settings)
        results = ordered_map(_work, tasks, workers, _start, (dataset, body, settings, part))
        module.finish(list(progress(results, len(tasks), f"demo {dataset}")), settings, part)
        os.replace(part, out)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


_produce: Callable  # of this process, set by `_start`


def _start(dataset: str, body: Path, settings: dict, root: Path) -> None:
    """Load what every task of a process needs."""
    global _produce
    from pipeline.demo.stage import Stage

    one_thread()
    stage = Stage.build(load_assets(body), settings, root)
    _produce = partial(importlib.import_module(MODULES[dataset]).produce, stage=stage)


def _work(task: dict):
    return _produce(task)
