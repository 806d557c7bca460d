"""SSP-3D: `labels.npz`, `images/` and `silhouettes/` with the same names.

All images are 512 x 512 px, seen by a camera of 5,000 px focal length whose axis meets the
middle; SMPL of the recorded gender stands at `cam_trans` in the camera frame. `bbox_centres` are
(row, column), sides one number each. The silhouettes stay where they are: the protocol reads
them.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from pipeline.body.pickles import read_npz
from pipeline.body.smpl import BodyModel
from pipeline.convert.common import (
    Sample,
    Selection,
    SmplLabel,
    gender_name,
    inside,
    numbers,
)
from pipeline.errors import InputError

KEYPOINT_SET = "coco17"
JOINT_SET = ROOT = None  # the pose is the label; the joints follow from it
SIZE = (512, 512)
K = np.array([[5000.0, 0, 256], [0, 5000, 256], [0, 0, 1]])
SHAPES = {
    "shapes": (None, 10), "poses": (None, 72), "cam_trans": (None, 3),
    "joints2D": (None, 17, None), "bbox_centres": (None, 2), "bbox_whs": (None,),
}  # fmt: skip
TEXTS = ("fnames", "genders")
AROUND = 0.25  # largest distance of a box from the middle of its joints, in sides, median
SURE = 0.01  # sides; people in the middle of the image look alike in both orders


def select(raw: Path, split: str, settings: Mapping, models: Mapping[str, BodyModel]) -> Selection:
    """Return every image.

    Args:
        raw: root of the distribution.
        split: name of the split, for the rule.
        settings: box_factor.
        models: body models by gender.

    Raises:
        InputError: if an array is damaged or of another length, or the boxes are not rows first.
    """
    path = raw / "labels.npz"
    arrays = read_npz(path, (*TEXTS, *SHAPES))
    labels = {key: numbers(arrays[key], shape, path, key) for key, shape in SHAPES.items()}
    count = len(labels["poses"])
    for key in (*TEXTS, *SHAPES):
        length = arrays[key].shape[0] if arrays[key].ndim else 0
        if length != count:
            raise InputError(path, key, f"{length} entries", f"{count}, one for each pose")
    if labels["joints2D"].shape[2] not in (2, 3):
        raise InputError(path, "joints2D", f"shape {labels['joints2D'].shape}", "x, y[, score]")
    _check_boxes(labels, path)
    genders = [gender_name(letter, models, path) for letter in arrays["genders"]]
    names = [inside(raw / "images", str(name), path, "fnames") for name in arrays["fnames"]]
    selection = Selection(f"{split}: every image", sources=[path], count=count)
    selection.samples = _samples(raw, names, genders, labels, settings["box_factor"])
    return selection


def _check_boxes(labels: dict[str, np.ndarray], path: Path) -> None:
    """Check that boxes lie around the 2D joints, nearer with their rows first than otherwise."""
    points, side = labels["joints2D"][..., :2], labels["bbox_whs"]
    if (side <= 0).any():
        raise InputError(path, "bbox_whs", side.min(), "sides above 0")
    middle = (points.min(1) + points.max(1)) / 2
    centres = labels["bbox_centres"][:, ::-1], labels["bbox_centres"]
    own, other = (np.median(np.linalg.norm(middle - c, axis=1) / side) for c in centres)
    if own > AROUND or own > other + SURE:
        saw = f"boxes {own:.2f} sides off the middle of their joints, {other:.2f} if (x, y)"
        raise InputError(path, "bbox_centres", saw, "centres as (row, column)")


def _samples(
    raw: Path,
    names: list[Path],
    genders: list[str],
    labels: dict[str, np.ndarray],
    box_factor: float,
) -> Iterator[Sample]:
    """Yield the images in the order of the file."""
    for row, (image, gender) in enumerate(zip(names, genders, strict=True)):
        keypoints = np.ones((17, 3))
        given = labels["joints2D"][row]
        keypoints[:, : given.shape[1]] = given
        pose = labels["poses"][row]
        name = image.relative_to(raw).as_posix()
        yield Sample(
            image=image, name=name, size=SIZE, K=K, center=labels["bbox_centres"][row, ::-1],
            side=float(labels["bbox_whs"][row]) * box_factor, keypoints_2d=keypoints,
            smpl=SmplLabel(pose[:3], pose[3:].reshape(23, 3), labels["shapes"][row],
                           labels["cam_trans"][row], gender),
            person=row, frame=row, sequence="", source=image.stem,
        )  # fmt: skip
