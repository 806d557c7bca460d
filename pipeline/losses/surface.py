"""FastMETRO's terms on the shape of the surface: edge lengths and normals."""

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.losses.terms import mean_of_samples

SURFACE_WEIGHTS = {"edge_gt": 5.0, "edge_self": 1e-4, "normal": 0.1}
HAND_SURFACE_WEIGHTS = {"edge_gt": 1.0, "edge_self": 0.0, "normal": 0.1}


def edges_of(faces: Tensor) -> Tensor:
    """(E, 2) each edge of (F, 3) faces once."""
    pairs = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    return pairs.sort(1).values.unique(dim=0)


def surface_losses(
    predicted: Tensor, target: Tensor, edges: Tensor, faces: Tensor, valid: Tensor
) -> dict[str, Tensor]:
    """Unweighted surface terms.

    Args:
        predicted: (B, V, 3) in metres.
        target: (B, V, 3).
        edges: (E, 2).
        faces: (F, 3).
        valid: (B,) bool.

    Returns:
        edge_gt: mean difference of edge lengths; edge_self: mean predicted edge length, which
        discourages spikes; normal: mean cosine between predicted edges and target normals.

    Source: FastMETRO (Cho et al. 2022), released code.
    """
    target = torch.where(valid[:, None, None], target, 0.0)
    length = _lengths(predicted, edges)
    errors = {
        "edge_gt": (length - _lengths(target, edges)).abs(),
        "edge_self": length,
        "normal": _edge_normal_cosines(predicted, target, faces),
    }
    return {
        name: mean_of_samples(error * valid.reshape(-1, *(1,) * (error.ndim - 1)), valid)
        for name, error in errors.items()
    }


def _lengths(vertices: Tensor, edges: Tensor) -> Tensor:
    """(B, E) in metres; the constant keeps the gradient of a collapsed edge finite."""
    difference = vertices[:, edges[:, 0]] - vertices[:, edges[:, 1]]
    return (difference.square().sum(-1) + 1e-8).sqrt()


def _edge_normal_cosines(predicted: Tensor, target: Tensor, faces: Tensor) -> Tensor:
    """(B, F, 3) |cosine| of each predicted edge with the target face's normal."""
    normal = F.normalize(torch.linalg.cross(*_edge_vectors(target, faces)[:2]), dim=-1)
    edges = torch.stack(_edge_vectors(predicted, faces), dim=2)  # (B, F, 3 edges, 3)
    return (F.normalize(edges, dim=-1) * normal[:, :, None]).sum(-1).abs()


def _edge_vectors(vertices: Tensor, faces: Tensor) -> list[Tensor]:
    a, b, c = (vertices[:, faces[:, corner]] for corner in range(3))
    return [b - a, c - a, c - b]
