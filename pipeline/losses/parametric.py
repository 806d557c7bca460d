"""Losses on body parameters, 3D joints and their projections (HMR, SPIN, PyMAF)."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.joints import index
from pipeline.losses.terms import (
    check_preset,
    difference_where,
    hip_centred,
    mean_of_samples,
    weight_of,
)

OFFICIAL_SLOTS = 49  # OpenPose's 25 and the 24 joints; the former always have confidence zero
HIPS = (index("spin24", "r_hip_lsp"), index("spin24", "l_hip_lsp"))


@dataclass(frozen=True)
class Preset:
    """What the two readings differ in.

    Attributes:
        slots: joints that the 2D mean is taken over; None for those that are labelled. With 49
            slots, of which 24 can be labelled, the effective weight is 24/49 of the nominal one.
        labelled: whether the 3D mean too is taken over the labelled joints only.
        camera: whether there is a prior that keeps the scale positive.
    """

    slots: int | None
    labelled: bool
    camera: bool


PRESETS = {
    "official": Preset(slots=OFFICIAL_SLOTS, labelled=False, camera=True),
    "paper": Preset(slots=None, labelled=True, camera=False),
}


def parametric_losses(
    output: dict, batch: dict, weights: Mapping, preset: str = "official"
) -> dict[str, Tensor]:
    """Losses of all supervised iterations, summed.

    Args:
        output: a parametric network's; `iterations` with rotmats, betas, cam, joints (metres),
            keypoints_2d ([-1, 1]).
        batch: keypoints_2d (B, 24, 3) and joints_3d (B, 24, 4), both spin24 with confidence or
            validity last; rotmats (B, 24, 3, 3), betas (B, 10), has_smpl (B,).
        weights: keypoints_2d, keypoints_3d, pose, betas and, officially, camera (1 by default).
        preset: "official" (PyMAF's trainer) or "paper" (PyMAF, Eq. 2: no camera prior, means
            over the labelled joints).

    Returns:
        Weighted scalars under the weights' names.

    Source: PyMAF, Eq. 2, and the trainer released with it.
    """
    check_preset(preset, PRESETS)
    form = PRESETS[preset]
    total: dict[str, Tensor] = {}
    for body in output["iterations"]:
        for name, value in _terms(body, batch, form).items():
            default = 1.0 if name == "camera" else None
            value = weight_of(weights, name, default) * value
            total[name] = total[name] + value if name in total else value
    return total


def _terms(body: dict, batch: dict, form: Preset) -> dict[str, Tensor]:
    valid = batch["has_smpl"].bool()
    terms = {
        "keypoints_2d": keypoints_2d_loss(body["keypoints_2d"], batch["keypoints_2d"], form.slots),
        "keypoints_3d": keypoints_3d_loss(body["joints"], batch["joints_3d"], form.labelled),
        "pose": _mean_square(body["rotmats"], batch["rotmats"], valid),
        "betas": _mean_square(body["betas"], batch["betas"], valid),
    }
    if form.camera:
        terms["camera"] = camera_prior(body["cam"])
    return terms


def keypoints_2d_loss(predicted: Tensor, target: Tensor, slots: int | None) -> Tensor:
    """Squared error in crop units, weighted by confidence.

    Args:
        predicted: (B, K, 2).
        target: (B, K, 3), confidence last.
        slots: the mean is over B x slots x 2 numbers, labelled or not; None: over labelled ones.
    """
    confidence = target[..., 2:]
    difference = difference_where(target[..., 2] > 0, predicted, target[..., :2])
    errors = difference.square() * confidence
    if slots is not None:
        return errors.sum() / (len(errors) * slots * 2)
    return errors.sum() / (2 * confidence.sum()).clamp(min=1)


def keypoints_3d_loss(predicted: Tensor, target: Tensor, labelled: bool) -> Tensor:
    """Squared error in metres after moving the mid-hip of both to the origin.

    Args:
        predicted: (B, 24, 3) spin24.
        target: (B, 24, 4), validity last. A sample counts if both hips are valid.
        labelled: mean over the valid joints; otherwise over all joints of samples that count.
    """
    samples = (target[:, HIPS, 3] > 0).all(1)
    validity = target[..., 3:] * samples[:, None, None]
    difference = difference_where(
        validity[..., 0] > 0, hip_centred(predicted, HIPS), hip_centred(target[..., :3], HIPS)
    )
    errors = difference.square() * validity
    if labelled:
        return errors.sum() / (3 * validity.sum()).clamp(min=1)
    return mean_of_samples(errors, samples)


def camera_prior(cam: Tensor) -> Tensor:
    """Mean of exp(-10 s)^2, which only matters while a scale is near or below zero."""
    return torch.exp(-10 * cam[:, 0]).square().mean()


def _mean_square(predicted: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    return mean_of_samples(difference_where(valid, predicted, target).square(), valid)
