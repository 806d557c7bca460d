"""Errors after each update, of bodies whose errors are known."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.body.assets import BodyAssets, load_assets
from pipeline.body.smpl import SMPLLayer
from pipeline.errors import InputError
from pipeline.evaluation import iterations
from pipeline.evaluation.predictions import Task
from pipeline.evaluation.protocols import get_protocol
from pipeline.joints import mapping
from pipeline.rotations import axis_angle_to_matrix
from tests.body_asset import body_asset

PROTOCOL = get_protocol("h36m_p2_iterations")
GROWN = (1.3, 1.2, 1.1, 1.0)  # of the body after 0, 1, 2 and 3 updates
SETTINGS = {"image_size": 32, "batch_size": 2}


class Growing(nn.Module):
    """Predicts the true meshes grown by a factor of its own after each update."""

    def __init__(self, mesh: Tensor, factors: tuple[float, ...]) -> None:
        super().__init__()
        self.mesh, self.factors = mesh, factors

    def predict_iterations(self, image: Tensor) -> list[dict[str, Tensor]]:
        rows = image[:, 0, 0, 0].long()
        return [{"vertices": factor * self.mesh[rows]} for factor in self.factors]


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> BodyAssets:
    return load_assets(body_asset(tmp_path_factory))


@pytest.fixture
def truth(assets: BodyAssets, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """Three bodies, `mesh` and annotated `joints`, that the records seem to hold."""
    random = torch.Generator().manual_seed(0)
    rotmats = axis_angle_to_matrix(0.3 * torch.randn(3, 24, 3, generator=random))
    betas = torch.randn(3, 10, generator=random)
    mesh = SMPLLayer(assets.models["neutral"])(betas, rotmats)[0]
    mesh = mesh - mesh.mean(1, keepdim=True)
    joints = torch.from_numpy(assets.J_regressor_h36m).float() @ mesh
    labels = {"rotmats": rotmats, "betas": betas, "gender": torch.zeros(3, dtype=torch.long),
              "joints_annotated": torch.cat([joints, torch.ones(3, 17, 1)], dim=-1),
              "image": torch.arange(3.0).reshape(3, 1, 1, 1).expand(3, 3, 2, 2)}  # fmt: skip

    def labelled(task: Task):
        assert (task.records_path, task.protocol) == ("records.h5", PROTOCOL)
        for rows in (np.array([0, 1]), np.array([2])):
            yield rows, {key: value[rows] for key, value in labels.items()}

    monkeypatch.setattr(iterations, "labelled", labelled)
    return {"mesh": mesh, "joints": joints}


def test_errors_after_each_update_by_hand(assets: BodyAssets, truth: dict[str, Tensor]) -> None:
    """A body grown by g about its pelvis is off by g times each joint's distance from it."""
    assert PROTOCOL.version == 1 and len(PROTOCOL.metrics) == 8
    network = Growing(truth["mesh"], GROWN).train()
    found = iterations.measure(Task(network, "records.h5", PROTOCOL, assets, SETTINGS))
    assert network.training and found.rows.tolist() == [0, 1, 2]
    assert tuple(found.per_sample) == PROTOCOL.metrics
    joints = truth["joints"] - truth["joints"][:, :1]
    distance = joints[:, mapping("h36m17", "j14")].norm(dim=-1).mean(1).double().numpy()
    for k, factor in enumerate(GROWN):
        expected = 1000 * (factor - 1) * distance
        np.testing.assert_allclose(found.per_sample[f"mpjpe_m{k}"], expected, atol=0.05)
        assert found.per_sample[f"pa_mpjpe_m{k}"].max() < 0.05


def test_networks_of_other_updates_are_refused(
    assets: BodyAssets, truth: dict[str, Tensor]
) -> None:
    with pytest.raises(InputError, match="saw 3 estimates, expected the mean and 3 updates"):
        short = Growing(truth["mesh"], GROWN[1:])
        iterations.measure(Task(short, "records.h5", PROTOCOL, assets, SETTINGS))
    with pytest.raises(InputError, match="network: saw Identity, expected one that iterates"):
        iterations.measure(Task(nn.Identity(), "records.h5", PROTOCOL, assets, SETTINGS))
