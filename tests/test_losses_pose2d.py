import math

import pytest
import torch

from pipeline.losses import pose2d_loss


def test_against_a_loop() -> None:
    """Joint 0 at the centre of cell (3, 1), joint 1 unlabelled, joint 2 outside."""
    keypoints = torch.tensor([[[2 * 3.5 / 8 - 1, 2 * 1.5 / 8 - 1, 1.0], [0, 0, 0], [1.5, 0, 1.0]]])
    maps = torch.full((1, 3, 8, 8), 0.25)
    total = 0.0
    for row in range(8):
        for column in range(8):
            target = math.exp(-((column - 3) ** 2 + (row - 1) ** 2) / (2 * 2.0**2))
            total += (0.25 - target) ** 2
    found = pose2d_loss({"maps": [maps]}, keypoints, {"sigma": 2.0})
    assert list(found) == ["heatmaps"]
    assert found["heatmaps"].item() == pytest.approx(0.5 * total / (3 * 8 * 8), rel=1e-5)


def test_scales_are_averaged_and_tags_ignored() -> None:
    keypoints = torch.tensor([[[0.0, 0.0, 1.0]]])
    quarter, half = torch.randn(1, 2, 4, 4), torch.randn(1, 1, 8, 8)
    both = pose2d_loss({"maps": [quarter, half]}, keypoints, {"sigma": 2.0, "heatmaps": 3.0})
    apart = [
        pose2d_loss({"maps": [m]}, keypoints, {"sigma": 2.0})["heatmaps"]
        for m in (quarter[:, :1], half)
    ]
    torch.testing.assert_close(both["heatmaps"], 3 * sum(apart) / 2)


def test_nothing_labelled_gives_zero_gradient() -> None:
    maps = torch.randn(2, 5, 8, 8, requires_grad=True)
    keypoints = torch.zeros(2, 5, 3)
    pose2d_loss({"maps": [maps]}, keypoints, {"sigma": 2.0})["heatmaps"].backward()
    assert maps.grad.eq(0).all()
