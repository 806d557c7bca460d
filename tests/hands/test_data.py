"""Samples and pairs of hands: joints, meshes and images turn together."""

import json

import h5py
import numpy as np
import pytest
import torch

from pipeline.__main__ import main
from pipeline.convert.hand_checks import check_right
from pipeline.data.augment import Augmentation
from pipeline.data.crops import crop_affine
from pipeline.data.dataset import RecordsDataset
from pipeline.data.hand_labels import HandLabels
from pipeline.data.hand_pairs import HandPairSource
from pipeline.data.mixture import collate
from pipeline.errors import InputError
from pipeline.objectives.ground_truth import HandTruth
from pipeline.objectives.mesh_pretrain import fit_weak_camera
from pipeline.rotations import axis_angle_to_matrix

TURNED = {"flip": 0.0, "rotation_deg": 90, "rotation_zero": 0.0, "scale": 0.2, "gain": 0.4}
SETTINGS = {
    "records": ["complement_train", "freihand_val"],
    "views": 3,
    "turn_deg": None,
    "box_factor": 1.8,
    "seed": 0,
}
TOLERANCE = 0.02  # metres: regressed joints against those of the kinematic chain


def samples(records, count: int = 3) -> dict[str, torch.Tensor]:
    options = {"image_size": 64, "augmentation": TURNED}
    dataset = RecordsDataset(records.path, None, options, train=True)
    return collate([dataset.item(k, np.random.default_rng(k)) for k in range(count)])


@pytest.mark.parametrize("name", ["train", "val", "complement"])
def test_mesh_joints_and_points_turn_together(hands, name):
    """With a mesh, with MANO's parameters only, and of the other data set."""
    batch = samples(getattr(hands, name))
    assert batch["has_hand"].all()
    assert batch["has_mano"].tolist() == [name != "complement"] * 3
    truth = HandTruth(hands.assets)
    joints = truth.joints(truth.vertices(batch))
    assert (joints - batch["joints_3d"][..., :3]).norm(dim=-1).max() < TOLERANCE
    seen = batch["keypoints_2d"][..., :2]
    shown = batch["joints_3d"][..., :3]
    cam = fit_weak_camera(shown, seen)
    projected = cam[:, None, :1] * (shown[..., :2] + cam[:, None, 1:])
    assert (cam[:, 0] > 0).all()
    # what is left is perspective
    assert (projected - seen).norm(dim=-1).max() < 0.2 * (seen.amax(1) - seen.amin(1)).max()


def test_a_turned_sample_is_the_plain_one_turned(hands):
    labels, records = HandLabels(hands.train), hands.train
    change = Augmentation(rotation=np.pi / 2)
    affine = crop_affine(records.center[0], records.side[0], 64, np.pi / 2, 1.0, False)
    plain_affine = crop_affine(records.center[0], records.side[0], 64, 0.0, 1.0, False)
    plain = labels.item(0, plain_affine, 64, Augmentation())
    turned = labels.item(0, affine, 64, change)
    for key in ("joints_3d", "hand_vertices", "keypoints_2d"):  # x to y, y to -x
        expected = np.stack([-plain[key][:, 1], plain[key][:, 0]], -1)
        np.testing.assert_allclose(turned[key][:, :2], expected, atol=1e-4)
    np.testing.assert_allclose(turned["hand_rotmats"][1:], plain["hand_rotmats"][1:])


@pytest.fixture(scope="module")
def pairs(hands, tmp_path_factory):
    out = tmp_path_factory.mktemp("pairs") / "hand.h5"
    assert make_pairs(hands, out) == 0
    return out


def make_pairs(hands, out, complement=None, **changes) -> int:
    paths = [f"complement_train={complement or hands.complement.path}",
             f"freihand_val={hands.val.path}"]  # fmt: skip
    return main(["hand-pairs", "--records", *paths, "--body", str(hands.body), "--settings",
                 json.dumps(SETTINGS | changes), "--out", str(out)])  # fmt: skip


def test_pairs_are_the_recorded_view_and_hands_turned_at_their_place(hands, pairs):
    with h5py.File(pairs) as file:
        data = {key: file[key][:] for key in ("keypoints", "rotation", "mesh_row", "view", "side")}
        vertices = file["mesh/vertices"][:].astype(np.float64)
    meshes = len(hands.complement) + 1  # the four versions of a hand of FreiHAND are one mesh
    assert len(vertices) == meshes and len(data["view"]) == 3 * meshes
    own = data["view"] == 0
    assert not data["rotation"][own].any() and (np.abs(data["rotation"][~own]).max(1) > 0).all()
    seen = hands.complement.keypoints_2d[:, :, :2]
    np.testing.assert_allclose(data["keypoints"][own][: len(seen)], seen, atol=0.01)
    K, root = hands.complement.K[0], hands.complement.root_3d.astype(np.float64)
    turn = axis_angle_to_matrix(torch.from_numpy(data["rotation"])).double().numpy()
    for row in range(3 * len(seen)):
        mesh = vertices[data["mesh_row"][row]]
        centre = mesh.mean(0)
        placed = (mesh - centre) @ turn[row].T + centre + root[data["mesh_row"][row]]
        image = hands.hand.joints(placed) @ K.T
        np.testing.assert_allclose(data["keypoints"][row], image[:, :2] / image[:, 2:], atol=0.02)
    extent = np.ptp(data["keypoints"], axis=1).max(1)
    np.testing.assert_allclose(data["side"], 1.8 * extent, rtol=1e-5)


def test_views_stay_within_a_limit(hands, tmp_path):
    assert make_pairs(hands, tmp_path / "near.h5", views=9, turn_deg=20) == 0
    with h5py.File(tmp_path / "near.h5") as file:
        angles = np.degrees(np.linalg.norm(file["rotation"][:], axis=1))
        angles = angles[file["view"][:] > 0]
    assert angles.max() <= 20.001 and angles.max() > 10 > angles.min()


def test_a_batch_of_pairs_shows_its_mesh(hands, pairs):
    source = HandPairSource(pairs, {"augmentation": TURNED}, seed=0)
    batch = source.batch(2, 6)
    assert torch.equal(source.batch(2, 6, slice(2, 4))["keypoints"], batch["keypoints"][2:4])
    truth = HandTruth(hands.assets)
    joints = truth.joints(truth.vertices(batch))
    cam = fit_weak_camera(joints, batch["keypoints"])
    projected = cam[:, None, :1] * (joints[..., :2] + cam[:, None, 1:])
    assert (cam[:, 0] > 0).all() and (projected - batch["keypoints"]).abs().max() < 0.25
    check_right(batch["hand_vertices"].numpy(), hands.hand, "batch")


def test_hands_are_never_mirrored(pairs):
    with pytest.raises(InputError, match="0 for hands"):
        HandPairSource(pairs, {"augmentation": TURNED | {"flip": 0.5}}, seed=0)


def test_records_that_give_no_pairs_are_refused_in_one_line(hands, tmp_path, capsys):
    def damaged(change) -> str:
        path = tmp_path / "records.h5"
        path.write_bytes(hands.complement.path.read_bytes())
        with h5py.File(path, "r+") as file:
            change(file)
        assert make_pairs(hands, tmp_path / "out.h5", path) == 1
        assert not (tmp_path / "out.h5").exists()
        return capsys.readouterr().err

    def no_mesh(file):
        file["hand_vertices"][:] = np.nan

    def no_camera(file):
        del file["camera/K"]

    def truncated(file):
        file.attrs["joint_set"] = "mano21"

    for change, message in (
        (no_mesh, "no labelled hand"), (no_camera, "K"), (truncated, "freihand21"),
    ):  # fmt: skip
        text = damaged(change)
        assert text.count("\n") == 1 and message in text


def test_damaged_pairs_are_refused(pairs, tmp_path):
    path = tmp_path / "pairs.h5"
    path.write_bytes(pairs.read_bytes())
    with h5py.File(path, "r+") as file:
        del file["rotation"]
        file["rotation"] = np.zeros((2, 3), np.float32)
    with pytest.raises(InputError, match="rotation"):
        HandPairSource(path, {"augmentation": None}, seed=0)
