"""The loop: it learns, it repeats itself bit for bit, and it stops with one clear line."""

import re

import pytest
import torch

from pipeline.errors import InputError
from pipeline.fabric import Autocast, resolve_precision
from pipeline.history import History, duration, progress_line
from pipeline.sharding import check_sharding
from tests.tiny_training import SETTINGS, TinyObjective, train


def run(tmp_path, name="a", objective=TinyObjective, **changes):
    network = changes.pop("network", {})
    made = objective(SETTINGS | changes, **network)
    return made, train(made, tmp_path / name)


def weights(objective):
    return {k: v.clone() for k, v in objective.network.state_dict().items()}


def assert_equal(first, second):
    assert first.keys() == second.keys()
    for key, value in first.items():
        assert torch.equal(value, second[key]), key


def test_it_learns(tmp_path):
    _, outcome = run(tmp_path, steps=150, lr=0.02, network={"dropout": 0.0})
    header, rows = outcome.history.table()
    assert header == ["step", "lr", "loss", "square", "size", "grad_norm"]
    assert outcome.history.final()["loss"] < 0.5 * rows[0][2]


def test_any_number_of_workers_gives_the_same_bits(tmp_path):
    first, a = run(tmp_path, "a", workers=0)
    second, b = run(tmp_path, "b", workers=3)
    assert_equal(weights(first), weights(second))
    assert a.history.table() == b.history.table()


def test_seed_matters(tmp_path):
    first, _ = run(tmp_path, "a")
    other = TinyObjective(SETTINGS, seed=1)
    train(other, tmp_path / "b")
    assert not torch.equal(first.network[0].weight, other.network[0].weight)


def test_steps_zero_leaves_the_initial_weights(tmp_path):
    fresh = TinyObjective(SETTINGS)
    trained, outcome = run(tmp_path, steps=0)
    assert_equal(weights(fresh), weights(trained))
    assert outcome.history.table() == (["step", "lr", "loss", "grad_norm"], [])
    assert outcome.history.final() == {}


def test_accumulation_equals_one_batch_without_batch_statistics(tmp_path):
    plain = {"dropout": 0.0, "norm": False}
    first, a = run(tmp_path, "a", network=plain)
    second, b = run(tmp_path, "b", network=plain, accumulate=4)
    assert torch.allclose(first.network[0].weight, second.network[0].weight, atol=1e-5)
    for row, other in zip(a.history.table()[1], b.history.table()[1], strict=True):
        assert row == pytest.approx(other, rel=1e-4)


@pytest.mark.parametrize("accumulate", [1, 4])
def test_the_norm_of_the_gradient_before_clipping_is_logged(tmp_path, accumulate):
    """One step of plain descent moves the weights by the rate times the gradient."""
    plain = {"network": {"dropout": 0.0, "norm": False}, "steps": 1, "optimizer": "sgd",
             "warmup": 0.0, "decay": "constant", "lr": 0.5, "accumulate": accumulate}  # fmt: skip
    fresh = TinyObjective(SETTINGS, **plain["network"])
    made, outcome = run(tmp_path, "a", clip_norm=None, **plain)
    moved = [a - b for a, b in zip(made.network.parameters(), fresh.network.parameters(),
                                   strict=True)]  # fmt: skip
    norm = outcome.history.final()["grad_norm"]
    length = torch.cat([m.flatten() for m in moved]).norm().item()
    assert length == pytest.approx(0.5 * norm, rel=1e-4)
    plain |= {"network": {"dropout": 0.0, "norm": False}}
    _, clipped = run(tmp_path, "b", clip_norm=1e-3, **plain)
    assert clipped.history.final()["grad_norm"] == pytest.approx(norm, rel=1e-5)


def test_time_and_memory_are_said_and_stored_nowhere(tmp_path, capsys):
    _, outcome = run(tmp_path)
    said = (
        r"trained 12 steps in \d+s, [\d.]+ it/s, step \d+ ms \(median\), "
        r"waited \d+% for data, peak memory [\d.]+ GB"
    )
    assert re.search(said, capsys.readouterr().err)
    assert set(outcome.history.final()) == {"loss", "square", "size", "grad_norm"}


@pytest.mark.parametrize("precision", ["32", "bf16-mixed"])
def test_precision(tmp_path, precision):
    made, outcome = run(tmp_path, precision=precision)
    assert made.network[0].weight.dtype == torch.float32
    assert outcome.history.final()["loss"] > 0


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["auto", "32", "bf16-mixed", "16-mixed"])
def test_cuda(tmp_path, precision):
    made, outcome = run(tmp_path, precision=precision, steps=40, checkpoint_every=10)
    assert next(made.network.parameters()).is_cuda
    assert 0 < outcome.history.final()["loss"] < 2


def test_coordinates_keep_float32_under_autocast():
    plugin = Autocast("bf16-mixed", "cpu")
    points = torch.tensor([223.456])
    assert plugin.convert_input(points).dtype == torch.float32


def test_precision_names():
    assert resolve_precision("auto", "cpu") in ("32-true", "bf16-mixed")
    assert resolve_precision("32", "cuda") == "32-true"
    with pytest.raises(InputError, match="precision"):
        resolve_precision("8", "cpu")
    with pytest.raises(InputError, match="16-mixed on a CPU"):
        resolve_precision("16-mixed", "cpu")


def test_a_loss_that_is_not_finite_names_step_and_term(tmp_path):
    objective = TinyObjective(SETTINGS)
    objective.broken_at = 4
    with pytest.raises(InputError, match="step 5: loss size: saw inf"):
        train(objective, tmp_path / "a")


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    objective = TinyObjective(SETTINGS | {"clip_norm": None, "lr": 1e38, "warmup": 0.0})
    with pytest.raises(InputError, match="not finite|saw (nan|inf)"):
        train(objective, tmp_path / "a")
    for path in (tmp_path / "a").glob("*.ckpt"):
        pytest.fail(f"saved {path}")


class Validated(TinyObjective):
    """Scores fall, then rise: the best of a trained network is at the second validation."""

    score = "error"
    scores = (0.5, 3.0, 1.0, 2.0, 4.0)  # the first is that of the untrained network

    def validate(self, network):
        assert not network.training
        self.calls = getattr(self, "calls", 0) + 1
        return {"error": self.scores[self.calls - 1]}


@pytest.mark.parametrize("selection", ["validation", "paper"])
def test_selection_keeps_the_best_validated_weights(tmp_path, selection):
    reference, _ = run(tmp_path, "a", Validated, validate_every=3)
    made, outcome = run(tmp_path, "b", Validated, validate_every=3, selection=selection)
    assert outcome.selected_step == 6 and outcome.validation == {"error": 1.0}
    steps = zip((0, 3, 6, 9, 12), Validated.scores, strict=True)
    assert outcome.course == [{"step": step, "error": error} for step, error in steps]
    assert not torch.equal(reference.network[0].weight, made.network[0].weight)
    assert made.network.training


def test_validation_at_the_end_only(tmp_path):
    made, outcome = run(tmp_path, objective=Validated)
    assert outcome.validation == {"error": 0.5} and made.calls == 1


@pytest.mark.parametrize(
    "changes, objective, message",
    [({"selection": "validation"}, TinyObjective, "without validation records"),
     ({"selection": "validation"}, Validated, "validate_every: 0"),
     ({"selection": "paper"}, TinyObjective, "paper without validation records"),
     ({"selection": "best"}, TinyObjective, "last or validation or paper"),
     ({"strategy": "fsdp"}, TinyObjective, "strategy: saw fsdp, expected auto or ddp"),
     ({"batch_size": 7, "accumulate": 2}, TinyObjective, "multiple of devices x accumulate = 2")],
)  # fmt: skip
def test_contradictions_are_refused(tmp_path, changes, objective, message):
    with pytest.raises(InputError, match=message):
        run(tmp_path, objective=objective, **changes)


@pytest.mark.parametrize("there, message", [(None, "not installed"), (object(), "on a CPU")])
def test_deepspeed_is_refused_where_it_cannot_run(tmp_path, monkeypatch, there, message):
    monkeypatch.setattr("pipeline.sharding.importlib.util.find_spec", lambda name: there)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(InputError, match=f"strategy: saw deepspeed_stage_2.* {message}"):
        run(tmp_path, strategy="deepspeed_stage_2")


def test_deepspeed_refuses_what_it_would_do_otherwise(monkeypatch):
    monkeypatch.setattr("pipeline.sharding.importlib.util.find_spec", lambda name: object())
    settings = SETTINGS | {"strategy": "deepspeed"}
    check_sharding(settings, "cuda", "32-true")
    with pytest.raises(InputError, match="bf16-mixed with deepspeed"):
        check_sharding(settings, "cuda", "bf16-mixed")
    with pytest.raises(InputError, match="accumulate: saw 2"):
        check_sharding(settings | {"accumulate": 2}, "cuda", "32-true")


@pytest.mark.gpu
def test_deepspeed_equals_the_plain_loop(tmp_path):
    pytest.importorskip("deepspeed")
    plain = {"dropout": 0.0, "norm": False}
    first, _ = run(tmp_path, "a", network=plain, precision="32")
    sharded = {"strategy": "deepspeed_stage_2", "precision": "32", "network": plain}
    second, _ = run(tmp_path, "b", **sharded)
    assert torch.allclose(first.network[0].weight, second.network[0].weight, atol=1e-5)


def test_history_rows_are_bounded_means():
    history = History(steps=2500, period=7)
    for step in range(2500):
        terms = {"a": torch.tensor(float(step)), "b": torch.tensor(1.0)}
        if history.add(step, 0.1, terms, torch.tensor(float("inf") if step == 9 else 3.0)):
            history.read(history.pending())
    header, rows = history.table()
    assert len(rows) == 834 and rows[0] == [3, pytest.approx(0.1), 2.0, 1.0, 1.0, 3.0]
    assert rows[-1][0] == 2500 and rows[-1][3] == 2499.0
    assert history.final()["a"] == pytest.approx(2449.5)
    assert history.final()["grad_norm"] == 3.0 and rows[3][5] == float("inf")


def test_history_refuses_terms_that_change():
    history = History(steps=2, period=1)
    one = torch.tensor(1.0)
    history.add(0, 0.1, {"a": one}, one)
    with pytest.raises(ValueError, match="terms changed"):
        history.add(1, 0.1, {"b": one}, one)


def test_progress_line():
    line = progress_line(400, 2000, 0, 32.5, 1e-3, 0.123)
    assert line == "step 400/2000 20% loss 0.123 lr 1.0e-03 12.3 it/s eta 2m10s"
    assert (duration(42), duration(130), duration(18180)) == ("42s", "2m10s", "5h03m")
