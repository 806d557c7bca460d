"""Training steps a second of PyMAF (ResNet-50, 224 px) and the mesh transformer (1,229 tokens).

    python -m benchmarks.gpu_throughput --folder DIR [--budget 540]
    python -m benchmarks.gpu_throughput --device cpu --quick

In float32, TF32 and bfloat16, compiled or not, at the papers' sizes: forward, losses, backward,
clipping and Adam on batches that lie on the device. `floor` is the step's counted multiply-adds
(convolutions, matrix products, attention; forward and backward) over the rate of a large matrix
product of the same precision, measured in the same call: no step is faster. What could not be
run, or was not for want of time, says so.
"""

import argparse
import os
import signal
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.workplace import BODY, OutOfTime, Workplace
from pipeline.objectives.build import build_objective
from pipeline.objectives.sources import Sources

NETWORKS = {"pymaf": ("finetune/pymaf", 64), "mesh transformer": ("pretrain/mesh", 32)}
PRECISIONS = ("float32", "tf32", "bf16")
FORMATS = {"float32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def set_precision(name: str) -> None:
    tf32 = name == "tf32"
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32


def ceiling(name: str, device: str, side: int) -> float:
    """Floating-point operations a second of a square matrix product of random numbers."""
    set_precision(name)
    a, b = torch.randn(2, side, side, device=device, dtype=FORMATS[name])
    times = []
    for _ in range(8):
        synchronize(device)
        start = time.perf_counter()
        a @ b
        synchronize(device)
        times.append(time.perf_counter() - start)
    return 2 * side**3 / statistics.median(times[3:])


class Bench:
    """One network with its data, at the papers' size (`quick`: at that of scale mini)."""

    def __init__(self, place: Workplace, scale: str, key: str, batch: int, device: str) -> None:
        sized = Workplace(place.folder, scale)
        settings = sized.params.runs[key].at(0)
        few = {"batch_size": batch, "accumulate": 1}
        settings = {**settings, "init": {}, "training": settings["training"] | few}
        sources = Sources(pairs=place.folder / "data/pairs/default.h5")
        if "mixture" in settings["data"]:
            settings["data"] = {"mixture": {"coco_train": 1.0}}
            sources = Sources({"coco_train": place.folder / "data/records/coco_train.h5"},
                              {"coco_train": place.folder / "data/iuv/coco_train.h5"})  # fmt: skip
        self.device = device
        self.objective = build_objective(settings, place.folder / BODY, sources)
        self.network = self.objective.network.to(device, memory_format=torch.channels_last).train()
        made = [self.objective.batch(step, slice(0, batch)) for step in range(3)]
        self.batches = [{k: v.to(device) for k, v in one.items()} for one in made]
        self.optimizer = torch.optim.Adam(self.network.parameters(), 1e-5, fused=True)

    def step(self, number: int, precision: str, network: torch.nn.Module) -> None:
        torch.manual_seed(number)
        low = precision == "bf16"
        with torch.autocast(self.device, torch.bfloat16) if low else nullcontext():
            terms = self.objective.losses(network, self.batches[number % 3], number)
        sum(terms.values()).backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def operations(self) -> int:
        """Floating-point operations of a step, counted with the network as it is."""
        with FlopCounterMode(display=False) as counter:
            self.step(0, "float32", self.network)
        return counter.get_total_flops()

    def seconds(self, precision: str, compiled: bool, steps: int) -> float:
        """Median time of a step after three that are not counted."""
        set_precision(precision)
        torch._dynamo.reset()
        network = torch.compile(self.network) if compiled else self.network
        times = []
        for number in range(steps + 3):
            synchronize(self.device)
            start = time.perf_counter()
            self.step(number, precision, network)
            synchronize(self.device)
            times.append(time.perf_counter() - start)
        return statistics.median(times[3:])


def measure(bench: Bench, label: str, batch: int, rates: dict, steps: int) -> Callable:
    """Return the function that measures and prints one precision, compiled or not."""
    work = bench.operations()

    def one(precision: str, compiled: bool) -> None:
        floor = work / rates[precision]
        if bench.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        head = f"{label:<17} {batch:>5} {precision:<8} {'yes' if compiled else 'no':<8}"
        try:
            taken = bench.seconds(precision, compiled, steps)
        except OutOfTime:
            print(f"{head} not run: the time is over", flush=True)
            raise
        except Exception as error:  # what a compiler refuses is a result of this benchmark
            print(f"{head} failed: {type(error).__name__}: {str(error)[:60]!r}", flush=True)
            return
        used = torch.cuda.max_memory_allocated() / 2**30 if bench.device == "cuda" else 0
        print(f"{head} {1e3 * taken:>9.1f} {batch / taken:>9.1f} {1e3 * floor:>9.2f}"
              f" {100 * floor / taken:>7.1f} {used:>7.1f}", flush=True)  # fmt: skip

    return one


def stop(*_: object) -> None:
    raise OutOfTime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="keeps the demo data; temporary if absent")
    parser.add_argument("--budget", type=int, default=540, help="seconds")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--device", choices=["auto", "cpu"], default="auto")
    parser.add_argument("--quick", action="store_true", help="networks of scale mini: a rehearsal")
    args = parser.parse_args()
    if args.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    device = "cuda" if args.device == "auto" and torch.cuda.is_available() else "cpu"
    signal.signal(signal.SIGALRM, stop)
    signal.alarm(args.budget)
    folder = args.folder or Path(tempfile.mkdtemp(prefix="throughput-"))
    place = Workplace(folder, "mini", budget=args.budget)
    place.data([place.params.runs[key] for key, _ in NETWORKS.values()])
    rates = {
        name: ceiling(name, device, 8192 if device == "cuda" else 1024) for name in PRECISIONS
    }
    print(", ".join(f"{name} {rate / 1e12:.2f} TFLOP/s" for name, rate in rates.items()))
    print(f"{'network':<17} {'batch':>5} {'format':<8} {'compiled':<8} {'ms/step':>9}"
          f" {'samples/s':>9} {'floor ms':>9} {'floor %':>7} {'GiB':>7}")  # fmt: skip
    scale, steps = ("mini", 3) if args.quick else ("paper", args.steps)
    benches = []
    for name, (key, batch) in NETWORKS.items():
        batch = 4 if args.quick else batch
        bench = Bench(place, scale, key, batch, device)
        benches.append(measure(bench, name, batch, rates, steps))
    formats = PRECISIONS if device == "cuda" else ("float32", "bf16")
    cases = [(one, precision, False) for one in benches for precision in formats]
    if args.compile:  # minutes each, so last, and the one that matters first
        cases += [(one, precision, True) for precision in reversed(formats) for one in benches]
    try:
        for one, precision, compiled in cases:
            one(precision, compiled)
    except OutOfTime:
        print("stopped: the time is over; --no-compile or a larger --budget shows the rest")


if __name__ == "__main__":
    main()
