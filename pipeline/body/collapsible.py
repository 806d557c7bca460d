"""A triangle mesh whose edges can be collapsed, checked for topology and shape, and undone."""

from collections import defaultdict

import numpy as np

_MIN_NORMAL_COSINE = 0.2  # a triangle may not turn further than this
_MIN_SHAPE = 0.02  # twice the area over the longest squared edge

Triangle = tuple[int, int, int]


class CollapsibleMesh:
    """Faces under half-edge collapse: vertex u disappears into its neighbour v, which stays.

    Args:
        points: (V, 3) positions; vertices that no face uses count as removed.
        faces: (F, 3), consistently oriented; every edge has one face (border) or two.
    """

    def __init__(self, points: np.ndarray, faces: np.ndarray) -> None:
        self.points = np.asarray(points, dtype=np.float64).tolist()
        self.faces: list[Triangle | None] = [tuple(face) for face in np.asarray(faces).tolist()]
        self.faces_of: list[set[int]] = [set() for _ in self.points]
        for index, face in enumerate(self.faces):
            for vertex in face:
                self.faces_of[vertex].add(index)
        self.border = _border(self.faces)
        self.on_border = np.zeros(len(self.points), bool)
        for u, v, _ in self.border:
            self.on_border[[u, v]] = True

    def alive(self) -> np.ndarray:
        """Ids of the vertices that are left, ascending."""
        return np.array([v for v, faces in enumerate(self.faces_of) if faces], dtype=np.int64)

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """Ids of the kept vertices, ascending, and the faces (F', 3) among them."""
        keep = self.alive()
        lookup = np.full(len(self.faces_of), -1)
        lookup[keep] = np.arange(len(keep))
        return keep, lookup[np.array([face for face in self.faces if face is not None])]

    def neighbours(self, u: int) -> set[int]:
        """Vertices that share an edge with u."""
        around: set[int] = set()
        for face in self.faces_of[u]:
            around.update(self.faces[face])
        around.discard(u)
        return around

    def is_border_edge(self, u: int, v: int) -> bool:
        """Whether the edge lies on the open border."""
        return bool(self.on_border[v]) and len(self.faces_of[u] & self.faces_of[v]) == 1

    def allows(self, u: int, v: int, strict: bool = True) -> bool:
        """Whether collapsing u into v keeps a manifold and, if strict, well-shaped triangles."""
        shared = self.faces_of[u] & self.faces_of[v]
        if not shared or (self.on_border[u] and not self.is_border_edge(u, v)):
            return False
        common = self.neighbours(u) & self.neighbours(v)
        if len(common) != len(shared):  # link condition
            return False
        if any(len(self.faces_of[t]) <= 3 and not self.on_border[t] for t in common):
            return False
        return not strict or all(self._keeps_shape(f, u, v) for f in self.faces_of[u] - shared)

    def collapse(self, u: int, v: int) -> list[tuple[int, Triangle]]:
        """Remove u; returns the faces it had, for ``restore``."""
        shared = self.faces_of[u] & self.faces_of[v]
        record = [(index, self.faces[index]) for index in self.faces_of[u]]
        for index, face in record:
            if index in shared:
                for t in face:
                    if t != u:
                        self.faces_of[t].discard(index)
                self.faces[index] = None
            else:
                self.faces[index] = tuple(v if t == u else t for t in face)
                self.faces_of[v].add(index)
        self.faces_of[u] = set()
        return record

    def restore(self, v: int, record: list[tuple[int, Triangle]]) -> None:
        """Undo the latest collapse, which went into v."""
        for index, face in record:
            self.faces_of[v].discard(index)
            self.faces[index] = face
        for index, face in record:
            for t in face:
                self.faces_of[t].add(index)

    def _keeps_shape(self, face: int, u: int, v: int) -> bool:
        corners = self.faces[face]
        before = [self.points[t] for t in corners]
        after = [self.points[v if t == u else t] for t in corners]
        n0, n1 = _normal(before), _normal(after)
        length0, length1 = _dot(n0, n0) ** 0.5, _dot(n1, n1) ** 0.5
        if length1 < 1e-12 or _dot(n0, n1) < _MIN_NORMAL_COSINE * length0 * length1:
            return False
        longest = max(squared_distance(p, q) for p, q in _edges(after))
        return length1 >= _MIN_SHAPE * longest


def squared_distance(p: list[float], q: list[float]) -> float:
    """Squared distance of two points given as lists (much faster than arrays of three)."""
    return (p[0] - q[0]) ** 2 + (p[1] - q[1]) ** 2 + (p[2] - q[2]) ** 2


def _border(faces: list[Triangle]) -> list[Triangle]:
    """Edges that only one face has, as (u, v, face)."""
    owners = defaultdict(list)
    for index, face in enumerate(faces):
        for u, v in _edges(face):
            owners[min(u, v), max(u, v)].append(index)
    return [(u, v, owned[0]) for (u, v), owned in owners.items() if len(owned) == 1]


def _edges(corners: tuple | list) -> tuple:
    a, b, c = corners
    return (a, b), (b, c), (c, a)


def _dot(p: tuple, q: tuple) -> float:
    return p[0] * q[0] + p[1] * q[1] + p[2] * q[2]


def _normal(corners: list[list[float]]) -> tuple[float, float, float]:
    (px, py, pz), q, r = corners
    ax, ay, az = q[0] - px, q[1] - py, q[2] - pz
    bx, by, bz = r[0] - px, r[1] - py, r[2] - pz
    return ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
