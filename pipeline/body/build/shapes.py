"""Shape spaces: a mean and ten principal directions scaled to unit variance."""

import numpy as np

_REFLECT = np.array([-1.0, 1.0, 1.0])
_PELVIS = np.array([0.0, -0.22, 0.03])  # where SMPL's templates have it
BETAS = 10


def centre(
    vertices: np.ndarray, joints: np.ndarray, mirror: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Make sampled T-poses symmetric and put the mean of their vertices at the origin."""
    vertices = (vertices + vertices[:, mirror] * _REFLECT) / 2
    middle = vertices.mean(1, keepdims=True)
    return vertices - middle, joints - middle


def shape_space(
    vertices: np.ndarray, count: int = BETAS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean (V, 3), directions (V, 3, count) for betas ~ N(0, 1), explained variance (count,).

    Args:
        vertices: (N, V, 3) samples in one pose.
        count: number of directions; each points towards the taller body.
    """
    mean = vertices.mean(0)
    flat = (vertices - mean).reshape(len(vertices), -1)
    _, values, rows = np.linalg.svd(flat, full_matrices=False)
    deviation = values / np.sqrt(len(vertices) - 1)
    directions = (rows[:count] * deviation[:count, None]).reshape(count, -1, 3)
    for direction in directions:
        if np.ptp((mean + direction)[:, 1]) < np.ptp((mean - direction)[:, 1]):
            direction *= -1
    explained = deviation[:count] ** 2 / (deviation**2).sum()
    return mean, directions.transpose(1, 2, 0), explained


def place_pelvis(template: np.ndarray, regressor: np.ndarray) -> np.ndarray:
    """Template moved so that the pelvis lies where SMPL has it, (V, 3)."""
    shift = _PELVIS - regressor[0] @ template
    return template + shift * [0, 1, 1]
