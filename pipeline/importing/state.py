"""Finds the state dict inside a checkpoint and takes off what wrappers added to its keys."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipeline.body.pickles import damaged, inner
from pipeline.errors import InputError

# Names under which training code keeps the network's state, the likeliest first.
CONTAINERS = ("model", "state_dict", "model_state_dict", "network", "net", "best_state_dict")
PREFIXES = (
    ("module.", "DataParallel"),
    ("1.", "half-precision wrapper"),
    ("model.", "training wrapper"),
)
MMPOSE = ("backbone.", "keypoint_head.")  # only together: `backbone.` alone is part of a network
_DEPTH = 4  # containers inside containers


@dataclass
class State:
    """The tensors of a checkpoint and how they were found.

    Attributes:
        tensors: key -> value, floating-point values in float32.
        under: names of the containers that held them, the outermost first.
        prefixes: what was taken off the keys.
        beside: what else the containers held: `optimizer`, `epoch`, ...
        halves: number of tensors that were in half precision.
    """

    tensors: dict[str, Tensor]
    under: list[str] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    beside: list[str] = field(default_factory=list)
    halves: int = 0

    @property
    def mmpose(self) -> bool:
        """Whether the keys are MMPose's."""
        return MMPOSE[0] in self.prefixes and MMPOSE[1] in self.prefixes


def find_state(content: object, path: Path | str, under: str | None = None) -> State:
    """Return the network's state inside what a file holds.

    Args:
        content: of `read_torch_file`.
        path: the file, for messages.
        under: name of the container to take, where the usual order of names is not meant.

    Raises:
        InputError: if no dictionary of tensors is found.
    """
    try:
        return _find(content, path, under)
    except InputError:
        raise
    except Exception as error:  # what stands for numpy's arrays comes from the file
        raise damaged(path, "", error) from error


def _find(content: object, path: Path | str, under: str | None) -> State:
    state = State({})
    for _ in range(_DEPTH):
        if isinstance(content, dict) and _is_state(content):
            state.tensors = {str(key): _tensor(value) for key, value in content.items()}
            state.halves = sum(t.dtype in (torch.float16, torch.bfloat16)
                               for t in state.tensors.values())  # fmt: skip
            state.tensors = {key: t.float() if t.is_floating_point() else t
                             for key, t in state.tensors.items()}  # fmt: skip
            _strip_prefixes(state)
            return state
        names = [name for name in CONTAINERS if isinstance(content, dict) and name in content]
        wanted = [under] if under and isinstance(content, dict) and under in content else names
        if not wanted:
            break
        state.under.append(wanted[0])
        state.beside += [str(key) for key in content if key != wanted[0]]
        content = content[wanted[0]]
    held = list(content)[:8] if isinstance(content, dict) else type(content).__name__
    expected = f"tensors by key, or these under {', '.join(CONTAINERS)} (else --under NAME)"
    raise InputError(path, " > ".join(state.under), f"no state dict but {held}", expected)


def _is_state(content: dict) -> bool:
    values = [inner(value) for value in content.values()]
    return bool(values) and all(isinstance(value, Tensor | np.ndarray) for value in values)


def _tensor(value: object) -> Tensor:
    value = inner(value)
    return value.detach() if isinstance(value, Tensor) else torch.tensor(value)


def _strip_prefixes(state: State) -> None:
    """Take off the wrappers' prefixes as often as all keys have one, then MMPose's."""
    keys = state.tensors
    while found := next((p for p, _ in PREFIXES if all(k.startswith(p) for k in keys)), None):
        keys = {key.removeprefix(found): value for key, value in keys.items()}
        state.prefixes.append(found)
    both = all(any(key.startswith(prefix) for key in keys) for prefix in MMPOSE)
    if both and all(key.startswith(MMPOSE) for key in keys):
        keys = {key.split(".", 1)[1]: value for key, value in keys.items()}
        state.prefixes += MMPOSE
    state.tensors = keys
