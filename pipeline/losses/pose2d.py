"""Heatmap regression of 2D pose networks."""

from collections.abc import Mapping

import torch
from torch import Tensor

from pipeline.cameras import ndc_to_pixels
from pipeline.losses.terms import weight_of
from pipeline.synthesis.heatmaps import heatmaps


def pose2d_loss(output: dict, keypoints: Tensor, weights: Mapping) -> dict[str, Tensor]:
    """Half the mean squared error between predicted and Gaussian maps.

    Args:
        output: `maps`, one or more (B, C, S, S); the first K channels are heatmaps.
        keypoints: (B, K, 3) in [-1, 1] with confidence; joints without confidence have no
            target and count as zero error, and so do joints outside the crop.
        weights: sigma, in cells of each map; heatmaps, the term's weight (1 by default).

    Returns:
        `heatmaps`, the mean over the maps.

    Source: Xiao et al. 2018 (released code). Departure: the Gaussian is centred at the joint, not
    at the nearest cell, and not truncated.
    """
    visible = (keypoints[..., 2] > 0) & (keypoints[..., :2].abs() <= 1).all(-1)
    amplitude = visible.float()
    sigma = weight_of(weights, "sigma")
    total = keypoints.new_zeros(())
    for maps in output["maps"]:
        maps = maps[:, : keypoints.shape[1]].float()
        size = maps.shape[-1]
        centres = ndc_to_pixels(keypoints[..., :2].float(), size)
        target = heatmaps(centres, amplitude, size, sigma, "gaussian")
        errors = torch.where(visible[..., None, None], maps - target, 0.0).square()
        total = total + 0.5 * errors.mean()
    return {"heatmaps": weight_of(weights, "heatmaps", 1.0) * total / len(output["maps"])}
