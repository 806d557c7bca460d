"""Test-time augmentation of METRO: a hand is seen turned and scaled, the meshes are averaged.

Every mesh is aligned to that of the image as it is, which undoes turn and scale, and the mean is
taken over all, it included. METRO turns by -90 to 90 degrees in steps of 10 and scales the crop by
0.7 to 1.1 in steps of 0.1. MPT does not say whether it does so; our `freihand` does not.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.errors import InputError
from pipeline.evaluation.hands import align


def views(image: Tensor, settings: Mapping) -> list[Tensor]:
    """Return images (B, 3, S, S) turned and scaled about their middle, the plain one first.

    Outside the image stands its mean colour, zero after normalisation.

    Args:
        image: (B, 3, S, S).
        settings: scales (of the crop: above 1 makes the hand smaller) and rotations_deg, of which
            all pairs are made; scale 1 at 0 degrees comes first whether it is among them or not.

    Raises:
        InputError: if a list is empty or a scale is not positive.
    """
    scales, degrees = settings["scales"], settings["rotations_deg"]
    for key, values in (("scales", scales), ("rotations_deg", degrees)):
        if not values or (key == "scales" and min(values) <= 0):
            raise InputError("evaluation", f"test_time.{key}", values, "numbers, scales above 0")
    changes = [(s, d) for s in scales for d in degrees if (s, d) != (1, 0)]
    return [image, *(_changed(image, scale, np.deg2rad(turn)) for scale, turn in changes)]


def _changed(image: Tensor, scale: float, angle: float) -> Tensor:
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    matrix = torch.tensor([[cos, sin, 0.0], [-sin, cos, 0.0]], dtype=image.dtype)
    matrix = matrix.to(image.device).expand(len(image), 2, 3)
    grid = nn.functional.affine_grid(matrix, list(image.shape), align_corners=False)
    return nn.functional.grid_sample(image, grid, align_corners=False)


def averaged(meshes: list[np.ndarray]) -> np.ndarray:
    """Return the mean of predictions (B, V, 3), each aligned to the first."""
    first = meshes[0]
    aligned = [
        np.stack([align(mesh, plain) for mesh, plain in zip(other, first, strict=True)])
        for other in meshes[1:]
    ]
    return np.mean([first, *aligned], axis=0)


class Averaged(nn.Module):
    """A network of hands whose predictions are averaged over the changed images."""

    def __init__(self, network: nn.Module, settings: Mapping) -> None:
        super().__init__()
        self.network, self.settings = network, settings

    def predict(self, image: Tensor) -> dict[str, Tensor]:
        """`vertices` (B, V, 3) in the frame of the image as it is, and its `cam`."""
        predicted = [self.network.predict(view) for view in views(image, self.settings)]
        meshes = [part["vertices"].double().cpu().numpy() for part in predicted]
        return {**predicted[0], "vertices": torch.from_numpy(averaged(meshes))}
