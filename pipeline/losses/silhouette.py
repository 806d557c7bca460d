"""Regression of silhouettes by segmentation networks."""

import torch
from torch import Tensor


def silhouette_loss(output: dict, part: Tensor, labelled: Tensor) -> dict[str, Tensor]:
    """Half the mean squared error between the predicted map and the outline, which is 0 or 1.

    Squared as for the heatmaps of pose networks, and without a sigmoid, so that a map is fed to
    the mesh transformer as it is and has the range of a synthetic silhouette.

    Args:
        output: `maps`, one (B, 1, S, S).
        part: (B, S, S) body part of each cell, 0 for background.
        labelled: (B,) samples without a label count as zero error.
    """
    (maps,) = output["maps"]
    target = (part > 0).to(torch.float32)[:, None]
    errors = torch.where(labelled.bool()[:, None, None, None], maps.float() - target, 0.0)
    return {"mask": 0.5 * errors.square().mean()}
