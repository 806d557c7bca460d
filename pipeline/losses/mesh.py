"""Losses on regressed vertices, joints and projections (MPT and the METRO family)."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pipeline.body.assets import BodyAssets
from pipeline.body.joints_from_body import regress
from pipeline.cameras import project_weak
from pipeline.errors import InputError
from pipeline.losses.surface import SURFACE_WEIGHTS, edges_of, surface_losses
from pipeline.losses.terms import (
    DISTANCES,
    check_preset,
    difference_where,
    hip_centred,
    mean_of_samples,
    weight_of,
)
from pipeline.models.mesh_joints import J14_IN_H36M17, J14_IN_SPIN24, PELVIS_IN_H36M17

HIPS = (2, 3)  # right and left in the fourteen joints
SURFACE_LEVEL = 1723  # vertices of the mesh that FastMETRO's surface terms are taken on


@dataclass(frozen=True)
class Preset:
    """A published set of terms; explicit weights override the ones given here.

    Attributes:
        joints: "l1" or "mse" for the joint and projection terms; vertices are always L1.
        weights: of vertices, joints, regressed_joints, projection.
        levels: share of each mesh level within the vertex term, the full mesh first.
        coordinate_sum: whether a point's error sums its coordinates (MPT's norm) or averages.
        project_regressed: whether the regressed joints are projected too.
        recentre: whether predictions are moved to their own pelvis (vertices, regressed joints)
            or mid-hip (token joints) before projection.
        surface: whether FastMETRO's edge and normal terms are added.
    """

    joints: str
    weights: tuple[float, float, float, float]
    levels: tuple[float, ...]
    coordinate_sum: bool = False
    project_regressed: bool = True
    recentre: bool = False
    surface: bool = False


THIRDS = (0.33, 0.33, 0.33)
PRESETS = {
    "paper": Preset("l1", (1, 1, 1, 1), (1.0,), coordinate_sum=True, project_regressed=False),
    "metro": Preset("mse", (100, 1000, 1000, 100), THIRDS),
    "fastmetro": Preset(
        "l1", (100, 1000, 1000, 100), (0.25, 0.5, 0.25), recentre=True, surface=True
    ),
    "graphormer_l1": Preset("l1", (100, 1000, 1000, 100), THIRDS),
}
TERMS = ("vertices", "joints", "regressed_joints", "projection")


@dataclass
class MeshTargets:
    """Labels of a batch; everything in metres relative to the pelvis, or in [-1, 1].

    Attributes:
        vertices: (B, 6890, 3) minus the regressed Human3.6M pelvis.
        has_vertices: (B,) bool.
        joints: (B, 14, 4), validity last.
        keypoints_2d: (B, 14, 3), confidence last.
    """

    vertices: Tensor
    has_vertices: Tensor
    joints: Tensor
    keypoints_2d: Tensor


class MeshGeometry(nn.Module):
    """What the mesh losses need of the body: regressor, levels, edges and faces."""

    def __init__(self, assets: BodyAssets) -> None:
        super().__init__()
        self._keep("regressor", torch.as_tensor(assets.J_regressor_h36m, dtype=torch.float32))
        self.sizes = [len(ids) for ids in assets.levels]
        for size, ids in zip(self.sizes, assets.levels, strict=True):
            self._keep(f"ids{size}", torch.as_tensor(ids, dtype=torch.long))
        if SURFACE_LEVEL in self.sizes:
            faces = torch.as_tensor(assets.level_faces[self.sizes.index(SURFACE_LEVEL)]).long()
            self._keep("faces", faces)
            self._keep("edges", edges_of(faces))

    def _keep(self, name: str, tensor: Tensor) -> None:
        self.register_buffer(name, tensor, persistent=False)

    def joints17(self, vertices: Tensor) -> Tensor:
        """(B, 17, 3) Human3.6M joints of (B, 6890, 3) vertices."""
        with torch.autocast(vertices.device.type, enabled=False):
            return regress(self.regressor, vertices.float())

    def level(self, vertices: Tensor, size: int) -> Tensor:
        """(B, size, 3): the vertices of a level, which are a subset of the full mesh's."""
        return vertices[:, getattr(self, f"ids{size}")]


def mesh_targets(batch: dict, vertices: Tensor, geometry: MeshGeometry) -> MeshTargets:
    """Targets of a batch of images.

    Args:
        batch: joints_3d (B, 24, 4) and keypoints_2d (B, 24, 3), spin24; has_smpl (B,).
        vertices: (B, 6890, 3) ground truth in camera axes, any origin.
        geometry: of the same body.
    """
    pelvis = geometry.joints17(vertices)[:, [PELVIS_IN_H36M17]]
    joints = batch["joints_3d"][:, J14_IN_SPIN24]
    keypoints = batch["keypoints_2d"][:, J14_IN_SPIN24]
    return MeshTargets(vertices - pelvis, batch["has_smpl"].bool(), joints, keypoints)


def mesh_losses(
    output: dict,
    targets: MeshTargets,
    weights: Mapping,
    geometry: MeshGeometry,
    preset: str = "graphormer_l1",
) -> dict[str, Tensor]:
    """Losses of a mesh network's output.

    Args:
        output: joints (B, 14, 3), vertices {size: (B, size, 3)}, cam (B, 3).
        targets: labels with their validity.
        weights: may override the preset's vertices, joints, regressed_joints, projection,
            level_weights, edge_gt, edge_self and normal.
        geometry: of the body.
        preset: "paper" (MPT, Eqs. 2-6), "metro", "fastmetro" or "graphormer_l1".

    Returns:
        Weighted vertices, joints, regressed_joints and projection, and FastMETRO's edge_gt,
        edge_self and normal.

    Source: MPT, Eqs. 2-6; weights of METRO, Graphormer and FastMETRO from their released code.
    """
    check_preset(preset, PRESETS)
    form = PRESETS[preset]
    full = output["vertices"][geometry.sizes[0]]
    regressed17 = geometry.joints17(full)
    regressed = regressed17[:, J14_IN_H36M17]
    tokens, vertices = output["joints"], output["vertices"]
    if form.recentre:
        pelvis = regressed17[:, [PELVIS_IN_H36M17]]
        vertices = {size: level - pelvis for size, level in vertices.items()}
        regressed, tokens = regressed - pelvis, hip_centred(tokens, HIPS)
    scale = dict(zip(TERMS, form.weights, strict=True))
    scale = {name: weight_of(weights, name, scale[name]) for name in TERMS}
    levels = tuple(weights.get("level_weights") or form.levels)
    projected = [tokens, regressed] if form.project_regressed else [tokens]
    terms = {
        "vertices": _vertices(vertices, targets, geometry, levels),
        "joints": _joints(tokens, targets.joints, form.joints),
        "regressed_joints": _joints(regressed, targets.joints, form.joints),
        "projection": sum(
            _projection(points, output["cam"], targets.keypoints_2d, form.joints)
            for points in projected
        ),
    }
    if form.coordinate_sum:
        terms = {name: value * (2 if name == "projection" else 3) for name, value in terms.items()}
    losses = {name: scale[name] * value for name, value in terms.items()}
    if form.surface:
        losses |= _surface(vertices, targets, geometry, weights, scale["vertices"])
    return losses


def _vertices(
    vertices: dict[int, Tensor], targets: MeshTargets, geometry: MeshGeometry, levels: tuple
) -> Tensor:
    """L1 of the weighted levels, mean over the vertices of labelled samples."""
    total = 0.0
    for size, weight in _weighted_levels(sorted(vertices, reverse=True), levels).items():
        target = geometry.level(targets.vertices, size)
        difference = difference_where(targets.has_vertices, vertices[size], target)
        total = total + weight * mean_of_samples(difference.abs(), targets.has_vertices)
    return total


def _weighted_levels(sizes: list[int], weights: tuple[float, ...]) -> dict[int, float]:
    """Size to weight: the finest levels in order; the last of several weights for the coarsest.

    A network whose queries are coarser than 431 vertices has more levels than a published
    triple has weights; the levels in between then carry none.
    """
    if len(weights) > len(sizes):
        raise InputError("loss", "level_weights", list(weights), f"at most {len(sizes)} numbers")
    taken = sizes[: len(weights)]
    if len(weights) > 1:
        taken[-1] = sizes[-1]
    return dict(zip(taken, weights, strict=True))


def _joints(predicted: Tensor, target: Tensor, distance: str) -> Tensor:
    """Error after moving both mid-hips to the origin, mean over samples with valid hips."""
    samples = (target[:, HIPS, 3] > 0).all(1)
    validity = target[..., 3:] * samples[:, None, None]
    difference = difference_where(
        validity[..., 0] > 0, hip_centred(predicted, HIPS), hip_centred(target[..., :3], HIPS)
    )
    return mean_of_samples(DISTANCES[distance](difference) * validity, samples)


def _projection(points: Tensor, cam: Tensor, target: Tensor, distance: str) -> Tensor:
    """Error in crop units weighted by confidence, mean over all joints of the batch."""
    projected = project_weak(points.float(), cam)
    difference = difference_where(target[..., 2] > 0, projected, target[..., :2])
    return (DISTANCES[distance](difference) * target[..., 2:]).mean()


def _surface(
    vertices: dict, targets: MeshTargets, geometry: MeshGeometry, weights: Mapping, scale: float
) -> dict[str, Tensor]:
    if SURFACE_LEVEL not in vertices:
        saw = f"levels {sorted(vertices)}"
        raise InputError("loss", "preset", saw, f"a level of {SURFACE_LEVEL} vertices")
    terms = surface_losses(
        vertices[SURFACE_LEVEL],
        geometry.level(targets.vertices, SURFACE_LEVEL),
        geometry.edges,
        geometry.faces,
        targets.has_vertices,
    )
    return {
        name: scale * weight_of(weights, name, SURFACE_WEIGHTS[name]) * value
        for name, value in terms.items()
    }
