"""Train a network that predicts body parameters (HMR, PyMAF; the mean pose as it is)."""

import torch
from torch import Tensor, nn

from pipeline.body.assets import BodyAssets
from pipeline.cameras import estimate_translation, translation_to_cam
from pipeline.losses import iuv, iuv_losses, parametric, parametric_losses
from pipeline.losses.parametric import HIPS
from pipeline.models.parametric import FOCAL, Estimate, ParametricBody
from pipeline.objectives.atlas import atlas_flip
from pipeline.objectives.images import BodyObjective
from pipeline.objectives.sources import Sources
from pipeline.rotations import matrix_to_rotation_6d


class ParametricObjective(BodyObjective):
    """Joints, projections and parameters of every supervised estimate; IUV where asked for."""

    def losses(self, network: nn.Module, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """Weighted terms of a batch."""
        output = network(batch["image"])
        batch = batch | self._cameras(batch)
        terms = parametric_losses(output, batch, self.weights, self.preset)
        if "iuv" in output:
            terms |= iuv_losses(output["iuv"], batch, self.weights, self.preset)
        return terms

    def label_counts(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Denominators of the terms' means, see `parametric_losses` and `iuv_losses`."""
        form = parametric.reading(self.preset, self.weights)
        bodies, joints = batch["has_smpl"].sum(), batch["joints_3d"]
        centred = (joints[:, HIPS, 3] > 0).all(1)
        counts = {"pose": bodies, "betas": bodies, "keypoints_3d": centred.sum()}
        if form.mean_3d == "labelled":
            counts["keypoints_3d"] = (joints[..., 3] * centred[:, None]).sum()
        if form.mean_2d == "labelled":
            counts["keypoints_2d"] = batch["keypoints_2d"][..., 2].sum()
        if form.camera_term == "supervised":
            counts["camera"] = self._cameras(batch)["has_cam"].sum()
        if "has_iuv" in batch:
            names = ["iuv_index", "iuv_annotation"]
            if iuv.reading(self.preset, self.weights).uv_mean == "labelled":
                names += ["iuv_u", "iuv_v"]
            counts |= dict.fromkeys(names, batch["has_iuv"].sum())
        return counts

    def _cameras(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """`cam` (B, 3) and `has_cam` (B,) where the camera is supervised, else nothing."""
        if parametric.reading(self.preset, self.weights).camera_term != "supervised":
            return {}
        return fitted_cameras(self.network.body, batch)


@torch.no_grad()
def fitted_cameras(body: ParametricBody, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The cameras that best project labelled bodies onto their 2D joints.

    The body is the neutral one, as the predictions are.

    Args:
        body: of the network.
        batch: rotmats, betas, has_smpl, keypoints_2d as in `parametric_losses`.

    Returns:
        cam (B, 3) as (s, tx, ty); has_cam (B,): whether there is a body, and enough joints.
    """
    estimate = Estimate(
        matrix_to_rotation_6d(batch["rotmats"]).flatten(1), batch["betas"],
        batch["betas"].new_tensor([[1.0, 0, 0]]).expand(len(batch["betas"]), 3),
    )  # fmt: skip
    points, size = batch["keypoints_2d"], body.image_size
    shift = estimate_translation(
        body(estimate)["joints"], points[..., :2] * size / 2, points[..., 2], FOCAL, 0.0
    )
    cam = translation_to_cam(shift, FOCAL, size)
    good = batch["has_smpl"].bool() & torch.isfinite(cam).all(1) & (cam[:, 0] > 0)
    return {"cam": torch.where(good[:, None], cam, 0.0), "has_cam": good}


def build(
    settings: dict, network: nn.Module, assets: BodyAssets, sources: Sources
) -> ParametricObjective:
    """The objective of a run; IUV is read only by networks with an auxiliary head."""
    item = {}
    if settings["training"]["steps"] and settings["network"].get("auxiliary", "none") != "none":
        item = {"iuv_size": settings["loss"]["iuv_size"], "iuv_flip": atlas_flip(assets)}
    return ParametricObjective(settings, network, assets, sources, item)
