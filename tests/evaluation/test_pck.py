"""PCK on MPI-INF-3DHP and MuPoTS-3D, from records and a network to the numbers."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.body.assets import BodyAssets, load_assets
from pipeline.body.smpl import SMPLLayer
from pipeline.errors import InputError
from pipeline.evaluation import mpi_inf_3dhp, mupots_records
from pipeline.evaluation.evaluate import summarise
from pipeline.evaluation.mpi_inf_3dhp import MeshJoints, joint_metrics
from pipeline.evaluation.pck_protocols import MUPOTS_METRICS, PCK_PROTOCOLS
from pipeline.evaluation.predictions import Task
from pipeline.evaluation.protocols import get_protocol
from pipeline.joints import JOINT_SETS, index, mapping
from pipeline.records import Records, RecordsWriter
from pipeline.rotations import axis_angle_to_matrix
from tests.body_asset import body_asset

K = np.array([[800.0, 0, 500], [0, 805, 400], [0, 0, 1]])
SETTINGS = {"image_size": 32, "batch_size": 3}
NAMES = JOINT_SETS["mpi17"]


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> BodyAssets:
    return load_assets(body_asset(tmp_path_factory))


@pytest.fixture(scope="module")
def bodies(assets: BodyAssets) -> np.ndarray:
    """Meshes of seven people, metres about the origin, head up in the camera's y down."""
    generator = torch.Generator().manual_seed(3)
    pose = 0.2 * torch.randn(7, 24, 3, generator=generator)
    pose[:, 0] += torch.tensor([np.pi, 0.0, 0.0])
    betas = torch.randn(7, 10, generator=generator)
    return SMPLLayer(assets.models["neutral"])(betas, axis_angle_to_matrix(pose))[0].numpy()


class Oracle(nn.Module):
    """Predicts given meshes, in the records' order."""

    def __init__(self, meshes: np.ndarray) -> None:
        super().__init__()
        self._meshes, self._at = torch.from_numpy(meshes).float(), 0

    def predict(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        assert not self.training
        start, self._at = self._at, self._at + len(image)
        return {"vertices": self._meshes[start : self._at], "cam": torch.zeros(len(image), 3)}


PLACES = [("TS1", 0), ("TS1", 0), ("TS1", 0), ("TS1", 1), ("TS1", 1), ("TS2", 0), ("TS2", 0)]


def write(path: Path, joints: np.ndarray, hidden: tuple = (), **missing: None) -> Path:
    """Write records of people 4 m away and 1.2 m apart, whose joints (N, 17, 3) are given."""
    with RecordsWriter(path, "mupots", "test", "all", "mpi17", "mpi17", "pelvis") as writer:
        for row, (points, (sequence, frame)) in enumerate(zip(joints, PLACES, strict=True)):
            root = np.array([1.2 * (row % 3) - 1.2, 0.1, 4.0])
            seen = (points + root) @ K.T
            confidence = np.ones(17)
            confidence[[NAMES.index(name) for r, name in hidden if r == row]] = 0.5
            fields = {
                "affine": [[0.1, 0, 0], [0, 0.1, 0]], "name": f"{sequence}/{frame}.jpg",
                "original_size": (1000, 800), "center": (500, 400), "side": 300.0, "person": row,
                "frame": frame, "sequence": sequence, "K": K, "root_3d": root,
                "joints_3d": np.column_stack([points, np.ones(17)]),
                "keypoints_2d": np.column_stack([seen[:, :2] / seen[:, 2:], confidence]),
            }  # fmt: skip
            writer.add(np.zeros((32, 32, 3), np.uint8), **fields | missing)
    return path


@pytest.fixture(scope="module")
def joints(assets: BodyAssets, bodies: np.ndarray) -> np.ndarray:
    """Joints (7, 17, 3) of the bodies about their pelvis, by plain arithmetic."""
    found = []
    for vertices in bodies.astype(float):
        regressed = assets.J_regressor_h36m @ (vertices - vertices.mean(0))
        found.append((regressed - regressed[0])[mapping("h36m17", "mpi17")])
    return np.stack(found)


@pytest.fixture(scope="module")
def records(joints: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("pck") / "records.h5", joints)


def run(name: str, path: Path, meshes: np.ndarray, assets: BodyAssets):
    module = mupots_records if name == "mupots" else mpi_inf_3dhp
    network = Oracle(meshes).train()
    measured = module.measure(Task(network, str(path), get_protocol(name), assets, SETTINGS))
    assert network.training
    return measured


@pytest.mark.parametrize("name", ["mpi_inf_3dhp", "mpi_inf_3dhp_14"])
def test_a_perfect_mesh_anywhere_scores_everything(
    assets: BodyAssets, bodies: np.ndarray, records: Path, name: str
) -> None:
    measured = run(name, records, bodies + [0.3, -1, 5], assets)
    assert measured.rows.tolist() == list(range(7))
    assert tuple(measured.per_sample) == get_protocol(name).metrics
    for metric, values in measured.per_sample.items():
        best = {"pck": 100, "auc": 100 * 30 / 31, "mpjpe": 0}[metric.removeprefix("pa_")]
        np.testing.assert_allclose(values, best, atol=0.01)


def test_metrics_of_hand_made_errors() -> None:
    """Seventeen joints: five 160 mm off, one 122 mm off."""
    gt = torch.arange(51, dtype=torch.float64).reshape(1, 17, 3) / 32
    pred = gt.clone()
    pred[0, :5, 0] += 0.160
    pred[0, 5, 1] += 0.122
    found = joint_metrics(pred, gt, torch.ones(1, 17), get_protocol("mpi_inf_3dhp"))
    assert found["pck"].item() == pytest.approx(100 * 12 / 17)
    # Of 31 thresholds 0, 5 .. 150: the first counts nobody, six (125 to 150) the 122 mm joint.
    assert found["auc"].item() == pytest.approx(100 * (11 * 30 + 6) / (17 * 31), abs=1e-4)
    assert found["mpjpe"].item() == pytest.approx((5 * 160 + 122) / 17)


def test_a_joint_at_exactly_the_threshold_is_a_miss() -> None:
    gt = torch.zeros(1, 17, 3, dtype=torch.float64)
    gt[0, :, 1] = torch.arange(17)
    pred = gt.clone()
    pred[0, 0, 0] = 0.15
    found = joint_metrics(pred, gt, torch.ones(1, 17), get_protocol("mpi_inf_3dhp"))
    assert found["pck"].item() == pytest.approx(100 * 16 / 17)


def test_procrustes_forgives_a_similarity_and_no_reflection(
    assets: BodyAssets, bodies: np.ndarray, records: Path
) -> None:
    turn = axis_angle_to_matrix(torch.tensor([0.3, -0.8, 0.2])).numpy()
    values = run("mpi_inf_3dhp", records, 1.4 * bodies @ turn.T, assets).per_sample
    assert values["pck"].mean() < 90 and values["pa_pck"].min() == 100
    assert values["pa_mpjpe"].max() < 0.1
    mirrored = run("mpi_inf_3dhp", records, bodies * [-1, 1, 1], assets).per_sample
    assert mirrored["pa_mpjpe"].min() > 20


def test_errors_equal_a_naive_loop(
    assets: BodyAssets, bodies: np.ndarray, joints: np.ndarray, records: Path
) -> None:
    moved = bodies + np.random.default_rng(1).normal(size=(7, 1, 3)) * np.linspace(
        0, 0.3, bodies.shape[1]
    )[None, :, None].astype(np.float32)  # fmt: skip
    values = run("mpi_inf_3dhp", records, moved, assets).per_sample
    for row, vertices in enumerate(moved):
        regressed = assets.J_regressor_h36m @ (vertices - vertices.mean(0))
        pred = (regressed - regressed[0])[mapping("h36m17", "mpi17")]
        errors = 1000 * np.linalg.norm(pred - joints[row], axis=1)
        assert values["mpjpe"][row] == pytest.approx(errors.mean(), rel=1e-3)
        assert values["pck"][row] == pytest.approx(100 * (errors < 150).mean())


def test_fourteen_joints_leave_out_pelvis_spine_and_head() -> None:
    order = mapping("mpi17", "j14")
    left = {NAMES[i] for i in set(range(17)) - set(order.tolist())}
    assert left == {"pelvis", "spine", "head_mpi"}
    assert NAMES[order[index("j14", "head_h36m")]] == "head_top_mpi"


def test_every_joint_has_a_counterpart_in_human36m(assets: BodyAssets) -> None:
    MeshJoints(assets, "mpi17")
    with pytest.raises(ValueError, match="does not"):
        MeshJoints(assets, "muco21")


def test_swapped_legs_are_seen(assets: BodyAssets, bodies: np.ndarray, joints: np.ndarray,
                               tmp_path: Path) -> None:  # fmt: skip
    swapped = joints.copy()
    swapped[:, 8:14] = joints[:, [11, 12, 13, 8, 9, 10]]
    path = write(tmp_path / "swapped.h5", swapped)
    assert run("mpi_inf_3dhp", path, bodies, assets).per_sample["mpjpe"].min() > 30


def test_units_and_names_are_reported(
    assets: BodyAssets, bodies: np.ndarray, records: Path
) -> None:
    found = summarise(run("mpi_inf_3dhp", records, bodies, assets), 20)
    assert {found[m]["unit"] for m in ("pck", "auc", "pa_pck", "pa_auc")} == {"%"}
    assert {found[m]["unit"] for m in ("mpjpe", "pa_mpjpe")} == {"mm"}
    for protocol in PCK_PROTOCOLS.values():
        described = json.loads(json.dumps(protocol.describe()))
        assert described["threshold_mm"] == 150 and described["auc_mm"] == [0, 150, 5]


@pytest.mark.parametrize("name", ["mpi_inf_3dhp", "mupots"])
def test_records_without_joints_are_refused(
    assets: BodyAssets, bodies: np.ndarray, joints: np.ndarray, tmp_path: Path, name: str
) -> None:
    path = write(tmp_path / "none.h5", joints, joints_3d=None)
    with pytest.raises(InputError, match="joints_3d: saw none"):
        run(name, path, bodies, assets)


def test_rows_without_joints_are_refused(records: Path) -> None:
    content = Records(records)
    content.joints_3d = content.joints_3d.copy()
    content.joints_3d[2, :, 3] = 0
    with pytest.raises(InputError, match="1 rows without"):
        mpi_inf_3dhp.annotated(content, "mpi17")


@pytest.mark.parametrize("key", ["K", "root_3d"])
def test_mupots_needs_the_camera_and_the_root(
    assets: BodyAssets, bodies: np.ndarray, joints: np.ndarray, tmp_path: Path, key: str
) -> None:
    path = write(tmp_path / "none.h5", joints, **{key: None})
    with pytest.raises(InputError, match=key):
        run("mupots", path, bodies, assets)


def test_mupots_perfect_predictions_score_everything_in_all_modes(
    assets: BodyAssets, bodies: np.ndarray, joints: np.ndarray, tmp_path: Path
) -> None:
    path = write(tmp_path / "records.h5", joints, hidden=((0, "l_wrist"), (5, "r_knee")))
    measured = run("mupots", path, bodies, assets)
    assert set(measured.pooled) == set(MUPOTS_METRICS) == set(measured.units)
    for metric, value in measured.pooled.items():
        assert value == pytest.approx(100 if metric.startswith("pck") else 100 * 30 / 31)


def test_mupots_groups_people_by_sequence_and_frame(records: Path) -> None:
    groups = mupots_records.group(Records(records))
    assert {s: dict(f) for s, f in groups.items()} == {
        "TS1": {0: [0, 1, 2], 1: [3, 4]},
        "TS2": {0: [5, 6]},
    }


def test_mupots_places_predictions_at_the_annotated_root(
    assets: BodyAssets, bodies: np.ndarray, joints: np.ndarray, records: Path
) -> None:
    """A mesh predicted anywhere is projected from where the person is."""
    content = Records(records)
    frames = mupots_records.frames_of(content, joints)
    first = frames["TS1"][0]
    np.testing.assert_allclose(first.pred_2d, first.gt_2d, atol=0.01)
    np.testing.assert_allclose(first.pred_3d[:, 14], content.root_3d[:3], atol=1e-6)
    far = run("mupots", records, bodies + [9, 9, 30], assets)
    assert far.pooled["pck_all"] == 100


def test_mupots_bones_are_rescaled_or_not(
    assets: BodyAssets, bodies: np.ndarray, records: Path
) -> None:
    """A child-sized prediction is right about the angles only."""
    measured = run("mupots", records, 0.6 * bodies, assets).pooled
    assert measured["pck_all"] == 100 and measured["pck_all_own_bones"] < 90


def test_mupots_unmatched_people_are_misses_in_mode_all_only(
    joints: np.ndarray, records: Path
) -> None:
    content = Records(records)
    content.K = content.K.copy()
    content.K[5, 0, 2] += 5000  # this prediction is seen far beside its person
    found = mupots_records.scores(content, joints)
    assert found["pck_all"] == pytest.approx((100 + 50) / 2)  # TS1 and TS2
    assert found["pck_all_pooled"] == pytest.approx(100 * 6 / 7)
    assert found["pck_matched"] == found["pck_matched_pooled"] == 100


def test_mupots_visible_and_hidden_joints(joints: np.ndarray, tmp_path: Path) -> None:
    """Of a person's two hidden joints one is wrong; the unscored head does not count."""
    hidden = ((0, "l_wrist"), (0, "r_wrist"), (1, "head_mpi"))
    content = Records(write(tmp_path / "records.h5", joints, hidden))
    wrong = joints.copy()
    wrong[0, NAMES.index("l_wrist")] += [0, 0, 0.5]
    wrong[1, NAMES.index("head_mpi")] += [0, 0, 9]
    found = mupots_records.scores(content, wrong)
    assert found["pck_hidden"] == 50 and found["pck_visible"] == 100


def test_mupots_without_hidden_joints_leaves_the_metric_out(
    joints: np.ndarray, records: Path
) -> None:
    assert "pck_hidden" not in mupots_records.scores(Records(records), joints)


def test_protocols_are_distinct_and_registered() -> None:
    for name, protocol in PCK_PROTOCOLS.items():
        assert get_protocol(name) is protocol
    assert get_protocol("mpi_inf_3dhp") != replace(get_protocol("mpi_inf_3dhp_14"), name="")
