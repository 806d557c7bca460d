"""Train a 2D pose network on heatmaps of the COCO joints, or of the 21 of a hand."""

import torch
from torch import Tensor, nn

from pipeline.body.assets import BodyAssets
from pipeline.data.dataset import RecordsDataset
from pipeline.errors import InputError
from pipeline.losses import pose2d_loss
from pipeline.objectives.images import VALIDATION_BATCH, ImageObjective, plain_batches
from pipeline.objectives.sources import Sources

# in the batch
KEYPOINTS = {"coco17": "keypoints_coco", "spin24": "keypoints_2d", "freihand21": "keypoints_2d"}


class Pose2dObjective(ImageObjective):
    """Squared error of the maps of labelled joints."""

    def __init__(self, *args: object) -> None:
        """Open the records, see `ImageObjective`."""
        super().__init__(*args)
        self.score = "loss" if self.validation else None
        joint_set = self.settings["network"]["joint_set"]
        if joint_set not in KEYPOINTS:
            raise InputError("network", "joint_set", joint_set, " or ".join(KEYPOINTS))
        self.key = KEYPOINTS[joint_set]

    def losses(self, network: nn.Module, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """Weighted terms of a batch."""
        return pose2d_loss(network(batch["image"]), batch[self.key], self.weights)

    @torch.no_grad()
    def validate(self, network: nn.Module) -> dict[str, float]:
        """Mean loss on the validation records."""
        dataset = RecordsDataset(self.validation, None, {"image_size": self.size}, train=False)
        device, total = next(network.parameters()).device, 0.0
        for batch in plain_batches(dataset, VALIDATION_BATCH):
            image = batch["image"].to(device)
            terms = pose2d_loss(network(image), batch[self.key].to(device), self.weights)
            total += len(image) * float(sum(terms.values()))
        return {"loss": total / len(dataset)}


def build(
    settings: dict, network: nn.Module, assets: BodyAssets, sources: Sources
) -> Pose2dObjective:
    """The objective of a run."""
    return Pose2dObjective(settings, network, assets, sources)
