"""AGORA: rendered crowds, in pickled data frames and one SMPL fit for every scan.

`**/SMPL/{train,validation}_{0..9}_withjv.pkl`: one row an image, cells with one entry a person;
`gt_joints_2d` in pixels of the 3840 x 2160 images, `gt_joints_3d` in metres of the camera frame.
Images of either size anywhere under `images/`, those of 1280 x 720 named `..._1280x720.png`.
`smpl_gt/**/*.pkl` hold torch tensors in the scan's own frame, all of the neutral body: seen by a
camera they are turned by pi about x, by the person's yaw less 90 degrees, by minus the camera's
yaw, and by its pitch. Where a body stands follows from its pelvis among the 3D joints.

Focal length and pitch are known by the image's name only; sensors are 36 mm x 20.25 mm.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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
    take,
)
from pipeline.convert.frames import read_frame, read_tensors
from pipeline.convert.geometry import check_metres, check_projection
from pipeline.errors import InputError
from pipeline.rotations import axis_angle_to_matrix, matrix_to_axis_angle, rotate_about

KEYPOINT_SET = JOINT_SET = "smplx45"
ROOT = "pelvis"
SIZES = {2160: (3840, 2160), 720: (1280, 720)}
SENSOR = (36.0, 20.25)  # mm
CLOSE_UP = {"hdri": (50.0, 0.0), "ag2": (28.0, 15.0)}  # focal length in mm, pitch in degrees
SCENES = {"cam00": 135.0, "cam01": -135.0, "cam02": -45.0, "cam03": 45.0}  # yaw; 18 mm, 30 deg
PROJECTION = 2.0  # largest median distance of 3D and 2D joints, pixels of the large images
BODY = 0.05  # largest median distance of the fits' joints and gt_joints_3d, metres
COLUMNS = ("imgPath", "camYaw", "Yaw", "gender", "kid", "occlusion", "isValid", "gt_path_smpl",
           "gt_joints_2d", "gt_joints_3d")  # fmt: skip


@dataclass(frozen=True)
class _View:
    """One image: its file, camera and people by column."""

    image: Path
    K: np.ndarray
    R: np.ndarray  # (3, 3) from the world that yaws are about to the camera
    people: dict[str, list]
    where: str


def select(raw: Path, split: str, settings: Mapping, models: Mapping[str, BodyModel]) -> Selection:
    """Return the valid adults of the split.

    Args:
        raw: root of the distribution.
        split: name of the split, for the rule.
        settings: part (train or validation), resolution (2160 or 720), labels (SMPL or null),
            box_factor.
        models: body models; the fits are of the neutral one.

    Raises:
        InputError: if there is no data frame.
    """
    part, size = settings["part"], SIZES[settings["resolution"]]
    fits = _Fits(raw, models["neutral"]) if settings.get("labels") else None
    paths = sorted(raw.glob(f"**/SMPL/{part}_*_withjv.pkl"))
    if not paths:
        raise InputError(raw, f"SMPL/{part}_*_withjv.pkl", "no such file", "AGORA's data frames")
    images = _images(raw / "images")
    rule = f"{split}: isValid adults, images {size[0]} x {size[1]}"
    selection = Selection(rule, sources=[*paths])  # a copy: the fits follow
    selection.samples = (
        sample
        for path in paths
        for view in _views(path, raw / "images", images, size)
        for sample in _persons(raw, view, settings, size, fits, selection)
    )
    return selection


def _images(folder: Path) -> dict[str, Path]:
    """Return the images by name, whichever folder they were unpacked to."""
    found = {}
    for path in sorted(folder.rglob("*.png")):
        if path.name in found:
            raise InputError(path, "", f"the name of {found[path.name]}", "each image once")
        found[path.name] = path
    return found


def _views(
    path: Path, folder: Path, images: dict[str, Path], size: tuple[int, int]
) -> Iterator[_View]:
    frame = read_frame(path, COLUMNS)
    for row, name in enumerate(frame["imgPath"]):
        where = f"{path}: row {row}"
        people = {key: frame[key][row] for key in COLUMNS if key not in ("imgPath", "camYaw")}
        count = len(people["Yaw"]) if isinstance(people["Yaw"], list) else 0
        for key, cell in people.items():
            if not isinstance(cell, list | np.ndarray) or len(cell) != count:
                saw = f"{len(cell)} entries" if hasattr(cell, "__len__") else type(cell).__name__
                raise InputError(where, key, saw, f"{count}, one a person")
        plain = inside(Path(), name, where, "imgPath").name
        own = plain if size == SIZES[2160] else plain.replace(".png", "_1280x720.png")
        image = images.get(own, folder / own)  # missing ones are counted as unreadable
        yield _View(image, *camera(plain, frame["camYaw"][row], size, where), people, where)


def camera(
    name: str, yaw: object, size: tuple[int, int], where: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return K and the rotation from AGORA's world to the camera.

    Args:
        name: of the image, which tells the kind of camera.
        yaw: of the camera in degrees, for the cameras that the name does not tell.
        size: of the images, pixels.
        where: for errors.
    """
    kind = next((key for key in (*CLOSE_UP, *SCENES) if key in name), None)
    if kind in CLOSE_UP:
        (focal, pitch), turn = CLOSE_UP[kind], 0.0
    elif kind in SCENES:
        focal, pitch, turn = 18.0, 30.0, SCENES[kind]
    else:
        focal, pitch, turn = 28.0, 0.0, float(numbers(yaw, (), where, "camYaw"))
    pixels = [focal / sensor * extent for sensor, extent in zip(SENSOR, size, strict=True)]
    K = intrinsics(pixels, [extent / 2 for extent in size])
    return K, turned("x", pitch) @ turned("y", -turn)


def turned(axis: str, degrees: float) -> np.ndarray:
    """Return the rotation about an axis, (3, 3)."""
    angle = torch.tensor(np.radians(degrees), dtype=torch.float64)
    return rotate_about(axis, angle).numpy()


def _persons(
    raw: Path,
    view: _View,
    settings: Mapping,
    size: tuple[int, int],
    fits: "_Fits | None",
    selection: Selection,
) -> Iterator[Sample]:
    people, where = view.people, view.where
    chosen = list(_chosen(people, selection))
    if not chosen:
        return
    scale = size[1] / SIZES[2160][1]
    joints, pixels = (
        np.stack([numbers(people[key][k], (45, width), where, key) for k in chosen])
        for key, width in (("gt_joints_3d", 3), ("gt_joints_2d", 2))
    )
    pixels = pixels * scale
    check_metres(joints, JOINT_SET, where, "gt_joints_3d")
    check_projection(joints, pixels, view.K, PROJECTION * scale, where)
    for k, own, seen in zip(chosen, joints, pixels, strict=True):
        within = ((seen > 0) & (seen < size)).all(1)
        keypoints = np.column_stack([seen, np.ones(45)])
        box = keypoint_box(keypoints, settings["box_factor"])
        if box is None or within.sum() < 2:
            selection.skipped["persons out of the picture"] += 1
            continue
        keypoints[~within] = 0
        name = people["gt_path_smpl"][k]
        smpl = fits.find(name, people["Yaw"][k], view, own, selection) if fits else None
        yield Sample(
            image=view.image, name=view.image.relative_to(raw).as_posix(), size=size, K=view.K,
            center=box[0], side=box[1], keypoints_2d=keypoints, person=k, frame=0, smpl=smpl,
            joints_3d=np.column_stack([own - own[0], np.ones(45)]), root_3d=own[0],
            sequence=view.image.stem, source=str(name),
        )  # fmt: skip


def _chosen(people: dict[str, list], selection: Selection) -> Iterator[int]:
    """Yield the numbers of the persons to take."""
    for k, valid in enumerate(people["isValid"]):
        if not valid:
            selection.skipped["not valid (hidden or cut off)"] += 1
        elif people["kid"][k]:
            selection.skipped["kids, who have a template of their own"] += 1
        else:
            yield k


class _Fits:
    """The fits of the scans; a scan stands in many images."""

    def __init__(self, raw: Path, model: BodyModel) -> None:
        self._raw, self._layer = raw, SMPLLayer(model, np.zeros(1, int))
        self._known: dict[Path, tuple[np.ndarray, np.ndarray]] = {}

    def find(
        self, name: object, yaw: object, view: _View, joints: np.ndarray, selection: Selection
    ) -> SmplLabel:
        """Return a scan's fit in the camera frame.

        Args:
            name: of the scan's file.
            yaw: of the person, degrees.
            view: the image.
            joints: (45, 3) of the person, camera frame.
            selection: whose sources the file joins.

        Raises:
            InputError: if the file is missing or damaged, or its joints are not the image's.
        """
        path = inside(self._raw, name, view.where, "gt_path_smpl").with_suffix(".pkl")
        if path not in self._known:
            self._known[path] = _read_fit(path)
            selection.sources.append(path)
        pose, betas = self._known[path]
        degrees = float(numbers(yaw, (), view.where, "Yaw"))
        R = view.R @ turned("y", degrees - 90) @ np.diag([1.0, -1, -1])
        rotmats = axis_angle_to_matrix(torch.from_numpy(pose))
        rotmats[0] = torch.from_numpy(R) @ rotmats[0]
        shape = torch.from_numpy(betas[None]).float()
        own = self._layer.joints(shape, rotmats[None].float())[0].double().numpy()
        transl = joints[0] - own[0]
        apart = float(np.median(np.linalg.norm(own + transl - joints[:24], axis=-1)))
        if apart > BODY:
            saw = f"a body whose joints are {apart:.3f} m from gt_joints_3d of {view.where}"
            raise InputError(path, "root_pose", saw, f"at most {BODY} m")
        return SmplLabel(matrix_to_axis_angle(rotmats[0]).numpy(), pose[1:], betas, transl)


def _read_fit(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return pose (24, 3) and betas (10,) of a scan."""
    fit = read_tensors(path)
    root, pose, betas = (
        numbers(np.ravel(take(fit, key, path)), (length,), path, key)
        for key, length in (("root_pose", 3), ("body_pose", 69), ("betas", None))
    )
    if len(betas) < 10:
        raise InputError(path, "betas", f"{len(betas)} numbers", "10 or more")
    return np.concatenate([root, pose]).reshape(24, 3), betas[:10]
