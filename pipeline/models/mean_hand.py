"""The mean hand, whatever the image: the floor that every network of hands has to beat."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.body.assets import BodyAssets
from pipeline.body.hands import right_hand
from pipeline.models.settings import read_settings

FILLED = 0.5  # of the crop, by the hand's largest extent, in the camera that comes with it


@dataclass(frozen=True)
class MeanHandSettings:
    """Nothing to choose but the crop's size."""

    kind: str = "mean_hand"
    image_size: int = 224


class MeanHand(nn.Module):
    """Predicts the right hand of mean shape in the model's mean pose; has no weights.

    The palm's orientation is the model's own: the protocols of hands align each sample.
    """

    def __init__(self, options: MeanHandSettings, assets: BodyAssets) -> None:
        super().__init__()
        self.options = options
        hand = right_hand(assets.hand_models)
        betas = np.zeros((1, hand.model.shapedirs.shape[2]))
        vertices, joints = hand.pose(np.zeros((1, 3)), hand.mean[None], betas)
        rooted = torch.from_numpy(vertices[0] - joints[0, 0]).float()
        low, high = rooted[:, :2].amin(0), rooted[:, :2].amax(0)
        scale = 2 * FILLED / (high - low).max()
        cam = torch.cat([scale[None], -(low + high) / 2])
        self.register_buffer("vertices", rooted, persistent=False)
        self.register_buffer("cam", cam, persistent=False)

    def predict(self, image: Tensor) -> dict[str, Tensor]:
        """`vertices` (B, 778, 3) in metres from the wrist, and the `cam` that centres them."""
        batch = len(image)
        return {"vertices": self.vertices.expand(batch, -1, -1), "cam": self.cam.expand(batch, 3)}


def build(settings: dict, assets: BodyAssets, where: str = "network") -> MeanHand:
    """The network that `settings` describe."""
    return MeanHand(read_settings(MeanHandSettings, settings, where), assets)
