"""MuCo-3DHP as json (3DMPPE, I2L-MeshNet): people of MPI-INF-3DHP composited into one image.

`MuCo-3DHP.json` (images with f and c; persons with 21 joints, millimetres in the camera frame,
and pixels), `smpl_param.json` by annotation, camera frame, metres, neutral body; images in
`augmented_set/` and `unaugmented_set/`. The files may lie in a folder `data/`.

I2L-MeshNet's rule: of each image the person whose pelvis is nearest to the camera, for the
others are partly hidden; a fit counts when its joints are within `max_fit_error_mm` of the
annotated ones.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from pipeline.body.smpl import BodyModel, SMPLLayer
from pipeline.convert.common import (
    Sample,
    Selection,
    SmplLabel,
    inside,
    intrinsics,
    keypoint_box,
    numbers,
    smpl_label,
    take,
)
from pipeline.convert.geometry import check_metres, check_projection
from pipeline.errors import InputError
from pipeline.files import read_json
from pipeline.joints import JOINT_SETS, index, indices, mapping
from pipeline.rotations import axis_angle_to_matrix

KEYPOINT_SET = JOINT_SET = "muco21"
ROOT = "pelvis"
PELVIS = index(JOINT_SET, ROOT)
USES_REGRESSOR = True
FILES = ("MuCo-3DHP.json", "smpl_param.json")
PIXELS = 2.0  # largest median distance of the 3D joints, projected, from the 2D ones
BLOCK = 256  # persons that are checked at once
# Joints that a fit is judged by: both sets mark them alike (not the spine, neck and face).
JUDGED = [name for name in JOINT_SETS["h36m17"] if not name.startswith(("spine", "neck", "jaw"))]


def select(
    raw: Path,
    split: str,
    settings: Mapping,
    models: Mapping[str, BodyModel],
    J_regressor: np.ndarray,
) -> Selection:
    """Return the nearest person of each image, or all.

    Args:
        raw: root of the distribution.
        split: name of the split, for the rule.
        settings: persons (nearest or all), max_fit_error_mm, box_factor.
        models: body models by gender; the fits are of the neutral one.
        J_regressor: (17, V) joints of Human3.6M from the mesh.
    """
    root = raw / "data" if (raw / "data" / FILES[0]).is_file() else raw
    path, fit_path = (root / name for name in FILES)
    content, fits = read_json(path), read_json(fit_path)
    if not isinstance(fits, Mapping):
        raise InputError(fit_path, "", f"a {type(fits).__name__}", "fits by annotation")
    images = {take(image, "id", path): image for image in take(content, "images", path)}
    chosen = _chosen(take(content, "annotations", path), images, settings["persons"], path)
    allowed = settings["max_fit_error_mm"]
    rule = "the person nearest to the camera" if settings["persons"] == "nearest" else "everybody"
    selection = Selection(
        f"{split}: {rule} of each image; fits within {allowed} mm of the joints",
        count=len(chosen), sources=[path, fit_path],
    )  # fmt: skip
    judge = _Judge(models["neutral"], J_regressor, allowed / 1000)
    selection.samples = _samples(root, path, chosen, images, fits, judge, settings, selection)
    return selection


def _chosen(labels: Sequence[Mapping], images: Mapping, persons: str, path: Path) -> list[Mapping]:
    """Return the annotations that the rule takes, image after image."""
    if persons not in ("nearest", "all"):
        raise InputError("params", "persons", persons, "nearest or all")
    by_image = defaultdict(list)
    for label in labels:
        where = f"{path}: annotation {take(label, 'id', path)}"
        take(images, take(label, "image_id", where), where)
        points = numbers(take(label, "keypoints_cam", where), (21, 3), where, "keypoints_cam")
        by_image[label["image_id"]].append((points[PELVIS, 2], label))
    if persons == "all":
        return [label for people in by_image.values() for _, label in people]
    return [min(people, key=lambda person: person[0])[1] for people in by_image.values()]


class _Judge:
    """Keeps SMPL fits whose regressed joints are near the annotated ones.

    Both are centred on the mean of the judged joints first, as in I2L-MeshNet.
    """

    def __init__(self, model: BodyModel, J_regressor: np.ndarray, allowed: float) -> None:
        rows = J_regressor[indices("h36m17", JUDGED)]
        used = np.flatnonzero(np.abs(rows).sum(0))
        self._layer = SMPLLayer(model, used)
        self._weights = torch.from_numpy(rows[:, used]).float()
        self._places = mapping(JOINT_SET, "h36m17")[indices("h36m17", JUDGED)]
        self._allowed = allowed

    def keep(self, labels: list[SmplLabel], points: np.ndarray) -> np.ndarray:
        """Return which fits are good, (N,) bool; points (N, 21, 3) metres."""
        pose = np.stack([np.vstack([label.global_orient, label.body_pose]) for label in labels])
        rotmats = axis_angle_to_matrix(torch.from_numpy(pose).float())
        betas = torch.from_numpy(np.stack([label.betas for label in labels])).float()
        vertices = self._layer(betas, rotmats)[0]
        fitted = (self._weights @ vertices).double().numpy()
        wanted = points[:, self._places]
        fitted, wanted = (x - x.mean(1, keepdims=True) for x in (fitted, wanted))
        return np.linalg.norm(fitted - wanted, axis=-1).mean(1) <= self._allowed


def _samples(
    root: Path,
    path: Path,
    chosen: list[Mapping],
    images: Mapping,
    fits: Mapping,
    judge: _Judge,
    settings: Mapping,
    selection: Selection,
) -> Iterator[Sample]:
    """Yield the samples, checked in blocks."""
    remaining = iter(chosen)
    while labels := list(islice(remaining, BLOCK)):
        people = [_person(path, label, images) for label in labels]
        pixels, points, K = (np.stack(arrays) for arrays in zip(*people, strict=True))
        check_metres(points, JOINT_SET, path, "keypoints_cam")
        check_projection(points, pixels, K, PIXELS, path)
        smpl = _fits(labels, fits, points, judge, path.with_name(FILES[1]), selection)
        for row, label in enumerate(labels):
            where, image = f"{path}: annotation {label['id']}", images[label["image_id"]]
            keypoints = np.column_stack([pixels[row], np.ones(21)])
            box = keypoint_box(keypoints, settings["box_factor"])
            if box is None:
                raise InputError(where, "keypoints_img", "all in one place", "a person")
            file = inside(root, take(image, "file_name", where), where, "file_name")
            yield Sample(
                image=file, name=image["file_name"], center=box[0], side=box[1],
                keypoints_2d=keypoints, person=int(label["id"]), frame=int(label["image_id"]),
                sequence=Path(image["file_name"]).parts[0], source=str(label["id"]), K=K[row],
                size=(take(image, "width", where), take(image, "height", where)),
                joints_3d=np.column_stack([points[row] - points[row, PELVIS], np.ones(21)]),
                root_3d=points[row, PELVIS], smpl=smpl[row],
            )  # fmt: skip


def _person(
    path: Path, label: Mapping, images: Mapping
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pixels (21, 2), camera points (21, 3) in metres and K of an annotation."""
    where, image = f"{path}: annotation {label['id']}", images[label["image_id"]]
    pixels = numbers(take(label, "keypoints_img", where), (21, 2), where, "keypoints_img")
    f, c = (numbers(take(image, key, where), (2,), where, key) for key in "fc")
    return pixels, np.array(label["keypoints_cam"], float) / 1000, intrinsics(f, c)


def _fits(
    labels: list[Mapping],
    fits: Mapping,
    points: np.ndarray,
    judge: _Judge,
    path: Path,
    selection: Selection,
) -> list[SmplLabel | None]:
    """Return the good fits, None for the others; that some are missing is normal."""
    found: list[SmplLabel | None] = [None] * len(labels)
    rows = [row for row, label in enumerate(labels) if str(label["id"]) in fits]
    if not rows:
        return found
    keys = [str(labels[row]["id"]) for row in rows]
    held = [smpl_label(fits[key], f"{path}: {key}") for key in keys]
    good = judge.keep(held, points[rows])
    selection.skipped["fits far from the joints (kept without)"] += int((~good).sum())
    for row, label, kept in zip(rows, held, good, strict=True):
        found[row] = label if kept else None
    return found
