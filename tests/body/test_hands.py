"""Hands and SMPL+H in the body asset; the files are generated from the open body."""

import pickle
import shutil

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from pipeline.__main__ import main
from pipeline.body import official
from pipeline.body.assets import collect, load_assets, load_smplh
from pipeline.body.hands import TIPS
from pipeline.body.part_of import HAND_LEVELS
from pipeline.body.smpl import SMPLLayer
from pipeline.errors import InputError
from pipeline.joints import JOINT_SETS, index, parents_smpl24
from pipeline.rotations import axis_angle_to_matrix
from tests.body_asset import body_asset

SETTINGS = '{"levels": [1723], "num_betas": 10}'


@pytest.fixture(scope="module")
def asset_file(tmp_path_factory):
    return body_asset(tmp_path_factory)


@pytest.fixture(scope="module")
def assets(asset_file):
    return load_assets(asset_file)


@pytest.fixture
def raw(asset_file, tmp_path):
    """Links to the official-format files, for tests that add or remove some."""
    copy = tmp_path / "body_models"
    shipped = asset_file.with_name("raw")
    shutil.copytree(shipped, copy, copy_function=lambda a, b: shutil.os.symlink(a, b))
    return copy


def smplh_content(raw, betas: int, sparse: bool) -> dict:
    """An SMPL+H model: the open body's, each finger joint one vertex of its hand."""
    with open(raw / "smpl/SMPL_NEUTRAL.pkl", "rb") as file:
        body = pickle.load(file)
    rng = np.random.default_rng(0)
    regressor = np.zeros((52, 6890))
    regressor[:22] = body["J_regressor"].toarray()[:22]
    weights = np.zeros((6890, 52))
    weights[:, :22] = body["weights"][:, :22]
    for hand, first in ((22, 22), (23, 37)):
        own = np.flatnonzero(body["weights"][:, hand] > 0.5)
        picked = own[rng.choice(len(own), 15, replace=False)]
        regressor[np.arange(first, first + 15), picked] = 1
        weights[:, first] = body["weights"][:, hand]
    tree = np.array([official.PARENTS_SMPLH52, range(52)], np.int64).astype(np.uint32)
    return {
        "J_regressor": sp.csc_matrix(regressor) if sparse else regressor,
        "bs_style": "lbs", "bs_type": "lrotmin", "f": body["f"], "kintree_table": tree,
        "posedirs": np.zeros((6890, 3, 459), np.float32) + rng.normal(size=459) * 1e-4,
        "shapedirs": rng.normal(size=(6890, 3, betas)) * 1e-3,
        "v_template": body["v_template"], "weights": weights,
    }  # fmt: skip


def test_levels_of_the_hand_are_those_shipped(assets):
    assert [len(ids) for ids in assets.hand_levels] == [778, *HAND_LEVELS]
    assert [len(faces) for faces in assets.hand_level_faces] == [1538, 376, 90]
    template = assets.hands["right"].v_template
    for k, up in enumerate(assets.hand_upsample):
        fine, coarse = (template[ids] for ids in assets.hand_levels[k : k + 2])
        np.testing.assert_allclose(up.sum(1), 1, atol=1e-9)
        assert np.linalg.norm(up @ coarse - fine, axis=1).mean() < 0.004
    assert not [what for what in assets.computed if what.startswith("hand")]


def test_levels_of_the_hand_are_computed_where_none_are_shipped(raw, assets):
    (raw / "mano/mano_downsampling.npz").unlink()
    other = collect(raw, [1723], 10)
    assert other.computed[:2] == ("hand level 195", "hand level 49")
    assert [len(ids) for ids in other.hand_levels] == [778, 195, 49]
    shutil.rmtree(raw / "mano")
    assert collect(raw, [1723], 10).hand_levels == []


def test_joints_of_a_hand_are_in_freihands_order(assets):
    hand = assets.hand_models["right"]
    zero = np.zeros((1, 3)), np.zeros((1, 45)), np.zeros((1, 10))
    vertices, joints = hand.pose(*zero)
    np.testing.assert_allclose(joints, hand.joints(vertices), atol=1e-5)
    wrist = joints[0, 0]
    for finger in ("thumb", "index", "middle", "ring", "pinky"):
        chain = [joints[0, index("freihand21", f"{finger}{k}")] for k in (1, 2, 3, 4)]
        away = [np.linalg.norm(point - wrist) for point in chain]
        assert away == sorted(away), finger
    assert JOINT_SETS["freihand21"][9] == "middle1"


def test_finger_tips_differ_by_author(assets):
    hand = assets.hand_models["right"]
    template = hand.model.v_template
    apart = np.linalg.norm(hand.joints(template) - hand.joints(template, "handmesh"), axis=1)
    assert [JOINT_SETS["freihand21"][k] for k in np.flatnonzero(apart)] == ["index4", "middle4"]
    for name, ids in TIPS.items():
        assert len(set(ids)) == 5 and max(ids) < 778, name


def test_the_chain_is_not_what_is_regressed_from_a_bent_mesh(assets):
    hand = assets.hand_models["right"]
    bent = np.tile([0.0, 0.0, 0.9], 15)[None]
    vertices, joints = hand.pose(np.zeros((1, 3)), bent, np.zeros((1, 10)))
    assert np.abs(joints - hand.joints(vertices)).max() > 1e-4


@pytest.mark.parametrize(
    ("name", "betas", "sparse"),
    [
        ("smplh/male/model.npz", 16, False),
        ("mano/mano_v1_2/models/SMPLH_male.pkl", 10, True),
        ("smplh/SMPLH_MALE.pkl", 10, True),
    ],
)
def test_smplh_is_read_in_every_form(raw, tmp_path, capsys, name, betas, sparse):
    path = raw / name
    path.parent.mkdir(parents=True)
    content = smplh_content(raw, betas, sparse)
    if path.suffix == ".npz":
        np.savez(path, **content)
    else:
        path.write_bytes(pickle.dumps(content, protocol=2))
    out = tmp_path / "smpl.npz"
    assert main(["body", "--raw", str(raw), "--settings", SETTINGS, "--out", str(out)]) == 0
    assert f"smplh_male: {name}" in capsys.readouterr().out
    assets, models = load_assets(out), load_smplh(out)
    assert assets.smplh == ("male",) and list(models) == ["male"]
    model = models["male"]
    assert model.shapedirs.shape == (6890, 3, betas) and model.posedirs.shape == (6890, 3, 459)
    body = assets.models["neutral"]
    np.testing.assert_array_equal(model.J_regressor[:22], body.J_regressor[:22])
    assert model.parents[:22].tolist() == list(parents_smpl24[:22])
    assert [int(model.parents[k]) for k in (22, 25, 37, 49)] == [20, 20, 21, 21]


def test_smplh_moves_as_smplx_moves_it(raw):
    lbs = pytest.importorskip("smplx.lbs").lbs
    path = raw / "smplh/neutral/model.npz"
    path.parent.mkdir(parents=True)
    np.savez(path, **smplh_content(raw, 16, False))
    model = official.read_smplh(path)
    generator = torch.Generator().manual_seed(0)
    pose = 0.3 * torch.randn(2, 52, 3, generator=generator)
    betas = torch.randn(2, 16, generator=generator)
    vertices, joints = SMPLLayer(model, num_betas=16)(betas, axis_angle_to_matrix(pose))
    tensor = {key: torch.as_tensor(value).float() for key, value in vars(model).items()}
    basis = tensor["posedirs"].reshape(-1, 459).T
    expected = lbs(
        betas, pose.flatten(1), tensor["v_template"][None], tensor["shapedirs"], basis,
        tensor["J_regressor"], torch.as_tensor(model.parents), tensor["lbs_weights"],
    )  # fmt: skip
    torch.testing.assert_close(vertices, expected[0], atol=2e-5, rtol=0)
    torch.testing.assert_close(joints, expected[1], atol=2e-5, rtol=0)


def test_an_smpl_file_is_no_smplh_file(raw):
    with pytest.raises(InputError, match="kintree_table: saw 2 x 24"):
        official.read_smplh(raw / "smpl/SMPL_NEUTRAL.pkl")


def test_without_smplh_the_asset_says_so(assets, asset_file):
    assert assets.smplh == () and load_smplh(asset_file) == {}
    assert assets.notes["smplh_male"] == "absent"
