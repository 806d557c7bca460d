"""Pose blend shapes: what SMPL's skinning with 24 joints lacks to look like the source rig.

The source spreads twists along the limbs and bends the spine and neck at more joints. The
difference, taken back to the rest pose, is regressed on the entries of R - I, as SMPL does.
Source: SMPL (Loper et al. 2015), Sec. 3.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from pipeline.body.build.poses import INDEX, NAMES, random_poses
from pipeline.body.build.skeleton import blend, bone_maps, transform
from pipeline.body.build.source import Rig
from pipeline.body.open_asset import flip_posedirs
from pipeline.joints import parents_smpl24

_POSES, _CHUNK = 600, 50
_SEED = 1
_SPREAD, _UNIFORM = 0.7, 0.5
_RIDGE = 0.5
_MIN_WEIGHT = 0.01  # a joint acts on the vertices that it or its parent moves at least this much
_MAX_OFFSET = 0.15  # metres; beyond, the 24-joint skinning is folded and says nothing
_MIN_DETERMINANT = 0.25
_MIN_ENTRY = 2e-5  # metres

Turn = Callable[[str, Rotation], None]


@dataclass
class Skin:
    """The template with both riggings."""

    template: np.ndarray  # (V, 3)
    rig: Rig  # its weights are those of the template's vertices
    heads: np.ndarray  # (B, 3)
    weights: np.ndarray  # (V, 24)
    joints: np.ndarray  # (24, 3)

    def source_posed(self, pose: np.ndarray) -> np.ndarray:
        """Vertices (N, V, 3) under the source rig."""
        maps = bone_maps(bone_rotations(self.rig, pose), self.heads[None], self.rig.parents)
        return transform(blend(self.rig.weights, maps), self.template)

    def smpl_maps(self, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Vertex maps (N, V, 3, 4) of the 24-joint skinning, and the pose features (N, 207)."""
        rotations = Rotation.from_rotvec(pose.reshape(-1, 3)).as_matrix()
        rotations = rotations.reshape(len(pose), len(NAMES), 3, 3)
        maps = bone_maps(rotations, self.joints[None], np.array(parents_smpl24))
        return blend(self.weights, maps), (rotations[:, 1:] - np.eye(3)).reshape(len(pose), -1)


def fit_posedirs(skin: Skin, mirror: np.ndarray) -> np.ndarray:
    """Pose blend shapes (V, 3, 207), sparse and symmetric."""
    poses = random_poses(np.random.default_rng(_SEED), _POSES, _SPREAD, _UNIFORM)
    parts = [_rest_offsets(skin, poses[k : k + _CHUNK]) for k in range(0, _POSES, _CHUNK)]
    offsets, features = (np.concatenate(part) for part in zip(*parts, strict=True))
    posedirs = np.zeros((len(skin.template), 3, features.shape[1]))
    support, group = np.unique(_support(skin.weights), axis=0, return_inverse=True)
    for k, joints in enumerate(support):
        vertices = np.nonzero(group.ravel() == k)[0]
        columns = np.nonzero(np.repeat(joints[1:], 9))[0]
        x, y = features[:, columns], offsets[:, vertices].reshape(_POSES, -1)
        gram = x.T @ x + _RIDGE * np.eye(len(columns))
        solution = np.linalg.solve(gram, x.T @ y).reshape(len(columns), len(vertices), 3)
        posedirs[np.ix_(vertices, range(3), columns)] = solution.transpose(1, 2, 0)
    posedirs = (posedirs + flip_posedirs(posedirs)[mirror]) / 2
    posedirs[np.abs(posedirs) < _MIN_ENTRY] = 0
    return posedirs


def skinning_error(skin: Skin, posedirs: np.ndarray) -> tuple[float, float]:
    """Mean distance in metres to the source rig on unseen poses, without and with posedirs."""
    poses = random_poses(np.random.default_rng(77), 60, 0.5, 0.2)
    maps, features = skin.smpl_maps(poses)
    bent = skin.template + np.einsum("vcp,np->nvc", posedirs, features, optimize=True)
    target = skin.source_posed(poses)
    errors = [transform(maps, rest) - target for rest in (skin.template, bent)]
    return tuple(float(np.linalg.norm(error, axis=-1).mean()) for error in errors)


def _rest_offsets(skin: Skin, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Offsets (N, V, 3) of the template that make the 24-joint skinning exact; pose features."""
    maps, features = skin.smpl_maps(pose)
    linear = maps[..., :3]
    moved = (skin.source_posed(pose) - maps[..., 3])[..., None]
    offsets = (np.linalg.inv(linear) @ moved)[..., 0] - skin.template
    usable = np.linalg.det(linear) > _MIN_DETERMINANT
    offsets = np.where(usable[..., None], np.clip(offsets, -_MAX_OFFSET, _MAX_OFFSET), 0)
    return offsets.astype(np.float32), features


def _support(weights: np.ndarray) -> np.ndarray:
    """Which joints (V, 24) may deform a vertex: those that move it and their children."""
    active = weights > _MIN_WEIGHT
    support = active.copy()
    support[:, 1:] |= active[:, list(parents_smpl24[1:])]
    support[:, 0] = False
    return support


def bone_rotations(rig: Rig, pose: np.ndarray) -> np.ndarray:
    """Spread the 24 joint rotations (N, 24, 3) over the source bones, (N, B, 3, 3)."""
    out = np.tile(np.eye(3), (len(pose), len(rig.bones), 1, 1))

    def turn(bone: str, rotation: Rotation) -> None:
        out[:, rig.index(bone)] = rotation.as_matrix()

    joint = {name: Rotation.from_rotvec(pose[:, k]) for name, k in INDEX.items()}
    turn("root", joint["pelvis"])
    turn("spine04", _share(joint["spine1"], 1 / 3))
    turn("spine03", _share(joint["spine1"], 2 / 3))
    turn("spine02", joint["spine2"])
    turn("spine01", joint["spine3"])
    for bone, share in (("neck01", 0.4), ("neck02", 0.3), ("neck03", 0.3)):
        turn(bone, _share(joint["neck"], share))
    turn("head", joint["head"])
    for side, end in (("l", ".L"), ("r", ".R")):
        _turn_leg(lambda bone, r, end=end: turn(bone + end, r), joint, side)
        _turn_arm(lambda bone, r, end=end: turn(bone + end, r), joint, side)
    return out


def _turn_leg(turn: Turn, joint: dict[str, Rotation], side: str) -> None:
    swing, twist = _swing_twist(joint[f"{side}_hip"], axis=1)
    turn("upperleg01", swing * _share(twist, 0.5))
    turn("upperleg02", _share(twist, 0.5))
    turn("lowerleg01", joint[f"{side}_knee"])
    turn("foot", joint[f"{side}_ankle"])
    for toe in range(1, 6):
        turn(f"toe{toe}-1", joint[f"{side}_foot"])


def _turn_arm(turn: Turn, joint: dict[str, Rotation], side: str) -> None:
    turn("clavicle", _share(joint[f"{side}_collar"], 0.6))
    turn("shoulder01", _share(joint[f"{side}_collar"], 0.4))
    swing, twist = _swing_twist(joint[f"{side}_shoulder"], axis=0)
    turn("upperarm01", swing * _share(twist, 0.5))
    turn("upperarm02", _share(twist, 0.5))
    swing, twist = _swing_twist(joint[f"{side}_elbow"], axis=0)
    _, wrist_twist = _swing_twist(joint[f"{side}_wrist"], axis=0)
    turn("lowerarm01", swing * _share(twist, 0.4))
    turn("lowerarm02", _share(twist, 0.6) * _share(wrist_twist, 0.6))
    turn("wrist", _share(wrist_twist, -0.6) * joint[f"{side}_wrist"])
    for finger in range(2, 6):
        turn(f"finger{finger}-1", joint[f"{side}_hand"])
    turn("finger1-2", _share(joint[f"{side}_hand"], 0.3))


def _share(rotation: Rotation, share: float) -> Rotation:
    return Rotation.from_rotvec(rotation.as_rotvec() * share)


def _swing_twist(rotation: Rotation, axis: int) -> tuple[Rotation, Rotation]:
    """Split R = swing * twist, the twist being about a coordinate axis."""
    quaternion = rotation.as_quat()
    twist = np.zeros_like(quaternion)
    twist[:, [axis, 3]] = quaternion[:, [axis, 3]]
    length = np.linalg.norm(twist, axis=1, keepdims=True)
    twist = np.where(length > 1e-8, twist / np.maximum(length, 1e-8), [0.0, 0.0, 0.0, 1.0])
    about = Rotation.from_quat(twist)
    return rotation * about.inv(), about
