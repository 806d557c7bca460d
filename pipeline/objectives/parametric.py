"""Train a network that predicts body parameters (HMR, PyMAF; the mean pose as it is)."""

from torch import Tensor, nn

from pipeline.body.assets import BodyAssets
from pipeline.losses import iuv_losses, parametric_losses
from pipeline.losses.parametric import HIPS
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

    def label_counts(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Denominators of the terms' means, see `parametric_losses` and `iuv_losses`."""
        bodies, joints = batch["has_smpl"].sum(), batch["joints_3d"]
        centred = (joints[:, HIPS, 3] > 0).all(1)
        counts = {"pose": bodies, "betas": bodies, "keypoints_3d": centred.sum()}
        if self.preset == "paper":
            counts["keypoints_3d"] = (joints[..., 3] * centred[:, None]).sum()
            counts["keypoints_2d"] = batch["keypoints_2d"][..., 2].sum()
        if "has_iuv" in batch:
            counts |= dict.fromkeys(("iuv_index", "iuv_annotation"), batch["has_iuv"].sum())
        return counts


def build(
    settings: dict, network: nn.Module, assets: BodyAssets, sources: Sources
) -> ParametricObjective:
    """The objective of a run; IUV is read only by networks with an auxiliary head."""
    item = {}
    if settings["training"]["steps"] and settings["network"].get("auxiliary", "none") != "none":
        item = {"iuv_size": settings["loss"]["iuv_size"], "iuv_flip": atlas_flip(assets)}
    return ParametricObjective(settings, network, assets, sources, item)
