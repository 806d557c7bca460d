"""Joint angles with anatomical limits, and their map to SMPL pose parameters.

Angles are in radians about the axes of the template pose (x left, y up, z front), written for the
left side; the right side is its mirror image. So one number means one thing on both sides: hip x
negative lifts the thigh, knee x positive bends the knee.
"""

import numpy as np
from scipy.spatial.transform import Rotation

from pipeline.joints import JOINT_SETS

NAMES = JOINT_SETS["smpl24"]
INDEX = {name: k for k, name in enumerate(NAMES)}

_SIDED = {
    "hip": ("XZY", ((-2.1, 0.45), (-0.3, 0.8), (-0.5, 0.6))),
    "knee": ("X", ((0.0, 2.4),)),
    "ankle": ("XZ", ((-0.45, 0.7), (-0.25, 0.25))),
    "foot": ("X", ((-0.5, 0.3),)),
    "collar": ("YZ", ((-0.2, 0.15), (-0.1, 0.3))),
    # swing of the hanging arm (negative: forwards), then forwards, up, twist of the raised arm
    "shoulder": ("XYZX", ((-2.8, 0.8), (-1.6, 0.5), (-1.4, 1.2), (-1.6, 1.0))),
    "elbow": ("YX", ((-2.5, 0.0), (-0.8, 0.9))),
    "wrist": ("XZY", ((-0.4, 0.4), (-0.8, 0.7), (-0.25, 0.25))),
    "hand": ("Z", ((-0.6, 0.05),)),
}
_CENTRE = {
    "spine1": ("XYZ", ((-0.2, 0.6), (-0.3, 0.3), (-0.25, 0.25))),
    "spine2": ("XYZ", ((-0.15, 0.4), (-0.25, 0.25), (-0.2, 0.2))),
    "spine3": ("XYZ", ((-0.1, 0.3), (-0.25, 0.25), (-0.15, 0.15))),
    "neck": ("XYZ", ((-0.35, 0.4), (-0.5, 0.5), (-0.25, 0.25))),
    "head": ("XYZ", ((-0.3, 0.35), (-0.5, 0.5), (-0.2, 0.2))),
}
LIMITS = _CENTRE | {f"{side}_{name}": limit for side in "lr" for name, limit in _SIDED.items()}
"""Joint -> (order of elementary rotations, (low, high) of each)."""

_REST = {
    "shoulder": (0.0, 0.0, -1.3, 0.0),
    "elbow": (-0.3, 0.0),
    "hip": (-0.05, 0.05, 0.05),
    "knee": (0.08,),
    "hand": (-0.15,),
}

Angles = dict[str, np.ndarray]
"""Joint -> (N, k) angles over N frames."""


def bounds(joint: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower and upper limits of a joint's angles, each (k,)."""
    low, high = zip(*LIMITS[joint][1], strict=True)
    return np.array(low), np.array(high)


def rest(joint: str) -> np.ndarray:
    """Return a joint's angles in a relaxed stance, (k,)."""
    return np.array(_REST.get(joint.split("_")[-1], np.zeros(len(LIMITS[joint][1]))), float)


def rest_angles(frames: int) -> Angles:
    """Return the relaxed stance over all frames."""
    return {joint: np.tile(rest(joint), (frames, 1)) for joint in LIMITS}


def clip(angles: Angles) -> Angles:
    """Return the angles brought inside the limits."""
    return {joint: np.clip(value, *bounds(joint)) for joint, value in angles.items()}


def compose(joint: str, angles: np.ndarray) -> np.ndarray:
    """Return the axis-angle vectors (N, 3) of one joint's angles (N, k)."""
    order = LIMITS[joint][0]
    rotation = Rotation.from_euler(order[-3:], angles[:, -3:])
    if len(order) == 4:
        rotation = Rotation.from_euler("X", angles[:, :1]) * rotation
    vectors = rotation.as_rotvec()
    return vectors * [1, -1, -1] if joint.startswith("r_") else vectors


def to_pose(angles: Angles) -> np.ndarray:
    """Return the SMPL pose (N, 24, 3) of angles; the root is upright and faces +z."""
    frames = len(next(iter(angles.values())))
    pose = np.zeros((frames, len(NAMES), 3))
    for joint, value in angles.items():
        pose[:, INDEX[joint]] = compose(joint, value)
    return pose


def random_stance(rng: np.random.Generator, spread: float, uniform: float) -> dict:
    """Return one random pose as joint -> (k,) angles inside the limits.

    Args:
        rng: source of randomness.
        spread: standard deviation around the relaxed stance, share of each joint's range.
        uniform: probability that a joint is drawn uniformly from its whole range instead.
    """
    stance = {}
    for joint in LIMITS:
        low, high = bounds(joint)
        centre, width = rest(joint), high - low
        if joint.endswith("shoulder"):
            width = width * [0.5, 1, 1, 0.7]  # swing and raise add up; both at once is rare
        if joint.endswith("hip"):
            width = width * [0.8, 0.5, 0.7]  # keeps the feet under the body
        value = centre + rng.normal(size=len(low)) * spread * width / 2
        if rng.random() < uniform:
            value = low + rng.random(len(low)) * (high - low)
        stance[joint] = np.clip(value, low, high)
    return stance
