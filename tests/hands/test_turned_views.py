"""Averaging over turned and scaled images."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.errors import InputError
from pipeline.evaluation import freihand, hands
from pipeline.evaluation.predictions import Task
from pipeline.evaluation.protocols import get_protocol
from pipeline.evaluation.turned_views import averaged, views
from pipeline.params import jobs, load
from pipeline.params.overlay import read_file
from tests.conftest import ROOT

SETTINGS = {"scales": [0.5, 1.0], "rotations_deg": [0, 90]}


class Tilting(nn.Module):
    """Predicts a mesh that depends on the image's colours left and right of the middle."""

    def __init__(self, mesh: np.ndarray) -> None:
        super().__init__()
        self.mesh = torch.from_numpy(mesh).float()

    def predict(self, image: Tensor) -> dict[str, Tensor]:
        left, right = image[..., :32].mean((1, 2, 3)), image[..., 32:].mean((1, 2, 3))
        stretch = torch.stack([1 + 0.2 * left, 1 + 0.2 * right, torch.ones_like(left)], -1)
        return {"vertices": self.mesh * stretch[:, None], "cam": torch.zeros(len(image), 3)}


def test_images_are_turned_and_scaled_about_their_middle():
    image = torch.zeros(1, 3, 8, 8)
    image[..., 1, 4:6] = 1.0  # above the middle, to the right of it
    plain, turned, small, both = views(image, {"scales": [1.0, 2.0], "rotations_deg": [0, 90]})
    assert torch.equal(plain, image)
    assert torch.equal(turned, torch.rot90(image, 1 if turned[0, 0, 2:4, 1].sum() else -1, (2, 3)))
    assert small.sum() == pytest.approx(image.sum().item() / 4, rel=0.01)
    assert small[..., 2, 4].mean() > 0 and both.sum() > 0
    assert [len(views(image, s)) for s in (SETTINGS, {"scales": [0.9], "rotations_deg": [5]})] == [
        4, 2]  # fmt: skip


def test_predictions_are_aligned_and_averaged_as_by_hand(hands: object) -> None:
    protocol = get_protocol("freihand_test_time")
    assert protocol.test_time and not get_protocol("freihand").test_time
    records = hands.evaluation
    network = Tilting(records.hand_vertices[0])
    options = {"image_size": 64, "batch_size": 2, "test_time": SETTINGS}
    task = Task(network, records.path, protocol, hands.assets, options)
    measured = freihand.measure(task)
    image = torch.from_numpy(np.stack([task.dataset.item(k, None)["image"] for k in range(2)]))
    meshes = [network.predict(v)["vertices"].double().numpy() for v in views(image, SETTINGS)]
    assert np.abs(meshes[1] - meshes[0]).max() > 1e-4
    for row in range(2):
        first = meshes[0][row]
        mean = first / 4
        for other in meshes[1:]:
            mean = mean + hand_aligned(other[row], first) / 4
        truth = records.hand_vertices[row].astype(float)
        joints = records.joints_3d[row, :, :3].astype(float)
        expected = hand_errors(hands, mean, joints, truth)
        for metric, value in expected.items():
            assert measured.per_sample[metric][row] == pytest.approx(value, rel=1e-5)
    plain = freihand.measure(replace(task, protocol=get_protocol("freihand")))
    assert np.abs(plain.per_sample["pa_mpvpe"] - measured.per_sample["pa_mpvpe"]).max() > 1e-4


def hand_aligned(mesh: np.ndarray, onto: np.ndarray) -> np.ndarray:
    return hands.align(mesh, onto)


def hand_errors(fixture: object, mesh: np.ndarray, joints: np.ndarray, truth: np.ndarray) -> dict:
    found = hands.errors(fixture.hand.joints(mesh)[None], mesh[None], joints[None], truth[None])
    return {k: v[0] * (1000 if k.startswith("pa") else 1) for k, v in found.items()}


def test_similar_meshes_average_to_the_first():
    mesh = np.random.default_rng(0).normal(size=(2, 30, 3))
    turned = mesh @ np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]]) * 1.7 + 5
    np.testing.assert_allclose(averaged([mesh, turned]), mesh, atol=1e-9)


@pytest.mark.parametrize("change", [{"scales": []}, {"scales": [0.0]}, {"rotations_deg": []}])
def test_empty_lists_are_refused(change: dict):
    with pytest.raises(InputError, match="test_time"):
        views(torch.zeros(1, 3, 8, 8), SETTINGS | change)


def test_only_the_protocol_that_averages_is_told_how():
    params = load({**read_file(ROOT / "params.yaml"), "scale": "paper", "source": "real"})
    job = {"run": "mpt_hand", "seed": "0", "protocol": "freihand"}
    assert "test_time" not in jobs.evaluate(params, job)
    told = jobs.evaluate(params, {**job, "protocol": "freihand_test_time"})["test_time"]
    assert len(told["scales"]) * len(told["rotations_deg"]) == 5 * 19
