"""Keeps geometry in float32 inside mixed-precision training.

bfloat16 resolves 2 to 4 mm at half a metre, so coordinates, rotations and sampling positions are
never computed in it; they cost next to nothing beside convolutions and attention.
"""

from contextlib import AbstractContextManager

import torch
from torch import Tensor


def full_precision(tensor: Tensor) -> AbstractContextManager:
    """A context without autocast on the device of `tensor`."""
    return torch.autocast(tensor.device.type, enabled=False)
