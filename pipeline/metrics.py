"""Errors of joints and meshes: MPJPE, PA-MPJPE, PVE. Batched, one value per sample.

Inputs are metres in any common frame, outputs metres; millimetres appear only where results
are reported.
"""

import torch
from torch import Tensor

TINY = torch.finfo(torch.float64).tiny  # keeps 0 / 0 out


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

    Least squares over scale, proper rotation (reflections excluded) and translation (Umeyama
    1991). Flat point sets are no special case; where points on a line, or all equal, leave the
    rotation open, any of the best is taken, and points all equal get scale 0.

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
    if valid is None:
        mean_pred, mean_gt = pred.mean(1, keepdim=True), gt.mean(1, keepdim=True)  # (B, 1, 3)
        weighted = centred = pred - mean_pred
    else:
        weight = (valid.double() / valid.double().sum(1, keepdim=True))[:, None]  # (B, 1, N)
        mean_pred, mean_gt = weight @ pred, weight @ gt
        centred = pred - mean_pred
        weighted = weight.mT * centred
    covariance = weighted.mT @ (gt - mean_gt)  # (B, 3, 3)
    rotation = _nearest_rotation(covariance)
    spread = (weighted * centred).sum((1, 2))
    scale = (covariance * rotation).sum((1, 2)) / spread.clamp_min(TINY)
    return (centred @ (scale[:, None, None] * rotation) + mean_gt).to(dtype)


def _nearest_rotation(matrix: Tensor) -> Tensor:
    """Return the proper rotations R that maximise tr(R^T M), for M (B, 3, 3).

    They map M's first two left singular vectors to the right ones; the third of each side is the
    cross product, which keeps reflections out. The eigenvectors of M^T M cost half of an SVD's
    time. Its small eigenvalues are less exact, but only the order of all and the directions of
    the two largest enter.
    """
    unit = matrix / matrix.abs().amax((1, 2), keepdim=True).clamp_min(TINY)
    # Below rounding; where M leaves a direction open, this decides for the one that turns least.
    unit = unit + 4 * torch.finfo(unit.dtype).eps * torch.eye(3).to(unit)
    right = torch.linalg.eigh(unit.mT @ unit)[1].flip(2)  # (B, 3, 3) columns, largest first
    left = unit @ right
    first = left[..., 0] / left[..., 0].norm(dim=1, keepdim=True)
    second = left[..., 1] - (first * left[..., 1]).sum(1, keepdim=True) * first
    second = second / second.norm(dim=1, keepdim=True)
    left = torch.stack([first, second, torch.linalg.cross(first, second)], 2)
    first, second, _ = right.unbind(2)
    right = torch.stack([first, second, torch.linalg.cross(first, second)], 2)
    return left @ right.mT


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
