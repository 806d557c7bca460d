"""Mesh decimation by half-edge collapse with quadric errors, mirror-symmetric when asked.

A half-edge collapse keeps one of its two end points where it is, so the kept vertices are a
subset of the given ones and the down-sampling matrix is a plain selection.

Source: Garland and Heckbert, "Surface simplification using quadric error metrics" (1997); the
selection variant is the one of CoMA (Ranjan et al. 2018), whose matrices METRO and MPT use.
"""

import heapq

import numpy as np

from pipeline.body.collapsible import CollapsibleMesh, squared_distance

_BORDER_WEIGHT = 10.0  # planes that keep open borders in place


class QuadricMesh:
    """A triangle mesh under decimation.

    Args:
        vertices: (V, 3) positions; vertices that no face uses count as removed.
        faces: (F, 3) indices, consistently oriented.
        mirror: (V,) id of each vertex's mirror image in the plane x = 0; collapses are then
            done in mirrored pairs, so the result is symmetric, too.
        weight: (V,) factor on the cost of removing a vertex.
        protect: (V,) bool, vertices that are never removed.
        length_weight: cost of d^2 * area for a collapse over distance d; makes triangles even.
        stretch_weight: cost of d^4; keeps thin limbs from vanishing in very coarse meshes.
    """

    def __init__(
        self,
        vertices: np.ndarray,
        faces: np.ndarray,
        mirror: np.ndarray | None = None,
        weight: np.ndarray | None = None,
        protect: np.ndarray | None = None,
        length_weight: float = 0.02,
        stretch_weight: float = 0.005,
    ) -> None:
        count = len(vertices)
        self.mesh = CollapsibleMesh(vertices, faces)
        self.mirror = range(count) if mirror is None else np.asarray(mirror).tolist()
        self.weight = [1.0] * count if weight is None else np.asarray(weight).tolist()
        self.protect = np.zeros(count, bool) if protect is None else np.array(protect, bool)
        self.length_weight, self.stretch_weight = length_weight, stretch_weight
        quadrics, areas = _quadrics(np.asarray(vertices, np.float64), np.asarray(faces), self.mesh)
        self.quadric, self.area = quadrics.tolist(), areas.tolist()
        self.stamp = [0] * count

    def run(self, target: int) -> int:
        """Collapse the cheapest edges until ``target`` vertices are left; returns their number.

        When no edge may be collapsed any more, the limits on the turning and the shape of
        triangles are dropped; only the topology is kept then. The result is larger than the
        target only if that is not enough, either.
        """
        count = len(self.mesh.alive())
        for strict in (True, False):
            count = self._run(count, target, strict)
        return count

    def shrink_border(self, target: int) -> None:
        """Collapse edges of the open border, cheapest first, until it has ``target`` vertices.

        Raises:
            ValueError: if no further edge may be collapsed.
        """
        mesh = self.mesh
        while True:
            rim = [v for v in mesh.alive().tolist() if mesh.on_border[v]]
            if len(rim) <= target:
                return
            options = [
                (self._cost(u, v), u, v)
                for u in rim
                for v in sorted(mesh.neighbours(u))
                if mesh.is_border_edge(u, v) and mesh.allows(u, v)
            ]
            if not options:
                raise ValueError(f"border stuck at {len(rim)} vertices, wanted {target}")
            _, u, v = min(options)
            mesh.collapse(u, v)
            self._absorb(u, v)

    def _run(self, count: int, target: int, strict: bool) -> int:
        heap: list[tuple[float, int, int, int, int]] = []
        for u in self.mesh.alive().tolist():
            self._push(heap, u)
        while count > target and heap:
            _, u, v, stamp_u, stamp_v = heapq.heappop(heap)
            if stamp_u != self.stamp[u] or stamp_v != self.stamp[v]:
                continue
            if not self.mesh.faces_of[u] or not self.mesh.faces_of[v]:
                continue
            pairs = [(u, v)]
            if self.mirror[u] != u:
                pairs.append((self.mirror[u], self.mirror[v]))
            if count - len(pairs) < target or not self._collapse_all(pairs, strict):
                continue
            count -= len(pairs)
            for removed, kept in pairs:
                self._absorb(removed, kept)
            for _, kept in pairs:
                self._refresh(heap, kept)
        return count

    def _collapse_all(self, pairs: list[tuple[int, int]], strict: bool) -> bool:
        """Do a collapse and its mirror image, or neither."""
        done = []
        for u, v in pairs:
            if not self.mesh.allows(u, v, strict):
                for kept, record in reversed(done):
                    self.mesh.restore(kept, record)
                return False
            done.append((v, self.mesh.collapse(u, v)))
        return True

    def _push(self, heap: list, u: int) -> None:
        if self.protect[u]:
            return
        for v in self.mesh.neighbours(u):
            if self.mesh.on_border[u] and not self.mesh.is_border_edge(u, v):
                continue
            leaves_plane = self.mirror[u] == u and self.mirror[v] != v
            if not leaves_plane and self.mirror[u] != v:
                heapq.heappush(heap, (self._cost(u, v), u, v, self.stamp[u], self.stamp[v]))

    def _refresh(self, heap: list, v: int) -> None:
        """Renew the costs around a vertex; the old heap entries are outdated by their stamps."""
        around = [v, *sorted(self.mesh.neighbours(v))]
        for t in around:
            self.stamp[t] += 1
        for t in around:
            self._push(heap, t)

    def _cost(self, u: int, v: int) -> float:
        x, y, z = self.mesh.points[v]
        a, b, c, d, e, f, g, h, i, j = map(sum, zip(self.quadric[u], self.quadric[v], strict=True))
        error = x * (a * x + 2 * (b * y + c * z + d)) + y * (e * y + 2 * (f * z + g))
        error += z * (h * z + 2 * i) + j
        length = squared_distance(self.mesh.points[u], self.mesh.points[v])
        spread = self.length_weight * length * (self.area[u] + self.area[v])
        return self.weight[u] * (error + spread + self.stretch_weight * length * length)

    def _absorb(self, u: int, v: int) -> None:
        """Add what u stood for to v."""
        self.quadric[v] = [p + q for p, q in zip(self.quadric[u], self.quadric[v], strict=True)]
        self.area[v] += self.area[u]


def collapse(
    vertices: np.ndarray, faces: np.ndarray, target: int, **options
) -> tuple[np.ndarray, np.ndarray]:
    """Ids of the ``target`` kept vertices and the faces among them; see ``QuadricMesh``.

    Raises:
        ValueError: if the topology (or the symmetry) does not allow so few vertices.
    """
    decimated = QuadricMesh(vertices, faces, **options)
    count = decimated.run(target)
    if count != target:
        raise ValueError(f"decimation stopped at {count} vertices, wanted {target}")
    return decimated.mesh.result()


def _quadrics(
    points: np.ndarray, faces: np.ndarray, mesh: CollapsibleMesh
) -> tuple[np.ndarray, np.ndarray]:
    """Area-weighted plane quadrics (V, 10: upper triangle) and vertex areas (V,)."""
    a, b, c = (points[faces[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    length = np.linalg.norm(normal, axis=1)
    normal /= np.maximum(length, 1e-20)[:, None]
    plane = np.concatenate([normal, -(normal * a).sum(1, keepdims=True)], 1)
    area = length / 6  # a third of each triangle per corner
    quadrics, areas = np.zeros((len(points), 4, 4)), np.zeros(len(points))
    for k in range(3):
        np.add.at(quadrics, faces[:, k], area[:, None, None] * _outer(plane))
        np.add.at(areas, faces[:, k], area)
    for u, v, face in mesh.border:
        edge = points[v] - points[u]
        wall = np.cross(edge, normal[face])  # perpendicular to the surface, along the border
        wall /= np.linalg.norm(wall) + 1e-20
        strength = _BORDER_WEIGHT * (edge @ edge)
        quadrics[[u, v]] += strength * _outer(np.append(wall, -wall @ points[u]))
    rows, columns = np.triu_indices(4)
    return quadrics[:, rows, columns], areas


def _outer(plane: np.ndarray) -> np.ndarray:
    return plane[..., :, None] * plane[..., None, :]
