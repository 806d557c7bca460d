"""Learning rates at the corners of every schedule, and refused settings."""

import pytest
import torch

from pipeline.errors import InputError
from pipeline.schedules import build_optimizer, check_schedule, learning_rate

SETTINGS = {"steps": 100, "lr": 2.0, "warmup": 0.1, "decay": "linear", "optimizer": "adam",
            "weight_decay": 0.0, "clip_norm": None}  # fmt: skip


def test_warmup_rises_linearly_to_the_full_rate():
    rates = [learning_rate(SETTINGS, step) for step in range(10)]
    assert rates == pytest.approx([0.2 * (k + 1) for k in range(10)])


@pytest.mark.parametrize(
    "decay, middle, last", [("constant", 2.0, 2.0), ("linear", 1.0, 2 / 90), ("cosine", 1.0, 0.0)]
)
def test_decay(decay, middle, last):
    settings = SETTINGS | {"decay": decay}
    assert learning_rate(settings, 10) == pytest.approx(2.0)
    assert learning_rate(settings, 55) == pytest.approx(middle)
    assert learning_rate(settings, 99) == pytest.approx(last, abs=1e-3)


def test_no_warmup_starts_at_the_full_rate():
    assert learning_rate(SETTINGS | {"warmup": 0.0}, 0) == 2.0


def test_one_step_has_a_rate():
    assert learning_rate(SETTINGS | {"steps": 1}, 0) == 2.0


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_optimizer_lowers_a_quadratic_and_skips_frozen_parameters(name):
    weight = torch.nn.Parameter(torch.ones(3))
    frozen = torch.nn.Parameter(torch.ones(3), requires_grad=False)
    optimizer = build_optimizer([weight, frozen], SETTINGS | {"optimizer": name, "lr": 0.1})
    (weight * frozen).square().sum().backward()
    optimizer.step()
    assert (weight < 1).all() and (frozen == 1).all()


def test_nothing_to_train():
    with pytest.raises(InputError, match="steps: 0"):
        build_optimizer([], SETTINGS)


@pytest.mark.parametrize(
    "key, value",
    [("optimizer", "lion"), ("decay", "step"), ("warmup", 1.0), ("lr", 0), ("clip_norm", 0.0),
     ("weight_decay", -1)],
)  # fmt: skip
def test_refused(key, value):
    with pytest.raises(InputError, match=key):
        check_schedule(SETTINGS | {key: value})
