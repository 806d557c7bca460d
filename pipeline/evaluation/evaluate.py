"""Verb `evaluate`: one trained network, one protocol, one metrics file."""

import argparse
import importlib
import json
from pathlib import Path

import numpy as np
import torch

from pipeline import checkpoints, files
from pipeline.body.assets import load_assets
from pipeline.errors import InputError
from pipeline.evaluation.predictions import Measured, Task
from pipeline.evaluation.protocols import get_protocol
from pipeline.metrics import bootstrap_interval
from pipeline.models.build import build_network


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument(
        "--settings",
        type=json.loads,
        required=True,
        help="JSON: run, seed, network, protocol, batch_size, bootstrap",
    )
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--records", type=Path, required=True)
    parser.add_argument("--body", type=Path, required=True)
    parser.add_argument("--raw", type=Path, help="raw files, for protocols with needs_raw")
    parser.add_argument("--out", type=Path, required=True)


def summarise(measured: Measured, resamples: int) -> dict:
    """Value and unit of each metric; for means over samples their 95 % bootstrap interval too."""
    out = {}
    for name, values in measured.per_sample.items():
        low, high = bootstrap_interval(torch.from_numpy(values), resamples)
        out[name] = {"value": round(float(values.mean()), 4),
                     "ci95": [round(low, 4), round(high, 4)]}  # fmt: skip
    for name, value in measured.pooled.items():
        out[name] = {"value": round(value, 4)}
    return {name: {**entry, "unit": measured.units.get(name, "mm")} for name, entry in out.items()}


def main(args: argparse.Namespace) -> None:
    """Measure and write the metrics file with its protocol and per-sample errors."""
    settings = args.settings
    protocol = get_protocol(settings["protocol"])
    if getattr(protocol, "needs_raw", False) and not args.raw:
        raise InputError("--raw", "", "nothing", f"the raw files of {protocol.dataset}")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    assets = load_assets(args.body)
    network = build_network(settings["network"], assets)
    network.to(device, memory_format=torch.channels_last)  # faster convolutions
    checkpoints.load_into(network, args.weights)
    eval_settings = {"image_size": settings["network"]["image_size"],
                     "batch_size": settings["batch_size"], "raw": args.raw,
                     "test_time": settings.get("test_time")}  # fmt: skip
    measure = importlib.import_module(protocol.module).measure
    measured = measure(Task(network, args.records, protocol, assets, eval_settings, device))
    per_sample = {k: np.round(v, 4).tolist() for k, v in measured.per_sample.items()}
    result = {
        "run": settings["run"],
        "seed": settings["seed"],
        "protocol": protocol.describe(),
        "count": len(measured.rows),
        "metrics": summarise(measured, settings["bootstrap"]),
        "rows": measured.rows.tolist(),
        "per_sample": per_sample,
    }
    files.write_json(args.out, result)
    line = ", ".join(f"{k} {v['value']:.1f} {v['unit']}" for k, v in result["metrics"].items())
    print(f"{settings['run']} seed {settings['seed']} on {protocol.name}: {line}", flush=True)
