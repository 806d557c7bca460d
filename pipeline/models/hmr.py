"""HMR with 6D rotations: one global feature, one regressor, three updates (PyMAF's baseline)."""

from dataclasses import dataclass, field

from torch import Tensor

from pipeline.body.assets import BodyAssets
from pipeline.models.parametric import (
    Estimate,
    ParameterRegressor,
    ParametricBody,
    ParametricNetwork,
)
from pipeline.models.resnet import BackboneSettings, ResNet
from pipeline.models.settings import choice, read_settings


@dataclass(frozen=True)
class HMRSettings:
    """`supervise`: which updates the losses see; "all" is the "Global" row of PyMAF, Table 4."""

    kind: str = "hmr"
    image_size: int = 224
    backbone: BackboneSettings = field(default_factory=BackboneSettings)
    hidden: int = 1024
    dropout: float = 0.5
    iterations: int = 3
    supervise: str = choice("last", "all")


class HMR(ParametricNetwork):
    """Iterative error feedback from a pooled feature.

    Source: HMR (Kanazawa et al. 2018) as SPIN and PyMAF's "Baseline" have it. 26,977,501
    parameters at depth 50. Gradients flow through all updates.
    """

    def __init__(self, options: HMRSettings, assets: BodyAssets) -> None:
        super().__init__()
        self.options = options
        self.backbone = ResNet(options.backbone.depth, options.backbone.width)
        self.regressor = ParameterRegressor(
            self.backbone.channels, options.hidden, options.dropout
        )
        self.body = ParametricBody(assets, options.image_size)

    def estimates(self, image: Tensor) -> list[Estimate]:
        """Mean parameters and the estimate after each update, for (B, 3, S, S) images."""
        features = self.backbone(image).mean((2, 3))
        estimates = [self.body.initial(len(image))]
        for _ in range(self.options.iterations):
            estimates.append(self.regressor(features, estimates[-1]))
        return estimates

    def forward(self, image: Tensor) -> dict[str, list[dict[str, Tensor]]]:
        """`iterations`: the bodies of the supervised updates, the final one last."""
        updates = self.estimates(image)[1:]
        if self.options.supervise == "last":
            updates = updates[-1:]
        return {"iterations": [self.body(estimate) for estimate in updates]}


def build(settings: dict, assets: BodyAssets, where: str = "network") -> HMR:
    """The network that `settings` describe."""
    return HMR(read_settings(HMRSettings, settings, where), assets)
