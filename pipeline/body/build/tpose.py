"""From the A-pose of the source to the T-pose of SMPL."""

import numpy as np

from pipeline.body.build.skeleton import (
    blend,
    bone_maps,
    frame,
    normalize,
    rotation_about_x,
    rotation_between,
    transform,
)
from pipeline.body.build.source import Rig

_X, _Z = np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0])
_REFLECT = np.diag([-1.0, 1.0, 1.0])
_FLATNESS = 0.85  # 1 stretches the fingers fully
_SPLAY = {2: 0.06, 3: 0.0, 4: -0.06, 5: -0.14}  # sideways slope of each finger
_THIGH_SLOPE, _SHANK_SLOPE = 0.06, -0.01  # sideways over downwards
_CHUNK = 25


def finger_tips(rig: Rig, vertices: np.ndarray, heads: np.ndarray) -> dict[int, int]:
    """Vertex furthest along the last bone of each left finger (1 thumb ... 5 little finger)."""
    tips = {}
    for finger in range(1, 6):
        last = rig.index(f"finger{finger}-3.L")
        direction = normalize(heads[last] - heads[rig.index(f"finger{finger}-2.L")])
        skinned = np.nonzero(rig.weights[:, last] > 0.5)[0]
        tips[finger] = int(skinned[np.argmax((vertices[skinned] - heads[last]) @ direction)])
    return tips


def to_t_pose(
    rig: Rig, vertices: np.ndarray, heads: np.ndarray, tips: dict[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (N, V, 3) and bone heads (N, B, 3) with arms straight out and fingers stretched."""
    parts = [
        _pose(rig, vertices[k : k + _CHUNK], heads[k : k + _CHUNK], tips)
        for k in range(0, len(vertices), _CHUNK)
    ]
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def _pose(rig: Rig, vertices: np.ndarray, heads: np.ndarray, tips: dict[int, int]) -> tuple:
    turn = _Turns(rig, heads)
    hand = _turn_arm(turn)
    for finger in _SPLAY:
        _turn_finger(turn, finger, hand, vertices[:, tips[finger]])
    _turn_leg(turn)
    maps = bone_maps(turn.symmetric(), heads, rig.parents)
    posed = transform(blend(rig.weights, maps), vertices)
    return posed, transform(maps, heads)


class _Turns:
    """World rotations given to left bones, kept relative to their parents."""

    def __init__(self, rig: Rig, heads: np.ndarray) -> None:
        self.rig, self.heads = rig, heads
        self.local = np.tile(np.eye(3), (*heads.shape[:2], 1, 1))
        self.upright = np.tile(np.eye(3), (len(heads), 1, 1))

    def head(self, bone: str) -> np.ndarray:
        return self.heads[:, self.rig.index(f"{bone}.L")]

    def set(self, bone: str, world: np.ndarray, parent_world: np.ndarray) -> None:
        self.local[:, self.rig.index(f"{bone}.L")] = _inverse(parent_world) @ world

    def symmetric(self) -> np.ndarray:
        """All turns (N, B, 3, 3), the right side being the reflection of the left."""
        mirrored = self.rig.mirrored()
        for bone, name in enumerate(self.rig.bones):
            if name.endswith(".R"):
                self.local[:, bone] = _REFLECT @ self.local[:, mirrored[bone]] @ _REFLECT
        return self.local


def _turn_arm(turn: _Turns) -> np.ndarray:
    """Stretch the arm along +x, palm down, the elbow bending forwards; returns the hand's turn."""
    upper = turn.head("lowerarm01") - turn.head("upperarm01")
    fore = turn.head("wrist") - turn.head("lowerarm01")
    across = np.cross(upper, fore)
    target = frame(_X, _Z)
    upper_world = target @ _inverse(frame(upper, fore))
    fore_world = target @ _inverse(frame(fore, np.cross(across, fore)))
    turn.set("upperarm01", upper_world, turn.upright)
    turn.set("lowerarm01", fore_world, upper_world)
    along = turn.head("finger3-1") - turn.head("wrist")
    knuckles = turn.head("finger5-1") - turn.head("finger2-1")
    hand_world = frame(_X, -_Z) @ _inverse(frame(along, knuckles))
    left = hand_world @ _inverse(fore_world)
    twist = np.arctan2(left[:, 2, 1] - left[:, 1, 2], left[:, 1, 1] + left[:, 2, 2])
    half = rotation_about_x(twist * 0.5) @ fore_world  # the lower half of the forearm twists half
    turn.set("lowerarm02", half, fore_world)
    turn.set("wrist", hand_world, half)
    return hand_world


def _turn_finger(turn: _Turns, finger: int, hand: np.ndarray, tip: np.ndarray) -> None:
    """Straighten one finger towards the plane of the palm."""
    points = [turn.head(f"finger{finger}-{k}") for k in (1, 2, 3)] + [tip]
    straight = normalize(np.array([1.0, -0.04, _SPLAY[finger]]))
    parent = hand
    for k in range(3):
        bone = (points[k + 1] - points[k])[..., None]
        bent = normalize((hand @ bone)[..., 0])
        wanted = normalize((1 - _FLATNESS) * bent + _FLATNESS * straight)
        world = rotation_between((parent @ bone)[..., 0], wanted) @ parent
        turn.set(f"finger{finger}-{k + 1}", world, parent)
        parent = world


def _turn_leg(turn: _Turns) -> None:
    """Make thigh and shank nearly vertical seen from the front; the sole stays level."""
    hip, knee, ankle = turn.head("upperleg01"), turn.head("lowerleg01"), turn.head("foot")
    thigh = _to_slope(knee - hip, _THIGH_SLOPE)
    shank = _to_slope(ankle - knee, _SHANK_SLOPE)
    turn.set("upperleg01", thigh, turn.upright)
    turn.set("lowerleg01", shank, thigh)
    turn.set("foot", turn.upright, shank)


def _to_slope(bone: np.ndarray, slope: float) -> np.ndarray:
    wanted = bone.copy()
    wanted[:, 0] = slope * np.abs(bone[:, 1])
    return rotation_between(bone, wanted)


def _inverse(rotation: np.ndarray) -> np.ndarray:
    return np.swapaxes(rotation, -1, -2)
