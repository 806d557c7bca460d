"""MuCo-3DHP: a round trip through the json redistribution, its traps, its damage."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from pipeline.convert import muco
from pipeline.convert.common import project
from pipeline.errors import InputError
from pipeline.joints import JOINT_SETS, mapping
from pipeline.records import Records
from tests.convert.demo_miniature import Miniature, edit_json, make, remove, truncate

DEMO = {"image_size": 128, "images": 4}
SETTINGS = {
    "converter": "muco",
    "splits": {
        "train": {"persons": "nearest", "max_fit_error_mm": 25},
        "everybody": {"persons": "all", "max_fit_error_mm": 25},
    },
}
MAIN, FITS = "MuCo-3DHP.json", "smpl_param.json"


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Miniature:
    return make(tmp_path_factory, "muco", DEMO, SETTINGS)


@pytest.fixture(scope="module")
def content(mini: Miniature) -> dict:
    return json.loads((mini.raw / MAIN).read_text())


@pytest.fixture(scope="module")
def everybody(mini: Miniature, tmp_path_factory: pytest.TempPathFactory) -> Records:
    return mini.convert("everybody", tmp_path_factory.mktemp("muco") / "all.h5")


def test_joints_are_metres_about_the_pelvis_and_project_onto_keypoints(
    everybody: Records, content: dict
) -> None:
    labels = {label["id"]: label for label in content["annotations"]}
    assert everybody.person.tolist() == list(labels)
    for row, key in enumerate(everybody.person.tolist()):
        points = np.array(labels[key]["keypoints_cam"]) / 1000
        pixels = labels[key]["keypoints_img"]
        np.testing.assert_allclose(everybody.joints_3d[row, :, :3], points - points[14], atol=1e-6)
        np.testing.assert_allclose(everybody.root_3d[row], points[14], atol=1e-6)
        np.testing.assert_allclose(everybody.keypoints_2d[row, :, :2], pixels, atol=1e-3)
        np.testing.assert_allclose(project(points, everybody.K[row]), pixels, atol=0.01)


def test_fits_are_in_the_camera_frame_already(mini: Miniature, everybody: Records) -> None:
    rows = np.flatnonzero(everybody.smpl_valid)
    assert len(rows) >= 4 and everybody.has_transl[rows].all()
    for row in rows:
        joints = mini.mesh_joints(everybody, row, "mpi17")
        seen = project(joints, everybody.K[row])
        np.testing.assert_allclose(everybody.keypoints_2d[row, :17, :2], seen, atol=0.02)


def test_of_each_image_the_nearest_person(mini: Miniature, content: dict, tmp_path: Path) -> None:
    """Nearest by the pelvis' depth, not the first and not the largest box."""
    records = mini.convert("train", tmp_path / "out.h5")
    expected = []
    for image in content["images"]:
        people = [a for a in content["annotations"] if a["image_id"] == image["id"]]
        expected.append(min(people, key=lambda a: a["keypoints_cam"][14][2])["id"])
    assert records.person.tolist() == expected
    assert any(e != content["annotations"][0]["id"] for e in expected)
    assert set(records.sequence) == {"augmented_set", "unaugmented_set"}


def test_missing_and_far_fits_leave_the_joints(mini: Miniature, everybody: Records) -> None:
    """Annotations divisible by 5 have no fit, those by 7 one with raised knees."""
    valid = dict(zip(everybody.person.tolist(), everybody.smpl_valid.tolist(), strict=True))
    assert valid == {key: int(key % 5 != 0 and key % 7 != 0) for key in valid}
    assert 0 in valid.values() and (everybody.joints_3d[..., 3] == 1).all()


def test_the_line_counts_dropped_fits(mini: Miniature, tmp_path: Path) -> None:
    line = mini.line("everybody", tmp_path / "out.h5", mini.raw)
    assert "1 fits far from the joints (kept without)" in line


def test_fits_are_judged_on_joints_that_both_sets_mark_alike() -> None:
    """I2L-MeshNet's fourteen: pelvis, legs, head top, arms."""
    assert len(muco.JUDGED) == 14
    assert not {"spine_h36m", "neck_h36m", "jaw_h36m"} & set(muco.JUDGED)
    assert (mapping("muco21", "h36m17") >= 0).all()


def test_the_threshold_is_in_millimetres(mini: Miniature, tmp_path: Path) -> None:
    strict = mini.convert("everybody", tmp_path / "strict.h5", max_fit_error_mm=1e-6)
    assert strict.smpl_valid is None
    lenient = mini.convert("everybody", tmp_path / "lenient.h5", max_fit_error_mm=1000)
    assert lenient.smpl_valid.sum() == len(json.loads((mini.raw / FITS).read_text()))


def test_twenty_one_joints_in_order() -> None:
    assert JOINT_SETS["muco21"][:17] == JOINT_SETS["mpi17"]
    assert JOINT_SETS["muco21"][17:] == ("r_hand", "l_hand", "r_toe", "l_toe")


def test_files_may_lie_in_a_folder_data(
    mini: Miniature, everybody: Records, tmp_path: Path
) -> None:
    shutil.copytree(mini.raw, tmp_path / "raw" / "data")
    records = mini.convert("everybody", tmp_path / "out.h5", tmp_path / "raw")
    assert records.path.read_bytes() == everybody.path.read_bytes()


def label(**changes: object) -> object:
    """Return the change of the first annotation (None removes a key)."""

    def edit(content: dict) -> None:
        changed = content["annotations"][0] | changes
        content["annotations"][0] = {k: v for k, v in changed.items() if v is not None}

    return edit_json(MAIN, edit)


def image(**changes: object) -> object:
    def edit(content: dict) -> None:
        changed = content["images"][0] | changes
        content["images"][0] = {k: v for k, v in changed.items() if v is not None}

    return edit_json(MAIN, edit)


def every(key: str, change) -> object:
    def edit(content: dict) -> None:
        for entry in content["annotations"]:
            entry[key] = change(np.array(entry[key])).tolist()

    return edit_json(MAIN, edit)


def swap_sides(content: dict) -> None:
    names = JOINT_SETS["muco21"]
    other = [names.index({"l_": "r_", "r_": "l_"}.get(n[:2], n[:2]) + n[2:]) for n in names]
    for entry in content["annotations"]:
        for key in ("keypoints_cam", "keypoints_img"):
            entry[key] = [entry[key][i] for i in other]


def world_fits(fits: dict) -> dict:
    """Return fits that stand elsewhere, as they would in a world frame."""
    return {key: fit | {"trans": [0, 0, 0.5 * fit["trans"][2]]} for key, fit in fits.items()}


DAMAGE = {
    "no file": (remove(MAIN), "MuCo-3DHP.json: saw no such file"),
    "no fits": (remove(FITS), "smpl_param.json: saw no such file"),
    "truncated": (truncate(MAIN), "no JSON"),
    "no key": (label(keypoints_img=None), "annotation 500: keypoints_img"),
    "no image entry": (label(image_id=99), "annotation 500: 99"),
    "seventeen joints": (label(keypoints_cam=[[0, 0, 1]] * 17), r"saw shape \(17, 3"),
    "NaN": (label(keypoints_cam=[[float("nan")] * 3] * 21), "not finite"),
    "text": (label(keypoints_img="none"), "keypoints_img"),
    "no camera": (image(f=None), "f: saw only"),
    "focal": (image(f=[100.0]), r"f: saw shape \(1,"),
    "out of the folder": (image(file_name="../../secret.jpg"), "inside the distribution"),
    "absolute": (image(file_name="/secret.jpg"), "inside the distribution"),
    "no path": (image(file_name=7), "inside the distribution"),
    "size": (image(width=99), "unreadable"),
    "metres": (every("keypoints_cam", lambda a: a / 1000), "millimetres"),
    "axes": (every("keypoints_cam", lambda a: a[:, [2, 0, 1]]), "K projects|behind"),
    "x and y": (every("keypoints_img", lambda a: a[:, ::-1]), "K projects"),
    "sides": (edit_json(MAIN, swap_sides), "swapped|own side"),
    "fit frame": (edit_json(FITS, world_fits), "SMPL joints"),
    "fit list": (edit_json(FITS, lambda fits: [fits]), "fits by annotation"),
    "fit shape": (edit_json(FITS, lambda fits: {k: f | {"pose": [0] * 66}
                                                for k, f in fits.items()}), "pose"),
    "no picture": (remove("*.jpg"), "unreadable"),
    "half a picture": (truncate("*.jpg"), "unreadable"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_one_line_and_leaves_nothing(mini: Miniature, tmp_path: Path, case: str) -> None:
    change, word = DAMAGE[case]
    mini.refuses("everybody", tmp_path, change, word)


def test_counts_are_compared(mini: Miniature, tmp_path: Path) -> None:
    mini.refuses("train", tmp_path, lambda root: None, "--allow-partial", expected=400000)


def test_unknown_rules_are_refused(mini: Miniature, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nearest or all"):
        mini.convert("train", tmp_path / "out.h5", persons="first")


def test_the_verb_exits_with_one(
    mini: Miniature, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    raw, out = mini.copy(tmp_path / "raw", truncate(MAIN)), tmp_path / "out" / "train.h5"
    assert mini.exit_code("train", out, raw) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")
    assert not out.parent.exists() or list(out.parent.iterdir()) == []
