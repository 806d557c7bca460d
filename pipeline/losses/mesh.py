"""Losses on regressed vertices, joints and projections (MPT and the METRO family)."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pipeline.body.joints_from_body import regress
from pipeline.body.topology import Topology
from pipeline.cameras import project_weak
from pipeline.errors import InputError
from pipeline.losses.surface import (
    HAND_SURFACE_WEIGHTS,
    SURFACE_WEIGHTS,
    edges_of,
    surface_losses,
)
from pipeline.losses.terms import (
    DISTANCES,
    centred,
    check_preset,
    difference_where,
    mean_of_samples,
    weight_of,
)


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
            or mid-hip (token joints) before projection; hands to their wrist.
        surface: weights of FastMETRO's edge and normal terms, within that of the vertices.
    """

    joints: str
    weights: tuple[float, float, float, float]
    levels: tuple[float, ...]
    coordinate_sum: bool = False
    project_regressed: bool = True
    recentre: bool = False
    surface: Mapping[str, float] | None = None


THIRDS = (0.33, 0.33, 0.33)
PRESETS = {
    "paper": Preset("l1", (1, 1, 1, 1), (1.0,), coordinate_sum=True, project_regressed=False),
    "metro": Preset("mse", (100, 1000, 1000, 100), THIRDS),
    "fastmetro": Preset(
        "l1", (100, 1000, 1000, 100), (0.25, 0.5, 0.25), recentre=True, surface=SURFACE_WEIGHTS
    ),
    "graphormer_l1": Preset("l1", (100, 1000, 1000, 100), THIRDS),
    "metro_hand": Preset("mse", (1, 1, 1, 1), (0.5, 0.5)),
    "fastmetro_hand": Preset(
        "l1", (100, 1000, 1000, 100), (0.5, 0.5), recentre=True, surface=HAND_SURFACE_WEIGHTS
    ),
}
TERMS = ("vertices", "joints", "regressed_joints", "projection")


@dataclass
class MeshTargets:
    """Labels of a batch; everything in metres relative to the root, or in [-1, 1].

    V and J are 6890 and 14 of a body, 778 and 21 of a hand.

    Attributes:
        vertices: (B, V, 3) minus the regressed root (the Human3.6M pelvis, the wrist).
        has_vertices: (B,) bool.
        joints: (B, J, 4), validity last.
        keypoints_2d: (B, J, 3), confidence last.
    """

    vertices: Tensor
    has_vertices: Tensor
    joints: Tensor
    keypoints_2d: Tensor


class MeshGeometry(nn.Module):
    """What the mesh losses need of a part: regressor, levels, edges and faces."""

    def __init__(self, part: Topology) -> None:
        super().__init__()
        self.part = part
        self._keep("regressor", torch.as_tensor(part.regressor, dtype=torch.float32))
        self.sizes = [len(ids) for ids in part.levels]
        for size, ids in zip(self.sizes, part.levels, strict=True):
            self._keep(f"ids{size}", torch.as_tensor(ids, dtype=torch.long))
        if part.surface_level in self.sizes:
            faces = torch.as_tensor(part.level_faces[self.sizes.index(part.surface_level)]).long()
            self._keep("faces", faces)
            self._keep("edges", edges_of(faces))

    def _keep(self, name: str, tensor: Tensor) -> None:
        self.register_buffer(name, tensor, persistent=False)

    def joints(self, vertices: Tensor) -> tuple[Tensor, Tensor]:
        """(B, J, 3) joints of (B, V, 3) vertices, and the root (B, 1, 3)."""
        with torch.autocast(vertices.device.type, enabled=False):
            regressed = regress(self.regressor, vertices.float())
        return regressed[:, self.part.rows], regressed[:, :1]

    def level(self, vertices: Tensor, size: int) -> Tensor:
        """(B, size, 3): the vertices of a level, which are a subset of the full mesh's."""
        return vertices[:, getattr(self, f"ids{size}")]


def mesh_targets(batch: dict, vertices: Tensor, geometry: MeshGeometry) -> MeshTargets:
    """Targets of a batch of images.

    Args:
        batch: joints_3d (B, 24, 4) and keypoints_2d (B, 24, 3), spin24; has_smpl (B,). Of hands
            (B, 21, 4), (B, 21, 3), freihand21; has_hand (B,).
        vertices: (B, V, 3) ground truth in camera axes, any origin.
        geometry: of the same part.
    """
    part = geometry.part
    joints = batch["joints_3d"][:, part.label_rows]
    keypoints = batch["keypoints_2d"][:, part.label_rows]
    _, root = geometry.joints(vertices)
    return MeshTargets(vertices - root, batch[part.has_mesh].bool(), joints, keypoints)


def mesh_losses(
    output: dict,
    targets: MeshTargets,
    weights: Mapping,
    geometry: MeshGeometry,
    preset: str = "graphormer_l1",
) -> dict[str, Tensor]:
    """Losses of a mesh network's output.

    Args:
        output: joints (B, J, 3), vertices {size: (B, size, 3)}, cam (B, 3).
        targets: labels with their validity.
        weights: may override the preset's vertices, joints, regressed_joints, projection,
            level_weights, edge_gt, edge_self and normal.
        geometry: of the part.
        preset: "paper" (MPT, Eqs. 2-6), "metro", "fastmetro" or "graphormer_l1"; of hands also
            "metro_hand" and "fastmetro_hand".

    Returns:
        Weighted vertices, joints, regressed_joints and projection, and FastMETRO's edge_gt,
        edge_self and normal.

    Source: MPT, Eqs. 2-6; weights of METRO, Graphormer and FastMETRO from their released code.
    """
    check_preset(preset, PRESETS)
    form = PRESETS[preset]
    full = output["vertices"][geometry.sizes[0]]
    regressed, root = geometry.joints(full)
    centre = geometry.part.centre
    tokens, vertices = output["joints"], output["vertices"]
    if form.recentre:
        vertices = {size: level - root for size, level in vertices.items()}
        regressed, tokens = regressed - root, centred(tokens, centre)
    scale = dict(zip(TERMS, form.weights, strict=True))
    scale = {name: weight_of(weights, name, scale[name]) for name in TERMS}
    levels = tuple(weights.get("level_weights") or form.levels)
    projected = [tokens, regressed] if form.project_regressed else [tokens]
    terms = {
        "vertices": _vertices(vertices, targets, geometry, levels),
        "joints": _joints(tokens, targets.joints, form.joints, centre),
        "regressed_joints": _joints(regressed, targets.joints, form.joints, centre),
        "projection": sum(
            _projection(points, output["cam"], targets.keypoints_2d, form.joints)
            for points in projected
        ),
    }
    if form.coordinate_sum:
        terms = {name: value * (2 if name == "projection" else 3) for name, value in terms.items()}
    losses = {name: scale[name] * value for name, value in terms.items()}
    if form.surface:
        shares = {name: weight_of(weights, name, share) for name, share in form.surface.items()}
        losses |= _surface(vertices, targets, geometry, shares, scale["vertices"])
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


def _joints(predicted: Tensor, target: Tensor, distance: str, centre: tuple[int, ...]) -> Tensor:
    """Error after moving both mid-hips (or wrists) to the origin, mean over samples with them."""
    samples = (target[:, centre, 3] > 0).all(1)
    validity = target[..., 3:] * samples[:, None, None]
    difference = difference_where(
        validity[..., 0] > 0, centred(predicted, centre), centred(target[..., :3], centre)
    )
    return mean_of_samples(DISTANCES[distance](difference) * validity, samples)


def _projection(points: Tensor, cam: Tensor, target: Tensor, distance: str) -> Tensor:
    """Error in crop units weighted by confidence, mean over all joints of the batch."""
    projected = project_weak(points.float(), cam)
    difference = difference_where(target[..., 2] > 0, projected, target[..., :2])
    return (DISTANCES[distance](difference) * target[..., 2:]).mean()


def _surface(
    vertices: dict, targets: MeshTargets, geometry: MeshGeometry, shares: Mapping, scale: float
) -> dict[str, Tensor]:
    size = geometry.part.surface_level
    if size not in vertices:
        saw = f"levels {sorted(vertices)}"
        raise InputError("loss", "preset", saw, f"a level of {size} vertices")
    terms = surface_losses(
        vertices[size],
        geometry.level(targets.vertices, size),
        geometry.edges,
        geometry.faces,
        targets.has_vertices,
    )
    return {name: scale * shares[name] * value for name, value in terms.items()}
