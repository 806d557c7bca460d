"""Which sample stands where in a run: a pure function of (seed, step, slot).

Draws are counted over the run: slot s of step k is draw k * batch_size + s. The datasets share
the draws by their weights as evenly as whole numbers allow (the first takes the floor of its
share, the next the floor of its share of the rest, ...), so the number of draws that a dataset
has had before any step is known without replaying the run. Draw j of a dataset of n samples is
place j mod n of the seeded permutation of pass j // n: every pass visits every sample once.

Departure: the public trainers draw the dataset of each slot at random and the sample by
`index % length`, so that a pass repeats and skips samples and cannot be resumed.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from pipeline.data.dataset import RecordsDataset
from pipeline.errors import InputError
from pipeline.seeding import rng


class Passes:
    """Endless passes over `count` samples, each in its own seeded order."""

    def __init__(self, count: int, seed: int, name: str) -> None:
        """State how many samples there are and which stream orders them."""
        self.count = count

        # Neighbouring steps may be asked for side by side, across the end of a pass.
        @lru_cache(maxsize=2)
        def order(number: int) -> np.ndarray:
            return rng(seed, "pass", name, number).permutation(count)

        self._order = order

    def rows(self, draws: np.ndarray) -> np.ndarray:
        """Return the samples of the given draws, (n,) int."""
        rows = np.empty(len(draws), np.int64)
        for number in np.unique(draws // self.count):
            here = draws // self.count == number
            rows[here] = self._order(int(number))[draws[here] % self.count]
        return rows


def shares(draws: int, weights: Sequence[Fraction]) -> list[int]:
    """Return how many of the first `draws` draws each dataset has.

    Args:
        draws: number of draws.
        weights: positive; fractions, so that 0.3 of 10 is 3 and stays so after 1e9 draws.

    Returns:
        Counts that sum to `draws`; none falls when `draws` grows.
    """
    left, counts = draws, []
    for k, weight in enumerate(weights):
        counts.append(int(left * weight / sum(weights[k:])))
        left -= counts[-1]
    return counts


def kept(count: int, fraction: float, seed: int, name: str) -> np.ndarray:
    """Return the records of a seeded share, at least one, in their order.

    A smaller share of the same seed is part of a larger one.

    Raises:
        InputError: if the fraction is not in (0, 1].
    """
    if not 0 < fraction <= 1:
        raise InputError("data", "fraction", fraction, "more than 0, at most 1")
    if fraction == 1:
        return np.arange(count)
    order = rng(seed, "fraction", name).permutation(count)
    return np.sort(order[: max(1, round(fraction * count))])


class Mixture:
    """Batches drawn from several datasets in fixed proportions."""

    def __init__(
        self,
        datasets: dict[str, RecordsDataset],
        weights: dict[str, float],
        seed: int,
        fraction: float = 1.0,
    ) -> None:
        """Check the weights.

        Args:
            datasets: name -> dataset.
            weights: name -> share of the draws, up to a common factor.
            seed: the run's seed.
            fraction: share of each dataset's records that are drawn, see `kept`.

        Raises:
            InputError: if the names differ or a weight is not positive.
        """
        if datasets.keys() != weights.keys() or not datasets:
            raise InputError("mixture", "", sorted(weights), f"weights of {sorted(datasets)}")
        for name, weight in weights.items():
            if not weight >= 1e-6:
                raise InputError("mixture", name, weight, "a share of at least a millionth")
        self.datasets, self.seed = datasets, seed
        self.weights = [Fraction(weights[name]).limit_denominator(10**6) for name in datasets]
        self.kept = {
            name: kept(len(data), fraction, seed, name) for name, data in datasets.items()
        }
        self.passes = {name: Passes(len(rows), seed, name) for name, rows in self.kept.items()}

    def rows(self, step: int, batch_size: int) -> list[tuple[str, int]]:
        """Return (dataset, record) of each slot of a batch."""
        before = shares(step * batch_size, self.weights)
        after = shares((step + 1) * batch_size, self.weights)
        found = []
        for name, first, last in zip(self.datasets, before, after, strict=True):
            rows = self.kept[name][self.passes[name].rows(np.arange(first, last))]
            found += [(name, int(row)) for row in rows]
        order = rng(self.seed, "slots", step).permutation(batch_size)
        return [found[slot] for slot in order]

    def batch(self, step: int, batch_size: int, part: slice = slice(None)) -> dict[str, Tensor]:
        """Return the batch of a step: the keys of `RecordsDataset.item`, stacked.

        Args:
            step: which batch.
            batch_size: samples in the whole batch.
            part: rows of it to make; they do not depend on the others.
        """
        slots = list(enumerate(self.rows(step, batch_size)))[part]
        return collate([
            self.datasets[name].item(row, rng(self.seed, "augment", step, slot))
            for slot, (name, row) in slots
        ])  # fmt: skip


def collate(items: list[dict[str, np.ndarray]]) -> dict[str, Tensor]:
    """Stack samples into tensors, key by key."""
    return {key: torch.from_numpy(np.stack([item[key] for item in items])) for key in items[0]}


class Prefetcher:
    """Yields fn(start) .. fn(stop - 1) in order, made ahead by threads.

    Decoding and warping release the interpreter, so threads share the memory of the records
    and still use every core. The number of workers changes nothing but the speed; an exception
    in a worker is raised where its result was due.
    """

    def __init__(
        self, fn: Callable[[int], dict], start: int, stop: int, workers: int, ahead: int = 2
    ) -> None:
        """State what is made.

        Args:
            fn: makes the batch of a step; must be pure.
            start: first step.
            stop: one past the last step.
            workers: threads; 0 makes each batch when it is asked for.
            ahead: finished or running batches held per worker.
        """
        self.fn, self.steps, self.workers = fn, range(start, stop), workers
        self.ahead = max(1, workers * ahead)

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self.steps)

    def __iter__(self) -> Iterator[dict]:
        """Yield the batches; leaving the loop early stops the workers."""
        if self.workers <= 0:
            yield from map(self.fn, self.steps)
            return
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="prefetch")
        try:
            due: list[Future] = []
            for step in self.steps:
                due.append(pool.submit(self.fn, step))
                if len(due) > self.ahead:
                    yield due.pop(0).result()
            while due:
                yield due.pop(0).result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
