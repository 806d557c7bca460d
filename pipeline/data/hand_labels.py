"""Labels of hands in training samples."""

from collections.abc import Mapping
from functools import cached_property

import numpy as np
import torch

from pipeline.body.part_of import HAND_SET
from pipeline.data.augment import Augmentation, rotation_about_z, turn_points
from pipeline.data.crops import transform_points
from pipeline.errors import InputError
from pipeline.records import Records
from pipeline.rotations import axis_angle_to_matrix

JOINTS, VERTICES, ROTATIONS = 21, 778, 16


def refuse_flip(augmentation: Mapping | None) -> None:
    """Refuse to mirror hands: all are right ones, and their mirror images are not.

    Raises:
        InputError: if the augmentation has a probability of flips.
    """
    if augmentation and augmentation["flip"]:
        raise InputError("augmentation", "flip", augmentation["flip"], "0 for hands")


class HandLabels:
    """What records say of right hands: 2D and 3D joints, parameters or meshes."""

    def __init__(self, records: Records) -> None:
        """Keep the records.

        Raises:
            InputError: if their joints are not those of `freihand21`.
        """
        self.records = records
        for key in ("keypoint_set", "joint_set"):
            if getattr(records, key) != HAND_SET:
                raise InputError(records.path, key, getattr(records, key), HAND_SET)

    def item(self, index: int, affine: np.ndarray, size: int, change: Augmentation) -> dict:
        """Return the labels of a record, turned as its image is.

        Args:
            index: the record.
            affine: (2, 3) original image to crop.
            size: pixels of the crop's side.
            change: what the sample undergoes.

        Returns:
            keypoints_2d (21, 3) ndc with confidence; joints_3d (21, 4) from the wrist with
            validity; hand_rotmats (16, 3, 3) in MANO's order and hand_betas (10,) where has_mano;
            hand_vertices (778, 3), zeros where there is no mesh; has_hand: either of the two.
        """
        points = self.records.keypoints_2d[index].copy()
        points[:, :2] = 2 * transform_points(points[:, :2], affine) / size - 1
        points[points[:, 2] <= 0] = 0
        joints = turn_points(
            self.records.joints_3d[index], change.rotation, False, np.arange(JOINTS)
        )
        turn = rotation_about_z(change.rotation)
        rotmats = np.broadcast_to(np.eye(3, dtype=np.float32), (ROTATIONS, 3, 3)).copy()
        betas, vertices = np.zeros(10, np.float32), np.zeros((VERTICES, 3), np.float32)
        has_mano, has_mesh = self._has_mano(index), self._has_mesh(index)
        if has_mano:
            rotmats, betas = self._rotmats[index].copy(), self.records.mano_betas[index]
            rotmats[0] = turn @ rotmats[0]
        if has_mesh:
            vertices = self.records.hand_vertices[index] @ turn.T
        return {
            "keypoints_2d": points,
            "joints_3d": joints,
            "hand_rotmats": rotmats,
            "hand_betas": betas,
            "has_mano": np.bool_(has_mano),
            "hand_vertices": vertices,
            "has_hand": np.bool_(has_mano or has_mesh),
        }

    def _has_mano(self, index: int) -> bool:
        valid = self.records.mano_valid
        return valid is not None and bool(valid[index])

    def _has_mesh(self, index: int) -> bool:
        vertices = self.records.hand_vertices
        return vertices is not None and bool(np.isfinite(vertices[index]).all())

    @cached_property
    def _rotmats(self) -> np.ndarray:
        """All poses as matrices, (N, 16, 3, 3): one by one they cost more than a warp."""
        records = self.records
        pose = np.concatenate([records.mano_global_orient, records.hand_pose], 1)
        return axis_angle_to_matrix(torch.from_numpy(pose).view(-1, ROTATIONS, 3)).numpy()
