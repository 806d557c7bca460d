"""Paints dressed people into a background: one z-buffer, soft light, shadows on the floor."""

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from pipeline.rendering.compiled import compiled
from pipeline.rendering.rasterizer import Rasterizer, vertex_normals

SUPERSAMPLE = 2
PATCH_STEP = 64  # patches are rounded up to this many pixels, so that few buffers serve all


class Light(NamedTuple):
    """Light of a scene, directions in the camera frame, intensities as RGB factors."""

    toward: np.ndarray
    """(3,) unit vector towards the lamp or sun."""
    up: np.ndarray
    """(3,) unit vector away from the floor."""
    lamp: np.ndarray
    """(3,) direct light."""
    sky: np.ndarray
    """(3,) ambient light from above."""
    ground: np.ndarray
    """(3,) light reflected by the floor."""


class Mesh(NamedTuple):
    """A surface to paint, in the camera frame."""

    vertices: np.ndarray
    """(V, 3) float32, metres."""
    faces: np.ndarray
    """(F, 3) int32."""
    colours: np.ndarray
    """(V, 3) float32, albedo in 0..255."""
    gloss: np.ndarray
    """(V,) float32, strength of the highlight in 0..1."""


@compiled
def _shade(face_id, bary, faces, normals, colours, gloss, light, out):
    """Fill out (H, W, 4) with lit RGB and coverage; light rows as in `Light`."""
    height, width = face_id.shape
    for j in range(height):
        for i in range(width):
            f = face_id[j, i]
            if f < 0:
                for k in range(4):
                    out[j, i, k] = 0.0
                continue
            a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
            p, q = bary[j, i, 0], bary[j, i, 1]
            r = np.float32(1.0) - p - q
            x = p * normals[a, 0] + q * normals[b, 0] + r * normals[c, 0]
            y = p * normals[a, 1] + q * normals[b, 1] + r * normals[c, 1]
            z = p * normals[a, 2] + q * normals[b, 2] + r * normals[c, 2]
            scale = np.float32(1.0) / (np.sqrt(x * x + y * y + z * z) + np.float32(1e-9))
            x, y, z = x * scale, y * scale, z * scale
            direct = x * light[0, 0] + y * light[0, 1] + z * light[0, 2]
            upward = x * light[1, 0] + y * light[1, 1] + z * light[1, 2]
            # wrapped diffuse light: skin and cloth have no hard terminator
            direct = max((direct + np.float32(0.25)) * np.float32(0.8), np.float32(0.0))
            sky = np.float32(0.5) + np.float32(0.5) * upward
            # halfway vector between lamp and a viewer straight ahead
            hx, hy, hz = light[0, 0], light[0, 1], light[0, 2] - np.float32(1.0)
            half = (x * hx + y * hy + z * hz) / np.sqrt(hx * hx + hy * hy + hz * hz + 1e-9)
            shine = max(half, np.float32(0.0)) ** 24
            shine *= np.float32(110.0) * (p * gloss[a] + q * gloss[b] + r * gloss[c])
            for k in range(3):
                albedo = p * colours[a, k] + q * colours[b, k] + r * colours[c, k]
                ambient = sky * light[3, k] + (np.float32(1.0) - sky) * light[4, k]
                out[j, i, k] = albedo * (ambient + direct * light[2, k]) + shine * light[2, k]
            out[j, i, 3] = 1.0


@lru_cache(maxsize=32)
def _buffers(height: int, width: int):
    return Rasterizer(height, width), np.empty((height, width, 4), np.float32)


@lru_cache(maxsize=32)
def _shadow_buffer(height: int, width: int) -> Rasterizer:
    return Rasterizer(height, width)


def normals_of(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return unit vertex normals (V, 3) float32."""
    out = np.empty_like(vertices)
    vertex_normals(vertices, faces, out)
    return out


def join(meshes: list[Mesh]) -> Mesh:
    """Return one mesh made of several."""
    starts = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes[:-1]])
    faces = [mesh.faces + start for mesh, start in zip(meshes, starts, strict=True)]
    return Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate(faces).astype(np.int32),
        np.concatenate([mesh.colours for mesh in meshes]),
        np.concatenate([mesh.gloss for mesh in meshes]),
    )


def _patch(mesh: Mesh, K: np.ndarray, shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return (left, top, width, height) of the image part that the mesh can touch."""
    z = np.maximum(mesh.vertices[:, 2], 0.05)
    u = K[0, 0] * mesh.vertices[:, 0] / z + K[0, 2]
    v = K[1, 1] * mesh.vertices[:, 1] / z + K[1, 2]
    height, width = shape
    left, right = np.clip([np.floor(u.min()), np.ceil(u.max())], 0, width).astype(int)
    top, bottom = np.clip([np.floor(v.min()), np.ceil(v.max())], 0, height).astype(int)
    return left, top, right - left, bottom - top


def cast_shadow(
    image: np.ndarray,
    mesh: Mesh,
    K: np.ndarray,
    floor: np.ndarray,
    toward: np.ndarray,
    is_floor: np.ndarray,
) -> None:
    """Darken the floor in place where the mesh stands in the lamp's light.

    Args:
        image: (H, W, 3) float32.
        mesh: what casts the shadow, camera frame.
        K: (3, 3) intrinsics.
        floor: (4,) plane in the camera frame, n.x + d = 0, n towards the lamp.
        toward: (3,) unit vector towards the lamp.
        is_floor: (H, W) float32, 1 where the floor is seen.
    """
    height, width = image.shape[:2]
    distance = mesh.vertices @ floor[:3] + floor[3]
    flat = mesh.vertices - (distance / max(floor[:3] @ toward, 0.2))[:, None] * toward
    raster = _shadow_buffer(height, width).draw(flat.astype(np.float32), mesh.faces, K, cull=False)
    blur = max(3, width // 40) | 1
    dark = cv2.blur((raster.face_id >= 0).astype(np.float32), (blur, blur))
    image *= 1 - 0.5 * (dark * is_floor)[..., None]


def paint(
    image: np.ndarray,
    mesh: Mesh,
    K: np.ndarray,
    light: Light,
    hidden_by: np.ndarray | None = None,
) -> np.ndarray:
    """Paint a mesh over an image.

    Args:
        image: (H, W, 3) float32 in 0..255, changed in place.
        mesh: what to paint, camera frame.
        K: (3, 3) intrinsics without skew.
        light: light of the scene.
        hidden_by: (H, W) 1/z of things that may stand in front, 0 where nothing does.

    Returns:
        (H, W) int32 face drawn at each pixel, -1 where the background is seen.
    """
    seen = np.full(image.shape[:2], -1, np.int32)
    left, top, width, height = _patch(mesh, K, image.shape[:2])
    if width <= 0 or height <= 0:
        return seen
    k = SUPERSAMPLE
    padded = [-(-side // PATCH_STEP) * PATCH_STEP for side in (height, width)]
    rasterizer, colour = _buffers(padded[0] * k, padded[1] * k)
    camera = (k * K[0, 0], k * K[1, 1], k * (K[0, 2] - left), k * (K[1, 2] - top))
    rows, columns = slice(0, height * k), slice(0, width * k)
    behind = None
    if hidden_by is not None:
        behind = np.zeros((padded[0] * k, padded[1] * k), np.float32)
        part = hidden_by[top : top + height, left : left + width]
        behind[rows, columns] = part.repeat(k, 0).repeat(k, 1)
    raster = rasterizer.draw(mesh.vertices, mesh.faces, camera, behind=behind)
    face_id, bary, colour = (
        array[rows, columns] for array in (raster.face_id, raster.bary, colour)
    )
    rows_of_light = np.stack(light).astype(np.float32)
    normals = normals_of(mesh.vertices, mesh.faces)
    _shade(face_id, bary, mesh.faces, normals, mesh.colours, mesh.gloss, rows_of_light, colour)
    layer = cv2.resize(colour, (width, height), interpolation=cv2.INTER_AREA)
    target = image[top : top + height, left : left + width]
    target *= 1 - layer[..., 3:]
    target += layer[..., :3]
    seen[top : top + height, left : left + width] = face_id[k // 2 :: k, k // 2 :: k]
    return seen
