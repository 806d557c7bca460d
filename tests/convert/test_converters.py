"""Converters on miniatures: every trap, every filter, every kind of damage."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pipeline.body.smpl import SMPLLayer
from pipeline.convert.common import project, smpl_to_camera
from pipeline.convert.run import convert
from pipeline.errors import InputError
from pipeline.joints import JOINT_SETS, index
from pipeline.records import Records
from pipeline.rotations import axis_angle_to_matrix

NAMES = ("h36m", "pw3d", "coco")


def run(
    mini: SimpleNamespace, name: str, raw: Path, out: Path, workers: int = 1, **changes: object
) -> Records:
    settings = mini.SETTINGS[name] | changes
    convert(name, mini.SPLITS[name], raw, mini.MODELS, settings, out, workers)
    return Records(out)


@pytest.fixture(scope="module")
def converted(
    mini: SimpleNamespace, raw: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Records]:
    folder = tmp_path_factory.mktemp("records")
    return {name: run(mini, name, raw[name], folder / f"{name}.h5") for name in NAMES}


def joints(mini: SimpleNamespace, records: Records, row: int) -> np.ndarray:
    """Return the joints (24, 3) of a record's SMPL label, camera frame."""
    gender = ("neutral", "male", "female")[records.gender[row]]
    pose = np.concatenate([records.global_orient[row][None], records.body_pose[row]])
    rotmats = axis_angle_to_matrix(torch.from_numpy(pose))[None]
    betas, transl = (torch.from_numpy(a[row][None]) for a in (records.betas, records.transl))
    return SMPLLayer(mini.MODELS[gender]).joints(betas, rotmats, transl)[0].numpy()


@pytest.mark.parametrize("name", NAMES)
def test_labels_agree_with_each_other(
    mini: SimpleNamespace, converted: dict[str, Records], name: str
) -> None:
    """SMPL in the camera frame projects to the 2D labels, for every gender and camera."""
    records = converted[name]
    limbs = [n for n in JOINT_SETS[records.keypoint_set] if n in JOINT_SETS["smpl24"]]
    limbs = [n for n in limbs if "hip" not in n and n != "neck"]
    valid = np.flatnonzero(records.smpl_valid)
    assert len(valid) >= 2 and records.has_transl[valid].all()
    for row in valid:
        seen = project(joints(mini, records, row).astype(float), records.K[row])
        for limb in limbs:
            x, y, confidence = records.keypoints_2d[row][index(records.keypoint_set, limb)]
            if confidence:
                np.testing.assert_allclose([x, y], seen[index("smpl24", limb)], atol=0.01)


@pytest.mark.parametrize("name", NAMES)
def test_crops_show_the_margin(converted: dict[str, Records], name: str) -> None:
    records = converted[name]
    for row in range(len(records)):
        width, height = records.image_size[row]
        zoom = records.affine[row][0, 0]
        assert width == height == records.image(row).shape[0] <= 96
        assert zoom <= 1 and (
            zoom < 1 or np.array_equal(records.affine[row] % 1, np.zeros((2, 3)))
        )
        assert abs(width - 1.8 * records.side[row] * zoom) <= 0.51
        middle = records.affine[row][:, :2] @ records.center[row] + records.affine[row][:, 2]
        np.testing.assert_allclose(middle, width / 2, atol=1.01)


def test_h36m(mini: SimpleNamespace, converted: dict[str, Records]) -> None:
    records = converted["h36m"]
    assert records.frame.tolist() == [0, 5, 10]
    assert records.smpl_valid.tolist() == [1, 0, 1]
    assert records.camera.tolist() == ["60457274"] * 3
    assert records.name[1].endswith("ca_04_000006.jpg")
    assert (records.keypoint_set, records.joint_set) == ("h36m17", "h36m17")
    R, t, _ = mini.camera()
    points = mini.Person(5).joints("h36m17") @ R.T
    np.testing.assert_allclose(records.joints_3d[1][:, :3], points - points[0], atol=1e-5)
    np.testing.assert_allclose(
        records.keypoints_2d[1][:, :2], mini.see(mini.Person(5).joints("h36m17")), atol=1e-3
    )
    box = records.keypoints_2d[1][:, :2]
    assert abs(records.side[1] - 1.2 * np.ptp(box, axis=0).max()) < 1e-3


def test_pw3d(converted: dict[str, Records]) -> None:
    records = converted["pw3d"]
    # Person 0 has no valid camera in frame 2, person 1 no detection there.
    assert list(zip(records.person, records.frame, strict=True)) == [
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
    ]
    assert records.gender.tolist() == [1, 1, 2, 2]
    assert (records.keypoints_2d[0, 3] == 0).all()
    assert records.joints_3d is None
    low = records.keypoints_2d[0][records.keypoints_2d[0, :, 2] > 0, 0].min()
    assert low > 1  # the undetected joint at (0, 0) is not part of the box
    assert records.side[0] < 250


def test_coco(converted: dict[str, Records]) -> None:
    records = converted["coco"]
    assert records.person.tolist() == [900, 901, 902, 903]
    assert records.smpl_valid.tolist() == [1, 1, 1, 0]
    assert np.isnan(records.K[3]).all() and records.gender.tolist() == [0] * 4
    assert set(records.keypoints_2d[:, 1:, 2].ravel()) == {1.0}
    assert (records.keypoints_2d[:, 0] == 0).all()


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({"min_limb_joints": 0, "min_keypoints": 1}, 5),
        ({"min_limb_joints": 0, "min_keypoints": 15}, 4),
        ({"labels": None}, 4),
    ],
)
def test_coco_rules(
    mini: SimpleNamespace, raw: dict[str, Path], tmp_path: Path, changes: dict, count: int
) -> None:
    records = run(mini, "coco", raw["coco"], tmp_path / "out.h5", **changes)
    assert len(records) == count
    assert (records.smpl_valid is None) == ("labels" in changes)


def test_h36m_skips_the_broken_sequence(
    mini: SimpleNamespace, raw: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="at least one sample"):
        run(mini, "h36m", raw["h36m"], tmp_path / "out.h5",
            skip_sequences=["s_01_act_02_subact_01_ca_04"])  # fmt: skip


def test_processes_change_nothing(
    mini: SimpleNamespace, raw: dict[str, Path], converted: dict[str, Records], tmp_path: Path
) -> None:
    again = run(mini, "coco", raw["coco"], tmp_path / "again.h5", workers=2)
    assert again.path.read_bytes() == converted["coco"].path.read_bytes()


def change_json(name: str, change: Callable) -> Callable:
    def damage(root: Path) -> None:
        path = root / "annotations" / name
        content = json.loads(path.read_text())
        content = change(content) or content
        path.write_text(json.dumps(content))

    return damage


def change_pickle(change: Callable) -> Callable:
    def damage(root: Path) -> None:
        path = next(root.rglob("*.pkl"))
        content = pickle.loads(path.read_bytes())
        change(content)
        path.write_bytes(pickle.dumps(content, protocol=2))

    return damage


def truncate(pattern: str) -> Callable:
    def damage(root: Path) -> None:
        path = sorted(root.rglob(pattern))[0]
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return damage


def setter(*keys: object, value: object) -> Callable:
    def change(content: dict) -> None:
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = value

    return change


def remover(*keys: object) -> Callable:
    def change(content: dict) -> None:
        for key in keys[:-1]:
            content = content[key]
        del content[keys[-1]]

    return change


def swap_legs(content: dict) -> None:
    for points in content["2"]["1"].values():
        points[1:4], points[4:7] = points[4:7], points[1:4]


def to_metres(content: dict) -> None:
    for points in content["2"]["1"].values():
        points[:] = (np.array(points) / 1000).tolist()


def swap_sides(content: dict) -> None:
    for label in content["annotations"]:
        points = np.array(label["keypoints"]).reshape(17, 3)
        label["keypoints"] = points[[0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]]
        label["keypoints"] = label["keypoints"].ravel().tolist()


H36M, COCO, FITS = (
    "Human36M_subject1_{}.json",
    "person_keypoints_train2014.json",
    "SMPL_NeuralAnnot",
)
DAMAGE = {
    "h36m: no file": ("h36m", lambda r: (r / "annotations" / H36M.format("camera")).unlink(),
                      "camera.json"),
    "h36m: truncated": ("h36m", truncate("*_joint_3d.json"), "joint_3d.json"),
    "h36m: no joints": ("h36m", change_json(H36M.format("joint_3d"), remover("2")), "2: saw"),
    "h36m: shape": ("h36m", change_json(H36M.format("joint_3d"),
                    setter("2", "1", "0", value=[[0, 0, 0]] * 16)), "joint_3d"),
    "h36m: NaN": ("h36m", change_json(H36M.format("joint_3d"),
                  setter("2", "1", "0", 3, 1, value=float("nan"))), "not finite"),
    "h36m: t": ("h36m", change_json(H36M.format("camera"),
                setter("4", "t", value=[0, 0, 9e4])), "camera t"),
    "h36m: metres": ("h36m", change_json(H36M.format("joint_3d"), to_metres), "camera t"),
    "h36m: legs": ("h36m", change_json(H36M.format("joint_3d"), swap_legs), "hips"),
    "h36m: number": ("h36m", change_json(H36M.format("data"),
                     setter("images", 0, "frame_idx", value=5)), "file_name"),
    "h36m: fit": ("h36m", change_json(H36M.format(FITS),
                  setter("2", "1", "0", "pose", value=[0] * 71)), "pose"),
    "h36m: frame": ("h36m", change_json(H36M.format(FITS), lambda c: {"2": {"1": {
        k: v | {"trans": [0, 0, 5]} for k, v in c["2"]["1"].items()}}}), "SMPL joints"),
    "pw3d: truncated": ("pw3d", truncate("*.pkl"), "courtyard_00.pkl"),
    "pw3d: class": ("pw3d", lambda r: next(r.rglob("*.pkl")).write_bytes(
        pickle.dumps({"sequence": Path("x")})), "arrays and nothing else"),
    "pw3d: no key": ("pw3d", change_pickle(remover("cam_poses")), "cam_poses"),
    "pw3d: shape": ("pw3d", change_pickle(setter("trans", 0, value=np.zeros((2, 3)))), "trans"),
    "pw3d: NaN": ("pw3d", change_pickle(setter("trans", 0, value=np.full((3, 3), np.nan))),
                  "trans"),
    "pw3d: persons": ("pw3d", change_pickle(remover("betas", 1)), "betas"),
    "pw3d: gender": ("pw3d", change_pickle(setter("genders", 0, value="x")), "genders"),
    "pw3d: wrong body": ("pw3d", change_pickle(
        lambda c: setter("jointPositions", 0, value=c["jointPositions"][0] + 0.3)(c)), "pelvis"),
    "pw3d: camera": ("pw3d", change_pickle(
        lambda c: c["cam_poses"].__setitem__((slice(None), 0, 3), 1.5)), "SMPL joints"),
    "pw3d: empty": ("pw3d", lambda r: next(r.rglob("*.pkl")).unlink(), "no .pkl"),
    "coco: truncated": ("coco", truncate("person_*.json"), "person_keypoints"),
    "coco: no fits": ("coco", lambda r: next(r.rglob("MSCOCO*")).unlink(), "MSCOCO"),
    "coco: no key": ("coco", change_json(COCO, remover("annotations", 1, "bbox")), "bbox"),
    "coco: shape": ("coco", change_json(COCO, setter("annotations", 0, "keypoints", value=[1])),
                    "keypoints"),
    "coco: text": ("coco", change_json(COCO, setter("annotations", 0, "bbox", value="a")), "bbox"),
    "coco: image": ("coco", change_json(COCO, setter("annotations", 0, "image_id", value=7)), "7"),
    "coco: list": ("coco", change_json(COCO, lambda c: [c]), "images"),
    "coco: sides": ("coco", change_json(COCO, swap_sides), "other side"),
    "coco: truncated image": ("coco", truncate("*.jpg"), "unreadable"),
    "coco: no image": ("coco", lambda r: next(r.rglob("*.jpg")).unlink(), "unreadable"),
    "coco: other image": ("coco", change_json(COCO, setter("images", 0, "width", value=99)),
                          "unreadable"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_one_line_and_leaves_nothing(
    mini: SimpleNamespace, raw: dict[str, Path], tmp_path: Path, case: str
) -> None:
    name, damage, word = DAMAGE[case]
    shutil.copytree(raw[name], tmp_path / "raw")
    damage(tmp_path / "raw")
    out = tmp_path / "out" / "records.h5"
    with pytest.raises(InputError, match=word) as error:
        run(mini, name, tmp_path / "raw", out)
    assert "\n" not in str(error.value)
    assert not out.parent.exists() or list(out.parent.iterdir()) == []


def test_few_bad_images_are_counted(
    mini: SimpleNamespace, raw: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(raw["pw3d"], tmp_path / "raw")
    truncate("*.jpg")(tmp_path / "raw")
    settings = mini.SETTINGS["pw3d"] | {"max_bad_share": 0.5}
    out = tmp_path / "out.h5"
    line = convert("pw3d", "test", tmp_path / "raw", mini.MODELS, settings, out)
    assert "2 samples" in line and "2 unreadable images" in line
    assert Records(out).frame.tolist() == [1, 1]


def test_the_other_convention_of_t(
    mini: SimpleNamespace, raw: dict[str, Path], converted: dict[str, Records], tmp_path: Path
) -> None:
    """Files that hold the camera's centre as t give the same records."""
    shutil.copytree(raw["h36m"], tmp_path / "raw")
    R, t, _ = mini.camera()
    centre = (-1000 * R.T @ t).tolist()
    change_json(H36M.format("camera"), setter("4", "t", value=centre))(tmp_path / "raw")
    records = run(mini, "h36m", tmp_path / "raw", tmp_path / "out.h5")
    for key in ("keypoints_2d", "joints_3d", "transl"):
        np.testing.assert_allclose(
            getattr(records, key), getattr(converted["h36m"], key), atol=1e-4
        )


@pytest.mark.parametrize(("expected", "fits"), [(4, True), (5, False)])
def test_counts_are_compared(
    mini: SimpleNamespace, raw: dict[str, Path], tmp_path: Path, expected: int, fits: bool
) -> None:
    settings = mini.SETTINGS["coco"] | {"splits": {"train": {"folder": "train",
                                                             "expected": expected}}}  # fmt: skip
    args = ("coco", "train", raw["coco"], mini.MODELS, settings, tmp_path / "out.h5")
    if fits:
        convert(*args)
    else:
        with pytest.raises(InputError, match="--allow-partial"):
            convert(*args)
        convert(*args, allow_partial=True)
    assert len(Records(tmp_path / "out.h5")) == 4


def test_missing_gender_is_named(
    mini: SimpleNamespace, raw: dict[str, Path], tmp_path: Path
) -> None:
    models = {"neutral": mini.MODELS["neutral"]}
    with pytest.raises(InputError, match="male"):
        convert("pw3d", "test", raw["pw3d"], models, mini.SETTINGS["pw3d"], tmp_path / "out.h5")


def test_turning_about_the_pelvis(mini: SimpleNamespace) -> None:
    """Vertices of the moved body are the moved vertices of the body."""
    person, model = mini.Person(3, "female"), mini.MODELS["female"]
    R, t, _ = mini.camera()
    orient, transl = smpl_to_camera(
        person.pose[:1], person.transl[None], person.betas[None], R, t, model
    )
    pose = torch.from_numpy(np.concatenate([orient, person.pose[1:]])[None]).float()
    tensors = (torch.from_numpy(a[None]).float() for a in (person.betas, transl[0]))
    betas, shift = tensors
    moved = SMPLLayer(model).joints(betas, axis_angle_to_matrix(pose), shift)[0].numpy()
    np.testing.assert_allclose(moved, person.world @ R.T + t, atol=1e-5)
