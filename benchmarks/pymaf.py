"""Time PyMAF against a plain restatement of the public code's data flow, with the same weights.

python -m benchmarks.pymaf --body data/body/smpl.npz [--threads 1] [--repeats 5] [--device cuda]

The restatement, in our own words: the full mesh of 6,890 vertices after every update and once
for the constant mean body; 431 vertices taken by a dense product with a 431 x 6890 matrix; the
auxiliary head as four convolutions, in evaluation too; joined features through 1x1 convolutions
of the points; axis-angle vectors of every estimate, which nothing reads; maps in contiguous
layout; Adam one tensor at a time. Both are timed in turns in one run, least and median over the
repeats, so that what else the machine does hits both alike. The last lines say how many samples
a second the loader makes, and how many the training step eats.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.loader import AUGMENTATION, write_photographs, write_records
from pipeline.body.assets import BodyAssets, load_assets
from pipeline.body.joints_from_body import JointsFromBody
from pipeline.body.smpl import SMPLLayer
from pipeline.data.dataset import RecordsDataset
from pipeline.losses import iuv_losses, parametric_losses
from pipeline.models.build import build_network
from pipeline.models.parametric import Estimate
from pipeline.models.pymaf import PyMAF
from pipeline.rotations import matrix_to_axis_angle, rotation_6d_to_matrix
from pipeline.schedules import build_optimizer
from pipeline.seeding import rng

SIZE, BATCH, LEVEL = 224, 16, 431
WEIGHTS = {"keypoints_2d": 300.0, "keypoints_3d": 300.0, "pose": 60.0, "betas": 0.06,
           "camera": 1.0, "iuv_index": 1.0, "iuv_annotation": 1.0, "iuv_uv": 0.5}  # fmt: skip


class Plain(nn.Module):
    """The public data flow around the parameters of one of our networks."""

    def __init__(self, network: PyMAF, assets: BodyAssets) -> None:
        super().__init__()
        self.ours = network
        self.body = SMPLLayer(assets.models["neutral"])
        self.joints = JointsFromBody(assets, "spin24")
        ids = assets.levels[[len(level) for level in assets.levels].index(LEVEL)]
        selection = torch.zeros(LEVEL, len(assets.models["neutral"].v_template))
        selection[torch.arange(LEVEL), torch.as_tensor(ids).long()] = 1
        self.register_buffer("selection", selection)

    def forward(self, image: Tensor) -> dict:
        """`iterations` and `iuv`, as ours; the auxiliary maps are computed in any mode."""
        maps = [self.ours.backbone(image)]
        for level in self.ours.pyramid:
            maps.append(level(maps[-1]))
        head = self.ours.auxiliary
        iuv = {name: layer(maps[-1]) for name, layer in head.named_children()}
        estimate = self.ours.body.initial(len(image))
        vertices = self._mesh(estimate)["vertices"]
        points, found = self.ours.first_points.expand(len(image), -1, -1), []
        for step, (extract, regress) in enumerate(
            zip(self.ours.extractors, self.ours.regressors, strict=True)
        ):
            if step:
                coarse = torch.matmul(self.selection[None], vertices.detach())
                points = self.ours.body.project(coarse, estimate.cam.detach())
            features = self._features(extract, maps[step + 1], points)
            estimate = regress(features, estimate.detach())
            body = self._mesh(estimate)
            vertices = body["vertices"]
            found.append(body)
        return {"iterations": found, "iuv": iuv}

    def _features(self, extract: nn.Module, level: Tensor, points: Tensor) -> Tensor:
        sampled = F.grid_sample(level, points[:, :, None], align_corners=True)[..., 0]
        x = sampled
        for number, layer in enumerate(extract.layers):
            x = layer(torch.cat([x, sampled], 1) if number else x)
            x = F.relu(x) if number == len(extract.layers) - 1 else F.leaky_relu(x, 0.01)
        return x.flatten(1)

    def _mesh(self, estimate: Estimate) -> dict[str, Tensor]:
        rotmats = rotation_6d_to_matrix(estimate.pose)
        vertices, chain = self.body(estimate.betas, rotmats)
        joints = self.joints(chain, vertices)
        return {
            "vertices": vertices, "rotmats": rotmats, "betas": estimate.betas,
            "cam": estimate.cam, "joints": joints, "axis_angle": matrix_to_axis_angle(rotmats),
            "keypoints_2d": self.ours.body.project(joints, estimate.cam),
        }  # fmt: skip


def labels(device: str) -> dict[str, Tensor]:
    """A labelled batch of noise."""
    draw = torch.Generator().manual_seed(0)
    ones = torch.ones(BATCH, 24, 1)
    rotmats = rotation_6d_to_matrix(torch.randn(BATCH, 144, generator=draw))
    batch = {
        "image": torch.randn(BATCH, 3, SIZE, SIZE, generator=draw),
        "keypoints_2d": torch.cat([torch.rand(BATCH, 24, 2, generator=draw) - 0.5, ones], -1),
        "joints_3d": torch.cat([torch.rand(BATCH, 24, 3, generator=draw) - 0.5, ones], -1),
        "rotmats": rotmats, "betas": torch.randn(BATCH, 10, generator=draw),
        "has_smpl": torch.ones(BATCH), "has_iuv": torch.ones(BATCH),
        "part": torch.randint(25, (BATCH, SIZE // 4, SIZE // 4), generator=draw),
        "uv": torch.rand(BATCH, SIZE // 4, SIZE // 4, 2, generator=draw),
    }  # fmt: skip
    return {key: value.to(device) for key, value in batch.items()}


def step_of(
    network: nn.Module, optimizer: torch.optim.Optimizer, batch: dict, mixed: bool
) -> Callable[[], None]:
    """A training step: forward, losses, backward, update."""
    device = batch["image"].device.type

    def step() -> None:
        with torch.autocast(device, torch.bfloat16) if mixed else nullcontext():
            output = network(batch["image"])
            terms = parametric_losses(output, batch, WEIGHTS)
            terms |= iuv_losses(output["iuv"], batch, WEIGHTS)
        sum(terms.values()).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def measure(calls: dict[str, Callable], repeats: int, device: str) -> dict[str, np.ndarray]:
    """(least, median) ms of each call, taken in turns.

    On a CPU with one thread it is the process's own time, which others do not lengthen as much.
    """
    alone = device == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter
    seconds = np.zeros((repeats + 1, len(calls)))
    for row in seconds:
        for k, call in enumerate(calls.values()):
            start = clock()
            call()
            if device == "cuda":
                torch.cuda.synchronize()
            row[k] = clock() - start
    warm = 1e3 * seconds[1:]
    pairs = np.stack([warm.min(0), np.median(warm, 0)], 1)
    return dict(zip(calls, pairs, strict=True))


def report(title: str, times: dict[str, np.ndarray]) -> None:
    """One line a call, with its ratio to the first."""
    print(f"{title:28s}    least   median   ratio least / median", flush=True)
    base = next(iter(times.values()))
    for name, (least, median) in times.items():
        ratio = f"{base[0] / least:8.2f} / {base[1] / median:.2f}"
        print(f"  {name:26s} {least:8.1f} {median:8.1f} {ratio}", flush=True)


@torch.no_grad()
def forward_times(plain: Plain, ours: PyMAF, nhwc: PyMAF, repeats: int, device: str) -> None:
    """Print the forward pass from image to estimate, without the final mesh of ours."""
    for batch in (1, BATCH):
        image = torch.randn(batch, 3, SIZE, SIZE).to(device)
        swapped = image.to(memory_format=torch.channels_last)
        expected, found = plain(image)["iterations"][-1], ours(image)["iterations"][-1]
        torch.testing.assert_close(found["joints"], expected["joints"], atol=1e-4, rtol=1e-3)

        def mixed(swapped: Tensor = swapped) -> None:
            with torch.autocast(device, torch.bfloat16):
                nhwc.predict(swapped)

        calls = {
            "public data flow": lambda image=image: plain(image),
            "ours": lambda image=image: ours.predict(image),
            "ours, channels last": lambda swapped=swapped: nhwc.predict(swapped),
            "ours, bfloat16": mixed,
        }
        report(f"forward, batch {batch}, ms", measure(calls, repeats, device))


def training_times(
    make: Callable[[], PyMAF], assets: BodyAssets, args: argparse.Namespace
) -> list[np.ndarray]:
    """Print the training step; returns (least, median) ms of ours in float32 and bfloat16."""
    batch, calls = labels(args.device), {}
    network = make().train()
    plain = Plain(network, assets).to(args.device)
    adam = torch.optim.Adam(network.parameters(), lr=5e-5)
    calls["public data flow"] = step_of(plain, adam, batch, mixed=False)
    settings = {"optimizer": "adam", "lr": 5e-5, "weight_decay": 0.0}
    image = batch["image"].to(memory_format=torch.channels_last)
    for name, mixed in (("ours", False), ("ours, bfloat16", True)):
        network = make().train().to(memory_format=torch.channels_last)
        optimizer = build_optimizer(network.parameters(), settings)
        calls[name] = step_of(network, optimizer, {**batch, "image": image}, mixed)
    times = measure(calls, args.repeats, args.device)
    report(f"training step, batch {BATCH}, ms", times)
    return [times["ours"], times["ours, bfloat16"]]


def loader_rate(count: int) -> float:
    """Samples a second of CPU time that one thread of the loader makes, image and labels."""
    with tempfile.TemporaryDirectory() as folder:
        photographs = write_photographs(Path(folder))
        records = write_records(photographs, Path(folder) / "bench.h5")
        settings = {"image_size": SIZE, "augmentation": AUGMENTATION}
        dataset = RecordsDataset(records, None, settings, train=True)
        times = []
        for k in range(count):
            start = time.process_time()
            dataset.item(k % len(dataset), rng(0, k))
            times.append(time.process_time() - start)
    return 1 / float(np.median(times))


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--body", type=Path, required=True, help="output of the verb `body`")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--what", nargs="+", default=["forward", "training"],
                        choices=["forward", "training"])  # fmt: skip
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    assets = load_assets(args.body)

    def make() -> PyMAF:
        torch.manual_seed(0)
        return build_network({"kind": "pymaf", "dropout": 0.0}, assets).to(args.device)

    print(f"PyMAF, {SIZE} px, {args.device}, {args.threads} thread(s), {args.repeats} repeats")
    if "forward" in args.what:
        ours, nhwc = make().eval(), make().eval().to(memory_format=torch.channels_last)
        plain = Plain(make(), assets).to(args.device).eval()
        forward_times(plain, ours, nhwc, args.repeats, args.device)
        del plain, ours, nhwc
    if "training" not in args.what:
        return
    appetite = training_times(make, assets, args)
    print(f"loader: {loader_rate(200):.0f} samples/s of CPU time a thread (median); the step eats "
          + ", ".join(f"{1e3 * BATCH / least:.1f} ({name})"
                      for name, (least, _) in zip(("float32", "bfloat16"), appetite, strict=True))
          + " samples/s at its fastest")  # fmt: skip


if __name__ == "__main__":
    main()
