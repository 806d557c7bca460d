"""Grid tokens of a mesh transformer straight from 2D joints, without making the heatmaps.

A token is the projection of one p x p patch of all K maps: `token = bias + weight @ patch`. A
Gaussian reaches only a few patches, so the patches of each joint's window are projected with the
joint's own columns of the weight and added up. That is 50 times less arithmetic than the dense
product at the paper's size, and equal to it up to float rounding.

The weight's layout is fixed once for the dense and the fused path: (D, K * p * p) with the last
axis flattened as (k joint, u row in the patch, v column in the patch), tokens in row-major order.

Source: MPT, Sec. 3.1.1 (8 x 8 patches of 224 x 224 maps, one linear layer).
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.synthesis.corruption import Corrupted
from pipeline.synthesis.heatmaps import drop_masked, exponent_scale, support_radius


def patches(maps: Tensor, patch: int) -> Tensor:
    """Cut maps (B, K, H, W) into patches (B, T, K * p * p) in the weight's layout."""
    batch, joints, height, width = maps.shape
    _check_patch(height, patch)
    _check_patch(width, patch)
    grid = maps.reshape(batch, joints, height // patch, patch, width // patch, patch)
    return grid.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def dense_tokens(maps: Tensor, weight: Tensor, bias: Tensor | None, patch: int) -> Tensor:
    """Return the tokens of any maps (a network's, say).

    Args:
        maps: (B, K, H, W).
        weight: (D, K * p * p), see the module's text.
        bias: (D,) or None.
        patch: p, side of a patch in pixels.

    Returns:
        (B, T, D) with T = H W / p^2.
    """
    return functional.linear(patches(maps, patch), weight, bias)


def patch_tokens(
    keypoints: Tensor,
    amplitude: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    size: int,
    patch: int,
    sigma: float,
    convention: str = "mpt",
) -> Tensor:
    """Return the tokens of synthetic heatmaps without making the heatmaps.

    Equal to `dense_tokens(heatmaps(...))` up to float rounding, for any amplitudes and for joints
    anywhere; differentiable in weight and bias.

    Args:
        keypoints: (B, K, 2) as (x, y) in continuous pixels of the map.
        amplitude: (B, K) peak values; 0 masks a joint.
        weight: (D, K * p * p), see the module's text.
        bias: (D,) or None.
        size: side of the square map in pixels.
        patch: p, side of a patch in pixels.
        sigma: width in pixels.
        convention: see `heatmaps.exponent_scale`.

    Returns:
        (B, T, D) with T = (size / p)^2. On a GPU repeated sums may differ in the last bit unless
        torch's deterministic algorithms are on.

    Raises:
        ValueError: if the patch does not divide the size or the weight has another layout.
    """
    batch, joints = amplitude.shape
    width, side = weight.shape[0], _check_patch(size, patch)
    if weight.shape[1] != joints * patch**2:
        raise ValueError(f"weight has {weight.shape[1]} columns, expected {joints} x {patch}^2")
    values, cells = _windows(keypoints, amplitude, size, patch, sigma, convention)
    columns = weight.view(width, joints, patch**2).permute(1, 2, 0)  # (K, p p, D)
    rows = torch.bmm(values.to(weight.dtype), columns).flatten(0, 1)  # (K B w w, D)
    start = rows.new_zeros(width) if bias is None else bias.to(rows.dtype)
    tokens = start.expand(batch * side**2, width).clone()
    return tokens.index_add_(0, cells, rows).view(batch, side**2, width)


def noisy_tokens(
    corrupted: Corrupted,
    weight: Tensor,
    bias: Tensor | None,
    size: int,
    patch: int,
    sigma: float,
    convention: str = "mpt",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return the tokens of corrupted heatmaps, independent pixel noise included.

    The projection is linear, so noise is drawn patch by patch and projected densely only for the
    samples that have any; the joints take the fused path always.

    Args:
        corrupted: joints, amplitudes and noise of each sample.
        weight: as in `patch_tokens`, like the rest.
        bias: (D,) or None.
        size: side of the square map in pixels.
        patch: side of a patch in pixels.
        sigma: width in pixels.
        convention: see `heatmaps.exponent_scale`.
        generator: draws the noise, on the device of the joints.

    Returns:
        (B, T, D).
    """
    tokens = patch_tokens(
        corrupted.keypoints, corrupted.amplitude, weight, bias, size, patch, sigma, convention
    )
    noisy = corrupted.noise_std.nonzero()[:, 0]
    if len(noisy) == 0:
        return tokens
    noise = torch.randn(
        (len(noisy), tokens.shape[1], weight.shape[1]),
        generator=generator,
        device=weight.device,
        dtype=corrupted.noise_std.dtype,
    )
    noise *= corrupted.noise_std[noisy, None, None]
    projected = functional.linear(noise.to(weight.dtype), weight)
    return tokens.index_add_(0, noisy, projected.to(tokens.dtype))


def _windows(
    keypoints: Tensor, amplitude: Tensor, size: int, patch: int, sigma: float, convention: str
) -> tuple[Tensor, Tensor]:
    """Return every joint's window of w x w patches that holds all of its values.

    Returns:
        values (K, B w w, p p) and the flat index (K B w w,) of each patch among B T tokens.
    """
    batch, joints = amplitude.shape
    side = size // patch
    radius = support_radius(sigma, convention, keypoints.dtype)
    # 2 r + 1 cells at most, whose first may be the last of its patch; inside the image always.
    window = min(side, math.floor(2 * radius - 1) // patch + 2)
    points = drop_masked(keypoints, amplitude).transpose(0, 1)  # (K, B, 2)
    first = torch.floor(torch.ceil(points - radius - 0.5) / patch).clamp(0, side - window)
    device, dtype = points.device, points.dtype
    centres = torch.arange(window * patch, device=device, dtype=dtype) + 0.5
    distance = first[..., None] * patch + centres - points[..., None]  # (K, B, 2, w p)
    profile = torch.exp(-exponent_scale(sigma, convention) * distance**2)
    columns, rows = profile.view(joints, batch, 2, window, patch).unbind(2)  # (K, B, w, p)
    rows = rows * amplitude.T[..., None, None]
    values = rows[:, :, :, None, :, None] * columns[:, :, None, :, None, :]  # (K, B, w, w, p, p)

    steps = torch.arange(window, device=device)
    column, row = (first.long()[..., None] + steps).unbind(2)  # (K, B, w)
    sample = torch.arange(batch, device=device)[:, None, None] * side**2
    cells = sample + row[..., :, None] * side + column[..., None, :]  # (K, B, w, w)
    return values.reshape(joints, -1, patch**2), cells.flatten()


def _check_patch(size: int, patch: int) -> int:
    """Return the number of patches along a side."""
    if size % patch:
        raise ValueError(f"patch {patch} does not divide a map of {size} pixels")
    return size // patch
