"""3DOH50K: `{trainset,testset}/annots.json` by image id, and `images/*.jpg`.

SMPL stands in a world of its own: a point of the camera frame is R (scale V + trans) + t with
the neutral model's V in metres and R, t of `extri`; `lsp_joints_3d` are in the camera frame and
in the same unit, about a seventh of a metre. Two conversions are in use. The SMPL label is put
into metres by its own `scale`, as its authors advise, which keeps its projection exact. For the
3D joints `units_per_metre` says which one: "annotated" takes each label's scale too, a number
(7 in other tools) takes that for all. MPJPE against these joints depends on it, PVE does not.

The annotated hips are no trustworthy pelvis: joints are relative to the middle of the hips.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from pipeline.body.smpl import BodyModel
from pipeline.convert.common import (
    Sample,
    Selection,
    SmplLabel,
    inside,
    numbers,
    smpl_to_camera,
    square_box,
    take,
)
from pipeline.convert.geometry import TRUNK, check_projection
from pipeline.errors import InputError
from pipeline.files import read_json
from pipeline.joints import index, indices

KEYPOINT_SET = JOINT_SET = "lsp14"
ROOT = "mid_hip"
SHAPES = {
    "extri": (4, 4), "intri": (3, 3), "bbox": (2, 2), "betas": (1, 10), "pose": (1, 72),
    "trans": (1, 3), "scale": (1,), "lsp_joints_2d": (14, 2), "lsp_joints_3d": (14, 3),
}  # fmt: skip
ANNOTATED = "annotated"
PROJECTED = 0.02  # largest median distance of 3D and 2D joints, in sides of the box
IN_BOX = 0.5  # least share of the joints that their box holds, median
_HIPS, _NECK = indices("lsp14", ["l_hip", "r_hip"]), index("lsp14", "neck")


def select(raw: Path, split: str, settings: Mapping, models: Mapping[str, BodyModel]) -> Selection:
    """Return every annotated image.

    Args:
        raw: root of the distribution.
        split: name of the split, for the rule.
        settings: folder (trainset or testset), units_per_metre, box_factor.
        models: body models; the neutral one is used.

    Raises:
        InputError: if an annotation is damaged, or unit, frame or box are not as expected.
    """
    folder = raw / settings["folder"]
    path = folder / "annots.json"
    content = read_json(path)
    if not isinstance(content, dict) or not content:
        raise InputError(path, "", f"{content!r:.40}", "annotations by image id")
    rows = [_row(label, f"{path}: {key}") for key, label in content.items()]
    labels = {key: np.stack([row[key] for row in rows]) for key in SHAPES}
    scale = labels["scale"]  # (N, 1)
    unit = settings["units_per_metre"]
    unit = scale if unit == ANNOTATED else np.full_like(scale, unit)
    _check(labels, unit, path)
    names = [
        inside(folder, str(take(label, "img_path", f"{path}: {key}")).replace("\\", "/"),
               f"{path}: {key}", "img_path")
        for key, label in content.items()
    ]  # fmt: skip
    selection = Selection(f"{split}: every image of {settings['folder']}", sources=[path])
    selection.count = len(names)
    selection.samples = _samples(
        raw, names, list(content), labels, unit, models["neutral"], settings["box_factor"]
    )
    return selection


def _row(label: object, where: str) -> dict[str, np.ndarray]:
    return {key: numbers(take(label, key, where), SHAPES[key], where, key) for key in SHAPES}


def _check(labels: dict[str, np.ndarray], unit: np.ndarray, path: Path) -> None:
    """Check boxes, frame and unit of a whole file."""
    if (labels["scale"] <= 0).any() or (unit <= 0).any():
        raise InputError(path, "scale", labels["scale"].min(), "units a metre, above 0")
    low, high = labels["bbox"][:, :1], labels["bbox"][:, 1:]
    points = labels["lsp_joints_2d"]
    held = ((points >= low) & (points <= high)).all(-1).mean(1)
    if np.median(held) < IN_BOX:
        saw = f"boxes that hold {100 * np.median(held):.0f} % of the joints"
        raise InputError(path, "bbox", saw, "low and high corner of the person")
    side = float(np.median((high - low).max(-1)))
    joints = labels["lsp_joints_3d"]
    check_projection(joints, points, labels["intri"], PROJECTED * side, path)
    trunk = np.linalg.norm(joints[:, _NECK] - joints[:, _HIPS].mean(1), axis=-1) / unit[:, 0]
    median = float(np.median(trunk))
    if not TRUNK[0] < median < TRUNK[1]:
        saw = f"hips and neck {median:.3g} m apart"
        expected = f"{TRUNK[0]:g} to {TRUNK[1]:g} with the right units_per_metre"
        raise InputError(path, "lsp_joints_3d", saw, expected)


def _samples(
    raw: Path,
    names: list[Path],
    keys: list[str],
    labels: dict[str, np.ndarray],
    unit: np.ndarray,
    model: BodyModel,
    box_factor: float,
) -> Iterator[Sample]:
    """Yield the images in the order of the file."""
    scale, extrinsics = labels["scale"], labels["extri"]
    pose, betas = labels["pose"][:, 0], labels["betas"][:, 0]
    orient, transl = smpl_to_camera(
        pose[:, :3], labels["trans"][:, 0] / scale, betas,
        extrinsics[:, :3, :3], extrinsics[:, :3, 3] / scale, model,
    )  # fmt: skip
    joints = labels["lsp_joints_3d"] / unit[..., None]
    root = joints[:, _HIPS].mean(1)
    joints = joints - root[:, None]
    for row, (path, key) in enumerate(zip(names, keys, strict=True)):
        center, side = square_box(*labels["bbox"][row], box_factor)
        name = path.relative_to(raw).as_posix()
        yield Sample(
            image=path, name=name, center=center, side=side, K=labels["intri"][row],
            keypoints_2d=np.column_stack([labels["lsp_joints_2d"][row], np.ones(14)]),
            joints_3d=np.column_stack([joints[row], np.ones(14)]), root_3d=root[row],
            smpl=SmplLabel(orient[row], pose[row, 3:].reshape(23, 3), betas[row], transl[row]),
            person=row, frame=row, sequence="", source=key,
        )  # fmt: skip
