"""Forward kinematics and linear blend skinning in NumPy, for the builder's own checks and fits."""

import numpy as np


def bone_maps(rotations: np.ndarray, heads: np.ndarray, parents: np.ndarray) -> np.ndarray:
    """Affine maps from rest to posed space.

    Args:
        rotations: (N, B, 3, 3) turn of each bone relative to its parent, in rest axes.
        heads: (N or 1, B, 3) bone starts at rest.
        parents: (B,) ascending, -1 for the root.

    Returns:
        (N, B, 3, 4).
    """
    world, starts = np.zeros_like(rotations), np.zeros((*rotations.shape[:2], 3))
    for bone, parent in enumerate(parents):
        if parent < 0:
            world[:, bone], starts[:, bone] = rotations[:, bone], heads[:, bone]
            continue
        offset = (heads[:, bone] - heads[:, parent])[..., None]
        world[:, bone] = world[:, parent] @ rotations[:, bone]
        starts[:, bone] = (world[:, parent] @ offset)[..., 0] + starts[:, parent]
    shift = starts - (world @ heads[..., None])[..., 0]
    return np.concatenate([world, shift[..., None]], axis=-1)


def blend(weights: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Maps of each vertex, (N, V, 3, 4), from weights (V, B) and bone maps (N, B, 3, 4)."""
    flat = weights @ maps.reshape(len(maps), maps.shape[1], 12)
    return flat.reshape(len(maps), -1, 3, 4)


def transform(maps: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (..., 3) under affine maps (..., 3, 4)."""
    return (maps[..., :3] @ points[..., None])[..., 0] + maps[..., 3]


def normalize(vectors: np.ndarray) -> np.ndarray:
    """Vectors scaled to length one."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def frame(along: np.ndarray, towards: np.ndarray) -> np.ndarray:
    """Orthonormal axes in columns: x = ``along``, z = x cross ``towards``."""
    x = normalize(along)
    z = normalize(np.cross(x, towards))
    return np.stack([x, np.cross(z, x), z], axis=-1)


def rotation_between(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Smallest rotations (N, 3, 3) that turn ``start`` onto ``end``; not for opposite vectors."""
    start, end = normalize(start), normalize(end)
    cross = _skew(np.cross(start, end))
    cosine = (start * end).sum(-1)[..., None, None]
    return np.eye(3) + cross + cross @ cross / (1 + cosine)


def rotation_about_x(angle: np.ndarray) -> np.ndarray:
    """Rotations (N, 3, 3) about the x axis."""
    one, zero, c, s = np.ones_like(angle), np.zeros_like(angle), np.cos(angle), np.sin(angle)
    flat = np.stack([one, zero, zero, zero, c, -s, zero, s, c], axis=-1)
    return flat.reshape(*angle.shape, 3, 3)


def _skew(v: np.ndarray) -> np.ndarray:
    zero = np.zeros_like(v[..., 0])
    x, y, z = v[..., 0], v[..., 1], v[..., 2]
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*v.shape, 3)
