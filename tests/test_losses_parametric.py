import math

import pytest
import torch
from torch import Tensor

from pipeline.errors import InputError
from pipeline.losses import parametric_losses

WEIGHTS = {"keypoints_2d": 300.0, "keypoints_3d": 300.0, "pose": 60.0, "betas": 0.06, "camera": 1}


def body(batch: int = 2) -> dict[str, Tensor]:
    """Everything zero but the identity rotations and a scale of one."""
    return {
        "rotmats": torch.eye(3).expand(batch, 24, 3, 3).clone(),
        "betas": torch.zeros(batch, 10),
        "cam": torch.tensor([[1.0, 0, 0]]).expand(batch, 3).clone(),
        "joints": torch.zeros(batch, 24, 3),
        "keypoints_2d": torch.zeros(batch, 24, 2),
    }


def labels(batch: int = 2) -> dict[str, Tensor]:
    """Labels that the body above meets exactly, all valid."""
    return {
        "rotmats": torch.eye(3).expand(batch, 24, 3, 3).clone(),
        "betas": torch.zeros(batch, 10),
        "has_smpl": torch.ones(batch),
        "joints_3d": torch.cat([torch.zeros(batch, 24, 3), torch.ones(batch, 24, 1)], -1),
        "keypoints_2d": torch.cat([torch.zeros(batch, 24, 2), torch.ones(batch, 24, 1)], -1),
    }


def losses(
    predicted: dict, batch: dict, preset: str = "official", **switches: str
) -> dict[str, float]:
    weights = WEIGHTS | switches
    found = parametric_losses({"iterations": [predicted]}, batch, weights, preset)
    return {name: value.item() for name, value in found.items()}


def test_perfect_prediction_leaves_the_camera_prior() -> None:
    found = losses(body(), labels())
    assert found.pop("camera") == pytest.approx(math.exp(-20))
    assert found == {"keypoints_2d": 0, "keypoints_3d": 0, "pose": 0, "betas": 0}
    assert "camera" not in losses(body(), labels(), "paper")


def test_keypoints_2d_denominators() -> None:
    """One coordinate off by 0.5 at confidence 0.8; one joint unlabelled."""
    predicted, batch = body(), labels()
    predicted["keypoints_2d"][0, 4, 1] = 0.5
    batch["keypoints_2d"][0, 4, 2] = 0.8
    batch["keypoints_2d"][1, 7] = torch.tensor([9.0, 9.0, 0.0])
    squared = 0.8 * 0.25
    expected = 300 * squared / (2 * 49 * 2)
    assert losses(predicted, batch)["keypoints_2d"] == pytest.approx(expected)
    expected = 300 * squared / (2 * (46 + 0.8))
    assert losses(predicted, batch, "paper")["keypoints_2d"] == pytest.approx(expected)


def test_official_2d_weight_is_24_of_49() -> None:
    predicted = body()
    predicted["keypoints_2d"] += 0.1
    official = losses(predicted, labels())["keypoints_2d"]
    paper = losses(predicted, labels(), "paper")["keypoints_2d"]
    assert official / paper == pytest.approx(24 / 49)
    assert paper == pytest.approx(300 * 0.01)


def test_keypoints_3d_are_relative_to_the_hips() -> None:
    predicted, batch = body(), labels()
    predicted["joints"] += 1.0  # a common translation costs nothing
    assert losses(predicted, batch)["keypoints_3d"] == pytest.approx(0, abs=1e-9)
    predicted["joints"][0, 2, 0] += 0.2  # right hip: moves the middle by 0.1
    expected = 300 * (0.1**2 + 23 * 0.1**2) / (2 * 24 * 3)
    assert losses(predicted, batch)["keypoints_3d"] == pytest.approx(expected)


def test_keypoints_3d_of_labelled_samples_only() -> None:
    predicted, batch = body(3), labels(3)
    predicted["joints"][:, 6] += 0.3
    batch["joints_3d"][1, :, 3] = 0  # no label
    batch["joints_3d"][2, 3, 3] = 0  # a hip is missing: cannot be centred
    expected = 300 * 3 * 0.09 / (1 * 24 * 3)
    assert losses(predicted, batch)["keypoints_3d"] == pytest.approx(expected)
    batch["joints_3d"][0, 10:, 3] = 0
    expected = 300 * 3 * 0.09 / (10 * 3)
    assert losses(predicted, batch, "paper")["keypoints_3d"] == pytest.approx(expected)


def test_parameters_of_labelled_samples_only() -> None:
    predicted, batch = body(), labels()
    predicted["betas"][:, 0] = 2.0
    predicted["rotmats"][0, 5, 1, 1] = 0.5
    batch["has_smpl"][1] = 0
    batch["rotmats"][1] = float("nan")  # whatever an absent label holds
    found = losses(predicted, batch)
    assert found["betas"] == pytest.approx(0.06 * 4 / 10)
    assert found["pose"] == pytest.approx(60 * 0.25 / (24 * 9))


def test_iterations_add_up() -> None:
    predicted = body()
    predicted["betas"] += 1.0
    once = parametric_losses({"iterations": [predicted]}, labels(), WEIGHTS)
    thrice = parametric_losses({"iterations": [predicted] * 3}, labels(), WEIGHTS)
    for name in once:
        torch.testing.assert_close(thrice[name], 3 * once[name])


def test_each_mean_is_a_switch_of_its_own() -> None:
    """One 2D joint of three and one 3D joint of two are off; the rest have no label."""
    predicted, batch = body(), labels()
    batch["keypoints_2d"][..., 2] = 0
    batch["keypoints_2d"][0, :3, 2] = 1
    batch["joints_3d"][..., 3] = 0
    batch["joints_3d"][0, 2:4, 3] = 1  # the hips
    predicted["keypoints_2d"][0, 1, 0] = 0.5
    predicted["joints"][0, 2, 1] = 0.2  # each hip is then 0.1 from where it should be
    found = losses(predicted, batch, mean_2d="labelled")
    assert found["keypoints_2d"] == pytest.approx(300 * 0.25 / (2 * 3))
    assert found["keypoints_3d"] == pytest.approx(300 * 2 * 0.01 / (24 * 3))
    found = losses(predicted, batch, mean_3d="labelled")
    assert found["keypoints_2d"] == pytest.approx(300 * 0.25 / (2 * 49 * 2))
    assert found["keypoints_3d"] == pytest.approx(300 * 2 * 0.01 / (2 * 3))
    found = losses(predicted, batch, "paper", mean_2d="slots", mean_3d="all")
    assert found == losses(predicted, batch, camera_term="none")


def test_norm_of_the_parameters_sums_their_numbers() -> None:
    """Eq. 2's squared norm: of the one labelled sample, no mean over 216 and 10 numbers."""
    predicted, batch = body(), labels()
    predicted["betas"] += 0.5
    predicted["rotmats"][0, 3] *= 3
    batch["has_smpl"][1] = 0
    found = losses(predicted, batch, parameters="norm")
    assert found["betas"] == pytest.approx(0.06 * 10 * 0.25)
    assert found["pose"] == pytest.approx(60 * 3 * 4)


def test_supervised_camera() -> None:
    predicted, batch = body(3), labels(3)
    batch["cam"] = predicted["cam"] + torch.tensor([0.1, 0.0, -0.2])
    batch["has_cam"] = torch.tensor([1, 1, 0])
    batch["cam"][2] = float("nan")
    found = losses(predicted, batch, camera_term="supervised")
    assert found["camera"] == pytest.approx((0.01 + 0.04) / 3)
    found = losses(predicted, batch, camera_term="supervised", parameters="norm", camera=60.0)
    assert found["camera"] == pytest.approx(60 * (0.01 + 0.04))


def test_weight_of_the_camera_prior() -> None:
    """1 in PyMAF's trainer, 60 in SPIN's and PARE's."""
    predicted = body()
    predicted["cam"][:, 0] = 0.0
    assert losses(predicted, labels())["camera"] == pytest.approx(1)
    assert losses(predicted, labels(), camera=60.0)["camera"] == pytest.approx(60)
    assert "camera" not in losses(predicted, labels(), camera_term="none")


def test_camera_prior() -> None:
    predicted = body()
    predicted["cam"][:, 0] = torch.tensor([0.0, -0.1])
    expected = (1 + math.exp(1) ** 2) / 2
    assert losses(predicted, labels())["camera"] == pytest.approx(expected)


def test_nothing_labelled_is_zero_with_zero_gradients() -> None:
    predicted = {name: value.requires_grad_() for name, value in body().items()}
    batch = {name: torch.full_like(value, float("nan")) for name, value in labels().items()}
    batch["has_smpl"] = torch.zeros(2)
    batch["joints_3d"][..., 3] = batch["keypoints_2d"][..., 2] = 0
    found = parametric_losses({"iterations": [predicted]}, batch, WEIGHTS, "paper")
    sum(found.values()).backward()
    assert all(value == 0 for value in found.values())
    for name in ("rotmats", "betas", "joints", "keypoints_2d"):
        assert predicted[name].grad.eq(0).all()


def test_unknown_preset_and_missing_weight_are_refused() -> None:
    with pytest.raises(InputError, match="one of official, paper"):
        parametric_losses({"iterations": [body()]}, labels(), WEIGHTS, "spin")
    with pytest.raises(InputError, match="camera_term: saw 'learnt', expected one of prior"):
        losses(body(), labels(), camera_term="learnt")
    with pytest.raises(InputError, match="keypoints_3d"):
        parametric_losses({"iterations": [body()]}, labels(), {"keypoints_2d": 1.0})
