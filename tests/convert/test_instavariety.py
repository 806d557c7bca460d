"""InstaVariety: both public forms, joblib's files, the forms that are refused, damage."""

import base64
import json
import os
import pickle
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from pipeline.convert.common import project
from pipeline.convert.joblib_files import read_joblib
from pipeline.demo.instavariety import write_joblib
from pipeline.errors import InputError
from pipeline.joints import JOINT_SETS, flip_permutation, index
from pipeline.records import Records
from tests.convert.demo_miniature import (
    Change,
    Miniature,
    edit_json,
    make,
    remove,
    truncate,
)

DEMO = {"image_size": 128, "train_images": 4, "test_images": 1}
SETTINGS = {
    "converter": "instavariety",
    "form": "light",
    "every": 1,
    "labels": "NeuralAnnot",
    "splits": {"train": {"part": "train"}, "test": {"part": "test", "labels": None}},
}
LIGHT, PACKED = "insta_variety_annotations_light_train.json", "insta_train_db.pt"
GOLDEN = json.loads((Path(__file__).parent / "golden" / "joblib.json").read_text())


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Miniature:
    return make(tmp_path_factory, "instavariety", DEMO, SETTINGS)


@pytest.fixture(scope="module")
def train(mini: Miniature, tmp_path_factory: pytest.TempPathFactory) -> Records:
    return mini.convert("train", tmp_path_factory.mktemp("insta") / "train.h5")


def edit_packed(change) -> Change:
    """Return the change of the joblib file's arrays, in place."""

    def damage(root: Path) -> None:
        content = read_joblib(root / "annotations" / PACKED)
        change(content)
        write_joblib(root / "annotations" / PACKED, content)

    return damage


def test_detections_are_the_bodys(mini: Miniature, train: Records) -> None:
    """NeuralAnnot's body projects onto the detected limbs, each to its own side."""
    limbs = [f"{s}_{j}" for s in "lr" for j in ("knee", "ankle", "elbow", "wrist", "shoulder")]
    assert train.smpl_valid.all()
    for row in range(len(train)):
        seen = project(mini.tree_joints(train, row).astype(float), train.K[row])
        for name in limbs:
            x, y, confidence = train.keypoints_2d[row][index("hmmr25", name)]
            if confidence:
                at = seen[index("smpl24", name)]
                assert np.hypot(*(at - [x, y])) < 0.05 * train.side[row]


def test_the_order_is_hmmrs(train: Records) -> None:
    """Not BODY_25: right heel first, right ankle last; the file's flip pairs."""
    pairs = ((0, 5), (1, 4), (2, 3), (6, 11), (7, 10), (8, 9), (15, 16), (17, 18), (19, 20),
             (21, 22), (23, 24))  # fmt: skip
    assert train.keypoint_set == "hmmr25" and JOINT_SETS["hmmr25"][0] == "r_heel"
    order = flip_permutation("hmmr25")
    assert all(order[a] == b and order[b] == a for a, b in pairs)
    assert sum(order != np.arange(25)) == 2 * len(pairs)


def test_undetected_joints_are_zero(mini: Miniature, tmp_path: Path) -> None:
    def lose(content: dict) -> None:
        content["annotations"][0]["keypoints"][3:6] = [50.0, 60.0, 0.0]

    raw = mini.copy(tmp_path / "raw", edit_json(LIGHT, lose))
    records = mini.convert("train", tmp_path / "out.h5", raw)
    assert not records.keypoints_2d[0, 1].any()


def test_every_third_annotation(mini: Miniature, train: Records, tmp_path: Path) -> None:
    """The study's 246 thousand are every third of the file."""
    records = mini.convert("train", tmp_path / "out.h5", every=3)
    assert records.person.tolist() == train.person[::3].tolist()


def test_the_packed_form(mini: Miniature, train: Records, tmp_path: Path) -> None:
    """No joints, sizes as height and width, the same boxes and bodies."""
    packed = mini.convert("train", tmp_path / "out.h5", form="neuralannot")
    for key in ("center", "side", "person", "name", "transl", "original_size", "K"):
        np.testing.assert_array_equal(getattr(packed, key), getattr(train, key))
    assert not packed.keypoints_2d.any()
    assert (packed.original_size[:, 0] > packed.original_size[:, 1]).any()


def test_joints_of_the_packed_form(mini: Miniature, train: Records, tmp_path: Path) -> None:
    joints = train.keypoints_2d.astype(float)
    raw = mini.copy(tmp_path / "raw", edit_packed(lambda c: c.update(joints2D=joints)))
    packed = mini.convert("train", tmp_path / "out.h5", raw, form="neuralannot")
    np.testing.assert_array_equal(packed.keypoints_2d, train.keypoints_2d)


def test_missing_bodies_are_normal(mini: Miniature, tmp_path: Path) -> None:
    name = "InstaVariety_train_SMPL_NeuralAnnot.json"
    raw = mini.copy(tmp_path / "raw", edit_json(name, lambda c: c.pop("703") and None))
    records = mini.convert("train", tmp_path / "out.h5", raw)
    assert records.smpl_valid.tolist() == [1, 0, 1, 1]


@pytest.mark.parametrize("name", ["insta_train_db.h5", "train_0.tfrecord"])
def test_forms_without_images_are_refused(mini: Miniature, tmp_path: Path, name: str) -> None:
    """VIBE's features and HMMR's records: one line that names them and what to get."""

    def swap(root: Path) -> None:
        (root / "annotations" / LIGHT).unlink()
        with h5py.File(root / name, "w") as file:
            file["features"] = np.zeros((2, 2048))

    mini.refuses("train", tmp_path, swap, f"only {name}, which holds no image files")


@pytest.mark.parametrize("name", [name for name in GOLDEN if "packed" not in name])
def test_files_of_joblib(tmp_path: Path, name: str) -> None:
    """What joblib itself wrote: aligned arrays, Fortran order, texts, objects."""
    path = tmp_path / "db.pt"
    path.write_bytes(zlib.decompress(base64.b85decode(GOLDEN[name])))
    found = read_joblib(path)
    assert found["ann_id"].tolist() == [3, 5, 9] and found["n"] == 3
    assert found["file_name"].tolist() == ["a/b.jpg", "c.jpg", "dd/e.jpg"]
    assert found["img_shape"].tolist() == [[720, 1280], [100, 200], [5, 6]]
    np.testing.assert_array_equal(found["bbox"], np.arange(12).reshape(3, 4))
    assert found["vid_name"].tolist() == ["x", None, "z"]


def test_joblib_reads_what_the_demo_writes(mini: Miniature) -> None:
    joblib = pytest.importorskip("joblib")
    content = joblib.load(mini.raw / "annotations" / PACKED)
    assert content["ann_id"].tolist() == [700, 703, 706, 709]


def test_packed_files_of_joblib_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "db.pt"
    content = next(text for name, text in GOLDEN.items() if "packed" in name)
    path.write_bytes(zlib.decompress(base64.b85decode(content)))
    with pytest.raises(InputError, match="without compression"):
        read_joblib(path)


def test_flipped_bits_end_in_one_line(mini: Miniature, tmp_path: Path) -> None:
    whole = (mini.raw / "annotations" / PACKED).read_bytes()
    path, draw = tmp_path / "db.pt", np.random.default_rng(0)
    for _ in range(300):
        data = bytearray(whole)
        data[draw.integers(len(data))] ^= 1 << draw.integers(8)
        path.write_bytes(data)
        try:
            read_joblib(path)
        except InputError as error:
            assert "\n" not in str(error)


class Command:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple:
        return os.system, ("touch pwned",)


def hostile(root: Path) -> None:
    content = {"ann_id": Command(), "file_name": []}
    (root / "annotations" / PACKED).write_bytes(pickle.dumps(content))


def first(**changes: object) -> Change:
    return edit_json(LIGHT, lambda content: content["annotations"][0].update(changes))


DAMAGE = {
    "no file": (remove(LIGHT), "no such file"),
    "truncated": (truncate(LIGHT), "no JSON"),
    "no key": (edit_json(LIGHT, lambda c: c["annotations"][1].pop("keypoints") and None),
               "keypoints"),
    "17 joints": (first(keypoints=[1.0] * 51), "keypoints: saw shape"),
    "box": (first(bbox=[1, 2, 3]), "bbox: saw shape"),
    "NaN": (first(bbox=[1, 2, float("nan"), 4]), "not finite"),
    "image": (first(image_id=-1), "-1"),
    "path": (edit_json(LIGHT, lambda c: c["images"][0].update(file_name="../x.jpg")),
             "file_name"),
    "absolute": (edit_json(LIGHT, lambda c: c["images"][0].update(file_name="/etc/passwd")),
                 "file_name"),
    "sides": (edit_json(LIGHT, lambda c: [a.update(keypoints=np.reshape(
        a["keypoints"], (25, 3))[flip_permutation("hmmr25")].ravel().tolist())
        for a in c["annotations"]] and None), "other side"),
    "no fits": (remove("*NeuralAnnot.json"), "no such file"),
    "truncated image": (truncate("000001.jpg"), "unreadable"),
    "another image": (edit_json(LIGHT, lambda c: c["images"][0].update(width=9)), "unreadable"),
}  # fmt: skip
PACKED_DAMAGE = {
    "no file": (remove(PACKED), "no such file"),
    "truncated": (truncate(PACKED), "damaged"),
    "runs code": (hostile, "system"),
    "no key": (edit_packed(lambda c: c.pop("bbox")), "bbox"),
    "count": (edit_packed(lambda c: c.update(bbox=c["bbox"][:3])), "bbox: saw 3 rows"),
    "shape": (edit_packed(lambda c: c.update(bbox=c["bbox"][:, :3])), "bbox: saw shape"),
    "swapped": (edit_packed(lambda c: c.update(img_shape=c["img_shape"][:, ::-1].copy())),
                "unreadable"),
    "path": (edit_packed(lambda c: c.update(file_name=np.array(["../a.jpg"] * 4))), "file_name"),
    "NaN": (edit_packed(lambda c: c.update(bbox=c["bbox"] * np.nan)), "not finite"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_one_line_and_leaves_nothing(mini: Miniature, tmp_path: Path, case: str) -> None:
    mini.refuses("train", tmp_path, *DAMAGE[case])


@pytest.mark.parametrize("case", PACKED_DAMAGE)
def test_damaged_joblib(mini: Miniature, tmp_path: Path, monkeypatch, case: str) -> None:
    monkeypatch.chdir(tmp_path)
    mini.refuses("train", tmp_path, *PACKED_DAMAGE[case], form="neuralannot")
    assert not (tmp_path / "pwned").exists()


def test_the_verb_ends_with_one(mini: Miniature, tmp_path: Path, capsys) -> None:
    raw = mini.copy(tmp_path / "raw", truncate(LIGHT))
    assert mini.exit_code("train", tmp_path / "out.h5", raw) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")
    assert mini.exit_code("test", tmp_path / "out.h5", mini.raw) == 0
