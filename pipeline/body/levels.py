"""Coarser versions of a mesh: which vertices are kept, their faces, and the way back up."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import dijkstra

from pipeline.body.quadric import collapse


@dataclass(frozen=True)
class Level:
    """One mesh resolution, described relative to the level before it."""

    ids: np.ndarray  # (v,) kept vertices, indices into the previous level
    faces: np.ndarray  # (f, 3)
    upsample: sp.csr_matrix  # (V, v) barycentric weights, at most three per row, rows sum to one


def build_levels(
    vertices: np.ndarray,
    faces: np.ndarray,
    targets: list[int],
    mirror: np.ndarray | None = None,
) -> list[Level]:
    """Decimate a mesh step by step to the given vertex counts.

    Args:
        vertices: (V, 3) rest pose in metres; limbs must not touch.
        faces: (F, 3).
        targets: decreasing vertex counts, for instance [1723, 431, 108, 54].
        mirror: (V,) id of each vertex's mirror image; the levels are symmetric, too, if given.

    Raises:
        ValueError: if the counts do not decrease, or a count cannot be reached.
    """
    counts = [len(vertices), *targets]
    if any(a <= b for a, b in zip(counts, counts[1:], strict=False)):
        raise ValueError(f"vertex counts must decrease, got {counts}")
    levels = []
    for target in targets:
        ids, coarse = collapse(vertices, faces, target, mirror=mirror)
        levels.append(Level(ids, coarse, upsample_matrix(vertices, faces, ids, coarse)))
        if mirror is not None:
            lookup = np.full(len(vertices), -1)
            lookup[ids] = np.arange(len(ids))
            mirror = lookup[mirror[ids]]
        vertices, faces = vertices[ids], coarse
    return levels


def upsample_matrix(
    vertices: np.ndarray, faces: np.ndarray, ids: np.ndarray, coarse_faces: np.ndarray
) -> sp.csr_matrix:
    """Weights that put every fine vertex on the closest point of the coarse mesh.

    Only triangles within two rings of the kept vertex that is nearest *along the surface* are
    looked at. The plain closest point of the public matrices may lie on another limb (finger to
    finger, thigh to thigh), which tears the mesh once the limbs move apart.

    Args:
        vertices: (V, 3) fine rest pose.
        faces: (F, 3) fine faces.
        ids: (v,) kept vertices.
        coarse_faces: (f, 3) indices into ``ids``.

    Returns:
        (V, v) csr matrix, at most three entries per row, rows sum to one; the rows of kept
        vertices are one-hot.
    """
    coarse = vertices[ids]
    _, _, source = dijkstra(
        edge_graph(vertices, faces),
        directed=False,
        indices=ids,
        min_only=True,
        return_predecessors=True,
    )
    lookup = np.full(len(vertices), -1)
    lookup[ids] = np.arange(len(ids))
    faces_of_corners = np.repeat(np.arange(len(coarse_faces)), 3)
    touches = sp.csr_matrix(
        (np.ones(coarse_faces.size), (faces_of_corners, coarse_faces.ravel())),
        shape=(len(coarse_faces), len(ids)),
    )
    near = (touches.T @ touches @ touches.T).tocsr()[lookup[source]].tocoo()  # (V, f)
    fine, face = near.row, near.col
    corners = coarse[coarse_faces[face]]  # (pairs, 3, 3)
    weights = closest_barycentric(vertices[fine], corners)
    distance = np.linalg.norm((weights[:, :, None] * corners).sum(1) - vertices[fine], axis=1)
    order = np.lexsort((face, distance, fine))
    best = order[np.unique(fine[order], return_index=True)[1]]
    rows, columns = np.repeat(fine[best], 3), coarse_faces[face[best]].ravel()
    matrix = sp.csr_matrix((weights[best].ravel(), (rows, columns)), (len(vertices), len(ids)))
    matrix.eliminate_zeros()
    return matrix


def edge_graph(vertices: np.ndarray, faces: np.ndarray) -> sp.csr_matrix:
    """Symmetric (V, V) matrix with the length of every edge, metres."""
    pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    pairs = np.unique(np.sort(pairs, axis=1), axis=0)
    length = np.linalg.norm(vertices[pairs[:, 0]] - vertices[pairs[:, 1]], axis=1)
    half = sp.csr_matrix((length, pairs.T), shape=(len(vertices),) * 2)
    return half + half.T


def closest_barycentric(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Barycentric coordinates of the point of each triangle closest to each point.

    Args:
        points: (N, 3).
        corners: (N, 3, 3), corner first.

    Returns:
        (N, 3), non-negative, rows sum to one.
    """
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    ab, ac, ap = b - a, c - a, points - a
    d00, d01, d11 = (ab * ab).sum(1), (ab * ac).sum(1), (ac * ac).sum(1)
    d20, d21 = (ap * ab).sum(1), (ap * ac).sum(1)
    area = d00 * d11 - d01 * d01 + 1e-30
    v, w = (d11 * d20 - d01 * d21) / area, (d00 * d21 - d01 * d20) / area
    inside = np.stack([1 - v - w, v, w], 1)
    outside = (inside < 0).any(1)
    edges = [_closest_on_edge(points, corners, k) for k in range(3)]
    nearest = np.argmin([distance for _, distance in edges], axis=0)
    on_edge = np.stack([weights for weights, _ in edges], 1)[np.arange(len(points)), nearest]
    return np.where(outside[:, None], on_edge, inside)


def _closest_on_edge(
    points: np.ndarray, corners: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Barycentric weights and squared distance of the closest point on edge k -> k + 1."""
    start, end = corners[:, k], corners[:, (k + 1) % 3]
    edge = end - start
    t = ((points - start) * edge).sum(1) / ((edge * edge).sum(1) + 1e-30)
    t = np.clip(t, 0.0, 1.0)
    weights = np.zeros((len(points), 3))
    weights[:, k], weights[:, (k + 1) % 3] = 1 - t, t
    return weights, ((start + t[:, None] * edge - points) ** 2).sum(1)
