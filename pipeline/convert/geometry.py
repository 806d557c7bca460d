"""Gates on one file's own 2D and 3D joints, and intrinsics where a distribution has none.

Medians over a file, so that single bad labels pass; a wrong unit, axis, frame or camera does not.
"""

import numpy as np

from pipeline.convert.common import intrinsics, project
from pipeline.errors import InputError
from pipeline.joints import index

TRUNK = (0.25, 0.9)  # metres from pelvis to neck, children to giants
SQUARENESS = 0.8  # smallest ratio of the two focal lengths


def check_metres(joints: np.ndarray, joint_set: str, where: object, field: str) -> None:
    """Check that 3D joints are in metres: the distance from pelvis to neck tells.

    Args:
        joints: (N, J, 3), in what should be metres after conversion.
        joint_set: of the joints.
        where: for errors.
        field: for errors.

    Raises:
        InputError: if the median distance is no human's.
    """
    trunk = joints[:, index(joint_set, "neck")] - joints[:, index(joint_set, "pelvis")]
    median = float(np.median(np.linalg.norm(trunk, axis=-1))) if len(joints) else 0.5
    if not TRUNK[0] < median < TRUNK[1]:
        saw = f"pelvis and neck {1000 * median:.4g} mm apart"
        expected = f"{1000 * TRUNK[0]:g} to {1000 * TRUNK[1]:g}, coordinates in millimetres"
        raise InputError(where, field, saw, expected)


def check_projection(
    points: np.ndarray, pixels: np.ndarray, K: np.ndarray, allowed: float, where: object
) -> float:
    """Check that 3D joints of the camera frame fall on their own 2D joints.

    Args:
        points: (N, J, 3) metres, camera frame.
        pixels: (N, J, 2).
        K: (3, 3) or (N, 3, 3).
        allowed: largest median distance, pixels.
        where: for errors.

    Returns:
        The median distance in pixels.

    Raises:
        InputError: if it is larger, or people are behind the camera.
    """
    if not len(points):
        return 0.0
    if not (np.median(points[..., 2], axis=1) > 0).mean() > 0.5:
        raise InputError(where, "3D joints", "people behind the camera", "z pointing forwards")
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.linalg.norm(project(points, K) - pixels, axis=-1)
    median = float(np.median(np.nan_to_num(apart, nan=np.inf)))
    if not median <= allowed:
        saw = f"3D joints that K projects {median:.3g} px from the 2D joints"
        expected = f"at most {allowed:.3g} px, 3D in the camera's own frame"
        raise InputError(where, "2D and 3D joints", saw, expected)
    return median


def fit_intrinsics(points: np.ndarray, pixels: np.ndarray, where: object) -> np.ndarray:
    """Return the K that explains 2D joints by 3D joints of the camera frame, by least squares.

    u = fx X/Z + cx and v = fy Y/Z + cy are linear in the four numbers.

    Args:
        points: (N, J, 3) metres, camera frame.
        pixels: (N, J, 2).
        where: for errors.

    Returns:
        (3, 3) pixels.

    Raises:
        InputError: if the joints do not fix a camera, or it is none: mirrored or far from
            having square pixels.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        rays = (points[..., :2] / points[..., 2:]).reshape(-1, 2)
    seen = pixels.reshape(-1, 2)
    kept = np.isfinite(rays).all(1)
    focal, principal = [], []
    for axis in (0, 1):
        columns = np.column_stack([rays[kept, axis], np.ones(kept.sum())])
        solution, _, rank, _ = np.linalg.lstsq(columns, seen[kept, axis], rcond=None)
        if rank < 2:
            raise InputError(where, "annot3", "joints on one ray", "enough to fit a camera")
        focal.append(float(solution[0]))
        principal.append(float(solution[1]))
    if min(focal) <= 0 or min(focal) < SQUARENESS * max(focal):
        saw = f"focal lengths {focal[0]:.4g} and {focal[1]:.4g} px by least squares"
        raise InputError(where, "2D and 3D joints", saw, "two positive, nearly equal ones")
    return intrinsics(focal, principal)


def box_sides(pixels: np.ndarray) -> np.ndarray:
    """Return the larger side of the boxes around 2D joints (N, J, 2), (N,) pixels."""
    return np.ptp(pixels, axis=1).max(1)
