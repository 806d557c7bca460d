"""The compact file that holds the open body: mirrored halves, quantised integers, triplets.

The body is exactly left-right symmetric, so every per-vertex array is stored for the vertices
with ``mirror[v] >= v`` only and reflected when it is read.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from pipeline.joints import flip_permutation

GENDERS = ("neutral", "male", "female")
REGRESSORS = ("J_regressor", "J_regressor_h36m", "J_regressor_extra", "J_regressor_coco")
REFLECT = np.array([-1.0, 1.0, 1.0])  # reflection in the plane x = 0
JOINT_FLIP = flip_permutation("smpl24")
_POSEDIRS_STEP = 2e-4  # metres per unit rotation-matrix entry
_WEIGHT_STEP = 1.0 / 65535.0
_UV_STEP = 1.0 / 65535.0


@dataclass
class Hand:
    """A right hand in the MANO layout, T-pose, metres."""

    v_template: np.ndarray  # (778, 3)
    shapedirs: np.ndarray  # (778, 3, 10)
    weights: np.ndarray  # (778, 16)
    J_regressor: np.ndarray  # (16, 778)
    faces: np.ndarray  # (1538, 3)
    hands_mean: np.ndarray  # (45,)
    hands_components: np.ndarray  # (45, 45)
    hands_coeffs: np.ndarray  # (n, 45)
    levels: list[tuple[np.ndarray, np.ndarray]]  # (ids into the level before, faces)


@dataclass
class OpenBody:
    """The open body in the SMPL layout, y up, facing +z, left = +x, metres."""

    mirror: np.ndarray  # (6890,) id of the mirrored vertex
    faces: np.ndarray  # (13776, 3)
    v_template: dict[str, np.ndarray]  # gender -> (6890, 3)
    shapedirs: dict[str, np.ndarray]  # gender -> (6890, 3, 10)
    posedirs: np.ndarray  # (6890, 3, 207)
    weights: np.ndarray  # (6890, 24)
    regressors: dict[str, np.ndarray]  # name -> (J, 6890)
    levels: list[tuple[np.ndarray, np.ndarray]]  # 1723 and 431: (ids into the level before, faces)
    atlas_vertices: np.ndarray  # (A,) body vertex of each atlas vertex
    atlas_faces: np.ndarray  # (13776, 3) into the atlas vertices, order of ``faces``
    atlas_parts: np.ndarray  # (13776,) 1..24
    atlas_uv: np.ndarray  # (A, 2) in [0, 1]
    mean_pose6d: np.ndarray  # (144,)
    hand: Hand


def save(path: Path, body: OpenBody) -> None:
    """Write the compact file; equal bodies give equal bytes."""
    with open(path, "wb") as file:  # given a name, NumPy would append ".npz" to it
        np.savez_compressed(file, **pack(body))


def load(path: Path) -> OpenBody:
    """Read the compact file."""
    with np.load(path, allow_pickle=False) as arrays:
        return unpack({name: arrays[name] for name in arrays.files})


def pack(body: OpenBody) -> dict[str, np.ndarray]:
    """Quantise a body into the arrays of the compact file."""
    out = {"mirror": body.mirror.astype(np.uint16), "faces": body.faces.astype(np.uint16)}
    for gender in GENDERS:
        out[f"v_template_{gender}"] = _halve(
            body.v_template[gender], body.mirror, _flip_points
        ).astype(np.float32)
        q, scale = _quantise(_halve(body.shapedirs[gender], body.mirror, _flip_directions))
        out[f"shapedirs_{gender}"], out[f"shapedirs_{gender}_scale"] = q, scale
    out["posedirs"] = np.round(
        _halve(body.posedirs, body.mirror, flip_posedirs) / _POSEDIRS_STEP
    ).astype(np.int16)
    out["weights"] = np.round(
        _halve(body.weights, body.mirror, _flip_weights) / _WEIGHT_STEP
    ).astype(np.uint16)
    for name in REGRESSORS:
        out.update(_pack_sparse(name, body.regressors[name]))
    out.update(_pack_levels("", body.levels))
    out["atlas_vertices"] = body.atlas_vertices.astype(np.uint16)
    out["atlas_faces"] = body.atlas_faces.astype(np.uint16)
    out["atlas_parts"] = body.atlas_parts.astype(np.uint8)
    out["atlas_uv"] = np.round(body.atlas_uv / _UV_STEP).astype(np.uint16)
    out["mean_pose6d"] = body.mean_pose6d.astype(np.float32)
    return out | _pack_hand(body.hand)


def unpack(arrays: dict[str, np.ndarray]) -> OpenBody:
    """Rebuild the body (float64, symmetric, weights summing to one) from the stored arrays."""
    mirror = arrays["mirror"].astype(np.int64)
    count = len(mirror)
    weights = _fill(arrays["weights"] * _WEIGHT_STEP, mirror, _flip_weights)
    return OpenBody(
        mirror=mirror,
        faces=arrays["faces"].astype(np.int64),
        v_template={
            g: _fill(arrays[f"v_template_{g}"].astype(np.float64), mirror, _flip_points)
            for g in GENDERS
        },
        shapedirs={
            g: _fill(
                arrays[f"shapedirs_{g}"] * arrays[f"shapedirs_{g}_scale"].astype(np.float64),
                mirror,
                _flip_directions,
            )
            for g in GENDERS
        },
        posedirs=_fill(arrays["posedirs"] * _POSEDIRS_STEP, mirror, flip_posedirs),
        weights=weights / weights.sum(1, keepdims=True),
        regressors={name: _unpack_sparse(name, arrays, count) for name in REGRESSORS},
        levels=_unpack_levels("", arrays),
        atlas_vertices=arrays["atlas_vertices"].astype(np.int64),
        atlas_faces=arrays["atlas_faces"].astype(np.int64),
        atlas_parts=arrays["atlas_parts"].astype(np.int64),
        atlas_uv=arrays["atlas_uv"] * _UV_STEP,
        mean_pose6d=arrays["mean_pose6d"].astype(np.float64),
        hand=_unpack_hand(arrays),
    )


def flip_posedirs(posedirs: np.ndarray) -> np.ndarray:
    """Pose blend shapes (V, 3, 207) of the mirrored vertices.

    Reflecting a pose swaps left and right joints and turns R into S R S, so the column of joint
    j, entry (b, c), becomes that of the flipped joint with sign s_b s_c; the offset gets s_a.
    """
    grid = posedirs.reshape(len(posedirs), 3, 23, 3, 3)[:, :, JOINT_FLIP[1:] - 1]
    signs = np.einsum("a,b,c->abc", REFLECT, REFLECT, REFLECT)[None, :, None]
    return (grid * signs).reshape(posedirs.shape)


def _flip_points(points: np.ndarray) -> np.ndarray:
    return points * REFLECT


def _flip_directions(directions: np.ndarray) -> np.ndarray:
    return directions * REFLECT[:, None]


def _flip_weights(weights: np.ndarray) -> np.ndarray:
    return weights[:, JOINT_FLIP]


def _half(mirror: np.ndarray) -> np.ndarray:
    return np.nonzero(mirror >= np.arange(len(mirror)))[0]


def _halve(full: np.ndarray, mirror: np.ndarray, flip: Callable) -> np.ndarray:
    """The rows to store; those of the middle line are made exactly symmetric."""
    half = _half(mirror)
    rows = full[half]
    middle = mirror[half] == half
    rows[middle] = (rows[middle] + flip(rows[middle])) / 2
    return rows


def _fill(stored: np.ndarray, mirror: np.ndarray, flip: Callable) -> np.ndarray:
    """Expand rows stored for one half of the body to all vertices."""
    half = _half(mirror)
    full = np.empty((len(mirror), *stored.shape[1:]), dtype=np.float64)
    full[mirror[half]] = flip(stored)
    full[half] = stored
    return full


def _quantise(directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """16-bit integers and one scale per blend shape, (..., K) and (K,)."""
    scale = np.abs(directions).reshape(-1, directions.shape[-1]).max(0) / 32767.0
    scale = scale.astype(np.float32)
    return np.round(directions / scale).astype(np.int16), scale


def _pack_sparse(name: str, matrix: np.ndarray) -> dict[str, np.ndarray]:
    rows, columns = np.nonzero(matrix)
    return {
        f"{name}_rows": rows.astype(np.uint8),
        f"{name}_columns": columns.astype(np.uint16),
        f"{name}_values": matrix[rows, columns].astype(np.float32),
    }


def _unpack_sparse(name: str, arrays: dict[str, np.ndarray], count: int) -> np.ndarray:
    """Dense regressor whose rows sum to one exactly as far as float64 can tell."""
    rows, columns = arrays[f"{name}_rows"].astype(int), arrays[f"{name}_columns"].astype(int)
    values = arrays[f"{name}_values"].astype(np.float64)
    dense = sp.coo_matrix((values, (rows, columns)), shape=(rows.max() + 1, count)).toarray()
    return dense / dense.sum(1, keepdims=True)


def _pack_levels(prefix: str, levels: list[tuple[np.ndarray, np.ndarray]]) -> dict:
    out = {}
    for k, (ids, faces) in enumerate(levels, start=1):
        out[f"{prefix}level{k}_ids"] = ids.astype(np.uint16)
        out[f"{prefix}level{k}_faces"] = faces.astype(np.uint16)
    return out


def _unpack_levels(prefix: str, arrays: dict) -> list[tuple[np.ndarray, np.ndarray]]:
    count = sum(name.startswith(f"{prefix}level") and name.endswith("_ids") for name in arrays)
    return [
        (
            arrays[f"{prefix}level{k}_ids"].astype(np.int64),
            arrays[f"{prefix}level{k}_faces"].astype(np.int64),
        )
        for k in range(1, count + 1)
    ]


def _pack_hand(hand: Hand) -> dict[str, np.ndarray]:
    shapedirs, scale = _quantise(hand.shapedirs)
    out = {
        "hand_v_template": hand.v_template.astype(np.float32),
        "hand_shapedirs": shapedirs,
        "hand_shapedirs_scale": scale,
        "hand_weights": np.round(hand.weights / _WEIGHT_STEP).astype(np.uint16),
        "hand_faces": hand.faces.astype(np.uint16),
        "hand_hands_mean": hand.hands_mean.astype(np.float32),
        "hand_hands_components": hand.hands_components.astype(np.float32),
        "hand_hands_coeffs": hand.hands_coeffs.astype(np.float32),
    }
    out |= _pack_sparse("hand_J_regressor", hand.J_regressor)
    return out | _pack_levels("hand_", hand.levels)


def _unpack_hand(arrays: dict[str, np.ndarray]) -> Hand:
    scale = arrays["hand_shapedirs_scale"].astype(np.float64)
    weights = arrays["hand_weights"] * _WEIGHT_STEP
    values = {
        "v_template": arrays["hand_v_template"].astype(np.float64),
        "shapedirs": arrays["hand_shapedirs"] * scale,
        "weights": weights / weights.sum(1, keepdims=True),
        "J_regressor": _unpack_sparse("hand_J_regressor", arrays, len(weights)),
        "faces": arrays["hand_faces"].astype(np.int64),
        "levels": _unpack_levels("hand_", arrays),
    }
    for field in fields(Hand):
        if field.name.startswith("hands_"):
            values[field.name] = arrays[f"hand_{field.name}"].astype(np.float64)
    return Hand(**values)
