"""Errors of joints and meshes: MPJPE, PA-MPJPE, PVE. Batched, one value per sample.

Inputs are metres in any common frame, outputs metres; millimetres appear only where results
are reported.
"""

import torch
from torch import Tensor


def _check_pair(pred: Tensor, gt: Tensor) -> None:
    if pred.shape != gt.shape or pred.ndim != 3 or pred.shape[-1] != 3:
        raise ValueError(
            f"points: saw shapes {tuple(pred.shape)} and {tuple(gt.shape)}, expected two (B, N, 3)"
        )


def point_errors(pred: Tensor, gt: Tensor) -> Tensor:
    """Euclidean distance of each predicted point to its target, (B, N)."""
    _check_pair(pred, gt)
    return (pred - gt).norm(dim=-1)


def mpjpe(pred: Tensor, gt: Tensor, valid: Tensor | None = None) -> Tensor:
    """Mean per-joint position error of each sample.

    Args:
        pred: (B, J, 3) metres, already root-centred as the protocol says.
        gt: (B, J, 3) metres, likewise.
        valid: (B, J) weights; joints with 0 do not count. A sample without any valid joint is NaN.

    Returns:
        (B,) metres.
    """
    error = point_errors(pred, gt)
    if valid is None:
        return error.mean(dim=1)
    weight = valid.to(error.dtype)
    return (error * weight).sum(dim=1) / weight.sum(dim=1)


def similarity_align(pred: Tensor, gt: Tensor, valid: Tensor | None = None) -> Tensor:
    """Move each predicted point set onto its target by the best similarity transform.

    Least squares over scale, proper rotation (reflections excluded) and translation, by the SVD of
    the 3x3 covariance (Umeyama 1991). Flat point sets have a zero last singular value, where the
    sign of the determinant decides; degenerate ones (all points equal) get scale 0.

    Args:
        pred: (B, N, 3).
        gt: (B, N, 3).
        valid: (B, N) weights of the fit; the transform is applied to all points.

    Returns:
        (B, N, 3) aligned predictions, in the target's frame and unit.
    """
    _check_pair(pred, gt)
    dtype = pred.dtype
    pred, gt = pred.double(), gt.double()
    weight = torch.ones_like(pred[..., :1]) if valid is None else valid[..., None].double()
    total = weight.sum(dim=1, keepdim=True)
    mean_pred = (weight * pred).sum(dim=1, keepdim=True) / total  # (B, 1, 3)
    mean_gt = (weight * gt).sum(dim=1, keepdim=True) / total
    centred, target = pred - mean_pred, gt - mean_gt
    covariance = (weight * centred).transpose(1, 2) @ target  # (B, 3, 3)
    u, singular, vt = torch.linalg.svd(covariance)
    # torch.sign(0) is 0, which would drop an axis for singular matrices
    flip = torch.where(torch.linalg.det(u @ vt) < 0, -1.0, 1.0).to(singular)
    signs = torch.ones_like(singular)
    signs[:, 2] = flip
    rotation = (u * signs[:, None]) @ vt  # (B, 3, 3), row vectors: x R
    spread = (weight * centred.square()).sum(dim=(1, 2))
    scale = (singular * signs).sum(dim=1) / spread.clamp_min(torch.finfo(spread.dtype).tiny)
    return (scale[:, None, None] * (centred @ rotation) + mean_gt).to(dtype)


def pa_mpjpe(pred: Tensor, gt: Tensor, valid: Tensor | None = None) -> Tensor:
    """MPJPE after `similarity_align` of each sample, (B,) metres."""
    return mpjpe(similarity_align(pred, gt, valid), gt, valid)


def pve(pred: Tensor, gt: Tensor) -> Tensor:
    """Mean per-vertex error of each sample, (B,) metres; root alignment is the caller's."""
    return point_errors(pred, gt).mean(dim=1)


def pck(pred: Tensor, gt: Tensor, threshold: float, valid: Tensor | None = None) -> Tensor:
    """Share of joints of each sample nearer than `threshold` metres to their target, (B,)."""
    hit = (point_errors(pred, gt) < threshold).to(pred.dtype)
    if valid is None:
        return hit.mean(dim=1)
    weight = valid.to(hit.dtype)
    return (hit * weight).sum(dim=1) / weight.sum(dim=1)


def bootstrap_interval(values: Tensor, resamples: int, seed: int = 0) -> tuple[float, float]:
    """95 % percentile interval of the mean of `values` (N,) under resampling of the samples."""
    generator = torch.Generator().manual_seed(seed)
    values = values.double().cpu()
    means = torch.empty(resamples, dtype=torch.float64)
    for k in range(resamples):  # one row at a time: N x resamples would not fit at 35,515 samples
        rows = torch.randint(len(values), (len(values),), generator=generator)
        means[k] = values[rows].mean()
    low, high = torch.quantile(means, torch.tensor([0.025, 0.975], dtype=torch.float64))
    return float(low), float(high)
