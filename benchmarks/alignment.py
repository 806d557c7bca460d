"""Milliseconds of PA-MPJPE over many samples: batched in torch, and one sample after the other.

    python -m benchmarks.alignment [--samples 1000] [--rounds 7]

Each round times both on the same joints; the ratio's least and median are over the rounds.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from pipeline.metrics import pa_mpjpe


def naive(pred: np.ndarray, gt: np.ndarray) -> np.ndarray:
    """The usual loop: one SVD a sample."""
    errors = []
    for points, target in zip(pred, gt, strict=True):
        mean, other = points.mean(0), target.mean(0)
        centred, wanted = (points - mean).T, (target - other).T
        u, _, vt = np.linalg.svd(centred @ wanted.T)
        flip = np.eye(3)
        flip[2, 2] = np.sign(np.linalg.det(u @ vt))
        rotation = vt.T @ flip @ u.T
        scale = np.trace(rotation @ centred @ wanted.T) / (centred**2).sum()
        aligned = (scale * rotation @ centred).T + other
        errors.append(np.linalg.norm(aligned - target, axis=1).mean())
    return np.array(errors)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--joints", type=int, default=14)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    pred, gt = np.random.default_rng(0).normal(size=(2, args.samples, args.joints, 3))
    pair = torch.from_numpy(pred), torch.from_numpy(gt)
    difference = np.abs(pa_mpjpe(*pair).numpy() - naive(pred, gt)).max()
    times = [(seconds(lambda: naive(pred, gt)), seconds(lambda: pa_mpjpe(*pair)))
             for _ in range(args.rounds)]  # fmt: skip
    ratios = [loop / batched for loop, batched in times]
    loops, batched = zip(*times, strict=True)
    print(f"{args.samples} x {args.joints} joints, largest difference {difference:.1e}")
    print(f"loop    ms: min {1e3 * min(loops):8.2f}  median {1e3 * statistics.median(loops):8.2f}")
    print(f"batched ms: min {1e3 * min(batched):8.2f}"
          f"  median {1e3 * statistics.median(batched):8.2f}")  # fmt: skip
    print(f"ratio     : min {min(ratios):8.1f}  median {statistics.median(ratios):8.1f}")


if __name__ == "__main__":
    main()
