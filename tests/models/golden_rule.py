"""The fixed rule by which the golden outputs' weights and inputs were made."""

import json
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

GOLDEN = Path(__file__).parent / "golden"


def filled(shapes: Iterable[tuple[str, tuple[int, ...]]]) -> dict[str, Tensor]:
    """Weights that depend on their names and shapes only."""
    return {name: _fill(name, shape) for name, shape in shapes}


def filled_like(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same for the floating-point entries of a state dict; counters stay."""
    floats = [(k, tuple(v.shape)) for k, v in state.items() if v.is_floating_point()]
    return state | filled(floats)


def normal_input(name: str, *shape: int) -> Tensor:
    return torch.from_numpy(_stream(f"input:{name}").standard_normal(shape).astype(np.float32))


def uniform_input(name: str, *shape: int) -> Tensor:
    numbers = _stream(f"input:{name}").uniform(-1.2, 1.2, shape)
    return torch.from_numpy(numbers.astype(np.float32))


def load(name: str) -> dict:
    return json.loads((GOLDEN / name).read_text())


def assert_golden(ours: Tensor, golden: dict, tolerance: float = 1e-5) -> None:
    """Compare shape, values at the recorded positions and moments, relative to the largest."""
    assert list(ours.shape) == golden["shape"]
    values = ours.detach().flatten()[golden["positions"]]
    largest = golden["abs_max"]
    assert (values - torch.tensor(golden["values"])).abs().max() <= tolerance * largest
    assert abs(ours.mean().item() - golden["mean"]) <= tolerance * largest
    assert abs(ours.std().item() - golden["std"]) <= tolerance * largest
    assert abs(ours.abs().max().item() - largest) <= tolerance * largest


def _stream(name: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(name.encode()))


def _fill(name: str, shape: tuple[int, ...]) -> Tensor:
    numbers = _stream(name).standard_normal(shape)
    if name.endswith("running_var"):
        numbers = 1 + 0.1 * abs(numbers)
    elif name.endswith(("running_mean", "bias")):
        numbers = 0.1 * numbers
    elif len(shape) == 1:
        numbers = 1 + 0.1 * numbers
    else:
        numbers = numbers / np.sqrt(np.prod(shape[1:]))
    return torch.from_numpy(numbers.astype(np.float32))
