"""MPII: three forms of the same annotations, two sets of fits, their traps, their damage."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from pipeline.convert.common import project
from pipeline.convert.matlab import field
from pipeline.demo.portraits import photograph
from pipeline.demo.stage import Stage
from pipeline.joints import index, joint_names
from pipeline.records import Records
from pipeline.seeding import rng
from tests.convert.demo_miniature import (
    SHARED,
    Miniature,
    edit_json,
    edit_mat,
    make,
    remove,
    truncate,
)

DEMO = {"image_size": 128, "train_images": 4, "test_images": 1}
MAT = "mpii_human_pose_v1_u12_2/mpii_human_pose_v1_u12_1.mat"
EFT = {"labels": "EFT", "labels_file": "eft_fit/MPII_ver01.json"}
SETTINGS = {
    "converter": "mpii",
    "box_factor": 1.0,
    "splits": {
        "mat": {"file": MAT},
        "h5": {"file": "train.h5", **EFT},
        "json": {"file": "annotations/train.json", "labels": "NeuralAnnot", "box_factor": 1.2},
    },
}
FORMS = ("mat", "h5", "json")


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Miniature:
    return make(tmp_path_factory, "mpii", DEMO, SETTINGS)


@pytest.fixture(scope="module")
def forms(mini: Miniature, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Records]:
    folder = tmp_path_factory.mktemp("mpii")
    return {form: mini.convert(form, folder / f"{form}.h5") for form in FORMS}


def main_limbs(mini: Miniature, image: str) -> dict[str, np.ndarray]:
    """Return where the limbs of SMPL's own tree are, of the main person of an image."""
    number = (int(Path(image).stem) - 1163) // 15
    stage = Stage.build(mini.assets, {**DEMO, **SHARED}, Path())
    portrait = photograph(rng(SHARED["seed"], "mpii", number), stage)
    pixels = portrait.camera.project(portrait.camera.to_camera(portrait.people[0].joints))
    limbs = [n for n in joint_names("smpl24") if n[2:] in ("knee", "ankle", "elbow", "wrist")]
    return {name: pixels[index("smpl24", name)] for name in limbs}


def people(path: Path) -> int:
    with h5py.File(path) as file:
        return len(file["scale"])


def test_joints_are_the_bodys(mini: Miniature, forms: dict[str, Records]) -> None:
    """Order and sides: joint k of each form is the same joint of the person's body."""
    for records in forms.values():
        assert records.keypoint_set == "mpii16" and len(records) == DEMO["train_images"]
        for row, name in enumerate(records.name):
            assert name.startswith("images/")
            for limb, pixel in main_limbs(mini, name).items():
                found = records.keypoints_2d[row, index("mpii16", limb), :2]
                np.testing.assert_allclose(found, pixel, atol=0.02)


def test_the_three_forms_agree(forms: dict[str, Records]) -> None:
    for form in ("h5", "json"):
        assert forms[form].name.tolist() == forms["mat"].name.tolist()
        np.testing.assert_allclose(forms[form].keypoints_2d, forms["mat"].keypoints_2d, atol=0.01)
    np.testing.assert_allclose(forms["h5"].center, forms["mat"].center, rtol=1e-6)
    np.testing.assert_allclose(forms["h5"].side, forms["mat"].side, rtol=1e-6)


def test_center_and_scale_are_taken_as_they_are(
    mini: Miniature, forms: dict[str, Records]
) -> None:
    """Scale is of 200 px; SPIN neither shifts nor enlarges the box of the file."""
    with h5py.File(mini.raw / "train.h5") as file:
        full = (file["part"][:] > 0).all((1, 2))
        np.testing.assert_allclose(forms["h5"].center, file["center"][full], rtol=1e-6)
        np.testing.assert_allclose(forms["h5"].side, 200 * file["scale"][full], rtol=1e-6)


def test_the_hourglass_box_is_lower_and_larger(
    mini: Miniature, forms: dict[str, Records], tmp_path: Path
) -> None:
    moved = mini.convert("h5", tmp_path / "out.h5", hourglass_box=True)
    plain = forms["h5"]
    np.testing.assert_allclose(moved.side, 1.25 * plain.side, rtol=1e-6)
    np.testing.assert_allclose(
        moved.center[:, 1] - plain.center[:, 1], 0.075 * plain.side, rtol=1e-3
    )
    np.testing.assert_allclose(moved.center[:, 0], plain.center[:, 0], rtol=1e-6)


def test_all_sixteen_joints_are_asked_for(mini: Miniature, tmp_path: Path) -> None:
    """The rule of SPIN; a joint at (0, 0) of train.h5 is missing."""

    def forget(part: np.ndarray) -> np.ndarray:
        part[1, 3] = 0
        return part

    raw = mini.copy(tmp_path / "raw", edit_h5("part", forget))
    line = mini.line("h5", tmp_path / "out.h5", raw)
    left_out = people(raw / "train.h5") - (DEMO["train_images"] - 1)
    assert left_out >= 1 and f"{left_out} too few joints" in line
    records = mini.convert("h5", tmp_path / "all.h5", raw, min_keypoints=8)
    assert len(records) == people(raw / "train.h5")
    missing = records.keypoints_2d[..., 2] == 0
    assert missing[1].tolist() == [k == 3 for k in range(16)]
    assert (records.keypoints_2d[missing] == 0).all()


def test_test_images_and_people_without_joints_are_left_out(
    mini: Miniature, tmp_path: Path
) -> None:
    """The official file has both; fields of people without joints are empty."""
    line = mini.line("mat", tmp_path / "out.h5", mini.raw)
    assert "1 test images" in line and "no joints, centre or scale" in line


def test_visibility_is_not_presence(mini: Miniature, forms: dict[str, Records]) -> None:
    """A joint that is listed is labelled, hidden or not; head joints have no flag at all."""
    release = scipy.io.loadmat(mini.raw / MAT)["RELEASE"]
    person = field(field(release, "annolist")[0, 0], "annorect")[0, 0]
    points = field(field(person, "annopoints"), "point")
    flags = [field(point, "is_visible") for point in points.ravel()]
    assert [flags[k] is None for k in (8, 9)] == [True, True] and flags[0] is not None
    assert (forms["mat"].keypoints_2d[0, :, 2] == 1).all()


def test_names_as_character_codes(
    mini: Miniature, forms: dict[str, Records], tmp_path: Path
) -> None:
    """Copies of train.h5 made from Lua hold names as rows of numbers."""

    def encode(root: Path) -> None:
        with h5py.File(root / "train.h5", "r+") as file:
            names = file["imgname"][:]
            codes = np.zeros((len(names), 16))
            for row, name in enumerate(names):
                codes[row, : len(name)] = list(name)
            del file["imgname"]
            file["imgname"] = codes

    records = mini.convert("h5", tmp_path / "out.h5", mini.copy(tmp_path / "raw", encode))
    assert records.name.tolist() == forms["h5"].name.tolist()


def test_neural_annot_is_joined_by_annotation_id(
    mini: Miniature, forms: dict[str, Records]
) -> None:
    records = forms["json"]
    assert 0 < records.smpl_valid.sum() < len(records)  # some annotations have no fit
    for row in np.flatnonzero(records.smpl_valid):
        joints = mini.tree_joints(records, row)
        for limb, pixel in main_limbs(mini, records.name[row]).items():
            seen = project(joints[index("smpl24", limb)], records.K[row])
            np.testing.assert_allclose(seen, pixel, atol=0.02)


def test_eft_is_joined_by_image_and_keypoints(
    mini: Miniature, forms: dict[str, Records], tmp_path: Path
) -> None:
    """Several people of one image: each gets the fit of its own keypoints."""
    assert forms["h5"].smpl_valid.sum() >= 1

    def crowd(content: dict) -> None:
        for entry in content["data"]:  # the fits of people beside come first
            other = dict(entry)
            other["gt_keypoint_2d"] = (np.array(entry["gt_keypoint_2d"]) + [60, 0, 0]).tolist()
            other["parm_shape"] = [2.5] * 10
            content["data"] = [other, *content["data"]]

    raw = mini.copy(tmp_path / "raw", edit_json("MPII_ver01.json", crowd))
    again = mini.convert("h5", tmp_path / "out.h5", raw)
    np.testing.assert_array_equal(again.betas, forms["h5"].betas)
    np.testing.assert_array_equal(again.smpl_valid, forms["h5"].smpl_valid)


def test_one_image_alone_in_the_official_file(mini: Miniature, tmp_path: Path) -> None:
    def first(content: dict) -> None:
        release = content["RELEASE"]
        release["annolist"][0, 0] = release["annolist"][0, 0][:, :1]
        release["img_train"][0, 0] = release["img_train"][0, 0][:, :1]

    raw = mini.copy(tmp_path / "raw", edit_mat("mpii_human_pose_v1_u12_1.mat", first))
    assert len(mini.convert("mat", tmp_path / "out.h5", raw)) == 1


def edit_h5(key: str, change):
    def damage(root: Path) -> None:
        with h5py.File(root / "train.h5", "r+") as file:
            value = change(file[key][:])
            del file[key]
            if value is not None:
                file[key] = value

    return damage


def edit_point(key: str, value: object):
    def change(content: dict) -> None:
        image = field(content["RELEASE"], "annolist")[0, 0]
        point = field(field(field(image, "annorect")[0, 0], "annopoints"), "point")
        point[key][0, 3] = value

    return edit_mat("mpii_human_pose_v1_u12_1.mat", change)


def edit_release(key: str, value):
    def change(content: dict) -> None:
        content["RELEASE"][key][0, 0] = value(content["RELEASE"][key][0, 0])

    return edit_mat("mpii_human_pose_v1_u12_1.mat", change)


def label(**changes: object):
    return edit_json("train.json", lambda c: c["annotations"][0].update(changes))


def swap_sides(content: dict) -> None:
    order = [5, 4, 3, 2, 1, 0, 6, 7, 8, 9, 15, 14, 13, 12, 11, 10]
    for entry in content["annotations"]:
        entry["keypoints"] = np.array(entry["keypoints"]).reshape(16, 3)[order].ravel().tolist()


DAMAGE = {
    "no file": ("mat", remove("*.mat"), "no such file"),
    "truncated": ("mat", truncate("*.mat"), "damaged content"),
    "no RELEASE": ("mat", edit_mat("*.mat", lambda c: {"other": c["RELEASE"]}), "only other"),
    "flags": ("mat", edit_release("img_train", lambda v: v[:, :3]), "img_train: saw 3 flags"),
    "joint 16": ("mat", edit_point("id", 16.0), "annopoints.point.id: saw 16"),
    "no number": ("mat", edit_point("x", np.zeros((0, 0))), "x: saw nothing"),
    "NaN": ("mat", edit_point("y", np.nan), "y: saw values that are not finite"),
    "truncated h5": ("h5", truncate("train.h5"), "damaged"),
    "no centre": ("h5", edit_h5("center", lambda v: None), "center"),
    "row lost": ("h5", edit_h5("scale", lambda v: v[1:]), "scale: saw shape"),
    "axes": ("h5", edit_h5("part", lambda v: v.transpose(0, 2, 1)), r"part: saw shape \(\d, 2,"),
    "infinite": ("h5", edit_h5("part", lambda v: np.where(v > 50, np.inf, v)), "not finite"),
    "in metres": ("h5", edit_h5("scale", lambda v: v / 1000), "at least one sample"),
    "path": ("h5", edit_h5("imgname", lambda v: np.array([b"../../secret.jpg"] * len(v))),
             "inside the distribution"),
    "no image": ("h5", remove("*.jpg"), "unreadable"),
    "truncated json": ("json", truncate("annotations/train.json"), "no JSON"),
    "shape": ("json", label(keypoints=[0] * 47), r"keypoints: saw shape \(47,\)"),
    "text": ("json", label(bbox="a"), "bbox"),
    "image id": ("json", label(image_id=7), "7"),
    "absolute path": ("json", edit_json("train.json", lambda c: c["images"][0].update(
        file_name="/etc/hostname")), "inside the distribution"),
    "other image": ("json", edit_json("train.json", lambda c: c["images"][0].update(width=99)),
                    "unreadable"),
    "sides": ("json", edit_json("train.json", swap_sides), "other side"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_refused_in_one_line(mini: Miniature, tmp_path: Path, case: str) -> None:
    split, change, word = DAMAGE[case]
    mini.refuses(split, tmp_path, change, word)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"labels": "NeuralAnnot"}, "annotation ids"),
        ({"labels": "EFT", "labels_file": None}, "labels_file"),
        ({"labels": "EFT", "labels_file": "../fits.json"}, "inside the distribution"),
        ({"labels": "SPIN"}, "labels: saw SPIN"),
        ({"file": "train.csv"}, "one of .mat, .h5, .json"),
        ({"file": "/etc/train.h5"}, "inside the distribution"),
    ],
)
def test_impossible_settings_are_refused(
    mini: Miniature, tmp_path: Path, changes: dict, word: str
) -> None:
    mini.refuses("h5", tmp_path, lambda root: None, word, **changes)


def test_the_verb_ends_with_one(mini: Miniature, tmp_path: Path, capsys) -> None:
    raw = mini.copy(tmp_path / "raw", truncate("*.mat"))
    assert mini.exit_code("mat", tmp_path / "out.h5", raw) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")
    shutil.rmtree(raw)
    assert mini.exit_code("mat", tmp_path / "out.h5", mini.raw) == 0
