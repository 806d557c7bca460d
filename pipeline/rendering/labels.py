"""The body that a record's label describes, in the camera that took its picture."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pipeline.body.assets import BodyAssets
from pipeline.body.joints_from_body import JointsFromBody
from pipeline.body.smpl import SMPLLayer
from pipeline.cameras import estimate_translation
from pipeline.joints import mapping
from pipeline.records import GENDERS, Records
from pipeline.rendering.rasterizer import pixel_matrix
from pipeline.rotations import axis_angle_to_matrix

FOCAL_PER_SIZE = 5000 / 224  # of a crop whose camera is not known (SPIN: 5000 px at 224 px)
JOINTS = "spin24"


@dataclass(frozen=True)
class Placed:
    """One body in front of a camera."""

    vertices_cam: np.ndarray
    """(V, 3) float32, metres."""
    K: np.ndarray
    """(3, 3) intrinsics, pixels."""
    affine: np.ndarray
    """(2, 3) from K's pixels to the stored crop's."""

    @property
    def crop_matrix(self) -> np.ndarray:
        """Return (3, 3) from camera rays to the stored crop's pixels."""
        return pixel_matrix(self.K, self.affine)


class LabelledBodies:
    """Poses the labels of a records file.

    Where the label has a translation and the camera is known, the projection is exact;
    otherwise the body is placed so that its joints explain the labelled 2D joints best.

    Args:
        records: the file.
        assets: the body.
    """

    def __init__(self, records: Records, assets: BodyAssets):
        self._records = records
        self._layers = {
            code: SMPLLayer(assets.models[gender])
            for code, gender in enumerate(GENDERS)
            if gender in assets.models
        }
        self._joints = JointsFromBody(assets, JOINTS)
        self._order = None
        if records.keypoint_set is not None:
            self._order = mapping(records.keypoint_set, JOINTS)

    def place(self, rows: Sequence[int]) -> dict[int, Placed]:
        """Return the bodies of those rows that have a usable label.

        Args:
            rows: numbers of records.
        """
        records = self._records
        if records.smpl_valid is None:
            return {}
        placed: dict[int, Placed] = {}
        rows = np.array([row for row in rows if records.smpl_valid[row]], int)
        for code, layer in self._layers.items():
            chosen = rows[records.gender[rows] == code]
            if len(chosen):
                placed |= self._place(chosen, layer)
        return placed

    def _place(self, rows: np.ndarray, layer: SMPLLayer) -> dict[int, Placed]:
        records = self._records
        pose = np.concatenate([records.global_orient[rows, None], records.body_pose[rows]], 1)
        with torch.no_grad():
            rotmats = axis_angle_to_matrix(torch.from_numpy(pose))
            vertices, joints = layer(torch.from_numpy(records.betas[rows]), rotmats)
        exact = records.has_transl[rows] > 0
        if records.K is None:
            exact[:] = False
        else:
            exact &= ~np.isnan(records.K[rows]).any((1, 2))
        placed = {}
        for row, mesh, known in zip(rows, vertices.numpy(), exact, strict=True):
            if known:
                mesh = mesh + records.transl[row]
                placed[int(row)] = Placed(mesh, records.K[row], records.affine[row])
        if not exact.all():
            placed |= self._estimate(rows[~exact], vertices[~exact], joints[~exact])
        return placed

    def _estimate(self, rows, vertices, joints) -> dict[int, Placed]:
        """Place bodies by their 2D joints in the stored crop; rows without enough are left out."""
        records = self._records
        if self._order is None:
            return {}
        known = self._order >= 0
        source = records.keypoints_2d[rows][:, np.maximum(self._order, 0)]
        affine = records.affine[rows]
        pixels = source[..., :2] @ affine[:, :, :2].transpose(0, 2, 1) + affine[:, None, :, 2]
        confidence = source[..., 2] * known
        side = records.image_size[rows].max(1)
        focal, centre = FOCAL_PER_SIZE * side, records.image_size[rows] / 2
        tensors = (pixels, confidence, focal, centre)
        translation = estimate_translation(
            self._joints(joints, vertices),
            *(torch.from_numpy(np.asarray(array, np.float32)) for array in tensors),
        ).numpy()
        meshes = vertices.numpy() + translation[:, None]
        usable = np.isfinite(translation).all(1) & (meshes[..., 2].min(1) > 0)
        return {
            int(row): Placed(
                mesh, np.array([[f, 0, c[0]], [0, f, c[1]], [0, 0, 1.0]]), np.eye(2, 3)
            )
            for row, mesh, f, c, ok in zip(rows, meshes, focal, centre, usable, strict=True)
            if ok
        }
