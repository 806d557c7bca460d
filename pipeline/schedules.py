"""Optimisers and learning-rate schedules, both built from the `training` section."""

import math
from collections.abc import Iterable

import torch
from torch import nn

from pipeline.errors import InputError

OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
DECAYS = ("constant", "linear", "cosine")
MOMENTUM = 0.9  # of sgd


def learning_rate(settings: dict, step: int) -> float:
    """Return the learning rate of a step, a pure function of the settings.

    It rises linearly from 0 over the first `warmup` share of the steps, reaching `lr` with the
    last of them, then follows `decay`: `linear` and `cosine` end at 0 one step after the last.

    Args:
        settings: steps, lr, warmup, decay.
        step: 0 for the first step.
    """
    steps, rising = settings["steps"], round(settings["warmup"] * settings["steps"])
    if step < rising:
        return settings["lr"] * (step + 1) / rising
    done = (step - rising) / max(steps - rising, 1)
    factor = {
        "constant": 1.0,
        "linear": 1.0 - done,
        "cosine": 0.5 * (1.0 + math.cos(math.pi * done)),
    }[settings["decay"]]
    return settings["lr"] * factor


def build_optimizer(
    parameters: Iterable[nn.Parameter], settings: dict, fused: bool = True
) -> torch.optim.Optimizer:
    """Return the optimiser of the trainable parameters.

    Args:
        parameters: all parameters; frozen ones are left out.
        settings: optimizer, lr, weight_decay.
        fused: one kernel for the whole update; not compatible with a gradient scaler.
    """
    trainable = [p for p in parameters if p.requires_grad]
    if not trainable:
        raise InputError("training", "steps", "a network with nothing to train", "steps: 0")
    options = {"lr": settings["lr"], "weight_decay": settings["weight_decay"], "fused": fused}
    if settings["optimizer"] == "sgd":
        options["momentum"] = MOMENTUM
    return OPTIMIZERS[settings["optimizer"]](trainable, **options)


def check_schedule(settings: dict) -> None:
    """Refuse settings that no schedule or optimiser can follow.

    Raises:
        InputError: naming the key.
    """

    def expect(key: str, good: bool, expected: str) -> None:
        if not good:
            raise InputError("training", key, settings[key], expected)

    expect("optimizer", settings["optimizer"] in OPTIMIZERS, " or ".join(OPTIMIZERS))
    expect("decay", settings["decay"] in DECAYS, " or ".join(DECAYS))
    expect("warmup", 0 <= settings["warmup"] < 1, "a share from 0 to below 1")
    expect("lr", settings["lr"] > 0, "a positive number")
    expect("weight_decay", settings["weight_decay"] >= 0, "0 or more")
    clip = settings["clip_norm"]
    expect("clip_norm", clip is None or clip > 0, "null or a positive number")
