"""FreiHAND: a round trip through the official layout, its traps, its damage."""

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.body.hands import HandModel
from pipeline.convert.common import project
from pipeline.convert.run import convert
from pipeline.errors import InputError
from pipeline.joints import JOINT_SETS
from pipeline.records import Records
from tests.convert.demo_miniature import Miniature, edit_json, make, remove, truncate

HANDS, VERSIONS = 4, 4
DEMO = {"training": HANDS, "evaluation": 2, "turn_deg": 180}
TRAINING = {"folder": "training", "versions": VERSIONS}
SETTINGS = {
    "converter": "freihand",
    "box_factor": 1.0,
    "splits": {
        "train": TRAINING | {"ids": [0, 0.75], "vertices": True},
        "val": TRAINING | {"ids": [0.75, 1]},
        "all": TRAINING | {"expected": HANDS * VERSIONS},
        "evaluation": {"folder": "evaluation", "vertices": True},
    },
}


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Miniature:
    return make(tmp_path_factory, "freihand", DEMO, SETTINGS)


@pytest.fixture(scope="module")
def records(mini: Miniature, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Records]:
    folder = tmp_path_factory.mktemp("freihand")
    splits = ("train", "val", "evaluation")
    return {split: mini.convert(split, folder / f"{split}.h5") for split in splits}


@pytest.fixture(scope="module")
def hand(mini: Miniature) -> HandModel:
    return mini.assets.hand_models["right"]


def label(mini: Miniature, kind: str, folder: str = "training") -> np.ndarray:
    return np.array(json.loads((mini.raw / f"{folder}_{kind}.json").read_text()))


def posed(hand: HandModel, records: Records) -> tuple[np.ndarray, np.ndarray]:
    """Return meshes and joints of the MANO labels, camera frame."""
    arrays = (records.mano_global_orient, records.hand_pose, records.mano_betas)
    vertices, joints = hand.pose(*(array.astype(float) for array in arrays))
    shift = (records.root_3d - joints[:, 0])[:, None]
    return vertices + shift, joints + shift


def test_labels_agree_with_each_other(hand: HandModel, records: dict[str, Records]) -> None:
    """Parameters, mesh, 3D joints and 2D joints of a record are one hand, for every version."""
    for split in ("train", "evaluation"):
        found = records[split]
        assert found.mano_valid.all() and found.smpl_valid is None
        vertices, joints = posed(hand, found)
        root = found.root_3d[:, None]
        np.testing.assert_allclose(found.joints_3d[..., :3] + root, joints, atol=2e-6)
        np.testing.assert_allclose(found.hand_vertices + root, vertices, atol=2e-6)
        for row in range(len(found)):
            seen = project(joints[row], found.K[row])
            np.testing.assert_allclose(found.keypoints_2d[row, :, :2], seen, atol=0.01)
        assert (found.keypoint_set, found.joint_set) == ("freihand21", "freihand21")
        assert found.attrs["root"] == "wrist" and (found.joints_3d[:, 0, :3] == 0).all()


def test_3d_labels_are_the_files_in_metres(mini: Miniature, records: dict[str, Records]) -> None:
    xyz = label(mini, "xyz", "evaluation")
    found = records["evaluation"]
    np.testing.assert_allclose(found.root_3d, xyz[:, 0], atol=1e-6)
    np.testing.assert_allclose(found.joints_3d[..., :3], xyz - xyz[:, :1], atol=1e-6)
    verts = label(mini, "verts", "evaluation")
    np.testing.assert_allclose(found.hand_vertices, verts - xyz[:, :1], atol=1e-6)


def test_meshes_are_kept_where_they_are_asked_for(records: dict[str, Records]) -> None:
    assert records["val"].hand_vertices is None and records["val"].mano_valid.all()


def test_version_k_of_hand_i_is_image_i_plus_count_k(records: dict[str, Records]) -> None:
    found = records["train"]
    assert found.person.tolist() == [0, 1, 2] * VERSIONS
    assert found.frame.tolist() == [i + HANDS * k for k in range(VERSIONS) for i in range(3)]
    assert found.name[3] == "training/rgb/00000004.jpg"
    assert found.sequence[::3].tolist() == ["gs", "hom", "sample", "auto"]
    for k in range(1, VERSIONS):  # one hand, one label, another picture
        np.testing.assert_array_equal(found.joints_3d[3 * k], found.joints_3d[0])
        assert found.jpeg(3 * k) != found.jpeg(0)


def test_no_hand_is_in_two_splits(records: dict[str, Records]) -> None:
    """Slicing the list of images would put versions of one hand on both sides."""
    train, val = set(records["train"].person), set(records["val"].person)
    assert len(train) == 3 and val == {3}


def test_all_hands_make_the_published_number(mini: Miniature, tmp_path: Path) -> None:
    assert len(mini.convert("all", tmp_path / "all.h5")) == HANDS * VERSIONS


def test_a_range_without_hands_is_refused(mini: Miniature, tmp_path: Path) -> None:
    mini.refuses("val", tmp_path, lambda root: None, "rows: saw 0", ids=[0.99, 1])


def test_the_box_is_the_image(records: dict[str, Records]) -> None:
    found = records["evaluation"]
    assert (found.center == 112).all() and (found.side == 224).all()


def test_the_pose_is_relative_to_the_mean_pose(
    mini: Miniature, records: dict[str, Records], hand: HandModel
) -> None:
    pose = label(mini, "mano", "evaluation")[:, 0, 3:48]
    assert np.abs(hand.mean).max() > 0.1
    np.testing.assert_allclose(records["evaluation"].hand_pose, pose + hand.mean, atol=1e-6)


def test_the_last_numbers_of_mano_place_the_middle_knuckle(mini: Miniature) -> None:
    """Not a translation and not the scale file: pixel of joint 9, pixels a metre at its depth."""
    mano, K, xyz = (label(mini, kind) for kind in ("mano", "K", "xyz"))
    uv, scale = mano[:, 0, 58:60], mano[:, 0, 60:]
    place = np.concatenate([uv - K[:, :2, 2], K[:, 0, :1]], 1) / scale
    np.testing.assert_allclose(place, xyz[:, 9], atol=1e-5)
    assert JOINT_SETS["freihand21"][9] == "middle1"
    assert not np.allclose(scale[:, 0], label(mini, "scale"), rtol=0.5)


def test_masks_exist_for_the_first_version_alone(mini: Miniature) -> None:
    assert len(list((mini.raw / "training/mask").iterdir())) == HANDS
    assert len(list((mini.raw / "training/rgb").iterdir())) == HANDS * VERSIONS


def test_the_order_of_joints_is_not_manos(mini: Miniature, hand: HandModel) -> None:
    arrays = [label(mini, "mano")[:, 0, a:b] for a, b in ((0, 3), (3, 48), (48, 58))]
    vertices, joints = hand.pose(arrays[0], arrays[1] + hand.mean, arrays[2])
    chain = hand.model.J_regressor @ vertices
    xyz = label(mini, "xyz")
    np.testing.assert_allclose(joints - joints[:, :1], xyz - xyz[:, :1], atol=1e-5)
    assert np.abs(chain[:, 1:16] - chain[:, :1] - (xyz[:, 1:16] - xyz[:, :1])).max() > 0.02


def change(kind: str, edit) -> object:
    return edit_json(f"training_{kind}.json", edit)


def of_mano() -> list[int]:
    """Return where each of FreiHAND's joints would be in a list in MANO's order, tips last."""
    names = JOINT_SETS["mano21"]
    return [JOINT_SETS["freihand21"].index(name) for name in names]


def without_mean(content: list, mean: np.ndarray) -> list:
    return [[[*row[0][:3], *(np.array(row[0][3:48]) + mean), *row[0][48:]]] for row in content]


def mirrored(content: list) -> list:
    return (np.array(content) * [-1, 1, 1]).tolist()


DAMAGE = {
    "no file": (remove("training_K.json"), "training_K.json: saw no such file"),
    "truncated": (truncate("training_xyz.json"), "training_xyz.json: saw no JSON"),
    "shape": (change("mano", lambda c: [row[0] for row in c]), "mano: saw shape"),
    "NaN": (change("K", lambda c: c[0][0].__setitem__(0, float("nan"))), "K: saw values that"),
    "text": (change("scale", lambda c: c.__setitem__(0, "x")), "training_scale.json: scale"),
    "fewer labels": (change("xyz", lambda c: c[:-1]), "xyz: saw 3 hands, expected 4"),
    "an object": (change("xyz", lambda c: {"xyz": c}), "xyz: saw"),
    "image missing": (remove("training/rgb/00000007.jpg"), "15 images, expected 16"),
    "MANO's order": (change("xyz", lambda c: [[row[k] for k in of_mano()] for row in c]),
                     "scale: saw numbers"),
    "another hand": (change("mano", lambda c: c[1:] + c[:1]), "mano: saw hands"),
    "left hands": (change("xyz", mirrored), "mano: saw hands"),
    "swapped axes": (change("xyz", lambda c: (np.array(c)[..., [1, 2, 0]]).tolist()), "saw"),
    "truncated image": (truncate("training/rgb/00000002.jpg"), "unreadable"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_one_line_and_leaves_nothing(mini: Miniature, tmp_path: Path, case: str) -> None:
    damage, word = DAMAGE[case]
    mini.refuses("train", tmp_path, damage, word)


def test_poses_without_the_mean_and_millimetres_are_refused(
    mini: Miniature, hand: HandModel, tmp_path: Path
) -> None:
    flat = change("mano", lambda content: without_mean(content, hand.mean))
    mini.refuses("all", tmp_path / "flat", flat, "version 2, made with the MANO of the asset")

    def to_millimetres(root: Path) -> None:
        for kind in ("xyz", "scale", "verts"):
            change(kind, lambda content: (1000 * np.array(content)).tolist())(root)

    mini.refuses("all", tmp_path / "mm", to_millimetres, "mm from the joints")


def test_a_mesh_of_left_hands_is_refused(mini: Miniature, tmp_path: Path) -> None:
    damage = edit_json("evaluation_verts.json", mirrored)
    mini.refuses("evaluation", tmp_path, damage, "right hands in 0 %")


def test_count_and_exit_code(mini: Miniature, tmp_path: Path, capsys) -> None:
    mini.refuses("all", tmp_path, lambda root: None, "count: saw 16, expected 99", expected=99)
    raw = mini.copy(tmp_path / "broken", remove("training_mano.json"))
    assert mini.exit_code("all", tmp_path / "out.h5", raw) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("error: ") and "training_mano.json" in lines[-1]
    assert not (tmp_path / "out.h5").exists()


def test_without_mano_the_missing_file_is_named(mini: Miniature, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="MANO_RIGHT.pkl"):
        convert("freihand", "all", mini.raw, mini.assets.models, mini.settings,
                tmp_path / "out.h5", hands={})  # fmt: skip
