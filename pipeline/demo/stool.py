"""Furniture that fits a person: a stool under someone who sits."""

import numpy as np


def stool_for(seat: np.ndarray) -> np.ndarray:
    """Return the box (6,) of a stool, low and high corner, z up, metres.

    Args:
        seat: (N, n, 3) the vertices that rest on it, over the frames of a sequence.
    """
    centre = seat[..., :2].mean((0, 1))
    top = np.percentile(seat[..., 2].min(1), 20) - 0.005
    half = np.array([0.2, 0.2])
    return np.array([*(centre - half), 0.0, *(centre + half), max(top, 0.1)])
