"""Pieces that the loss functions share."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar, get_args

import torch
from torch import Tensor

from pipeline.errors import InputError

DISTANCES = {"l1": torch.abs, "mse": torch.square}  # of each number of a difference
Reading = TypeVar("Reading")


def weight_of(weights: Mapping, name: str, default: float | None = None) -> float:
    """The weight of a term.

    Raises:
        InputError: if it is not given and has no default.
    """
    value = weights.get(name, default)
    if value is None:
        raise InputError("loss", name, "no weight", "a number")
    return float(value)


def check_preset(preset: str, presets: Mapping) -> None:
    """Refuse a preset that does not exist."""
    if preset not in presets:
        raise InputError("loss", "preset", repr(preset), f"one of {', '.join(presets)}")


def reading_of(presets: Mapping[str, Reading], preset: str, options: Mapping[str, Any]) -> Reading:
    """The readings of a preset with the switches that `options` set otherwise.

    Args:
        presets: name -> dataclass whose fields are switches, each a Literal or a bool.
        preset: name of one.
        options: settings of the loss; weights and what is None say nothing.

    Raises:
        InputError: for an unknown preset or a value that a switch does not have.
    """
    check_preset(preset, presets)
    changes = {}
    for switch in fields(presets[preset]):
        value = options.get(switch.name)
        if value is None:
            continue
        choices = get_args(switch.type) or (True, False)
        if value not in choices:
            expected = f"one of {', '.join(map(str, choices))}"
            raise InputError("loss", switch.name, repr(value), expected)
        changes[switch.name] = value
    return replace(presets[preset], **changes)


def difference_where(valid: Tensor, predicted: Tensor, target: Tensor) -> Tensor:
    """`predicted - target` where valid, else zero, without passing on what an absent label holds.

    Args:
        valid: bool, broadcastable from the left: (B,) or with further leading dimensions.
        predicted: (B, ...).
        target: like predicted; anything, even NaN, where invalid.
    """
    valid = valid.reshape(valid.shape + (1,) * (predicted.ndim - valid.ndim))
    return torch.where(valid, predicted - target, 0.0)


def mean_of_samples(errors: Tensor, valid: Tensor) -> Tensor:
    """Mean over the valid samples of errors (B, ...) that are zero elsewhere.

    Zero, and still in the graph, if no sample is valid.
    """
    per_sample = errors[0].numel()
    return errors.sum() / (valid.sum() * per_sample).clamp(min=1)


def centred(points: Tensor, centre: tuple[int, ...]) -> Tensor:
    """(B, J, 3) points relative to the mean of some of them, the two hips for one."""
    return points - points[:, centre].mean(1, keepdim=True)
