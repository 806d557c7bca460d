"""A z-buffer for triangle meshes: nearest face, barycentrics and 1/z of every pixel.

Pixels are continuous: pixel (i, j) covers [i, i+1) x [j, j+1) and is sampled at its centre.
Front faces run counter-clockwise seen from outside in a y-up frame, as in SMPL.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipeline.rendering.compiled import compiled

NEAR = 1e-3  # metres; a face that reaches closer to the camera is not drawn


class Raster(NamedTuple):
    """What the z-buffer knows of each pixel; (H, W) images."""

    face_id: np.ndarray
    """(H, W) int32, -1 where nothing is drawn."""
    bary: np.ndarray
    """(H, W, 2) float32, perspective-correct weights of the face's first two corners."""
    inv_depth: np.ndarray
    """(H, W) float32, 1/z, 0 where nothing is drawn."""


@compiled
def _project(vertices, matrix, px, py, inv_z):
    """Fill pixel coordinates and 1/z; 1/z is 0 for a vertex nearer than NEAR."""
    for k in range(vertices.shape[0]):
        x, y, z = vertices[k, 0], vertices[k, 1], vertices[k, 2]
        if z > NEAR:
            w = 1.0 / z
            px[k] = (matrix[0, 0] * x + matrix[0, 1] * y) * w + matrix[0, 2]
            py[k] = (matrix[1, 0] * x + matrix[1, 1] * y) * w + matrix[1, 2]
            inv_z[k] = w
        else:
            inv_z[k] = 0.0


@compiled
def _fill(px, py, inv_z, faces, facing, face_id, bary, inv_depth):
    """Draw faces into the buffers; facing -1 keeps front faces, 1 back faces, 0 both."""
    height, width = inv_depth.shape
    for f in range(faces.shape[0]):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        za, zb, zc = inv_z[a], inv_z[b], inv_z[c]
        if za <= 0.0 or zb <= 0.0 or zc <= 0.0:
            continue
        x0, y0 = np.float64(px[a]), np.float64(py[a])
        x1, y1 = np.float64(px[b]), np.float64(py[b])
        x2, y2 = np.float64(px[c]), np.float64(py[c])
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if area * facing < 0.0 or area == 0.0:
            continue
        i0 = max(int(np.ceil(min(x0, min(x1, x2)) - 0.5)), 0)
        i1 = min(int(np.floor(max(x0, max(x1, x2)) - 0.5)), width - 1)
        j0 = max(int(np.ceil(min(y0, min(y1, y2)) - 0.5)), 0)
        j1 = min(int(np.floor(max(y0, max(y1, y2)) - 0.5)), height - 1)
        if i0 > i1 or j0 > j1:
            continue
        scale = 1.0 / area
        for j in range(j0, j1 + 1):
            y = j + 0.5
            for i in range(i0, i1 + 1):
                # two faces that share an edge compute it as exactly opposite numbers, so no
                # pixel falls between them
                x = i + 0.5
                w0 = ((x1 - x) * (y2 - y) - (x2 - x) * (y1 - y)) * scale
                if w0 < 0.0:
                    continue
                w1 = ((x2 - x) * (y0 - y) - (x0 - x) * (y2 - y)) * scale
                if w1 < 0.0:
                    continue
                w2 = ((x0 - x) * (y1 - y) - (x1 - x) * (y0 - y)) * scale
                if w2 < 0.0:
                    continue
                w0, w1 = w0 * za, w1 * zb
                depth = w0 + w1 + w2 * zc
                if depth > inv_depth[j, i]:
                    inv_depth[j, i] = depth
                    face_id[j, i] = f
                    bary[j, i, 0] = w0 / depth
                    bary[j, i, 1] = w1 / depth


@compiled
def interpolate(face_id, bary, faces, values, out):
    """Fill out (H, W, C) with per-vertex values (V, C) where a face is drawn."""
    height, width = face_id.shape
    for j in range(height):
        for i in range(width):
            f = face_id[j, i]
            if f >= 0:
                p, q = bary[j, i, 0], bary[j, i, 1]
                r = 1.0 - p - q
                for k in range(out.shape[2]):
                    out[j, i, k] = (
                        p * values[faces[f, 0], k]
                        + q * values[faces[f, 1], k]
                        + r * values[faces[f, 2], k]
                    )


@compiled
def vertex_normals(vertices, faces, out):
    """Fill out (V, 3) with unit normals, the mean of the adjacent faces weighted by area."""
    out[:] = 0.0
    for f in range(faces.shape[0]):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        ux, uy = vertices[b, 0] - vertices[a, 0], vertices[b, 1] - vertices[a, 1]
        vx, vy = vertices[c, 0] - vertices[a, 0], vertices[c, 1] - vertices[a, 1]
        uz, vz = vertices[b, 2] - vertices[a, 2], vertices[c, 2] - vertices[a, 2]
        normal = (uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx)
        for corner in (a, b, c):
            for k in range(3):
                out[corner, k] += normal[k]
    for k in range(out.shape[0]):
        length = np.sqrt(out[k, 0] ** 2 + out[k, 1] ** 2 + out[k, 2] ** 2) + 1e-12
        for axis in range(3):
            out[k, axis] /= length


def pixel_matrix(K: np.ndarray | Sequence[float], affine: np.ndarray | None = None) -> np.ndarray:
    """Return the (3, 3) map from camera rays (x/z, y/z, 1) to pixels.

    Args:
        K: (3, 3) intrinsics, or (fx, fy, cx, cy), pixels.
        affine: (2, 3) a map of the image's continuous pixels to follow, or None.

    Raises:
        ValueError: if K is neither.
    """
    K = np.asarray(K, dtype=np.float64)
    if K.shape == (4,):
        K = np.array([[K[0], 0, K[2]], [0, K[1], K[3]], [0, 0, 1.0]])
    if K.shape != (3, 3) or not np.array_equal(K[2], [0, 0, 1]):
        raise ValueError(f"K is (3, 3) with last row 0 0 1, or (fx, fy, cx, cy): {K.tolist()}")
    return K if affine is None else np.vstack([affine, [0.0, 0.0, 1.0]]) @ K


class Rasterizer:
    """A z-buffer of one size whose memory is reused: each draw overwrites the last result."""

    def __init__(self, height: int, width: int):
        self._raster = Raster(
            np.empty((height, width), np.int32),
            np.empty((height, width, 2), np.float32),
            np.empty((height, width), np.float32),
        )
        self._projected = np.empty((3, 0), np.float32)

    def draw(
        self,
        vertices_cam: np.ndarray,
        faces: np.ndarray,
        K,
        cull: bool = True,
        behind: np.ndarray | None = None,
    ) -> Raster:
        """Rasterize a mesh in the camera frame; see `rasterize`.

        Args:
            vertices_cam: (V, 3).
            faces: (F, 3).
            K: camera; one that mirrors the image turns its faces with it.
            cull: drop faces that look away.
            behind: (H, W) 1/z of what may hide the mesh, 0 where nothing does.
        """
        vertices = np.ascontiguousarray(vertices_cam, dtype=np.float32)
        count = len(vertices)
        if self._projected.shape[1] < count:
            self._projected = np.empty((3, count), np.float32)
        px, py, inv_z = (row[:count] for row in self._projected)
        matrix = pixel_matrix(K)
        _project(vertices, matrix, px, py, inv_z)
        mirrored = bool(np.linalg.det(matrix[:2, :2]) < 0)
        return self.draw_pixels(px, py, inv_z, faces, cull, mirrored, behind)

    def draw_pixels(
        self,
        px: np.ndarray,
        py: np.ndarray,
        inv_z: np.ndarray,
        faces: np.ndarray,
        cull: bool = True,
        mirrored: bool = False,
        behind: np.ndarray | None = None,
    ) -> Raster:
        """Rasterize vertices that are already in pixels; see `rasterize_pixels` and `draw`."""
        faces = np.ascontiguousarray(faces, dtype=np.int32)
        face_id, bary, inv_depth = self._raster
        face_id.fill(-1)
        bary.fill(0)
        inv_depth[:] = 0 if behind is None else behind
        # y points down in the image, so a front face has negative area unless it is mirrored
        facing = 0.0 if not cull else (1.0 if mirrored else -1.0)
        _fill(px, py, inv_z, faces, facing, face_id, bary, inv_depth)
        return self._raster


def rasterize(
    vertices_cam: np.ndarray,
    faces: np.ndarray,
    K,
    height: int,
    width: int,
    cull: bool = True,
) -> Raster:
    """Rasterize a mesh seen by a pinhole camera.

    Args:
        vertices_cam: (V, 3), camera frame (x right, y down, z forward), metres.
        faces: (F, 3) int32.
        K: (3, 3), or (fx, fy, cx, cy), pixels.
        height: rows of the image.
        width: columns of the image.
        cull: drop faces that look away from the camera.

    Returns:
        (face_id, bary, inv_depth); faces that cross the plane z = NEAR are left out.
    """
    return Rasterizer(height, width).draw(vertices_cam, faces, K, cull)


def rasterize_pixels(
    px: np.ndarray,
    py: np.ndarray,
    inv_z: np.ndarray,
    faces: np.ndarray,
    height: int,
    width: int,
    cull: bool = True,
    mirrored: bool = False,
) -> Raster:
    """Rasterize vertices that are already in pixels, for cameras `rasterize` cannot express.

    Args:
        px: (V,) float32 columns in continuous pixels.
        py: (V,) float32 rows.
        inv_z: (V,) float32 1/z in 1/metres; 0 marks a vertex that must not be drawn.
        faces: (F, 3) int32.
        height: rows of the image.
        width: columns of the image.
        cull: drop faces that look away from the camera.
        mirrored: the pixel coordinates were reflected, so front faces turn the other way.
    """
    return Rasterizer(height, width).draw_pixels(px, py, inv_z, faces, cull, mirrored)
