"""SMPL and MANO: shape and pose in, vertices and joints out, for any subset of the vertices."""

from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class BodyModel:
    """The arrays of one SMPL (V = 6890, J = 24) or MANO (V = 778, J = 16) file, float64.

    Metres; SMPL has y up, faces +z and has its left side at +x.
    """

    v_template: np.ndarray  # (V, 3)
    shapedirs: np.ndarray  # (V, 3, n)
    posedirs: np.ndarray  # (V, 3, 9 (J - 1)), or (V, 3, 0) for a model without
    J_regressor: np.ndarray  # (J, V)
    lbs_weights: np.ndarray  # (V, J), rows sum to one
    parents: np.ndarray  # (J,) int64, -1 for the root, a parent before its children
    faces: np.ndarray  # (F, 3) int64

    @property
    def joint_template(self) -> np.ndarray:
        """Joints of the mean shape in the rest pose, (J, 3)."""
        return self.J_regressor @ self.v_template

    @property
    def joint_shapedirs(self) -> np.ndarray:
        """How they move with the shape, (J, 3, n)."""
        return np.einsum("jv,vcn->jcn", self.J_regressor, self.shapedirs)


class SMPLLayer(nn.Module):
    """Linear blend skinning of one body model; holds no parameters and no saved state.

    Joints follow from the regressed template and shape directions, so vertices that are not
    asked for are never computed, and those that are equal the full model's exactly.

    Args:
        model: arrays of the model.
        vertex_ids: (n,) vertices to compute; all by default.
        num_betas: shape coefficients to use, as far as the model has them.

    Source: SMPL (Loper et al. 2015), Eqs. 2-10.
    """

    def __init__(
        self, model: BodyModel, vertex_ids: np.ndarray | None = None, num_betas: int = 10
    ) -> None:
        super().__init__()
        ids = np.arange(len(model.v_template)) if vertex_ids is None else np.asarray(vertex_ids)
        depth = _depths(model.parents)
        order = np.argsort(depth, kind="stable")  # identity for SMPL
        self.num_joints, self.num_vertices = len(depth), len(ids)
        self._steps = []
        for start, stop, rows in _steps(model.parents, depth, order):
            self._steps.append((start, stop, None if rows is None else f"rows{start}"))
            if rows is not None:  # on the device once, not copied to it at every step
                self._buffer(f"rows{start}", rows, torch.int64)
        self._reorder = bool((order != np.arange(len(order))).any())
        self.num_betas = min(num_betas, model.shapedirs.shape[2])
        shape = model.shapedirs[ids, :, :num_betas].reshape(ids.size * 3, self.num_betas)
        pose = model.posedirs[ids].reshape(ids.size * 3, model.posedirs.shape[2])
        self.pose_blend_shapes = bool(pose.size and np.abs(model.posedirs).max() > 0)
        basis = np.concatenate([shape, pose], 1) if self.pose_blend_shapes else shape
        joints, parents = model.joint_template[order], model.parents[order]
        joint_shape = model.joint_shapedirs[order, :, :num_betas]
        self._buffer("template", model.v_template[ids].reshape(-1))
        self._buffer("basis", np.ascontiguousarray(basis.T))  # (n + 9 (J - 1), 3 V)
        self._buffer("weights", model.lbs_weights[ids][:, order])
        self._buffer("joint_template", joints.reshape(-1))
        self._buffer("joint_basis", joint_shape.reshape(-1, joint_shape.shape[-1]).T)
        place = np.argsort(order)
        above = np.where(parents < 0, np.arange(len(parents)), place[np.maximum(parents, 0)])
        self._buffer("above", above, torch.int64)
        self._buffer("order", order, torch.int64)
        self._buffer("place", place, torch.int64)

    def forward(
        self, betas: Tensor, rotmats: Tensor, transl: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the vertices asked for and all joints.

        Computed in the layer's own precision (float32), also under autocast.

        Args:
            betas: (B, n) with n <= num_betas.
            rotmats: (B, J, 3, 3), the root's orientation first; each other relative to its
                parent.
            transl: (B, 3) in metres, added to the result; none by default.

        Returns:
            (B, len(vertex_ids), 3) and (B, J, 3) in metres.
        """
        with torch.autocast(betas.device.type, enabled=False):
            betas, rotmats = self._inputs(betas, rotmats)
            rest, rotations, joints = self._chain(betas, rotmats)
            features = betas
            if self.pose_blend_shapes:
                eye = torch.eye(3, dtype=rotmats.dtype, device=rotmats.device)
                features = torch.cat([betas, (rotmats[:, 1:] - eye).flatten(1)], 1)
            shaped = torch.addmm(self.template, features, self.basis).unflatten(1, (-1, 3))
            vertices = self._skin(shaped, rest, rotations, joints)
            return self._place(vertices, transl), self._place(self._outward(joints), transl)

    def joints(self, betas: Tensor, rotmats: Tensor, transl: Tensor | None = None) -> Tensor:
        """Return the joints alone, (B, J, 3); the arguments are those of `forward`."""
        with torch.autocast(betas.device.type, enabled=False):
            joints = self._chain(*self._inputs(betas, rotmats))[2]
            return self._place(self._outward(joints), transl)

    def _inputs(self, betas: Tensor, rotmats: Tensor) -> tuple[Tensor, Tensor]:
        if betas.shape[-1] > self.num_betas:
            raise ValueError(f"{betas.shape[-1]} betas for a layer of {self.num_betas}")
        if rotmats.shape[1:] != (self.num_joints, 3, 3):
            raise ValueError(f"rotmats {tuple(rotmats.shape)}, not (B, {self.num_joints}, 3, 3)")
        betas = F.pad(betas.to(self.template), (0, self.num_betas - betas.shape[-1]))
        return betas, rotmats.to(self.template)

    def _chain(self, betas: Tensor, rotmats: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Walk down the tree, all joints of one depth at once.

        Returns:
            joints at rest (B, J, 3), global rotations (B, J, 3, 3), posed joints (B, J, 3), in
            order of depth.
        """
        rest = torch.addmm(self.joint_template, betas, self.joint_basis).unflatten(1, (-1, 3))
        if self._reorder:
            rotmats = rotmats[:, self.order]
        bones = rest - rest[:, self.above]
        local = torch.cat([rotmats, bones[..., None]], -1)  # (B, J, 3, 4)
        rotation, joint = rotmats[:, :1], rest[:, :1]
        rotations, joints = [rotation], [joint]
        for start, stop, rows in self._steps:
            if rows is not None:
                parents = getattr(self, rows)
                rotation, joint = rotation[:, parents], joint[:, parents]
            moved = rotation @ local[:, start:stop]
            rotation, joint = moved[..., :3], moved[..., 3] + joint
            rotations.append(rotation)
            joints.append(joint)
        return rest, torch.cat(rotations, 1), torch.cat(joints, 1)

    def _skin(self, shaped: Tensor, rest: Tensor, rotations: Tensor, joints: Tensor) -> Tensor:
        """Blend the joints' motions and apply them to the shaped vertices, (B, n, 3)."""
        shift = joints - (rotations @ rest[..., None])[..., 0]
        columns = torch.cat([rotations.transpose(-1, -2), shift[:, :, None]], 2).flatten(2)
        blended = self.weights @ columns  # (B, n, 12): the three columns, then the shift
        x, y, z, shift = blended.split(3, dim=-1)
        return shift + x * shaped[..., :1] + y * shaped[..., 1:2] + z * shaped[..., 2:]

    def _outward(self, joints: Tensor) -> Tensor:
        return joints[:, self.place] if self._reorder else joints

    @staticmethod
    def _place(points: Tensor, transl: Tensor | None) -> Tensor:
        return points if transl is None else points + transl.to(points)[:, None]

    def _buffer(
        self, name: str, array: np.ndarray | list, dtype: torch.dtype = torch.float32
    ) -> None:
        tensor = torch.as_tensor(np.ascontiguousarray(array)).to(dtype)
        self.register_buffer(name, tensor, persistent=False)


def _depths(parents: np.ndarray) -> np.ndarray:
    depth = np.zeros(len(parents), dtype=np.int64)
    for joint, parent in enumerate(parents):
        depth[joint] = 0 if parent < 0 else depth[parent] + 1
    return depth


def _steps(
    parents: np.ndarray, depth: np.ndarray, order: np.ndarray
) -> list[tuple[int, int, list[int] | None]]:
    """List, per depth below the root, the range of joints and their parents one depth up.

    The parents are numbered within their own depth; None where joint k hangs from parent k.
    """
    steps, above, start = [], [], 0
    for _, group in groupby(order, key=lambda joint: depth[joint]):
        here = list(group)
        if above:
            rows = [above.index(parents[joint]) for joint in here]
            same = rows == list(range(len(above)))
            steps.append((start, start + len(here), None if same else rows))
        above, start = here, start + len(here)
    return steps
