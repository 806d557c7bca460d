"""How fast a training is and how much memory it takes; none of it is part of its results."""

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

import torch

from pipeline.history import duration

GIGABYTE = 1024**3


class Speed:
    """Clock of a training, from its first step on."""

    def __init__(self) -> None:
        """Begin."""
        self.begun, self.waited = time.monotonic(), 0.0
        self.steps: list[float] = []  # seconds each, without the wait for data

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time inside as waiting for data."""
        asked = time.monotonic()
        yield
        self.waited += time.monotonic() - asked

    @contextmanager
    def stepping(self) -> Iterator[None]:
        """Count the time inside as one step."""
        started = time.monotonic()
        yield
        self.steps.append(time.monotonic() - started)

    def line(self, device: torch.device) -> str:
        """Return what the training took, in words.

        On an accelerator a step is only as long as it takes to ask for it, except those that
        read the losses; the rate is that of the work done.
        """
        seconds, steps = time.monotonic() - self.begun, len(self.steps)
        share = 100 * self.waited / seconds
        return (
            f"trained {steps} steps in {duration(seconds)}, {steps / seconds:.1f} it/s, "
            f"step {1000 * median(self.steps):.0f} ms (median), waited {share:.0f}% for data, "
            f"peak memory {peak_memory(device) / GIGABYTE:.2f} GB"
        )


def peak_memory(device: torch.device) -> int:
    """Return the most bytes held so far: tensors on an accelerator, else the whole process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
