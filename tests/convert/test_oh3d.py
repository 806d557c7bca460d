"""3DOH50K: a round trip through the official layout, its traps, its damage."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.convert.common import project
from pipeline.joints import JOINT_SETS, flip_permutation, index
from pipeline.records import Records
from tests.convert.demo_miniature import Miniature, edit_json, make, remove, truncate

DEMO = {"image_size": 112, "train": 3, "test": 2}
SETTINGS = {
    "converter": "oh3d",
    "units_per_metre": "annotated",
    "splits": {"train": {"folder": "trainset"}, "test": {"folder": "testset"}},
}
LIMBS = [f"{s}_{j}" for s in "lr" for j in ("knee", "ankle", "shoulder", "elbow", "wrist")]


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Miniature:
    return make(tmp_path_factory, "oh3d", DEMO, SETTINGS)


@pytest.fixture(scope="module")
def records(mini: Miniature, tmp_path_factory: pytest.TempPathFactory) -> Records:
    return mini.convert("train", tmp_path_factory.mktemp("oh3d") / "train.h5")


@pytest.fixture(scope="module")
def labels(mini: Miniature) -> list[dict]:
    return list(json.loads((mini.raw / "trainset/annots.json").read_text()).values())


def test_smpl_in_metres_projects_onto_the_keypoints(mini: Miniature, records: Records) -> None:
    """The scale is taken out of SMPL and the camera alike, left and right the person's."""
    assert records.smpl_valid.all() and records.has_transl.all() and not records.gender.any()
    for row in range(len(records)):
        joints = mini.tree_joints(records, row)
        seen = project(joints.astype(float), records.K[row])
        for name in LIMBS:
            ours, theirs = index("smpl24", name), index("lsp14", name)
            x, y, confidence = records.keypoints_2d[row, theirs]
            np.testing.assert_allclose([x, y], seen[ours], atol=0.01)
            assert confidence == 1
            point = records.joints_3d[row, theirs, :3] + records.root_3d[row]
            np.testing.assert_allclose(point, joints[ours], atol=1e-4)


def test_joints_are_relative_to_the_middle_of_the_hips(
    records: Records, labels: list[dict]
) -> None:
    """The annotated pelvis is none; depths of some thirty units become metres."""
    hips = [index("lsp14", f"{side}_hip") for side in "lr"]
    np.testing.assert_allclose(records.joints_3d[:, hips, :3].mean(1), 0, atol=1e-6)
    assert records.attrs["root"] == "mid_hip" and records.joint_set == "lsp14"
    for row, label in enumerate(labels):
        joints = np.array(label["lsp_joints_3d"]) / label["scale"][0]
        np.testing.assert_allclose(records.root_3d[row], joints[hips].mean(0), atol=1e-5)
        assert np.array(label["lsp_joints_3d"])[:, 2].min() > 1.5 * joints[:, 2].max()


def test_another_conversion_scales_the_joints_and_not_the_mesh(
    mini: Miniature, records: Records, labels: list[dict], tmp_path: Path
) -> None:
    sevenths = mini.convert("train", tmp_path / "seven.h5", units_per_metre=7.0)
    for row, label in enumerate(labels):
        ratio = label["scale"][0] / 7
        assert abs(ratio - 1) > 1e-3
        expected = records.joints_3d[row, :, :3] * ratio
        np.testing.assert_allclose(sevenths.joints_3d[row, :, :3], expected, atol=1e-5)
    for key in ("betas", "global_orient", "body_pose", "transl", "keypoints_2d"):
        np.testing.assert_array_equal(getattr(sevenths, key), getattr(records, key))


def test_world_poses_are_turned_into_the_cameras_frame(
    records: Records, labels: list[dict]
) -> None:
    for row, label in enumerate(labels):
        assert np.abs(records.global_orient[row] - label["pose"][0][:3]).max() > 0.1
        np.testing.assert_allclose(records.body_pose[row].ravel(), label["pose"][0][3:], atol=1e-6)


def test_paths_have_backslashes(records: Records, labels: list[dict]) -> None:
    assert labels[0]["img_path"] == "images\\00000.jpg"
    assert records.name[0] == "trainset/images/00000.jpg"


def test_the_box_is_two_corners(records: Records, labels: list[dict]) -> None:
    for row, label in enumerate(labels):
        low, high = np.array(label["bbox"])
        np.testing.assert_allclose(records.center[row], (low + high) / 2, rtol=1e-6)
        assert abs(records.side[row] - 1.2 * (high - low).max()) < 1e-3


def test_only_training_images_have_masks(mini: Miniature, labels: list[dict]) -> None:
    assert (mini.raw / "trainset/masks/00000.png").is_file() and "mask_path" in labels[0]
    assert not (mini.raw / "testset/masks").exists()


def test_the_test_set_is_its_own_folder(mini: Miniature, tmp_path: Path) -> None:
    found = mini.convert("test", tmp_path / "test.h5", expected=2)
    assert found.name[0].startswith("testset/") and len(found) == 2


def each(change: Callable[[dict], object]) -> Callable[[Path], None]:
    """Return the change of every annotation of the training set."""

    def edit(content: dict) -> None:
        for label in content.values():
            change(label)

    return edit_json("trainset/annots.json", edit)


def first(**values: object) -> Callable[[Path], None]:
    return edit_json("trainset/annots.json", lambda c: next(iter(c.values())).update(values))


def to_width_and_height(label: dict) -> None:
    (x1, y1), (x2, y2) = label["bbox"]
    label["bbox"] = [[x1, y1], [x2 - x1, y2 - y1]]


def to_world(label: dict) -> None:
    R, t = np.array(label["extri"])[:3, :3], np.array(label["extri"])[:3, 3]
    label["lsp_joints_3d"] = ((np.array(label["lsp_joints_3d"]) - t) @ R).tolist()


def swap_sides(label: dict) -> None:
    for key in ("lsp_joints_2d", "lsp_joints_3d"):
        label[key] = np.array(label[key])[flip_permutation("lsp14")].tolist()


DAMAGE = {
    "no file": (remove("trainset/annots.json"), "annots.json: saw no such file"),
    "truncated": (truncate("trainset/annots.json"), "annots.json: saw no JSON"),
    "empty": (edit_json("trainset/annots.json", lambda c: c.clear()), "annotations by image id"),
    "a list": (edit_json("trainset/annots.json", lambda c: list(c.values())), "by image id"),
    "no key": (each(lambda c: c.pop("trans")), "00000: trans: saw only"),
    "shape": (first(pose=[0.0] * 72), "00000: pose: saw shape"),
    "NaN": (first(betas=[[float("nan")] * 10]), "betas: saw values that are not finite"),
    "text": (first(scale="seven"), "scale: saw"),
    "scale of zero": (first(scale=[0.0]), "scale: saw 0"),
    "no scale": (each(lambda c: c.update(scale=[1.0])), "hips and neck"),
    "wrong camera": (each(lambda c: c["extri"][0].__setitem__(3, 9.0)), "smpl: saw SMPL joints"),
    "width and height": (each(to_width_and_height), "bbox: saw boxes that hold"),
    "3D in the world": (each(to_world), "2D and 3D joints|z pointing"),
    "millimetres": (each(lambda c: c.update(
        lsp_joints_3d=(1000 * np.array(c["lsp_joints_3d"])).tolist())), "hips and neck"),
    "swapped axes": (each(lambda c: c.update(
        lsp_joints_2d=np.array(c["lsp_joints_2d"])[:, ::-1].tolist())), "saw"),
    "sides": (each(swap_sides), "left and right are swapped|nearer to their own side"),
    "path outside": (first(img_path="..\\..\\secret.jpg"), "img_path: saw"),
    "no image": (remove("trainset/images/00001.jpg"), "unreadable"),
    "truncated image": (truncate("trainset/images/00001.jpg"), "unreadable"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_one_line_and_leaves_nothing(mini: Miniature, tmp_path: Path, case: str) -> None:
    damage, word = DAMAGE[case]
    mini.refuses("train", tmp_path, damage, word)


def test_count_and_exit_code(mini: Miniature, tmp_path: Path, capsys) -> None:
    mini.refuses("train", tmp_path, lambda root: None, "count: saw 3, expected 99", expected=99)
    raw = mini.copy(tmp_path / "broken", first(pose=[]))
    assert mini.exit_code("train", tmp_path / "out.h5", raw) == 1
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith("error: ")
    assert not (tmp_path / "out.h5").exists()


def test_all_joints_of_the_set_are_labelled(records: Records) -> None:
    assert len(JOINT_SETS["lsp14"]) == records.joints_3d.shape[1]
    assert (records.joints_3d[..., 3] == 1).all()
