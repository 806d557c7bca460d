"""A training that takes milliseconds a step; run as a script, one that can be killed.

The network has what makes resuming hard: running statistics, dropout and convolutions in
channels-last layout.
"""

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from pipeline import files
from pipeline.checkpoints import save_weights
from pipeline.resume import CheckpointFolder, fingerprint
from pipeline.seeding import torch_generator
from pipeline.training import Outcome, fit

SETTINGS = {
    "steps": 12, "batch_size": 8, "optimizer": "adam", "lr": 0.01, "weight_decay": 0.0,
    "warmup": 0.1, "decay": "cosine", "clip_norm": 1.0, "precision": "32", "channels_last": True,
    "compile": False, "accumulate": 1, "devices": 1, "strategy": "auto", "workers": 0,
    "checkpoint_activations": False, "checkpoint_every": 3, "validate_every": 0,
    "selection": "last",
}  # fmt: skip


def tiny_network(dropout: float = 0.2, norm: bool = True) -> nn.Module:
    """Convolutional regressor of three numbers."""
    layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8) if norm else nn.Identity(), nn.ReLU(),
              nn.Conv2d(8, 4, 3), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(dropout),
              nn.Linear(16, 3)]  # fmt: skip
    return nn.Sequential(*layers)


class TinyObjective:
    """Regress a fixed linear map of random images."""

    score = None

    def __init__(self, settings: dict, seed: int = 0, delay: float = 0.0, **network: object):
        torch.manual_seed(seed)
        self.network = tiny_network(**network)
        self.settings, self.seed, self.delay = settings, seed, delay
        self.truth = torch.linspace(-1, 1, 9).reshape(3, 3)
        self.broken_at: int | None = None

    def batch(self, step: int, rows: slice) -> dict[str, Tensor]:
        generator = torch_generator(self.seed, "images", step)
        images = torch.randn(self.settings["batch_size"], 3, 8, 8, generator=generator)
        time.sleep(self.delay)
        return {"image": images[rows], "label": images.mean((2, 3))[rows] @ self.truth}

    def losses(self, network: nn.Module, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        difference = network(batch["image"]) - batch["label"]
        terms = {"square": difference.square().mean(), "size": 0.1 * difference.abs().mean()}
        if step == self.broken_at:
            terms["size"] = terms["size"] / 0.0
        return terms

    def label_counts(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return {}

    def validate(self, network: nn.Module) -> dict[str, float]:
        batch = self.batch(-1, slice(None))
        return {"error": float((network(batch["image"]) - batch["label"]).abs().mean())}


def train(objective: TinyObjective, folder: Path, log=print) -> Outcome:
    """Train under the folder's lock, as the verb does."""
    settings = objective.settings
    mark = fingerprint({"training": settings}, {})
    with CheckpointFolder(folder, mark, log) as checkpoints:
        return fit(objective, settings, objective.seed, checkpoints)


def main(argv: list[str] | None = None) -> None:
    """Train, write model.pt and history.json, remove the checkpoints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--checkpoints", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--accumulate", type=int, default=1)
    parser.add_argument("--plain", action="store_true", help="neither dropout nor statistics")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    settings = SETTINGS | {"steps": args.steps, "devices": args.devices,
                           "accumulate": args.accumulate,
                           "strategy": "ddp" if args.devices > 1 else "auto"}  # fmt: skip
    network = {"dropout": 0.0, "norm": False} if args.plain else {}
    objective = TinyObjective(settings, delay=args.delay, **network)
    if args.devices > 1:
        folder = CheckpointFolder(args.checkpoints, fingerprint({"training": settings}, {}))
        args.checkpoints.mkdir(exist_ok=True)
        outcome = fit(objective, settings, 0, folder)
    else:
        outcome = train(objective, args.checkpoints, lambda line: print(line, flush=True))
    files.write_json(args.out / "history.json", outcome.history.table()[1])
    save_weights(args.out / "model.pt", objective.network, {})


if __name__ == "__main__":
    main()
