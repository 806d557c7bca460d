"""Verb `evaluate`: one trained network, one protocol, one metrics file."""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from pipeline import checkpoints, files
from pipeline.body.assets import load_assets
from pipeline.evaluation.measure import measure
from pipeline.evaluation.protocols import get_protocol
from pipeline.metrics import bootstrap_interval
from pipeline.models.build import build_network


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("--settings", type=json.loads, required=True,
                        help="JSON: run, seed, network, protocol, batch_size, bootstrap")  # fmt: skip
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--records", type=Path, required=True)
    parser.add_argument("--body", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)


def summarise(errors: dict[str, np.ndarray], resamples: int) -> dict:
    """Mean and 95 % bootstrap interval (over samples) of each metric, in millimetres."""
    out = {}
    for name, values in errors.items():
        low, high = bootstrap_interval(torch.from_numpy(values), resamples)
        out[name] = {"mean_mm": round(float(values.mean()), 3),
                     "ci95_mm": [round(low, 3), round(high, 3)]}  # fmt: skip
    return out


def main(args: argparse.Namespace) -> None:
    """Measure and write the metrics file with its protocol and per-sample errors."""
    settings = args.settings
    protocol = get_protocol(settings["protocol"])
    device = "cuda" if torch.cuda.is_available() else "cpu"
    assets = load_assets(args.body)
    network = build_network(settings["network"], assets).to(device)
    checkpoints.load_into(network, args.weights)
    eval_settings = {"image_size": settings["network"]["image_size"],
                     "batch_size": settings["batch_size"]}  # fmt: skip
    errors = measure(network, args.records, protocol, assets, eval_settings, device)
    rows = errors.pop("rows")
    result = {
        "run": settings["run"],
        "seed": settings["seed"],
        "protocol": protocol.describe(),
        "count": len(rows),
        "metrics": summarise(errors, settings["bootstrap"]),
        "rows": rows.tolist(),
        "per_sample_mm": {k: np.round(v, 3).tolist() for k, v in errors.items()},
    }
    files.write_json(args.out, result)
    line = ", ".join(f"{k} {v['mean_mm']:.1f} mm" for k, v in result["metrics"].items())
    print(f"{settings['run']} seed {settings['seed']} on {protocol.name}: {line}", flush=True)
