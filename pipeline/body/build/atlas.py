"""Twenty-four symmetric surface charts.

Trunk, head and limbs are pairs of half cylinders, hands and feet are opened like a book.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.body.atlas import flip_parts, mirrored_u
from pipeline.body.parts import PARTS24
from pipeline.joints import JOINT_SETS

NAMES = JOINT_SETS["smpl24"]
_X, _Y, _Z = np.eye(3)
_GRID = 1e-4  # resolution of (U, V)
_GROUPS = {
    "torso": ("pelvis", "spine1", "spine2", "spine3", "l_collar", "r_collar"),
    "head": ("neck", "head"),
    "upper leg": ("hip",),
    "lower leg": ("knee",),
    "foot": ("ankle", "foot"),
    "upper arm": ("shoulder",),
    "lower arm": ("elbow",),
    "hand": ("wrist", "hand"),
}
# Axis of a limb chart: from one joint to the other.
_AXES = {
    "upper leg": ("l_knee", "l_hip"),
    "lower leg": ("l_ankle", "l_knee"),
    "upper arm": ("l_elbow", "l_shoulder"),
    "lower arm": ("l_wrist", "l_elbow"),
}


@dataclass
class Atlas:
    """The arrays of DensePose's UV_Processed.mat, counted from zero."""

    vertices: np.ndarray  # (A,) body vertex of each atlas vertex
    faces: np.ndarray  # (F, 3) into the atlas vertices
    parts: np.ndarray  # (F,) 1..24
    uv: np.ndarray  # (A, 2)


def build_atlas(
    template: np.ndarray,
    faces: np.ndarray,
    mirror: np.ndarray,
    weights: np.ndarray,
    joints: np.ndarray,
) -> Atlas:
    """Charts of the left half from weights and T-pose geometry, and their mirror images."""
    groups = _face_groups(faces, weights)
    parts, uv = np.zeros(len(faces), int), np.zeros((len(faces), 3, 2))
    twin = _mirrored_faces(faces, mirror)
    side = template[faces].mean(1)[:, 0]
    lead = (side > side[twin]) | (twin == np.arange(len(faces)))  # one face of each pair
    for group, name in enumerate(_GROUPS):
        chosen = np.nonzero(lead & (groups == group))[0]
        corners = template[faces[chosen]]
        parts[chosen], uv[chosen] = _chart(name, corners, joints)
    uv = np.round(uv / _GRID) * _GRID
    follow = np.nonzero(~lead)[0]
    parts[follow] = flip_parts()[parts[twin[follow]]]
    uv[follow] = _mirrored_corners(faces, mirror, uv, follow, twin[follow])
    across = mirrored_u()[parts] & ~lead
    uv[across, :, 0] = 1 - uv[across, :, 0]
    return _weld(faces, parts, uv)


def _face_groups(faces: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Index into ``_GROUPS`` (F,), the same for both sides."""
    share = []
    for name, members in _GROUPS.items():
        sided = name not in ("torso", "head")
        names = [f"{side}_{m}" for m in members for side in "lr"] if sided else members
        share.append(weights[:, [NAMES.index(member) for member in names]].sum(1))
    return np.stack(share, 1)[faces].mean(1).argmax(1)


def _chart(name: str, corners: np.ndarray, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Chart ids (n,) and (U, V) (n, 3, 2) of faces of the left half."""
    joint = dict(zip(NAMES, joints, strict=True))
    if name == "torso":
        centre = np.array([0, 0, corners[..., 2].mean()])
        return _half_cylinder(corners, centre, _Y, _Z, ("torso back", "torso front"))
    if name == "head":
        centre = np.array([0, 0, joint["head"][2]])
        return _half_cylinder(corners, centre, _Y, _X, ("head right", "head left"))
    if name in _AXES:
        start, end = (joint[end] for end in _AXES[name])
        ids = (f"left {name} a", f"left {name} b")
        return _half_cylinder(corners, start, end - start, _Z, ids)
    along, across = (_X, -_Z) if name == "hand" else (_Z, _X)
    return np.full(len(corners), PARTS24.index(f"left {name}")), _book(corners, along, across)


def _half_cylinder(
    corners: np.ndarray,
    origin: np.ndarray,
    axis: np.ndarray,
    facing: np.ndarray,
    names: tuple[str, str],
) -> tuple[np.ndarray, np.ndarray]:
    """Two charts around an axis, the second centred on ``facing``; U = angle / pi, V = height."""
    axis = axis / np.linalg.norm(axis)
    facing = facing - (facing @ axis) * axis
    facing = facing / np.linalg.norm(facing)
    beside = np.cross(axis, facing)

    def angle(points: np.ndarray) -> np.ndarray:
        return np.arctan2((points - origin) @ facing, (points - origin) @ beside)

    middle = angle(corners.mean(1))
    front = middle >= 0
    turned = (angle(corners) - middle[:, None] + np.pi) % (2 * np.pi) - np.pi  # never wraps round
    u = (middle[:, None] + turned + np.where(front, 0, np.pi)[:, None]) / np.pi
    height = (corners - origin) @ axis
    v = (height - height.min()) / np.ptp(height)
    ids = np.where(front, PARTS24.index(names[1]), PARTS24.index(names[0]))
    return ids, np.stack([np.clip(u, 0, 1), v], axis=-1)


def _book(corners: np.ndarray, along: np.ndarray, across: np.ndarray) -> np.ndarray:
    """(U, V) of a flat part: its upper and lower side, joined where ``across`` is smallest."""
    p, q = corners @ along, corners @ across
    v = (p - p.min()) / np.ptp(p)
    s = (q - q.min()) / np.ptp(q)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    side = np.where(normal @ _Y >= 0, -0.5, 0.5)
    return np.stack([0.5 + side[:, None] * s, v], axis=-1)


def _mirrored_faces(faces: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Index (F,) of the mirror image of each face."""
    where = {tuple(sorted(face)): k for k, face in enumerate(faces.tolist())}
    return np.array([where[tuple(sorted(face))] for face in mirror[faces].tolist()])


def _mirrored_corners(
    faces: np.ndarray, mirror: np.ndarray, uv: np.ndarray, face: np.ndarray, twin: np.ndarray
) -> np.ndarray:
    """(U, V) of the twins' corners in the corner order of ``face``, (n, 3, 2)."""
    match = mirror[faces[face]][:, :, None] == faces[twin][:, None, :]  # (n, 3, 3)
    return np.take_along_axis(uv[twin], match.argmax(2)[:, :, None], axis=1)


def _weld(faces: np.ndarray, parts: np.ndarray, uv: np.ndarray) -> Atlas:
    """Merge the corners that share vertex, chart and (U, V)."""
    cells = np.rint(uv.reshape(-1, 2) / _GRID).astype(np.int64)
    keys = np.column_stack([faces.ravel(), np.repeat(parts, 3), cells])
    unique, inverse = np.unique(keys, axis=0, return_inverse=True)
    return Atlas(unique[:, 0], inverse.reshape(-1, 3), parts, unique[:, 2:] * _GRID)
