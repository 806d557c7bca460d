"""What a mirrored image does to the charts of the surface atlas."""

import numpy as np

from pipeline.body.parts import PARTS24, flip_parts24


def flip_parts() -> np.ndarray:
    """Return the chart (25,) that each chart id becomes in a mirrored image; its own inverse."""
    return flip_parts24()


def mirrored_u() -> np.ndarray:
    """Return the charts (25,) bool whose U becomes 1 - U in a mirrored image.

    Holds for the open atlas only: its limb, hand, foot and head charts have equal (U, V) at
    mirrored points, the two torso charts span both sides. The charts of DensePose's own atlas
    are not symmetric (its UV_symmetry_transforms.mat holds a table per chart): with it, the IUV
    image of a flipped picture has to be rendered from the flipped mesh.
    """
    return np.array([name.startswith("torso") for name in PARTS24])
