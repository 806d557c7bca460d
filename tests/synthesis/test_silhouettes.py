"""Silhouettes of meshes: which pixels they cover."""

import numpy as np
import torch

from pipeline.synthesis.silhouettes import silhouettes

# A tetrahedron whose front face looks at the camera (y down): counter-clockwise in a y-up frame.
FACES = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]], np.int32)


def test_a_triangle_covers_the_pixels_whose_centres_lie_in_it() -> None:
    corners = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [-0.5, -0.5]])
    (found,) = silhouettes(corners[None], FACES, 8)[0]
    row, column = np.mgrid[:8, :8] + 0.5
    inside = torch.from_numpy(row + column <= 8)
    assert (found == inside).all() and found.dtype == torch.float32


def test_each_sample_has_its_own_and_what_leaves_the_crop_is_cut() -> None:
    corners = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [-0.5, -0.5]])
    batch = torch.stack([corners, corners + 1.0, corners + 5.0])
    found = silhouettes(batch, FACES, 8)
    assert found.shape == (3, 1, 8, 8)
    assert (found[1, 0, 4:, 4:] == found[0, 0, :4, :4]).all() and not found[1, 0, :4].any()
    assert not found[2].any()
