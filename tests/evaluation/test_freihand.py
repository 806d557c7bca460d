"""FreiHAND: known hands through the protocol."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.errors import InputError
from pipeline.evaluation import freihand, hands, reference, tables
from pipeline.evaluation.predictions import Task
from pipeline.evaluation.protocols import get_protocol
from pipeline.records import Records
from tests.convert.demo_miniature import Miniature, make
from tests.convert.test_freihand import DEMO, SETTINGS
from tests.evaluation.known_bodies import SIZE, evaluate_verb

PROTOCOL = get_protocol("freihand")
MEASURED = {"image_size": SIZE, "batch_size": 1}


class KnownHands(nn.Module):
    """Predicts meshes given beforehand, in the order of the records."""

    def __init__(self, vertices: np.ndarray) -> None:
        super().__init__()
        self.vertices, self.done = torch.from_numpy(np.asarray(vertices, np.float32)), 0

    def predict(self, image: Tensor) -> dict[str, Tensor]:
        assert not self.training and image.shape[1:] == (3, SIZE, SIZE)
        self.done += len(image)
        return {"vertices": self.vertices[self.done - len(image) : self.done]}


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Miniature:
    return make(tmp_path_factory, "freihand", DEMO, SETTINGS)


@pytest.fixture(scope="module")
def records(mini: Miniature, tmp_path_factory: pytest.TempPathFactory) -> Records:
    return mini.convert("evaluation", tmp_path_factory.mktemp("freihand") / "evaluation.h5")


def run(mini: Miniature, records: Records, vertices: np.ndarray, protocol=PROTOCOL):
    network = KnownHands(vertices).train()
    measured = freihand.measure(Task(network, str(records.path), protocol, mini.assets, MEASURED))
    assert network.training
    return measured


def test_the_right_meshes_have_no_error_wherever_they_are(
    mini: Miniature, records: Records
) -> None:
    measured = run(mini, records, 0.8 * records.hand_vertices + [0.1, -0.2, 5.0])
    assert measured.rows.tolist() == [0, 1]
    assert list(measured.per_sample) == ["pa_mpvpe", "pa_mpjpe", "f_5", "f_15"]
    assert measured.per_sample["pa_mpvpe"].max() < 0.01
    assert (measured.per_sample["f_5"] == 1).all() and measured.units == {"f_5": "", "f_15": ""}
    # joints are regressed from the mesh, the annotated ones are those of the chain
    assert 0 < measured.per_sample["pa_mpjpe"].max() < 10


def test_values_are_the_kernels_in_millimetres(mini: Miniature, records: Records) -> None:
    rng = np.random.default_rng(0)
    vertices = records.hand_vertices + rng.normal(size=records.hand_vertices.shape) * 0.004
    measured = run(mini, records, vertices)
    truth = records.joints_3d[..., :3].astype(float), records.hand_vertices.astype(float)
    mesh = np.asarray(vertices, np.float32).astype(float)
    expected = hands.errors(mini.assets.hand_models["right"].joints(mesh), mesh, *truth)
    for metric, factor in (("pa_mpvpe", 1000), ("pa_mpjpe", 1000), ("f_5", 1), ("f_15", 1)):
        np.testing.assert_allclose(
            measured.per_sample[metric], factor * expected[metric], rtol=1e-5
        )
    assert 0.2 < measured.per_sample["f_5"].mean() < measured.per_sample["f_15"].mean()


def test_other_finger_tips_give_other_joint_errors(mini: Miniature, records: Records) -> None:
    ours = run(mini, records, records.hand_vertices)
    other = run(mini, records, records.hand_vertices, replace(PROTOCOL, tips="handmesh"))
    assert PROTOCOL.tips == "freihand"
    assert np.abs(ours.per_sample["pa_mpjpe"] - other.per_sample["pa_mpjpe"]).max() > 0.1


def test_a_network_of_bodies_is_refused(
    mini: Miniature, records: Records, tmp_path, capsys
) -> None:
    with pytest.raises(InputError, match="saw a network that predicts 6890 vertices"):
        run(mini, records, np.zeros((2, 6890, 3)))
    code = evaluate_verb(tmp_path, mini.body, mini.assets, records.path, "freihand")
    assert code == 1 and "778 vertices" in capsys.readouterr().err
    assert not (tmp_path / "metrics.json").exists()


def test_records_without_meshes_are_refused(mini: Miniature, tmp_path) -> None:
    val = mini.convert("val", tmp_path / "val.h5")
    with pytest.raises(InputError, match="hand_vertices: saw rows without a mesh"):
        run(mini, val, np.zeros((4, 778, 3)))


def test_tables_keep_three_digits_of_f_scores_and_find_the_papers() -> None:
    values = {"pa_mpvpe": 6.04, "pa_mpjpe": 5.91, "f_5": 0.7644, "f_15": 0.9861}
    found = {("mpt", 0, "freihand"): {"metrics": {k: {"value": v} for k, v in values.items()}}}
    source = {"table": "mpt/table6", "where": {"method": "MPT (Ours)"}}
    settings = {
        "title": "Hands", "seeds": [0], "scale": "demo", "source": "demo",
        "columns": [{"protocol": "freihand", "metrics": list(values)}],
        "rows": [{"method": "MPT", "run": "mpt", "reference": source}],
    }  # fmt: skip
    header, rows = tables.build(settings, found)
    row = dict(zip(header, rows[0], strict=True))
    assert row["f_5_freihand_share"] == "0.764" and row["pa_mpvpe_freihand_mm"] == "6.0"
    papers = [value for key, value in row.items() if key.startswith("paper_")]
    assert papers[:4] == ["5.4", "5.6", "0.789", "0.988"]
    assert "F@5 mm FreiHAND" in tables.markdown(settings, header, rows)


def test_papers_report_shapes_and_hidden_people() -> None:
    row = reference.lookup("pymaf/table7", {"method": "PyMAF"})
    asked = [("oh3d", "pve"), ("oh3d", "mpjpe"), ("ssp3d", "miou_pooled"), ("ssp3d", "miou_mean")]
    assert [reference.value(row, *pair) for pair in asked] == [107.3, 96.2, 72.1, 72.1]
