"""Time the body layer on 431 vertices against smplx, which always computes 6,890.

python -m benchmarks.body --raw data/raw/body_models --body data/body/smpl.npz
"""

import argparse
import contextlib
import io
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from pipeline.body.assets import load_assets
from pipeline.body.smpl import SMPLLayer
from pipeline.rotations import axis_angle_to_matrix


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--raw", type=Path, required=True, help="folder with smpl/SMPL_NEUTRAL.pkl"
    )
    parser.add_argument("--body", type=Path, required=True, help="output of the verb `body`")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--repeats", type=int, default=60)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    assets = load_assets(args.body)
    model = assets.models["neutral"]
    ours = SMPLLayer(model, assets.levels[2]).to(args.device)
    full = SMPLLayer(model).to(args.device)
    reference = _smplx(args.raw / "smpl/SMPL_NEUTRAL.pkl").to(args.device)
    print(
        f"ms per sample, min / median of {args.repeats}; {args.device}, {args.threads} thread(s)"
    )
    print("batch   smplx 6890        ours 6890         ours 431          ratio min / median")
    for batch in args.batches:
        betas, rotmats = _bodies(batch, args.device)
        transl = torch.zeros(batch, 3, device=args.device)
        pose = {"global_orient": rotmats[:, :1], "body_pose": rotmats[:, 1:], "pose2rot": False}
        calls = [
            lambda betas=betas, pose=pose, transl=transl: (
                reference(betas=betas, transl=transl, **pose).vertices
            ),
            lambda betas=betas, rotmats=rotmats: full(betas, rotmats)[0],
            lambda betas=betas, rotmats=rotmats: ours(betas, rotmats)[0],
        ]
        _assert_equal(calls, assets.levels[2])
        times = _measure(calls, args.repeats, args.device) / batch
        cells = "".join(f"{low:7.4f} /{middle:7.4f}  " for low, middle in times)
        ratio = times[0] / times[2]
        print(f"{batch:5d} {cells} {ratio[0]:6.1f} / {ratio[1]:.1f}")


def _smplx(path: Path) -> torch.nn.Module:
    import smplx

    with contextlib.redirect_stdout(io.StringIO()):  # it warns about ten betas
        return smplx.SMPL(str(path))


def _bodies(batch: int, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    betas = torch.randn(batch, 10, generator=generator)
    rotmats = axis_angle_to_matrix(torch.randn(batch, 24, 3, generator=generator) * 0.4)
    return betas.to(device), rotmats.to(device)


@torch.no_grad()
def _assert_equal(calls: list[Callable], ids: np.ndarray) -> None:
    expected, full, some = (call() for call in calls)
    torch.testing.assert_close(full, expected, atol=5e-6, rtol=0)
    torch.testing.assert_close(some, full[:, ids], atol=5e-6, rtol=0)


@torch.no_grad()
def _measure(calls: list[Callable], repeats: int, device: str) -> np.ndarray:
    """Return min and median in ms of each call, taken in turns so that load hits all alike."""
    seconds = np.zeros((repeats + 5, len(calls)))
    for row in seconds:
        for k, call in enumerate(calls):
            start = time.perf_counter()
            call()
            if device != "cpu":
                torch.cuda.synchronize()
            row[k] = time.perf_counter() - start
    warm = seconds[5:] * 1e3
    return np.stack([warm.min(0), np.median(warm, axis=0)], 1)


if __name__ == "__main__":
    main()
