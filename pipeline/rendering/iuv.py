"""Part index, U and V of the body surface seen in an image (DensePose coordinates)."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from pipeline.rendering.compiled import compiled
from pipeline.rendering.rasterizer import Rasterizer, pixel_matrix


class Atlas(NamedTuple):
    """A mesh's faces with the DensePose part and chart coordinates of each."""

    part: np.ndarray
    """(F,) uint8, 1..24."""
    uv: np.ndarray
    """(F, 3, 2) float32 in [0, 1], one pair per corner."""
    faces: np.ndarray
    """(F, 3) int32."""

    @classmethod
    def from_assets(cls, assets) -> "Atlas":
        """Return the atlas of loaded body assets in the types that the engines want."""
        return cls(
            np.ascontiguousarray(assets.atlas["part"], dtype=np.uint8),
            np.ascontiguousarray(assets.atlas["uv"], dtype=np.float32),
            np.ascontiguousarray(assets.faces, dtype=np.int32),
        )


@compiled
def _look_up(face_id, bary, face_part, face_uv, part, uv):
    height, width = face_id.shape
    for j in range(height):
        for i in range(width):
            f = face_id[j, i]
            if f < 0:
                part[j, i] = 0
                uv[j, i, 0] = 0.0
                uv[j, i, 1] = 0.0
                continue
            part[j, i] = face_part[f]
            p, q = bary[j, i, 0], bary[j, i, 1]
            r = 1.0 - p - q
            for k in range(2):
                value = p * face_uv[f, 0, k] + q * face_uv[f, 1, k] + r * face_uv[f, 2, k]
                uv[j, i, k] = min(max(value, 0.0), 1.0)


@lru_cache(maxsize=4)
def _rasterizer(size: int) -> Rasterizer:
    return Rasterizer(size, size)


def _render_zbuffer(vertices_cam, matrix, size, atlas):
    raster = _rasterizer(size).draw(vertices_cam, atlas.faces, matrix)
    part = np.empty((size, size), np.uint8)
    uv = np.empty((size, size, 2), np.float32)
    _look_up(raster.face_id, raster.bary, atlas.part, atlas.uv, part, uv)
    return part, uv


def render_iuv(
    vertices_cam: np.ndarray,
    K: np.ndarray,
    size: int,
    atlas: Atlas,
    engine: str = "zbuffer",
    affine: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Render the surface coordinates of one body into a square image.

    Args:
        vertices_cam: (V, 3) camera frame, metres.
        K: (3, 3) intrinsics in pixels of the original image.
        size: side of the output, pixels.
        atlas: parts and chart coordinates of the mesh.
        engine: "zbuffer" (compiled, no GL) or "pyrender" (OpenGL; U and V in 1/255 steps).
        affine: (2, 3) original continuous pixels -> output continuous pixels; None when K
            already belongs to the output. May mirror.

    Returns:
        part (size, size) uint8, 0 background, 1..24; uv (size, size, 2) float32 in [0, 1].

    Raises:
        ValueError: if the engine is not one of the two.

    Source: PyMAF, Sec. 3.3 (IUV maps of the ground-truth mesh as auxiliary supervision).
    """
    matrix = pixel_matrix(K, affine)
    if engine == "zbuffer":
        return _render_zbuffer(vertices_cam, matrix, size, atlas)
    if engine == "pyrender":
        from pipeline.rendering.gl import render_iuv_gl

        return render_iuv_gl(vertices_cam, matrix, size, atlas)
    raise ValueError(f"iuv.engine: saw {engine!r}, expected 'zbuffer' or 'pyrender'")
