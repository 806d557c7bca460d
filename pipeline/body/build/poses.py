"""Random poses inside anatomical limits: what pose blend shapes and the mean pose are made from.

Angles are radians about the axes of the T-pose, written for the left side; the right side is its
mirror image.
"""

import numpy as np
from scipy.spatial.transform import Rotation

from pipeline.joints import JOINT_SETS

NAMES = JOINT_SETS["smpl24"]
INDEX = {name: k for k, name in enumerate(NAMES)}
# Joint -> order of elementary rotations and the (low, high) of each, in the order in which the
# random numbers are drawn.
_SIDED = {
    "hip": ("XZY", ((-2.0, 0.45), (-0.35, 0.75), (-0.5, 0.6))),
    "knee": ("X", ((0.0, 2.35),)),
    "ankle": ("XZ", ((-0.4, 0.7), (-0.25, 0.25))),
    "foot": ("X", ((-0.4, 0.3),)),
    "collar": ("YZ", ((-0.2, 0.15), (-0.1, 0.3))),
    "shoulder": ("YZX", ((-1.7, 0.6), (-1.45, 1.15), (-0.9, 0.9))),
    "elbow": ("YX", ((-2.4, 0.0), (-0.7, 0.9))),
    "wrist": ("XZY", ((-0.4, 0.4), (-0.8, 0.7), (-0.25, 0.25))),
    "hand": ("Z", ((-1.1, 0.1),)),
}
_CENTRE = {
    "spine1": ("XYZ", ((-0.15, 0.55), (-0.3, 0.3), (-0.25, 0.25))),
    "spine2": ("XYZ", ((-0.12, 0.4), (-0.25, 0.25), (-0.2, 0.2))),
    "spine3": ("XYZ", ((-0.1, 0.3), (-0.25, 0.25), (-0.15, 0.15))),
    "neck": ("XYZ", ((-0.35, 0.4), (-0.5, 0.5), (-0.25, 0.25))),
    "head": ("XYZ", ((-0.3, 0.35), (-0.5, 0.5), (-0.2, 0.2))),
}
_LIMITS = _CENTRE | {f"{side}_{name}": limit for name, limit in _SIDED.items() for side in "lr"}
_HANGING = {
    "shoulder": (0.0, -1.15, 0.0),
    "elbow": (-0.35, 0.0),
    "hip": (-0.15, 0.05, 0.0),
    "knee": (0.2,),
    "hand": (-0.3,),
    "wrist": (0.0, -0.1, 0.0),
}
_WALK = {"hip": 0.35, "knee": 0.35, "shoulder": 0.3, "elbow": 0.2}  # swing about the first axis


def random_poses(
    rng: np.random.Generator, count: int, spread: float, uniform: float
) -> np.ndarray:
    """Poses (count, 24, 3) axis-angle, around a relaxed stance or anywhere within the limits.

    Args:
        rng: source of randomness.
        count: number of poses.
        spread: standard deviation around the stance, as a share of 0.4 times each range.
        uniform: share of poses whose angles are uniform within the limits instead.
    """
    anywhere = rng.random(count)[:, None] < uniform
    pose = np.zeros((count, len(NAMES), 3))
    for joint, (_, limits) in _LIMITS.items():
        low, high = np.array(limits).T
        free = low + (high - low) * rng.random((count, len(low)))
        near = _stance(joint) + rng.normal(size=free.shape) * spread * (high - low) / 2.5
        pose[:, INDEX[joint]] = _compose(joint, np.where(anywhere, free, np.clip(near, low, high)))
    return pose


def mean_rotations() -> np.ndarray:
    """Chordal mean (24, 3, 3) of standing and walking with hanging arms, the same on both sides.

    The root is turned by pi about x: upright in a camera frame whose y axis points down.
    """
    phase = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    rotations = np.tile(np.eye(3), (len(NAMES), 1, 1))
    for joint in _LIMITS:
        angles = np.tile(_stance(joint), (len(phase), 1))
        angles[:, 0] += _WALK.get(joint.split("_")[-1], 0.0) * np.sin(phase)
        u, _, vt = np.linalg.svd(Rotation.from_rotvec(_compose(joint, angles)).as_matrix().mean(0))
        rotations[INDEX[joint]] = u @ vt
    rotations[0] = np.diag([1.0, -1.0, -1.0])
    return rotations


def _stance(joint: str) -> np.ndarray:
    return np.array(_HANGING.get(joint.split("_")[-1], np.zeros(len(_LIMITS[joint][1]))))


def _compose(joint: str, angles: np.ndarray) -> np.ndarray:
    vectors = Rotation.from_euler(_LIMITS[joint][0], angles).as_rotvec()
    return vectors * [1, -1, -1] if joint.startswith("r_") else vectors
