import math

import pytest
import torch
from torch import Tensor

from pipeline.losses import iuv_losses
from pipeline.losses.iuv import ANNOTATION_GROUPS, merge_parts

WEIGHTS = {"iuv_index": 1.0, "iuv_annotation": 1.0, "iuv_uv": 0.5}


def maps(batch: int = 2) -> dict[str, Tensor]:
    """Uniform logits and zero U, V on 2 x 2 pixels."""
    surface = {name: torch.zeros(batch, 25, 2, 2) for name in ("index", "u", "v")}
    return {**surface, "annotation": torch.zeros(batch, 15, 2, 2)}


def labels(batch: int = 2) -> dict[str, Tensor]:
    """One pixel of part 4 at (0.6, 0.2) in each sample, the rest background."""
    part = torch.zeros(batch, 2, 2, dtype=torch.long)
    uv = torch.full((batch, 2, 2, 2), 0.9)  # the background's values must not matter
    part[:, 0, 1] = 4
    uv[:, 0, 1] = torch.tensor([0.6, 0.2])
    return {"part": part, "uv": uv, "has_iuv": torch.ones(batch)}


def test_uniform_logits() -> None:
    found = iuv_losses(maps(), labels(), WEIGHTS)
    assert found["iuv_index"].item() == pytest.approx(math.log(25))
    assert found["iuv_annotation"].item() == pytest.approx(math.log(15))
    assert found["iuv_u"].item() == pytest.approx(0.5 * 0.5 * 0.6**2)
    assert found["iuv_v"].item() == pytest.approx(0.5 * 0.5 * 0.2**2)


def test_background_channel_counts_officially_only() -> None:
    """Three background pixels whose channel 0 says 1, and one wrong part channel unused."""
    predicted = maps()
    predicted["u"][:, 0] = 1.0
    predicted["u"][:, 4, 0, 1] = 0.6
    predicted["u"][:, 7] = 5.0
    official = iuv_losses(predicted, labels(), WEIGHTS)["iuv_u"].item()
    assert official == pytest.approx(0.5 * 3 * 0.5)
    assert iuv_losses(predicted, labels(), WEIGHTS, "paper")["iuv_u"].item() == 0


def test_large_errors_are_linear() -> None:
    predicted = maps()
    predicted["v"][:, 4, 0, 1] = 3.2
    found = iuv_losses(predicted, labels(), WEIGHTS, "paper")
    assert found["iuv_v"].item() == pytest.approx(0.5 * (3.0 - 0.5))
    assert "iuv_annotation" not in found


def test_unlabelled_samples() -> None:
    """Out of the classification's mean; out of the sum, but not of its denominator."""
    predicted, batch = maps(), labels()
    predicted["index"][1] += torch.randn(25, 2, 2)
    batch["has_iuv"][1] = 0
    batch["uv"][1] = float("nan")
    found = iuv_losses(predicted, batch, WEIGHTS)
    assert found["iuv_index"].item() == pytest.approx(math.log(25))
    assert found["iuv_u"].item() == pytest.approx(0.5 * 0.5 * 0.6**2 / 2)
    batch["has_iuv"][:] = 0
    assert all(value == 0 for value in iuv_losses(predicted, batch, WEIGHTS).values())


def test_each_reading_is_a_switch_of_its_own() -> None:
    """Background says 1 in channel 0; the second sample has no label."""
    predicted, batch = maps(), labels()
    predicted["u"][:, 0] = 1.0
    batch["has_iuv"][1] = 0
    person, background = 0.5 * 0.6**2, 3 * 0.5

    def of_u(preset: str, **switches: object) -> float:
        return iuv_losses(predicted, batch, WEIGHTS | switches, preset)["iuv_u"].item()

    assert of_u("official") == pytest.approx(0.5 * (person + background) / 2)
    assert of_u("official", uv_pixels="foreground") == pytest.approx(0.5 * person / 2)
    assert of_u("official", uv_mean="labelled") == pytest.approx(0.5 * (person + background))
    assert of_u("paper") == pytest.approx(0.5 * person)
    assert "iuv_annotation" in iuv_losses(
        predicted, batch, WEIGHTS | {"annotation": True}, "paper"
    )
    found = iuv_losses(predicted, batch, WEIGHTS | {"annotation": False})
    assert "iuv_annotation" not in found


def test_weights_of_the_released_configuration() -> None:
    """Its 2.0 and 0.3, which the released trainer does not read, are weights here."""
    weights = {"iuv_index": 2.0, "iuv_annotation": 0.3, "iuv_uv": 0.5}
    found = iuv_losses(maps(), labels(), weights)
    assert found["iuv_index"].item() == pytest.approx(2 * math.log(25))
    assert found["iuv_annotation"].item() == pytest.approx(0.3 * math.log(15))


def test_parts_only() -> None:
    found = iuv_losses({"index": maps()["index"]}, labels(), {"iuv_index": 2.0})
    assert list(found) == ["iuv_index"]
    assert found["iuv_index"].item() == pytest.approx(2 * math.log(25))


def test_parts_merge_into_annotated_ones() -> None:
    assert sorted(p for group in ANNOTATION_GROUPS for p in group) == list(range(25))
    part = torch.tensor([0, 1, 2, 3, 7, 9, 20, 22, 24])
    assert merge_parts(part).tolist() == [0, 1, 1, 2, 6, 6, 13, 13, 14]


def test_other_resolution_is_refused() -> None:
    with pytest.raises(ValueError, match="iuv_size"):
        iuv_losses({"index": torch.zeros(2, 25, 4, 4)}, labels(), WEIGHTS)
