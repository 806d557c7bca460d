"""3DOH50K: known bodies through its protocols."""

import json

import numpy as np
import pytest

from pipeline.convert.common import project
from pipeline.errors import InputError
from pipeline.evaluation.measure import annotated_h36m, measure
from pipeline.evaluation.predictions import Measured, Task
from pipeline.evaluation.protocols import get_protocol
from pipeline.joints import index
from pipeline.records import Records
from tests.convert.demo_miniature import Miniature, make
from tests.convert.test_oh3d import DEMO, SETTINGS
from tests.evaluation.known_bodies import SIZE, KnownBodies, evaluate_verb


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Miniature:
    return make(tmp_path_factory, "oh3d", DEMO, SETTINGS)


@pytest.fixture(scope="module")
def records(mini: Miniature, tmp_path_factory: pytest.TempPathFactory) -> Records:
    return mini.convert("test", tmp_path_factory.mktemp("oh3d") / "test.h5")


def truth(mini: Miniature, records: Records, **more: object) -> KnownBodies:
    rows = range(len(records))
    seen = np.stack([project(mini.tree_joints(records, r).astype(float), records.K[r])
                     for r in rows])  # fmt: skip
    pose = np.concatenate([records.global_orient[:, None], records.body_pose], 1)
    return KnownBodies(mini.assets, pose, records.betas, seen, records, **more)


def run(mini: Miniature, records: Records, name: str, **more: object) -> Measured:
    settings = {"image_size": SIZE, "batch_size": 2}
    network = truth(mini, records, **more)
    return measure(Task(network, str(records.path), get_protocol(name), mini.assets, settings))


def test_the_right_bodies(mini: Miniature, records: Records) -> None:
    rooted = run(mini, records, "oh3d_rooted").per_sample
    assert rooted["pve"].max() < 0.01 and rooted["mpjpe"].max() < 0.01
    annotated = run(mini, records, "oh3d").per_sample
    assert annotated["pve"].max() < 0.01
    # LSP joints against the Human3.6M regressor's: hips and neck are other points
    assert 1 < annotated["mpjpe"].max() < 60


def test_the_head_top_is_no_h36m_head_and_the_pelvis_no_joint(records: Records) -> None:
    joints = annotated_h36m(records.joints_3d, "lsp14", "mid_hip")
    for name, valid in (("head", 0), ("pelvis", 0), ("neck", 1), ("l_wrist", 1)):
        assert (joints[:, index("h36m17", name), 3] == valid).all()
    hips = joints[:, [index("h36m17", f"{side}_hip") for side in "lr"], :3]
    np.testing.assert_allclose(joints[:, 0, :3], hips.mean(1), atol=1e-6)
    with pytest.raises(InputError, match="a set with a pelvis"):
        annotated_h36m(records.joints_3d, "lsp14")


def test_the_conversion_changes_mpjpe_alone(mini: Miniature, records: Records, tmp_path) -> None:
    other = mini.convert("test", tmp_path / "other.h5", units_per_metre=8.0)
    for name, changes in (("oh3d", True), ("oh3d_rooted", False)):
        ours, theirs = (run(mini, r, name).per_sample for r in (records, other))
        np.testing.assert_array_equal(ours["pve"], theirs["pve"])
        assert (np.abs(ours["mpjpe"] - theirs["mpjpe"]).min() > 5) == changes


def test_networks_of_meshes_have_the_rooted_protocol(mini: Miniature, records: Records) -> None:
    assert run(mini, records, "oh3d_rooted", mesh_only=True).per_sample["pve"].max() < 0.01
    with pytest.raises(InputError, match="body parameters"):
        run(mini, records, "oh3d", mesh_only=True)


def test_the_verb_writes_both_metrics(mini: Miniature, records: Records, tmp_path) -> None:
    assert evaluate_verb(tmp_path, mini.body, mini.assets, records.path, "oh3d") == 0
    content = json.loads((tmp_path / "metrics.json").read_text())
    assert list(content["metrics"]) == ["mpjpe", "pve"] and content["count"] == 2
    assert content["protocol"]["root"] == "mid_hip"
    assert content["metrics"]["pve"]["unit"] == "mm" and content["metrics"]["pve"]["value"] > 50
