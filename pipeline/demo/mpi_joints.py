"""The joint sets of MPI-INF-3DHP, MuPoTS-3D and MuCo-3DHP on a demo body."""

import numpy as np

from pipeline.demo.landmarks import Landmarks
from pipeline.joints import JOINT_SETS, mapping

UNIVERSAL_SPINE = 0.48
"""Metres from pelvis to neck of the skeleton that the `univ_` annotations are scaled to."""


def mpi_joints(
    landmarks: Landmarks, joint_set: str, joints: np.ndarray, vertices: np.ndarray
) -> np.ndarray:
    """Return the joints of a set, (N, J, 3) in the frame of the input.

    The seventeen joints that are evaluated are regressed as Human3.6M's, so that a perfect
    mesh is a perfect prediction; hands, feet, toes and the rest of the spine are the body's.

    Args:
        landmarks: joint sets of the body.
        joint_set: mpi17, mpi28 or muco21.
        joints: (N, 24, 3) of the body.
        vertices: (N, V, 3).
    """
    known = _by_name("smplx45", landmarks.of("smplx45", joints, vertices))
    known |= {f"{side}_toe": known[f"{side}_big_toe"] for side in "lr"}
    known["spine4"] = (known["spine3"] + known["neck"]) / 2
    evaluated = landmarks.of("h36m17", joints, vertices)[:, mapping("h36m17", "mpi17")]
    known |= _by_name("mpi17", evaluated)
    return np.stack([known[name] for name in JOINT_SETS[joint_set]], 1)


def universal(points: np.ndarray, joint_set: str) -> np.ndarray:
    """Return camera points (N, J, 3) of one person, scaled to the universal skeleton's size."""
    names = JOINT_SETS[joint_set]
    spine = points[:, names.index("neck")] - points[:, names.index("pelvis")]
    return points * (UNIVERSAL_SPINE / np.linalg.norm(spine, axis=-1).mean())


def _by_name(joint_set: str, points: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip(JOINT_SETS[joint_set], np.moveaxis(points, 1, 0), strict=True))
