"""Losses on the auxiliary IUV maps (surface part, U and V per pixel)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.losses.terms import mean_of_samples, reading_of, weight_of

# DensePose's 24 surface parts to its 14 annotated parts: front and back, inner and outer merge.
ANNOTATION_GROUPS = (
    *((0,), (1, 2), (3,), (4,), (5,), (6,), (7, 9), (8, 10), (11, 13), (12, 14)),
    *((15, 17), (16, 18), (19, 21), (20, 22), (23, 24)),
)


@dataclass(frozen=True)
class Preset:
    """How Eq. 4 is read; each switch may be set next to the weights.

    Attributes:
        uv_pixels: U and V are compared on the "foreground" only, or at "all" pixels: the released
            code's mask includes the background's channel, which thereby learns to be zero.
        uv_mean: their sums over pixels are averaged over the whole "batch", so that samples
            without a label count as perfect, or over the "labelled" samples.
        annotation: whether there is a second classification into 15 merged parts.
    """

    uv_pixels: Literal["all", "foreground"]
    uv_mean: Literal["batch", "labelled"]
    annotation: bool


PRESETS = {
    "official": Preset("all", "batch", annotation=True),
    "paper": Preset("foreground", "labelled", annotation=False),
}


def reading(preset: str, options: Mapping) -> Preset:
    """The readings of a loss's settings, see `reading_of`."""
    return reading_of(PRESETS, preset, options)


def iuv_losses(
    iuv: dict[str, Tensor], batch: dict, weights: Mapping, preset: str = "official"
) -> dict[str, Tensor]:
    """Losses of the auxiliary head's maps.

    Args:
        iuv: logits `index` (B, 25, R, R) and, unless only parts are predicted, `u`, `v`
            (B, 25, R, R) and `annotation` (B, 15, R, R).
        batch: part (B, R, R) 0..24, uv (B, R, R, 2) in [0, 1], has_iuv (B,).
        weights: iuv_index, iuv_uv and, officially, iuv_annotation (the released configuration
            holds 2.0 and 0.3 for the classifications, but its trainer uses 1 and 1); and switches
            of `Preset`.
        preset: "official" (PyMAF's trainer) or "paper" (PyMAF, Eq. 4).

    Returns:
        iuv_index and, where predicted, iuv_u, iuv_v, iuv_annotation: classification means over
        the pixels of labelled samples; smooth L1 sums over pixels per sample.

    Raises:
        ValueError: if the maps and the labels differ in resolution.
    """
    form = reading(preset, weights)
    part, valid = batch["part"].long(), batch["has_iuv"].bool()
    if part.shape[1:] != iuv["index"].shape[2:]:
        sizes = f"{tuple(iuv['index'].shape[2:])} maps, {tuple(part.shape[1:])} labels"
        raise ValueError(f"{sizes}: set the loss's iuv_size to the maps' resolution")
    index_weight = weight_of(weights, "iuv_index")
    losses = {"iuv_index": index_weight * _classification(iuv["index"], part, valid)}
    if form.annotation and "annotation" in iuv:
        merged = merge_parts(part)
        weight = weight_of(weights, "iuv_annotation")
        losses["iuv_annotation"] = weight * _classification(iuv["annotation"], merged, valid)
    if "u" in iuv:
        weight = weight_of(weights, "iuv_uv")
        counted = valid[:, None, None] & ((part > 0) | (form.uv_pixels == "all"))
        for axis, name in enumerate("uv"):
            target = torch.where(counted & (part > 0), batch["uv"][..., axis], 0.0)
            total = _surface(iuv[name], target, part, counted)
            samples = len(valid) if form.uv_mean == "batch" else valid.sum().clamp(min=1)
            losses[f"iuv_{name}"] = weight * total / samples
    return losses


def merge_parts(part: Tensor) -> Tensor:
    """Surface parts 0..24 as annotated parts 0..14, same shape."""
    table = torch.empty(25, dtype=torch.long, device=part.device)
    for merged, group in enumerate(ANNOTATION_GROUPS):
        table[list(group)] = merged
    return table[part]


def _classification(logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Cross-entropy, mean over all pixels of the valid samples."""
    errors = F.cross_entropy(logits.float(), target, reduction="none")  # (B, R, R)
    return mean_of_samples(errors * valid[:, None, None], valid)


def _surface(predicted: Tensor, target: Tensor, part: Tensor, counted: Tensor) -> Tensor:
    """Smooth L1 in the channel of each pixel's part, summed over the batch's pixels."""
    own = predicted.float().gather(1, part[:, None])[:, 0]  # (B, R, R)
    errors = F.smooth_l1_loss(own, target, reduction="none")
    return torch.where(counted, errors, 0.0).sum()
