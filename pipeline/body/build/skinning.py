"""From the bones of the source rig to the 24 joints of SMPL: weights and joint positions."""

import numpy as np

from pipeline.body.build.source import Rig
from pipeline.joints import JOINT_SETS, flip_permutation

NAMES = JOINT_SETS["smpl24"]
JOINT_FLIP = flip_permutation("smpl24")
_REFLECT = np.array([-1.0, 1.0, 1.0])
_MIN_WEIGHT = 1e-4
# SMPL joint -> source bones that move with it (".L" and ".R" are added to the sided ones); the
# joint lies at the start of the first bone.
_CENTRE = {
    "pelvis": ("spine04", "root", "pelvis.L", "pelvis.R", "spine05"),
    "spine1": ("spine03",),
    "spine2": ("spine02",),
    "spine3": ("spine01",),
    "neck": ("neck01", "neck02", "neck03"),
    "head": ("head", "eye.L", "eye.R"),
}
_SIDED = {
    "hip": ("upperleg01", "upperleg02"),
    "knee": ("lowerleg01", "lowerleg02"),
    "ankle": ("foot",),
    "collar": ("clavicle", "shoulder01"),
    "shoulder": ("upperarm01", "upperarm02"),
    "elbow": ("lowerarm01", "lowerarm02"),
    "wrist": ("wrist", "metacarpal1", "metacarpal2", "metacarpal3", "metacarpal4"),
}
# Joints that stand for several bones lie in the middle of these.
_GROUPS = {
    "foot": ("toe", [f"toe{k}-1" for k in range(1, 6)]),
    "hand": ("finger", [f"finger{k}-1" for k in (2, 3, 4)]),
}


def joint_of_bone(rig: Rig) -> np.ndarray:
    """SMPL joint (B,) that every source bone becomes part of."""
    joints = {}
    for name, bones in _CENTRE.items():
        joints |= dict.fromkeys(bones, name)
    for side, end in (("l", ".L"), ("r", ".R")):
        for name, bones in _SIDED.items():
            joints |= {bone + end: f"{side}_{name}" for bone in bones}
        for name, (prefix, _) in _GROUPS.items():
            found = [bone for bone in rig.bones if bone.startswith(prefix) and bone.endswith(end)]
            joints |= dict.fromkeys(found, f"{side}_{name}")
    return np.array([NAMES.index(joints[bone]) for bone in rig.bones])


def merge_weights(rig: Rig, order: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Skin weights (6890, 24), symmetric, rows sum to one."""
    member = np.eye(len(NAMES))[joint_of_bone(rig)]
    weights = rig.weights[order] @ member
    weights = (weights + weights[mirror][:, JOINT_FLIP]) / 2
    weights[weights < _MIN_WEIGHT] = 0
    return weights / weights.sum(1, keepdims=True)


def joint_positions(rig: Rig, heads: np.ndarray) -> np.ndarray:
    """SMPL joints (N, 24, 3), symmetric, from bone starts (N, B, 3)."""
    joints = np.zeros((len(heads), len(NAMES), 3))
    for name, bones in _CENTRE.items():
        joints[:, NAMES.index(name)] = heads[:, rig.index(bones[0])]
    for side, end in (("l", ".L"), ("r", ".R")):
        for name, bones in _SIDED.items():
            joints[:, NAMES.index(f"{side}_{name}")] = heads[:, rig.index(bones[0] + end)]
        for name, (_, bones) in _GROUPS.items():
            group = [rig.index(bone + end) for bone in bones]
            joints[:, NAMES.index(f"{side}_{name}")] = heads[:, group].mean(1)
    # The source's lowest spine bone starts behind the hips; SMPL's pelvis lies above them.
    pelvis, hip = NAMES.index("pelvis"), NAMES.index("l_hip")
    joints[:, pelvis, 2] = (joints[:, pelvis, 2] + joints[:, hip, 2]) / 2
    return (joints + joints[:, JOINT_FLIP] * _REFLECT) / 2
