"""Train a segmentation network on the outlines of rendered bodies (MPT, Supp. Table 4)."""

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.body.assets import BodyAssets
from pipeline.errors import InputError
from pipeline.losses.silhouette import silhouette_loss
from pipeline.models.resnet import STRIDE
from pipeline.objectives.images import ImageObjective
from pipeline.objectives.sources import Sources

PARTS = 25  # background and 24
NO_SWAP = np.arange(PARTS), np.zeros(PARTS, bool)  # a mirrored part is foreground all the same


class SilhouetteObjective(ImageObjective):
    """Foreground of samples whose body is known; the others count for nothing."""

    def losses(self, network: nn.Module, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """Weighted terms of a batch."""
        return silhouette_loss(network(batch["image"]), batch["part"], batch["has_iuv"])

    @torch.no_grad()
    def validate(self, network: nn.Module) -> dict[str, float]:
        """Not called: there is no score."""
        raise InputError("--records", "validation", "a validation split", "none for silhouettes")


def build(
    settings: dict, network: nn.Module, assets: BodyAssets, sources: Sources
) -> SilhouetteObjective:
    """The objective of a run.

    Raises:
        InputError: if the network does not give one map.
    """
    options = settings["network"]
    if options.get("output") != "silhouette":
        raise InputError("network", "output", options.get("output"), "silhouette")
    size = options["image_size"] // STRIDE * 2 ** len(options["deconv"])
    item = {"iuv_size": size, "iuv_flip": NO_SWAP}
    return SilhouetteObjective(settings, network, assets, sources, item)
