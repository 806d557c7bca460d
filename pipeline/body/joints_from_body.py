"""Named joint sets from a body's joints and the few vertices that they need."""

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from pipeline.joints import JOINT_SETS, mapping

if TYPE_CHECKING:  # `assets` offers this module's names, too
    from pipeline.body.assets import BodyAssets


class JointsFromBody(nn.Module):
    """Joints of a named set as weighted sums of the 24 body joints and of vertices.

    `coco17` and `h36m17` are the rows of their regressors. All other sets follow SPIN: a joint
    of the kinematic tree, a single vertex, or a row of the extra regressor (`joint_matrix`).

    Args:
        assets: the body.
        set_name: the joint set wanted; every joint of it has to be known.
        vertex_ids: (n,) the vertices that `forward` will get, in this order; the whole mesh by
            default.

    Raises:
        ValueError: if a joint of the set has no source, or a vertex that is needed is not
            among `vertex_ids`.
    """

    def __init__(
        self,
        assets: "BodyAssets",
        set_name: str = "spin24",
        vertex_ids: np.ndarray | None = None,
    ) -> None:
        super().__init__()
        self.set_name = set_name
        matrix = joint_matrix(assets, set_name)
        joints, vertices = matrix[:, :24], matrix[:, 24:]
        self._required = np.unique(vertices.tocoo().col).astype(np.int64)
        count = vertices.shape[1]
        ids = np.arange(count) if vertex_ids is None else np.asarray(vertex_ids)
        place = np.full(count, -1)
        place[ids] = np.arange(len(ids))
        missing = self._required[place[self._required] < 0]
        if missing.size:
            raise ValueError(f"{set_name} needs vertices {missing.tolist()} besides those given")
        weights = sp.hstack([joints, vertices[:, self._required]]).toarray()
        self.register_buffer("weights", torch.as_tensor(weights).float(), persistent=False)
        where = torch.as_tensor(place[self._required])
        self.register_buffer("where", where, persistent=False)

    @cached_property
    def required_vertices(self) -> np.ndarray:
        """Vertex ids that the set depends on, ascending, (m,) int64."""
        return self._required

    def forward(self, joints: Tensor, vertices: Tensor) -> Tensor:
        """Return the joints of the set, in the frame of the input.

        Summed relative to the root: rows of the public regressors do not add up to exactly one,
        which would move joints of a body that stands metres away from the origin.

        Args:
            joints: (B, 24, 3) in metres.
            vertices: (B, n, 3) in metres, the vertices named at construction.

        Returns:
            (B, len(set), 3).
        """
        with torch.autocast(joints.device.type, enabled=False):
            points = torch.cat([joints, vertices[:, self.where]], 1).float()
            root = points[:, :1]
            return self.weights @ (points - root) + root


def joint_matrix(assets: "BodyAssets", set_name: str) -> sp.csr_matrix:
    """Return the weights of a set over the 24 body joints, then all vertices, (J, 24 + V).

    Raises:
        ValueError: if a joint of the set has no source in the body.
    """
    regressors = {"coco17": assets.J_regressor_coco, "h36m17": assets.J_regressor_h36m}
    if set_name in regressors:
        rows = sp.csr_matrix(regressors[set_name])
        return sp.hstack([sp.csr_matrix((len(JOINT_SETS[set_name]), 24)), rows], format="csr")
    order = mapping("spin54", set_name)
    if (order < 0).any():
        names = [name for name, i in zip(JOINT_SETS[set_name], order, strict=True) if i < 0]
        raise ValueError(f"the body has no {', '.join(names)} for the set {set_name}")
    return _spin54(assets)[order]


def with_required(vertex_ids: np.ndarray, required: np.ndarray) -> np.ndarray:
    """Return `vertex_ids` followed by those of `required` that are not among them."""
    return np.concatenate([vertex_ids, np.setdiff1d(required, vertex_ids)])


def _spin54(assets: "BodyAssets") -> sp.csr_matrix:
    """Return the weights of SPIN's 54 joints: tree, picked vertices, regressed ones."""
    count = assets.J_regressor_extra.shape[1]
    picked = assets.face_vertices
    ones = np.ones(len(picked))
    picks = sp.csr_matrix((ones, (np.arange(len(picked)), picked)), (len(picked), count))
    vertices = sp.vstack([picks, sp.csr_matrix(assets.J_regressor_extra)])
    return sp.block_diag([sp.identity(24), vertices], format="csr")


def regress(J_regressor: Tensor, vertices: Tensor) -> Tensor:
    """Return the joints of a regressor, in the frame of the vertices.

    Regressed from vertices that are centred on the regressor's first joint (the pelvis): its
    rows do not add up to exactly one, which would move joints of a body that stands metres
    away from the origin by millimetres.

    Args:
        J_regressor: (J, V).
        vertices: (B, V, 3) in metres.

    Returns:
        (B, J, 3).
    """
    first = J_regressor[:1] / J_regressor[:1].sum()
    root = first @ vertices
    return J_regressor @ (vertices - root) + root
