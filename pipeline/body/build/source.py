"""Adult bodies sampled from anny, brought to the SMPL axes: y up, facing +z, left = +x, metres."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

if TYPE_CHECKING:  # both take seconds to import and are needed by the builder only
    from anny import Anny
    from torch import Tensor

_SAMPLES = 600
_AGES = (18.0, 75.0)
_CHUNK = 50
_HAND = "hand.R"


@dataclass
class Rig:
    """Bones and skin weights of the source model."""

    bones: list[str]
    parents: np.ndarray  # (B,), -1 for the root
    weights: np.ndarray  # (V, B)

    def index(self, bone: str) -> int:
        """Position of a bone by name."""
        return self.bones.index(bone)

    def mirrored(self) -> np.ndarray:
        """(B,) bone on the other side of the body."""
        swap = {".L": ".R", ".R": ".L"}
        names = [b[:-2] + swap[b[-2:]] if b[-2:] in swap else b for b in self.bones]
        return np.array([self.bones.index(name) for name in names])


@dataclass
class Source:
    """What the builder takes from anny; rest shapes are in its A-pose."""

    rig: Rig
    faces: np.ndarray  # (F, 3) triangles
    mirror: np.ndarray  # (V,) mirrored vertex
    cavity: np.ndarray  # (V,) bool: inside of mouth and eye sockets
    vertices: np.ndarray  # (N, V, 3) sampled shapes
    heads: np.ndarray  # (N, B, 3) bone starts of the samples
    female: np.ndarray  # (N,) bool
    template: np.ndarray  # (V, 3) average shape
    template_heads: np.ndarray  # (B, 3)
    landmarks: dict[str, np.ndarray]  # name -> (3,) on the template
    hand_vertices: np.ndarray  # (H,) vertices of the right hand
    hand_faces: np.ndarray  # (h, 3) into ``hand_vertices``


def load_source() -> Source:
    """Sample adult shapes from anny; the draw is fixed, so the result is."""
    import anny
    import torch

    torch.manual_seed(0)
    model = anny.Anny(
        phenotypes="all", phenotype_blendshapes="original", skinning_method="lbs"
    ).to(torch.float32)
    vertices, heads, female = _sample(model)
    average = {name: torch.full((1,), 0.5) for name in model.phenotype_labels}
    average["age"][:] = 2 / 3  # anny's scale: newborn 0 ... young adult 2/3 ... old 1
    rest = model(phenotype_kwargs=average)
    keypoints = anny.KeypointsRegressor.coco(model)
    points = _smpl_axes(keypoints({"vertices": rest["rest_vertices"]})[0])
    base = model.base_mesh_vertex_indices.numpy()
    hand = anny.Anny(topology=_HAND, rig=f"anny-{_HAND}")
    weights = model.dense_vertex_bone_weights.numpy().astype(np.float64)
    return Source(
        rig=Rig(list(model.bone_labels), np.array(model.bone_parents), weights),
        faces=model.faces.numpy(),
        mirror=_mirror(_smpl_axes(model.template_vertices)),
        cavity=np.isin(base, _cavity_ids(Path(anny.__file__).parent)),
        vertices=vertices,
        heads=heads,
        female=female,
        template=_smpl_axes(rest["rest_vertices"])[0],
        template_heads=_smpl_axes(rest["rest_bone_heads"])[0],
        landmarks=dict(zip(keypoints.labels, points, strict=True)),
        hand_vertices=_lookup(base, hand.base_mesh_vertex_indices.numpy()),
        hand_faces=hand.faces.numpy(),
    )


def _sample(model: "Anny") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices (N, V, 3), bone heads (N, B, 3) and sex of adults; gender 0 is male in anny."""
    import torch
    from anny.shape_distribution import SimpleShapeDistribution

    ages = torch.distributions.Uniform(*_AGES)
    _, phenotypes = SimpleShapeDistribution(model, morphological_age_distribution=ages).sample(
        _SAMPLES
    )
    female = torch.rand(_SAMPLES) < 0.5
    phenotypes["gender"] = female.float() * 0.9 + 0.05 * torch.rand(_SAMPLES)
    vertices, heads = [], []
    for start in range(0, _SAMPLES, _CHUNK):
        part = {k: v[start : start + _CHUNK].float() for k, v in phenotypes.items()}
        rest = model(phenotype_kwargs=part)
        vertices.append(_smpl_axes(rest["rest_vertices"]))
        heads.append(_smpl_axes(rest["rest_bone_heads"]))
    return np.concatenate(vertices), np.concatenate(heads), female.numpy()


def _smpl_axes(points: "Tensor") -> np.ndarray:
    """Turn anny's z-up, facing -y points into y-up, facing +z."""
    points = points.detach().numpy().astype(np.float64)
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], axis=-1)


def _mirror(template: np.ndarray) -> np.ndarray:
    distance, mirror = cKDTree(template).query(template * [-1, 1, 1])
    if distance.max() > 0:
        raise ValueError(f"anny's template is {distance.max()} m from symmetric, expected exact")
    return mirror


def _cavity_ids(folder: Path) -> np.ndarray:
    import torch

    stored = torch.load(folder / "data/template_mesh_internal_cavities.pth", weights_only=True)
    return np.array(stored["vertex_indices"])


def _lookup(base: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    where = {vertex: position for position, vertex in enumerate(base.tolist())}
    return np.array([where[vertex] for vertex in wanted.tolist()])
