"""Leeds Sports Pose: 2,000 images of one person each, `images/im%04d.jpg` and `joints.mat`.

`lsp_dataset_original` holds the images in full size (SPIN trains on its first half),
`lsp_dataset` the same scaled to people of 150 px (the test set is its second half). `joints` is
(3, 14, images): x, y and 1 where the joint is *hidden*, the opposite of the other datasets; the
place of a hidden joint is labelled all the same. Coordinates are taken for continuous pixels.

The silhouettes and part labels of the test images are those of UPi-S1h (Lassner et al. 2017),
`im%04d_segmentation.png` and `im%04d_part_segmentation.png`. They stay where they are: the
records are images and joints, and evaluation opens the masks by the number in the image's name.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from pipeline.body.smpl import BodyModel
from pipeline.convert.common import Sample, Selection, keypoint_box, numbers
from pipeline.convert.matlab import read_mat
from pipeline.errors import InputError

KEYPOINT_SET = "lsp14"
JOINT_SET = ROOT = None
HALVES = ("first", "second")
MASKS = ("im{:04d}_segmentation.png", "im{:04d}_part_segmentation.png")


def select(raw: Path, split: str, settings: Mapping, models: Mapping[str, BodyModel]) -> Selection:
    """Return one half of the images.

    Args:
        raw: root that holds the folders of both sizes.
        split: name of the split, for the rule.
        settings: folder (of the size wanted), half (first or second), hidden_joints (keep or
            drop), masks (folder of UPi-S1h's labels, or absent), box_factor.
        models: unused.

    Raises:
        InputError: if images and joints do not belong together, or a mask is missing.
    """
    folder, half = raw / settings["folder"], settings["half"]
    if half not in HALVES:
        raise InputError("params", "half", half, " or ".join(HALVES))
    path = folder / "joints.mat"
    keypoints = read_keypoints(path, settings.get("hidden_joints") == "drop")
    count = len(keypoints)
    found = {image.stem for image in (folder / "images").glob("im*.jpg")}
    missing = sorted({f"im{number:04d}" for number in range(1, count + 1)} - found)
    if missing or len(found) != count:
        saw = f"{len(found)} images, {missing[0] if missing else 'none'} missing"
        raise InputError(folder / "images", "", saw, f"im0001.jpg to im{count:04d}.jpg")
    chosen = range(count // 2) if half == "first" else range(count // 2, count)
    sources = [path, *_masks(raw, settings, chosen)]
    kept = "dropped" if settings.get("hidden_joints") == "drop" else "kept"
    rule = f"{split}: {half} half of {settings['folder']}, hidden joints {kept}"
    selection = Selection(rule, count=len(chosen), sources=sources)
    selection.samples = _samples(keypoints, chosen, raw, settings, selection)
    return selection


def read_keypoints(path: Path, drop_hidden: bool) -> np.ndarray:
    """Return (images, 14, 3) pixels and confidence of `joints.mat`.

    Raises:
        InputError: if the axes are not (3, 14, images) or the third row is no flag.
    """
    joints = numbers(read_mat(path, "joints")["joints"], (3, 14, None), path, "joints")
    keypoints = joints.transpose(2, 1, 0).copy()
    hidden = keypoints[..., 2]
    if not np.isin(hidden, (0, 1)).all():
        raise InputError(path, "joints", f"{hidden.max():g} in the third row", "0 or 1, 1 hidden")
    keypoints[..., 2] = 1 - hidden if drop_hidden else 1
    keypoints[keypoints[..., 2] == 0] = 0
    return keypoints


def _samples(
    keypoints: np.ndarray, chosen: range, raw: Path, settings: Mapping, selection: Selection
) -> Iterator[Sample]:
    for row in chosen:
        box = keypoint_box(keypoints[row], settings["box_factor"])
        if box is None:
            selection.skipped["fewer than two joints"] += 1
            continue
        name = f"{settings['folder']}/images/im{row + 1:04d}.jpg"
        yield Sample(
            image=raw / name, name=name, center=box[0], side=box[1], keypoints_2d=keypoints[row],
            person=0, frame=row + 1, sequence="", source=f"im{row + 1:04d}",
        )  # fmt: skip


def _masks(raw: Path, settings: Mapping, chosen: range) -> list[Path]:
    """Return the masks of the chosen images, all of which must be there."""
    if not settings.get("masks"):
        return []
    folder = raw / settings["masks"]
    paths = [folder / name.format(row + 1) for row in chosen for name in MASKS]
    for path in paths:
        if not path.is_file():
            raise InputError(path, "", "no such file", "the labels of every test image (UPi-S1h)")
    return paths
