"""Leeds Sports Pose Extended: `im%05d.png` (high resolution) or `.jpg`, and `joints.mat`.

`joints` is (14, 3, images), axes the other way round than in LSP: x, y and 1 where the joint is
*visible*. Joints that are not hold junk, often negative, and are left out. The high-resolution
release lacks some of the 10,000 images, so that numbers have gaps: columns follow the numbers in
rising order. Coordinates are taken for continuous pixels.

Departure: SPIN takes all 14 joints for labelled, junk included; here the box spans those flagged.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from pipeline.body.smpl import BodyModel
from pipeline.convert.common import Sample, Selection, keypoint_box, numbers
from pipeline.convert.matlab import read_mat
from pipeline.convert.pseudo import Eft, NeuralAnnot, NoFits, open_fits
from pipeline.errors import InputError

KEYPOINT_SET = "lsp14"
JOINT_SET = ROOT = None
_NAME = re.compile(r"im(\d{5})\.(png|jpg)")


def select(raw: Path, split: str, settings: Mapping, models: Mapping[str, BodyModel]) -> Selection:
    """Return every image with enough visible joints.

    Args:
        raw: root of the distribution.
        split: name of the split, for the rule.
        settings: folder (that holds joints.mat), min_keypoints (visible joints), labels (EFT
            with labels_file, or null), box_factor.
        models: unused; the fits are in the camera frame already.

    Raises:
        InputError: if there are not as many images as columns.
    """
    folder = raw / settings["folder"]
    path = folder / "joints.mat"
    keypoints = read_keypoints(path)
    images = _images(folder)
    if len(images) != len(keypoints):
        saw = f"{len(keypoints)} columns for {len(images)} images"
        raise InputError(path, "joints", saw, "one column an image")
    least = settings.get("min_keypoints") or 2
    selection = Selection(f"{split}: {least} visible joints or more", sources=[path])
    fits = open_fits(raw, settings, "", KEYPOINT_SET, selection)
    selection.samples = _samples(raw, images, keypoints, least, fits, settings, selection)
    return selection


def read_keypoints(path: Path) -> np.ndarray:
    """Return (images, 14, 3) pixels and confidence of `joints.mat`, zeros where not visible.

    Raises:
        InputError: if the axes are not (14, 3, images) or the third column is no flag.
    """
    joints = numbers(read_mat(path, "joints")["joints"], (14, 3, None), path, "joints")
    keypoints = joints.transpose(2, 0, 1).copy()
    visible = keypoints[..., 2]
    if not np.isin(visible, (0, 1)).all():
        saw = f"{visible.max():g} in the third column"
        raise InputError(path, "joints", saw, "0 or 1, 1 visible")
    keypoints[visible == 0] = 0
    return keypoints


def _images(folder: Path) -> list[Path]:
    """Return the images by their number, from the folder itself or from `images` inside it."""
    found = {}
    for path in sorted([*folder.glob("im*"), *folder.glob("images/im*")]):
        match = _NAME.fullmatch(path.name)
        if match and found.setdefault(int(match[1]), path) != path:
            raise InputError(folder, "", f"{found[int(match[1])].name} and {path.name}", "one")
    return [found[number] for number in sorted(found)]


def _samples(
    raw: Path,
    images: list[Path],
    keypoints: np.ndarray,
    least: int,
    fits: NoFits | NeuralAnnot | Eft,
    settings: Mapping,
    selection: Selection,
) -> Iterator[Sample]:
    for image, points in zip(images, keypoints, strict=True):
        box = keypoint_box(points, settings["box_factor"])
        if box is None or (points[:, 2] > 0).sum() < least:
            selection.skipped["too few visible joints"] += 1
            continue
        smpl, K = fits.find(-1, image.name, points)
        yield Sample(
            image=image, name=image.relative_to(raw).as_posix(), center=box[0], side=box[1],
            keypoints_2d=points, person=0, frame=int(image.stem[2:]), sequence="",
            source=image.stem, K=K, smpl=smpl,
        )  # fmt: skip
