"""Losses on body parameters, 3D joints and their projections (HMR, SPIN, PyMAF)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pipeline.joints import index
from pipeline.losses.terms import (
    centred,
    difference_where,
    mean_of_samples,
    reading_of,
    weight_of,
)

SLOTS = 49  # OpenPose's 25 joints, whose confidence the trainer multiplies by zero, and the 24
HIPS = (index("spin24", "r_hip_lsp"), index("spin24", "l_hip_lsp"))


@dataclass(frozen=True)
class Preset:
    """How Eq. 2 is read; each switch may be set next to the weights.

    Attributes:
        mean_2d: the squared 2D error is averaged over all "slots" (49 joints a sample, of which
            24 can be labelled: the effective weight is 24/49 of the nominal one and shrinks with
            every joint that is missing) or over the "labelled" joints.
        mean_3d: the same for "all" 24 joints of the samples with 3D joints, or the "labelled".
        parameters: "mean" over the numbers of pose, betas and camera, or the squared "norm" of
            Eq. 2, their sum (24 x 9, 10 and 3 numbers); always a mean over labelled samples.
        camera_term: "prior" that keeps the scale positive; "supervised" by the camera that best
            projects the labelled body onto the 2D joints, for Eq. 2's Theta holds the camera;
            "none".
    """

    mean_2d: Literal["slots", "labelled"]
    mean_3d: Literal["all", "labelled"]
    parameters: Literal["mean", "norm"]
    camera_term: Literal["prior", "supervised", "none"]


PRESETS = {
    "official": Preset("slots", "all", "mean", "prior"),
    "paper": Preset("labelled", "labelled", "mean", "none"),
}


def reading(preset: str, options: Mapping) -> Preset:
    """The readings of a loss's settings, see `reading_of`."""
    return reading_of(PRESETS, preset, options)


def parametric_losses(
    output: dict, batch: dict, weights: Mapping, preset: str = "official"
) -> dict[str, Tensor]:
    """Losses of all supervised iterations, summed.

    Args:
        output: a parametric network's; `iterations` with rotmats, betas, cam, joints (metres),
            keypoints_2d ([-1, 1]).
        batch: keypoints_2d (B, 24, 3) and joints_3d (B, 24, 4), both spin24 with confidence or
            validity last; rotmats (B, 24, 3, 3), betas (B, 10), has_smpl (B,); for a supervised
            camera cam (B, 3) and has_cam (B,).
        weights: keypoints_2d, keypoints_3d, pose, betas and camera (1 by default; 60 in SPIN and
            PARE), and switches of `Preset`.
        preset: "official" (PyMAF's trainer) or "paper" (PyMAF, Eq. 2: means over the labelled
            joints; no dataset labels the camera).

    Returns:
        Weighted scalars under the weights' names.

    Source: PyMAF, Eq. 2, and the trainer released with it.
    """
    form = reading(preset, weights)
    total: dict[str, Tensor] = {}
    for body in output["iterations"]:
        for name, value in _terms(body, batch, form).items():
            default = 1.0 if name == "camera" else None
            value = weight_of(weights, name, default) * value
            total[name] = total[name] + value if name in total else value
    return total


def _terms(body: dict, batch: dict, form: Preset) -> dict[str, Tensor]:
    slots = SLOTS if form.mean_2d == "slots" else None
    labelled = form.mean_3d == "labelled"
    terms = {
        "keypoints_2d": keypoints_2d_loss(body["keypoints_2d"], batch["keypoints_2d"], slots),
        "keypoints_3d": keypoints_3d_loss(body["joints"], batch["joints_3d"], labelled),
    }
    pairs = {"pose": ("rotmats", "has_smpl"), "betas": ("betas", "has_smpl")}
    if form.camera_term == "supervised":
        pairs["camera"] = ("cam", "has_cam")
    elif form.camera_term == "prior":
        terms["camera"] = camera_prior(body["cam"])
    for name, (key, label) in pairs.items():
        terms[name] = _square(body[key], batch[key], batch[label].bool(), form.parameters)
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
        validity[..., 0] > 0, centred(predicted, HIPS), centred(target[..., :3], HIPS)
    )
    errors = difference.square() * validity
    if labelled:
        return errors.sum() / (3 * validity.sum()).clamp(min=1)
    return mean_of_samples(errors, samples)


def camera_prior(cam: Tensor) -> Tensor:
    """Mean of exp(-10 s)^2, which only matters while a scale is near or below zero."""
    return torch.exp(-10 * cam[:, 0]).square().mean()


def _square(predicted: Tensor, target: Tensor, valid: Tensor, form: str) -> Tensor:
    """Squared error of the labelled samples: its mean, or the sum over a sample's numbers."""
    error = mean_of_samples(difference_where(valid, predicted, target).square(), valid)
    return error * (predicted[0].numel() if form == "norm" else 1)
