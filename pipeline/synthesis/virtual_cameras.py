"""Virtual cameras around a body at the world's origin (z up), from the table in params.yaml.

Camera frame: x right, y down, z forward, metres. The four cameras of the table are Human3.6M's
for subject S1; four more stand midway between them.

Source: MPT, Sec. 3.1 and supplement A, B (positions as in Human3.6M, interpolation unspecified).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from pipeline.cameras import to_camera
from pipeline.errors import InputError
from pipeline.rotations import quaternion_to_matrix

PLACEMENTS = ("h36m_extrinsics", "pose2mesh")
SECTION = "synthesis.cameras"


@dataclass(frozen=True)
class VirtualCameras:
    """A row of pinhole cameras.

    Attributes:
        ids: C names.
        rotation: (C, 3, 3) float64, world -> camera.
        centre: (C, 3) float64, metres in the world.
        focal: (C, 2) float64 in pixels.
        principal: (C, 2) float64 in continuous pixels.
        distortion: (C, 5) float64 as k1, k2, k3, p1, p2; zeros mean none.
        resolution: (C, 2) int64 as width, height.
    """

    ids: tuple[str, ...]
    rotation: np.ndarray
    centre: np.ndarray
    focal: np.ndarray
    principal: np.ndarray
    distortion: np.ndarray
    resolution: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def translation(self) -> np.ndarray:
        """(C, 3) metres: X_cam = rotation X_world + translation."""
        return -np.einsum("cij,cj->ci", self.rotation, self.centre)

    def azimuth(self) -> np.ndarray:
        """Return (C,) radians: the direction, seen from the body, in which each camera stands."""
        return np.arctan2(self.centre[:, 1], self.centre[:, 0])

    def take(self, rows: Sequence[int]) -> "VirtualCameras":
        """Return the cameras of these rows, in this order."""
        rows = list(rows)
        arrays = {
            name: getattr(self, name)[rows]
            for name in ("rotation", "centre", "focal", "principal", "distortion", "resolution")
        }
        return VirtualCameras(ids=tuple(self.ids[row] for row in rows), **arrays)


def read_cameras(table: Sequence[dict], distort: bool = False) -> VirtualCameras:
    """Return the cameras of a table of params.yaml.

    Args:
        table: rows with id, quaternion (w, x, y, z; camera -> world), centre in mm, focal and
            principal in px, resolution in px, and optionally distortion (k1, k2, k3, p1, p2).
        distort: keep the lenses' distortion; the crops of a network know nothing of it.

    Raises:
        InputError: if a quaternion is not of unit length or an id stands twice.
    """
    quaternions = np.array([row["quaternion"] for row in table], float)
    lengths = np.linalg.norm(quaternions, axis=1)
    ids = tuple(str(row["id"]) for row in table)
    if len(set(ids)) < len(ids):
        raise InputError("params", f"{SECTION}.id", ids, "different ids")
    if np.abs(lengths - 1.0).max() > 1e-4:
        raise InputError("params", f"{SECTION}.quaternion", f"lengths {lengths}", "unit length")
    return VirtualCameras(
        ids=ids,
        rotation=quaternion_to_matrix(torch.from_numpy(quaternions)).mT.numpy(),
        centre=np.array([row["centre"] for row in table], float) / 1000.0,
        focal=np.array([row["focal"] for row in table], float),
        principal=np.array([row["principal"] for row in table], float),
        distortion=np.array([row.get("distortion") or [0.0] * 5 for row in table]) * distort,
        resolution=np.array([row["resolution"] for row in table], np.int64),
    )


def choose_views(cameras: VirtualCameras, views: int | Sequence[str]) -> VirtualCameras:
    """Return some of the cameras and of those midway between them.

    Args:
        cameras: the table.
        views: the first 1, 2, ... of the table; twice the table's length for all and their
            midpoints; or a list of ids.

    Raises:
        InputError: if there is no such number of views or no such id.
    """
    both = _concatenate(cameras, interpolate(cameras))
    numbers = [*range(1, len(cameras) + 1), len(both)]
    if isinstance(views, int):
        if views not in numbers:
            raise InputError("params", "synthesis.pairs.views", views, f"one of {numbers}")
        return both.take(range(views))
    unknown = [name for name in views if str(name) not in both.ids]
    if unknown or not views:
        raise InputError("params", "synthesis.pairs.views", list(views), f"some of {both.ids}")
    return both.take([both.ids.index(str(name)) for name in views])


def interpolate(cameras: VirtualCameras) -> VirtualCameras:
    """Return one camera midway, in angle, between each two neighbours around the body.

    Azimuth is the middle of the gap, elevation and distance are the means; the camera looks at
    the origin with the horizon level. Straight chords between the centres would pass within 2 m
    of the body. Intrinsics are the neighbours' means; there is no distortion.
    """
    azimuth, distance = cameras.azimuth(), np.linalg.norm(cameras.centre, axis=1)
    elevation = np.arcsin(cameras.centre[:, 2] / distance)
    left = np.argsort(azimuth, kind="stable")
    right = np.roll(left, -1)
    gap = (azimuth[right] - azimuth[left]) % (2.0 * np.pi)
    turn = azimuth[left] + gap / 2.0

    def mean(values: np.ndarray) -> np.ndarray:
        return (values[left] + values[right]) / 2.0

    rise, away = mean(elevation), mean(distance)
    level = np.cos(rise)
    direction = np.stack([level * np.cos(turn), level * np.sin(turn), np.sin(rise)], 1)
    return VirtualCameras(
        ids=tuple(f"{cameras.ids[a]}+{cameras.ids[b]}" for a, b in zip(left, right, strict=True)),
        rotation=_look_at_origin(direction),
        centre=away[:, None] * direction,
        focal=mean(cameras.focal),
        principal=mean(cameras.principal),
        distortion=np.zeros((len(left), 5)),
        resolution=np.maximum(cameras.resolution[left], cameras.resolution[right]),
    )


def place(cameras: VirtualCameras, placement: str) -> VirtualCameras:
    """Return the cameras as a placement uses them.

    Args:
        cameras: as chosen.
        placement: "h36m_extrinsics" keeps them; the body stands at the world's origin, below
            them. "pose2mesh" keeps the rotations only: 10 m before each camera, focal length
            1500 px, principal point 500 px (Choi et al. 2020), so hardly any perspective.

    Raises:
        InputError: if the placement is unknown.
    """
    if placement == "h36m_extrinsics":
        return cameras
    if placement != "pose2mesh":
        raise InputError("params", "synthesis.pairs.placement", placement, f"one of {PLACEMENTS}")
    count = len(cameras)
    return replace(
        cameras,
        centre=-10.0 * cameras.rotation[:, 2],
        focal=np.full((count, 2), 1500.0),
        principal=np.full((count, 2), 500.0),
        distortion=np.zeros((count, 5)),
        resolution=np.full((count, 2), 1000),
    )


def project(points: Tensor, cameras: VirtualCameras, view: Tensor) -> Tensor:
    """Return where world points appear, each sample in its own camera.

    Args:
        points: (B, N, 3) metres in the world (z up).
        cameras: C cameras.
        view: (B,) int64, the camera of each sample.

    Returns:
        (B, N, 2) in continuous pixels.
    """

    def rows(values: np.ndarray) -> Tensor:
        return torch.as_tensor(values, dtype=points.dtype, device=points.device)[view]

    local = to_camera(points, rows(cameras.rotation), rows(cameras.translation))
    plane = local[..., :2] / local[..., 2:]
    if cameras.distortion.any():
        plane = _distort(plane, rows(cameras.distortion)[:, None])
    return plane * rows(cameras.focal)[:, None] + rows(cameras.principal)[:, None]


def _distort(plane: Tensor, coefficients: Tensor) -> Tensor:
    """Bend points (B, N, 2) of the normalised image plane with (B, 1, 5) k1, k2, k3, p1, p2.

    Brown's model in OpenCV's form.
    """
    k1, k2, k3, p1, p2 = coefficients.split(1, dim=-1)  # (B, 1, 1)
    square = (plane**2).sum(-1, keepdim=True)
    radial = 1.0 + square * (k1 + square * (k2 + square * k3))
    tangential = 2.0 * (plane[..., :1] * p2 + plane[..., 1:] * p1)
    shift = square * torch.cat([p2, p1], -1)
    return plane * (radial + tangential) + shift


def _look_at_origin(direction: np.ndarray) -> np.ndarray:
    """Return (C, 3, 3) world -> camera rotations of level cameras in these unit directions."""
    forward = -direction
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    return np.stack([right, np.cross(forward, right), forward], axis=1)


def _concatenate(first: VirtualCameras, second: VirtualCameras) -> VirtualCameras:
    arrays = {
        name: np.concatenate([getattr(first, name), getattr(second, name)])
        for name in ("rotation", "centre", "focal", "principal", "distortion", "resolution")
    }
    return VirtualCameras(ids=first.ids + second.ids, **arrays)
