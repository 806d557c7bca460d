"""Joint heatmaps from 2D joints, exact at sub-pixel positions and separable.

A Gaussian is the outer product of a row and a column profile, so that K maps of H x W pixels
cost K (H + W) exponentials and one multiplication per pixel. Nothing is truncated and no centre
is rounded. Dense maps are made where they are used and never stored.
"""

import math

import torch
from torch import Tensor

CONVENTIONS = ("mpt", "gaussian")
NEGLIGIBLE = 1e-18  # a value of a profile


def exponent_scale(sigma: float, convention: str) -> float:
    """Return a of exp(-a d^2), d in pixels.

    Args:
        sigma: width in pixels.
        convention: "mpt" is exp(-d^2 / sigma^2), as printed in MPT, Eq. 1 (its standard deviation
            is sigma / sqrt 2); "gaussian" is exp(-d^2 / (2 sigma^2)), as 2D pose networks use it.

    Raises:
        ValueError: if sigma is not positive or the convention is unknown.
    """
    if convention not in CONVENTIONS:
        raise ValueError(f"heatmap convention is {convention!r}, expected one of {CONVENTIONS}")
    if not sigma > 0:
        raise ValueError(f"sigma is {sigma}, expected a positive number of pixels")
    return 1.0 / sigma**2 if convention == "mpt" else 0.5 / sigma**2


def support_radius(sigma: float, convention: str, dtype: torch.dtype) -> float:
    """Return the distance in pixels beyond which a value is lost in the dtype's rounding."""
    bits = 53 if dtype == torch.float64 else 24
    return math.sqrt(bits * math.log(2.0) / exponent_scale(sigma, convention))


def drop_masked(keypoints: Tensor, amplitude: Tensor) -> Tensor:
    """Replace the coordinates of masked joints, which may be anything, even NaN, by zeros.

    Args:
        keypoints: (B, K, 2) in pixels.
        amplitude: (B, K), 0 where a joint is masked.
    """
    return torch.where(amplitude[..., None] != 0, keypoints, 0.0)


def heatmaps(
    keypoints: Tensor,
    amplitude: Tensor,
    size: int | tuple[int, int],
    sigma: float,
    convention: str = "mpt",
    out: Tensor | None = None,
) -> Tensor:
    """Return one heatmap per joint.

    The value of cell (row j, column i) is the Gaussian at the cell's centre, (i + 0.5, j + 0.5).

    Args:
        keypoints: (B, K, 2) as (x, y) in continuous pixels of the map; joints outside leave
            only what reaches in.
        amplitude: (B, K) peak values; 0 masks a joint.
        size: side of a square map, or (height, width), in pixels.
        sigma: width in pixels, see `exponent_scale`.
        convention: "mpt" or "gaussian".
        out: (B, K, H, W) buffer to fill. A reused one is 3 to 4 times faster on a CPU, where most
            of the time goes into the first touch of fresh memory; its dtype is the result's.

    Returns:
        (B, K, H, W) in [0, amplitude].

    Source: MPT, Eq. 1.
    """
    height, width = (size, size) if isinstance(size, int) else size
    rate = exponent_scale(sigma, convention)
    keypoints = drop_masked(keypoints, amplitude)
    columns = _profile(keypoints[..., 0], width, rate)  # (B, K, W)
    rows = _profile(keypoints[..., 1], height, rate) * amplitude[..., None]  # (B, K, H)
    if out is not None:
        columns, rows = columns.to(out.dtype), rows.to(out.dtype)
    return torch.mul(rows[..., :, None], columns[..., None, :], out=out)


def _profile(position: Tensor, cells: int, rate: float) -> Tensor:
    """Return exp(-rate d^2) of (B, K) positions at the cell centres of a line, (B, K, cells)."""
    centres = torch.arange(cells, device=position.device, dtype=position.dtype) + 0.5
    distance = centres - position[..., None]
    # In place: fresh memory would cost more than the arithmetic. What vanishes in any sum is made
    # zero: exponentials that underflow and subnormal products are a hundred times slower.
    exponent = distance.square_().mul_(-rate).clamp_(min=2 * math.log(NEGLIGIBLE))
    return torch.threshold_(exponent.exp_(), NEGLIGIBLE, 0.0)
