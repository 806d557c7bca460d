"""Mixtures: proportions, passes without repetition, and purity in (seed, step)."""

import time
from collections import Counter
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pipeline.data.dataset import RecordsDataset
from pipeline.data.mixture import Mixture, Passes, Prefetcher, kept, shares
from pipeline.errors import InputError
from pipeline.seeding import rng

AUGMENTATION = {"flip": 0.5, "rotation_deg": 30, "rotation_zero": 0.6, "scale": 0.25, "gain": 0.4}


class Counted:
    """A dataset that only has a length."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count


def mixture(seed: int = 0) -> Mixture:
    data = {"a": Counted(50), "b": Counted(7), "c": Counted(300)}
    return Mixture(data, {"a": 0.3, "b": 0.1, "c": 0.6}, seed)


@pytest.mark.parametrize("weights", [[1], [0.3, 0.6, 0.1], [1, 1, 1], [1e-6, 1]])
def test_shares_never_fall_and_sum_up(weights: list[float]) -> None:
    fractions = [Fraction(w).limit_denominator(10**6) for w in weights]
    counts = np.array([shares(draws, fractions) for draws in range(500)])
    assert (counts.sum(1) == np.arange(500)).all()
    assert (np.diff(counts, axis=0) >= 0).all()
    expected = np.arange(500)[:, None] * np.array(weights) / sum(weights)
    assert np.abs(counts - expected).max() <= len(weights)


def test_shares_hold_after_many_draws() -> None:
    tenths = [Fraction(3, 10), Fraction(7, 10)]
    assert shares(10**12 + 10, tenths) == [3 * 10**11 + 3, 7 * 10**11 + 7]


def test_every_pass_visits_every_sample_once() -> None:
    mixed = mixture()
    slots = [pair for step in range(200) for pair in mixed.rows(step, 16)]
    for name, data in mixed.datasets.items():
        visits = Counter(row for where, row in slots if where == name)
        passes = sum(visits.values()) // len(data)
        assert passes >= 1 and set(visits.values()) <= {passes, passes + 1}
        assert set(visits) == set(range(len(data)))
    first, second = (mixed.passes["b"].rows(np.arange(7) + 7 * k) for k in range(2))
    assert list(first) != list(second)


def test_rows_depend_on_seed_and_step_only() -> None:
    first, again = mixture(), mixture()
    forwards = [first.rows(step, 16) for step in range(20)]
    backwards = [again.rows(step, 16) for step in reversed(range(20))]
    assert forwards == backwards[::-1]
    assert forwards != [mixture(seed=1).rows(step, 16) for step in range(20)]
    assert len({tuple(name for name, _ in rows) for rows in forwards}) > 10  # slots are shuffled


def test_fractions_are_seeded_and_nested() -> None:
    everything, few, more = (kept(1000, f, 3, "a") for f in (1.0, 0.001, 0.1))
    assert (everything == np.arange(1000)).all()
    assert len(few) == 1 and len(more) == 100 and set(few) < set(more)
    assert len(kept(4, 0.001, 3, "a")) == 1  # one record at least
    assert set(kept(1000, 0.1, 4, "a")) != set(more) != set(kept(1000, 0.1, 3, "b"))
    mixed = Mixture({"a": Counted(1000)}, {"a": 1.0}, 3, 0.1)
    drawn = [row for step in range(20) for _, row in mixed.rows(step, 10)]
    assert sorted(drawn) == sorted([*more, *more])  # two passes
    with pytest.raises(InputError, match="fraction"):
        kept(10, 0.0, 3, "a")


def test_passes_across_the_end() -> None:
    passes = Passes(10, 0, "x")
    joined = np.concatenate([passes.rows(np.arange(k, k + 4)) for k in range(0, 40, 4)])
    for k in range(4):
        assert sorted(joined[10 * k : 10 * k + 10]) == list(range(10))


@pytest.mark.parametrize("weights", [{"a": 1.0}, {"a": 1, "b": 0}, {"a": 1, "b": float("nan")}])
def test_wrong_weights_are_refused(weights: dict) -> None:
    with pytest.raises(InputError, match="mixture"):
        Mixture({"a": Counted(3), "b": Counted(3)}, weights, 0)


def batches(path: Path, workers: int) -> list[dict[str, torch.Tensor]]:
    settings = {"image_size": 32, "augmentation": AUGMENTATION, "iuv_size": 8}
    data = {"toy": RecordsDataset(path, None, settings, train=True)}
    mixed = Mixture(data, {"toy": 1.0}, 3)
    return list(Prefetcher(lambda step: mixed.batch(step, 6), 2, 12, workers))


def test_any_number_of_workers_gives_the_same_batches(
    toy: SimpleNamespace, tmp_path: Path
) -> None:
    path = toy.write_records(tmp_path / "toy.h5", 7)
    alone = batches(path, 0)
    assert len(alone) == 10 and alone[0]["image"].shape == (6, 3, 32, 32)
    assert alone[0]["has_smpl"].dtype == torch.bool
    for workers in (1, 3):
        for one, other in zip(alone, batches(path, workers), strict=True):
            assert one.keys() == other.keys()
            assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("workers", [0, 2])
def test_errors_arrive_where_the_batch_was_due(workers: int) -> None:
    def make(step: int) -> dict:
        if step == 3:
            raise InputError("a.jpg", "image", "nothing", "a JPEG")
        return {"step": step}

    seen = []
    with pytest.raises(InputError, match="a.jpg"):
        for batch in Prefetcher(make, 0, 9, workers):
            seen.append(batch["step"])
    assert seen == [0, 1, 2]


def test_workers_stay_a_bounded_way_ahead() -> None:
    made = []
    stream = iter(Prefetcher(lambda step: made.append(step) or {}, 0, 1000, 2))
    next(stream)
    time.sleep(0.05)
    assert len(made) <= 6
    stream.close()


def test_streams_of_slots_differ() -> None:
    draws = {rng(0, "augment", step, slot).random() for step in range(5) for slot in range(5)}
    assert len(draws) == 25
