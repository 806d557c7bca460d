"""Training step of the mesh transformer at 1,229 tokens, and the gather of coarse vertices.

    python -m benchmarks.mesh_transformer --body data/body/smpl.npz [--batch 4] [--quick]
        [--device cuda] [--threads 2]

`plain` restates what METRO's public code computes, at MPT's size: queries padded to 2,051 numbers,
separate query, key and value projections, materialised scores with dropout on the attention
probabilities, dense learned up-sampling; without its never-used weights. `ours` is the network of
this project with the paper's settings. Each step is forward, losses on joints and all mesh levels,
backward, Adam. Steps take turns, so that a busy moment meets them all; the first ones are not
counted. Peak memory is of a process of its own each, least and median of the times are of one.
"""

import argparse
import math
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor, nn

from pipeline.body.assets import BodyAssets, load_assets
from pipeline.models.build import build_network
from pipeline.models.transformer import recompute_activations

QUERIES, GRID, MAP = 14 + 431, 784, 17 * 8 * 8
SIZES = (431, 1723, 6890)
DIMS, HIDDEN, INNER, HEADS, LAYERS, DROPOUT = (2051, 512, 128, 3), (1024, 256, 64), 3072, 4, 4, 0.1
VARIANTS = ("plain", "plain bf16", "ours", "ours bf16", "ours recomputed")


class PlainLayer(nn.Module):
    """BERT's encoder layer, the scores written out."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key, self.value, self.mix = (nn.Linear(width, width) for _ in range(4))
        self.first, self.second = (nn.LayerNorm(width, eps=1e-12) for _ in range(2))
        self.wide, self.narrow = nn.Linear(width, INNER), nn.Linear(INNER, width)
        self.drop = nn.Dropout(DROPOUT)

    def heads(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (HEADS, -1)).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (self.heads(f(x)) for f in (self.query, self.key, self.value))
        scores = query @ key.transpose(2, 3) / math.sqrt(query.shape[-1])
        mixed = self.drop(scores.softmax(-1)) @ value
        x = self.first(x + self.drop(self.mix(mixed.transpose(1, 2).flatten(2))))
        return self.second(x + self.drop(self.narrow(nn.functional.gelu(self.wide(x)))))


class PlainTransformer(nn.Module):
    """Three encoders in a row, then a camera and two dense up-samplings."""

    def __init__(self, template: Tensor) -> None:
        super().__init__()
        self.register_buffer("template", nn.functional.pad(template, (0, DIMS[0] - 3)))
        self.patches = nn.Linear(MAP, DIMS[0])
        widths = list(zip(DIMS, HIDDEN, DIMS[1:], strict=False))
        self.into = nn.ModuleList(nn.Linear(d, h) for d, h, _ in widths)
        self.out = nn.ModuleList(nn.Linear(h, o) for _, h, o in widths)
        self.skip = nn.ModuleList(nn.Linear(d, o) for d, _, o in widths)
        tokens = QUERIES + GRID
        self.place = nn.ParameterList(torch.randn(tokens, h) * 0.02 for h in HIDDEN)
        self.layers = nn.ModuleList(
            nn.Sequential(*(PlainLayer(h) for _ in range(LAYERS))) for h in HIDDEN
        )
        self.cam = nn.Sequential(nn.Linear(3, 1), nn.Flatten(1), nn.Linear(431, 250),
                                 nn.Linear(250, 3))  # fmt: skip
        self.finer = nn.ModuleList(nn.Linear(a, b) for a, b in zip(SIZES, SIZES[1:], strict=False))
        self.drop = nn.Dropout(DROPOUT)

    def forward(self, maps: Tensor) -> dict:
        cut = maps.unfold(2, 8, 8).unfold(3, 8, 8).permute(0, 2, 3, 1, 4, 5).flatten(3)
        grid = self.patches(cut.flatten(1, 2))
        x = torch.cat([self.template.expand(len(maps), -1, -1), grid], 1)
        # one constant in place of up to 30 % of the queries
        hidden = torch.rand(len(maps), QUERIES, 1, device=x.device) < 0.15
        x = torch.cat([torch.where(hidden, 0.01, x[:, :QUERIES]), x[:, QUERIES:]], 1)
        for into, place, layers, out, skip in zip(
            self.into, self.place, self.layers, self.out, self.skip, strict=True
        ):
            x = out(layers(self.drop(into(x) + place))) + skip(x)
        points = x[:, :QUERIES].float()
        levels = [points[:, 14:]]
        for linear in self.finer:
            levels.append(linear(levels[-1].transpose(1, 2)).transpose(1, 2))
        cam = self.cam(levels[0])
        vertices = dict(zip(SIZES, levels, strict=True))
        return {"joints": points[:, :14], "vertices": vertices, "cam": cam}


def make_step(name: str, assets: BodyAssets, batch: int, device: str) -> Callable[[], None]:
    """Return one training step of a variant."""
    torch.manual_seed(0)
    network = build_network({"kind": "mesh_transformer"}, assets)
    if name.startswith("plain"):
        network = PlainTransformer(network.template)
    if name.endswith("recomputed"):
        recompute_activations(network)
    network.to(device).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-5, fused=True)
    maps = torch.rand(batch, 17, 224, 224, device=device)

    def step() -> None:
        half = torch.autocast(device, torch.bfloat16) if "bf16" in name else nullcontext()
        with half:
            output = network(maps)
        parts = [output["joints"], output["cam"], *output["vertices"].values()]
        sum(part.float().abs().mean() for part in parts).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def take_turns(cases: dict[str, Callable], repeats: int, warm: int, device: str) -> dict:
    """Return the seconds of each call, the calls in turns.

    One thread on a CPU is timed by the process's own clock, which stands still while others run.
    """
    alone = device == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter
    times: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(warm + repeats):
        for name, case in cases.items():
            start = clock()
            case()
            if device.startswith("cuda"):
                torch.cuda.synchronize()
            if turn >= warm:
                times[name].append(clock() - start)
    return times


def report(times: dict[str, list[float]], batch: int, memory: dict[str, float]) -> None:
    """Print milliseconds a sample, and by how much each beats the first."""
    first = next(iter(times))
    for name, values in times.items():
        least, middle = min(values), statistics.median(values)
        ratio = min(times[first]) / least, statistics.median(times[first]) / middle
        line = f"{name:18s} {1e3 * least / batch:9.3f} {1e3 * middle / batch:9.3f}"
        line += f" {ratio[0]:6.2f}x {ratio[1]:6.2f}x"
        if name in memory:
            line += f" {memory[name]:8.2f} GB {memory[name] / memory[first]:6.2f}"
        print(line, flush=True)


def peak(name: str, args: argparse.Namespace) -> float:
    """Return the peak memory in GB of two steps in a process of their own."""
    command = [sys.executable, "-m", "benchmarks.mesh_transformer", "--only", name, "--body",
               str(args.body), "--batch", str(args.batch), "--device", args.device,
               "--threads", str(args.threads)]  # fmt: skip
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def print_own_peak(args: argparse.Namespace, assets: BodyAssets) -> None:
    """Two steps of one variant, then the peak of this process (of the GPU there)."""
    step = make_step(args.only, assets, args.batch, args.device)
    step()
    step()
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if args.device.startswith("cuda"):
        used = torch.cuda.max_memory_allocated() / 2**30
    print(used)


def gather(assets: BodyAssets, batch: int, device: str) -> None:
    """Coarse vertices by index, and by products with the sparse selections sample by sample."""
    vertices = torch.randn(batch, 6890, 3, device=device)
    selections, previous = [], assets.levels[0]
    for ids in assets.levels[1:3]:
        position = {int(vertex): row for row, vertex in enumerate(previous)}
        columns = torch.tensor([position[int(vertex)] for vertex in ids])
        index = torch.stack([torch.arange(len(ids)), columns])
        size = (len(ids), len(previous))
        ones = torch.ones(len(ids))
        matrix = torch.sparse_coo_tensor(index, ones, size, check_invariants=True)
        selections.append(matrix.coalesce().to(device))
        previous = ids
    ids = torch.as_tensor(assets.levels[2], device=device)

    def loop() -> Tensor:
        coarse = []
        for sample in vertices:
            for matrix in selections:
                sample = torch.sparse.mm(matrix, sample)
            coarse.append(sample)
        return torch.stack(coarse)

    cases = {"sparse loop": loop, "index_select": lambda: vertices.index_select(1, ids)}
    assert torch.equal(*(case() for case in cases.values()))
    print(f"\n6,890 -> 431 vertices, batch {batch}: ms a sample, least and median, ratios of both")
    report(take_turns(cases, 20, 3, device), batch, {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--body", type=Path, required=True, help="output of the verb `body`")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="batch 1, one repeat")
    parser.add_argument("--only", choices=VARIANTS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.quick:
        args.batch = args.repeats = 1
    torch.set_num_threads(args.threads)
    assets = load_assets(args.body)
    if args.only:
        print_own_peak(args, assets)
        return
    memory = {name: peak(name, args) for name in VARIANTS}
    cases = {name: make_step(name, assets, args.batch, args.device) for name in VARIANTS}
    print(
        f"training step, {QUERIES + GRID} tokens, batch {args.batch}, {args.device},"
        f" {args.threads} threads: ms a sample, least and median, ratios of both, peak memory"
    )
    report(take_turns(cases, args.repeats, 1, args.device), args.batch, memory)
    gather(assets, 30, args.device)


if __name__ == "__main__":
    main()
