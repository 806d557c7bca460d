"""Train a network that predicts body parameters (HMR, PyMAF; the mean pose as it is)."""

from torch import Tensor, nn

from pipeline.body.assets import BodyAssets
from pipeline.losses import iuv_losses, parametric_losses
from pipeline.objectives.atlas import atlas_flip
from pipeline.objectives.images import BodyObjective
from pipeline.objectives.sources import Sources


class ParametricObjective(BodyObjective):
    """Joints, projections and parameters of every supervised estimate; IUV where asked for."""

    def losses(self, network: nn.Module, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """Weighted terms of a batch."""
        output = network(batch["image"])
        terms = parametric_losses(output, batch, self.weights, self.preset)
        if "iuv" in output:
            terms |= iuv_losses(output["iuv"], batch, self.weights, self.preset)
        return terms


def build(
    settings: dict, network: nn.Module, assets: BodyAssets, sources: Sources
) -> ParametricObjective:
    """The objective of a run; IUV is read only by networks with an auxiliary head."""
    item = {}
    if settings["training"]["steps"] and settings["network"].get("auxiliary", "none") != "none":
        item = {"iuv_size": settings["loss"]["iuv_size"], "iuv_flip": atlas_flip(assets)}
    return ParametricObjective(settings, network, assets, sources, item)
