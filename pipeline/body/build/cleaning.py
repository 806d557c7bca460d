"""One closed, symmetric skin out of the source mesh with its eyes, tongue and cavities."""

from collections import Counter

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from pipeline.body.build.source import Source


def clean_faces(source: Source) -> np.ndarray:
    """Faces (F, 3) of the outer skin, closed and symmetric.

    Raises:
        ValueError: if the result is not closed or not symmetric.
    """
    faces = _largest_piece(source.faces)
    faces = faces[~source.cavity[faces].all(1)]
    lids = [face for loop in _holes(faces) for face in _fill(loop, source.template[:, 0])]
    faces = _symmetric(np.concatenate([faces, np.array(lids)]), source.mirror, source.template)
    if not is_closed(faces):
        raise ValueError("the cleaned body is not closed")
    if not is_symmetric(faces, source.mirror):
        raise ValueError("the triangles of the cleaned body are not symmetric")
    return faces


def is_closed(faces: np.ndarray) -> bool:
    """Whether every directed edge occurs once, and so does its reverse."""
    edges = Counter(_directed_edges(faces))
    return all(n == 1 and edges[v, u] == 1 for (u, v), n in list(edges.items()))


def is_symmetric(faces: np.ndarray, mirror: np.ndarray) -> bool:
    """Whether the mirror image of every face is a face."""
    present = _face_set(faces)
    return present == _face_set(mirror[faces])


def _largest_piece(faces: np.ndarray) -> np.ndarray:
    count = faces.max() + 1
    pairs = np.concatenate([faces[:, :2], faces[:, 1:]])
    graph = sp.coo_matrix((np.ones(len(pairs)), pairs.T), shape=(count, count))
    piece = connected_components(graph, directed=False)[1][faces[:, 0]]
    return faces[piece == np.bincount(piece).argmax()]


def _holes(faces: np.ndarray) -> list[list[int]]:
    """Border loops, in the direction in which new faces have to run along them."""
    edges = set(_directed_edges(faces))
    following = {v: u for u, v in edges if (v, u) not in edges}
    loops, seen = [], set()
    for start in sorted(following):
        if start in seen:
            continue
        loop = [start]
        while following[loop[-1]] != start:
            loop.append(following[loop[-1]])
        seen.update(loop)
        loops.append(loop)
    return loops


def _fill(loop: list[int], x: np.ndarray) -> list[tuple[int, int, int]]:
    """Close a hole (lips, eyelids) with a strip between its upper and its lower half."""
    first = int(np.argmax(x[loop]))
    loop = loop[first:] + loop[:first]
    last = int(np.argmin(x[loop]))
    one, other = loop[: last + 1], [loop[0], *reversed(loop[last:])]
    faces, i, k = [], 0, 0
    while i < len(one) - 1 or k < len(other) - 1:
        advance_one = k == len(other) - 1 or (
            i < len(one) - 1 and x[one[i + 1]] >= x[other[k + 1]]
        )
        if advance_one:
            face, i = (one[i], one[i + 1], other[k]), i + 1
        else:
            face, k = (one[i], other[k + 1], other[k]), k + 1
        if len(set(face)) == 3:
            faces.append(face)
    return faces


def _symmetric(faces: np.ndarray, mirror: np.ndarray, template: np.ndarray) -> np.ndarray:
    """Where quads were split differently on the two sides, take the left side's split."""
    present = _face_set(faces)
    odd = np.array([tuple(sorted(face)) not in present for face in mirror[faces].tolist()])
    side = template[faces][:, :, 0]
    right = odd & (side < 1e-3).all(1)
    left = odd & (side > -1e-3).all(1) & ~right
    return np.concatenate([faces[~right], mirror[faces[left]][:, [0, 2, 1]]])


def _directed_edges(faces: np.ndarray) -> list[tuple[int, int]]:
    pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    return [tuple(pair) for pair in pairs.tolist()]


def _face_set(faces: np.ndarray) -> set[tuple[int, int, int]]:
    return {tuple(sorted(face)) for face in faces.tolist()}
