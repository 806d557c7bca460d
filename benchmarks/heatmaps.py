"""Speed of heatmap synthesis and of the fused tokens, against exact references, in one run.

    python benchmarks/heatmaps.py [--device cuda] [--threads 1] [--repeats 5]

Size of the paper: 17 maps of 224 x 224, sigma 3 in Eq. 1's convention, 8 x 8 patches, 1,024 wide.
Each line gives milliseconds a sample (least and median of the repeats) and the ratio to its
group's first line; only numbers of one run compare.
"""

import argparse
import functools
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from pipeline.synthesis.heatmap_tokens import dense_tokens, patch_tokens
from pipeline.synthesis.heatmaps import heatmaps

JOINTS, SIZE, PATCH, SIGMA = 17, 224, 8, 3.0


def full_grid(keypoints: np.ndarray, dtype: type = np.float64) -> np.ndarray:
    """Return the maps of one sample over the full grid.

    That is mmpose's unbiased encoding; its centres are float64, so under NumPy 2 its maps are
    computed in float64 before they are stored.
    """
    maps = np.zeros((JOINTS, SIZE, SIZE), np.float32)
    x = np.arange(SIZE, dtype=np.float32) + np.float32(0.5)
    y = x[:, None]
    for joint, (mu_x, mu_y) in enumerate(keypoints.astype(dtype)):
        maps[joint] = np.exp(-((x - mu_x) ** 2 + (y - mu_y) ** 2) / dtype(SIGMA**2))
    return maps


def full_grid_torch(keypoints: torch.Tensor) -> torch.Tensor:
    """Return the maps of a batch over the full grid, as most would write it."""
    cells = torch.arange(SIZE, device=keypoints.device) + 0.5
    x, y = keypoints[..., 0, None, None], keypoints[..., 1, None, None]
    return torch.exp(-((cells - x) ** 2 + (cells[:, None] - y) ** 2) / SIGMA**2)


def measure(cases: dict[str, Callable], samples: dict[str, int], repeats: int, sync: Callable):
    """Print a group; its cases take turns, so that a busy moment meets them all."""
    times = {name: [] for name in cases}
    for case in cases.values():
        case()
    for _ in range(repeats):
        for name, case in cases.items():
            sync()
            start = time.perf_counter()
            case()
            sync()
            times[name].append((time.perf_counter() - start) / samples[name] * 1e3)
    least = {name: min(values) for name, values in times.items()}
    middle = {name: statistics.median(values) for name, values in times.items()}
    first = next(iter(cases))
    for name in cases:
        ratios = f"{least[first] / least[name]:7.1f}x {middle[first] / middle[name]:7.1f}x"
        print(f"{name:44s} {least[name]:8.3f} {middle[name]:8.3f} {ratios}", flush=True)
    print()


def synthesis(keypoints: torch.Tensor, amplitude: torch.Tensor, repeats: int, sync: Callable):
    batch = len(keypoints)
    buffer = torch.empty(batch, JOINTS, SIZE, SIZE, device=keypoints.device)
    half = torch.empty_like(buffer, dtype=torch.bfloat16)
    points = keypoints[:4].cpu().numpy()
    cases = {
        "full grid, numpy float64, sample by sample": lambda: [full_grid(p) for p in points],
        "full grid, numpy float32, sample by sample": lambda: [
            full_grid(p, np.float32) for p in points
        ],
        "full grid, torch": lambda: full_grid_torch(keypoints),
        "separable, fresh memory": lambda: heatmaps(keypoints, amplitude, SIZE, SIGMA),
        "separable, reused memory": lambda: heatmaps(
            keypoints, amplitude, SIZE, SIGMA, out=buffer
        ),
        "separable, reused memory, bfloat16": lambda: heatmaps(
            keypoints, amplitude, SIZE, SIGMA, out=half
        ),
        "floor: storing the result": lambda: buffer.fill_(0.5),
    }
    maps = heatmaps(keypoints, amplitude, SIZE, SIGMA)[0].cpu().numpy()
    error = np.abs(full_grid(points[0]) - maps).max()
    print(f"heatmaps, batch {batch}; largest difference {error:.1e}")
    samples = {name: len(points) if "numpy" in name else batch for name in cases}
    measure(cases, samples, repeats, sync)


def tokens(
    keypoints: torch.Tensor, amplitude: torch.Tensor, width: int, repeats: int, sync: Callable
):
    batch, device = len(keypoints), keypoints.device
    weight = torch.randn(width, JOINTS * PATCH**2, device=device) / 33.0
    bias = torch.randn(width, device=device)
    weight.requires_grad_(), bias.requires_grad_()
    buffer = torch.empty(batch, JOINTS, SIZE, SIZE, device=device)
    upstream = torch.randn(batch, (SIZE // PATCH) ** 2, width, device=device)

    def plain(convention):
        maps = full_grid_torch(keypoints)
        return nn.functional.linear(
            nn.functional.unfold(maps, PATCH, stride=PATCH).transpose(1, 2), weight, bias
        )

    def dense(convention):
        maps = heatmaps(keypoints, amplitude, SIZE, SIGMA, convention, out=buffer)
        return dense_tokens(maps, weight, bias, PATCH)

    def fused(convention):
        return patch_tokens(keypoints, amplitude, weight, bias, SIZE, PATCH, SIGMA, convention)

    def forward(path, convention):
        with torch.no_grad():
            return path(convention)

    def both(path, convention):
        torch.autograd.grad(path(convention), (weight, bias), upstream)

    for convention in ("mpt", "gaussian"):
        difference = (forward(dense, convention) - forward(fused, convention)).abs().max()
        print(f"tokens, {convention}, width {width}; largest difference {difference:.1e}")
        for name, run in (("forward", forward), ("forward + backward", both)):
            cases = {}
            if convention == "mpt":
                cases[f"full grid, unfold, linear, {name}"] = functools.partial(
                    run, plain, convention
                )
            cases |= {
                f"dense, {name}": functools.partial(run, dense, convention),
                f"fused, {name}": functools.partial(run, fused, convention),
            }
            measure(cases, dict.fromkeys(cases, batch), repeats, sync)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--width", type=int, default=1024)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    sync = torch.cuda.synchronize if args.device.startswith("cuda") else lambda: None
    # People of about 200 px in the middle of the crop, as boxes of factor 1.2 leave them.
    keypoints = (torch.randn(args.batch, JOINTS, 2) * 45 + 112).clamp(8, 216).to(args.device)
    amplitude = torch.ones(args.batch, JOINTS, device=args.device)
    print(f"{args.device}, {args.threads} threads: ms a sample, least and median; ratios of both")
    synthesis(keypoints, amplitude, args.repeats, sync)
    tokens(keypoints, amplitude, args.width, args.repeats, sync)


if __name__ == "__main__":
    main()
