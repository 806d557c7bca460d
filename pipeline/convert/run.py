"""Convert one split of a dataset's official distribution to records."""

import argparse
import importlib
import json
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from pipeline.body.assets import load_assets
from pipeline.body.hands import HandModel
from pipeline.body.smpl import BodyModel
from pipeline.convert.checks import Spread, check_count, check_reprojection, check_sides
from pipeline.convert.common import Sample, Selection, split_settings
from pipeline.convert.cutting import Cut, Job, cut_all
from pipeline.convert.hand_checks import check_hands
from pipeline.errors import InputError
from pipeline.files import sha256_many
from pipeline.progress import progress
from pipeline.records import RecordsWriter

CONVERTERS = (
    "h36m_json",
    "pw3d",
    "coco",
    "oh3d",
    "ssp3d",
    "freihand",
    "complement",
    "lsp",
    "lspet",
    "mpii",
    "up3d",
    "spin_npz",
    "mpi_inf_3dhp",
    "muco",
    "mupots",
    "h36m_official",
    "coco_densepose",
    "surreal",
    "agora",
    "imagenet",
    "instavariety",
)
FIRST_LOOK = 1000  # samples after which the share of bad images is known well enough to stop


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("dataset", help="name of the dataset, as in params")
    parser.add_argument("--split", required=True)
    parser.add_argument("--raw", type=Path, required=True, help="root of the distribution")
    parser.add_argument("--body", type=Path, required=True, help="file of the verb body")
    parser.add_argument(
        "--settings",
        type=json.loads,
        required=True,
        help="the dataset's section of data.datasets with crop, max_bad_share, count_tolerance",
    )
    parser.add_argument("--out", type=Path, required=True, help="records file")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument(
        "--allow-partial",
        action="store_true",
        help="accept another number of samples than the published one",
    )


def main(args: argparse.Namespace) -> None:
    """Convert, and print what was taken and what was left out."""
    assets = load_assets(args.body)
    print(
        convert(
            args.dataset, args.split, args.raw, assets.models, args.settings, args.out,
            args.workers, args.allow_partial, assets.J_regressor_h36m, assets.hand_models,
        )
    )  # fmt: skip


def convert(
    dataset: str,
    split: str,
    raw: Path,
    models: Mapping[str, BodyModel],
    settings: Mapping,
    out: Path,
    workers: int = 1,
    allow_partial: bool = False,
    J_regressor: np.ndarray | None = None,
    hands: Mapping[str, HandModel] | None = None,
) -> str:
    """Write the records of one split; return a line about it.

    Args:
        dataset: name of the dataset.
        split: name of the split.
        raw: root of the distribution.
        models: body models by gender.
        settings: the dataset's section of params, with crop, max_bad_share, count_tolerance.
        out: records file, written whole or not at all.
        workers: processes that cut images; the file does not depend on it.
        allow_partial: skip the comparison with the published count.
        J_regressor: (17, V) joints of Human3.6M from the mesh, for converters that judge fits.
        hands: hand models by side, which converters of hands get in place of `models`.

    Raises:
        InputError: if an annotation is damaged, too many images are, or a gate fails.
    """
    chosen = split_settings(settings, split)
    if chosen["converter"] not in CONVERTERS:
        raise InputError("params", "converter", chosen["converter"], " or ".join(CONVERTERS))
    if not raw.is_dir():
        raise InputError(raw, "", "no such folder", f"the official files of {dataset}")
    module = importlib.import_module(f"pipeline.convert.{chosen['converter']}")
    regressor = (J_regressor,) if getattr(module, "USES_REGRESSOR", False) else ()
    of_hands = getattr(module, "OF_HANDS", False)
    selection = module.select(raw, split, chosen, hands if of_hands else models, *regressor)
    expected = None if allow_partial else chosen.get("expected")
    spread = Spread()
    sets = (module.KEYPOINT_SET, module.JOINT_SET, module.ROOT)
    with RecordsWriter(out, dataset, split, selection.rule, *sets) as writer:
        total = selection.count or expected
        for sample in progress(
            _write(selection, writer, chosen, workers), total, f"{dataset} {split} images"
        ):
            spread.add(sample)
        apart = None
        if of_hands:
            check_hands(spread.samples, hands, raw)
        else:
            check_sides(spread.samples, module.JOINT_SET, raw)
            apart = check_reprojection(spread.samples, module.KEYPOINT_SET, models, raw)
        check_count(len(writer), expected, chosen.get("count_tolerance", 0), raw)
        writer.attrs["source_sha256"] = sha256_many(selection.sources)
        count = len(writer)
    skipped = ", ".join(f"{n} {reason}" for reason, n in sorted(selection.skipped.items()) if n)
    seen = "" if apart is None else f"; SMPL and 2D labels {apart:.3f} boxes apart"
    return f"{dataset} {split}: {count} samples; left out: {skipped or 'none'}{seen}"


def _write(
    selection: Selection, writer: RecordsWriter, settings: Mapping, workers: int
) -> Iterator[Sample]:
    """Cut and write the samples; yield each that was written.

    Raises:
        InputError: if the share of images that cannot be read is above max_bad_share.
    """
    waiting: deque[Sample] = deque()
    bad: list[str] = []
    done = 0
    for cut in cut_all(_jobs(selection.samples, waiting), settings["crop"], workers):
        sample, done = waiting.popleft(), done + 1
        if isinstance(cut, Cut):
            _add(writer, sample, cut)
            yield sample
            continue
        bad.append(cut)
        _check_bad(bad, max(done, FIRST_LOOK), settings["max_bad_share"])
    _check_bad(bad, done, settings["max_bad_share"])
    selection.skipped["unreadable images"] += len(bad)


def _check_bad(bad: list[str], count: int, allowed: float) -> None:
    if len(bad) > allowed * count:
        saw = f"{len(bad)} of {count} unreadable, first {bad[0]}"
        raise InputError("images", "", saw, f"a share of at most {allowed:g} (max_bad_share)")


def _jobs(samples: Iterable[Sample], waiting: deque[Sample]) -> Iterator[Job]:
    """Yield what to cut, and line the samples up for the results."""
    for sample in samples:
        waiting.append(sample)
        yield Job(
            sample.image, tuple(map(float, sample.center)), sample.side, sample.size,
            sample.video_frame, sample.mirror,
        )  # fmt: skip


def _add(writer: RecordsWriter, sample: Sample, cut: Cut) -> None:
    same = ("name", "center", "side", "keypoints_2d", "person", "frame", "sequence", "source",
            "camera", "K", "joints_3d", "root_3d")  # fmt: skip
    smpl = vars(sample.smpl) if sample.smpl else {}
    writer.add(
        cut.jpeg, image_size=cut.image_size, affine=cut.affine, original_size=cut.original_size,
        **{key: getattr(sample, key) for key in same}, **smpl, **sample.extra,
    )  # fmt: skip
