"""The mean body, whatever the image: the floor that every network has to beat."""

from dataclasses import dataclass

from torch import Tensor

from pipeline.body.assets import BodyAssets
from pipeline.models.parametric import Estimate, ParametricBody, ParametricNetwork
from pipeline.models.settings import read_settings


@dataclass(frozen=True)
class MeanPoseSettings:
    """Nothing to choose but the crop's size, which the camera refers to."""

    kind: str = "mean_pose"
    image_size: int = 224


class MeanPose(ParametricNetwork):
    """Predicts the mean parameters of the body's assets; has no weights."""

    def __init__(self, options: MeanPoseSettings, assets: BodyAssets) -> None:
        super().__init__()
        self.body = ParametricBody(assets, options.image_size)

    def estimates(self, image: Tensor) -> list[Estimate]:
        """The mean parameters alone."""
        return [self.body.initial(len(image))]

    def forward(self, image: Tensor) -> dict[str, list[dict[str, Tensor]]]:
        """`iterations`: the mean body, once."""
        return {"iterations": [self.body(estimate) for estimate in self.estimates(image)]}


def build(settings: dict, assets: BodyAssets, where: str = "network") -> MeanPose:
    """The network that `settings` describe."""
    return MeanPose(read_settings(MeanPoseSettings, settings, where), assets)
