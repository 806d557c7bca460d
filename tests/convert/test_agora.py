"""AGORA: a round trip through yaws, pitches and pickles; traps and damage."""

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from pipeline.body.smpl import SMPLLayer
from pipeline.convert.agora import COLUMNS, camera
from pipeline.convert.common import project
from pipeline.convert.frames import read_frame, read_tensors
from pipeline.demo.agora import GROUND, KINDS
from pipeline.demo.pandas_pickle import write_frame, write_tensors
from pipeline.records import Records
from pipeline.rotations import axis_angle_to_matrix
from tests.convert.demo_miniature import Change, Miniature, make, remove, truncate

DEMO = {"train_images": 3, "validation_images": 1, "people": 3}
SETTINGS = {
    "converter": "agora",
    "labels": "SMPL",
    "resolution": 720,
    "splits": {"train": {"part": "train"}, "validation": {"part": "validation"}},
}
FRAME = "train_SMPL/SMPL/train_0_withjv.pkl"
ALL = (*COLUMNS, "camX", "camY", "camZ", "X", "Y", "Z", "age", "ethnicity", "gt_path_smplx")
HDRI = "ag_trainset_demo_hdri_50mm_00000"


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Miniature:
    return make(tmp_path_factory, "agora", DEMO, SETTINGS)


@pytest.fixture(scope="module")
def train(mini: Miniature, tmp_path_factory: pytest.TempPathFactory) -> Records:
    return mini.convert("train", tmp_path_factory.mktemp("agora") / "train.h5")


def edit(change) -> Change:
    """Return the change of the data frame's columns, in place."""

    def damage(root: Path) -> None:
        columns = read_frame(root / FRAME, ALL)
        change(columns)
        write_frame(root / FRAME, columns)

    return damage


def person(key: str, change, number: int = 0) -> Change:
    """Return the change of one person's entry in the first image."""
    return edit(lambda c: c[key][0].__setitem__(number, change(c[key][0][number])))


def edit_fit(change) -> Change:
    """Return the change of one scan's fit."""

    def damage(root: Path) -> None:
        path = root / "smpl_gt/demo_adults" / f"{HDRI}_0_0.pkl"
        arrays = read_tensors(path)
        change(arrays)
        write_tensors(path, arrays)

    return damage


def test_bodies_are_where_the_joints_are(mini: Miniature, train: Records) -> None:
    """The neutral body, turned by three angles, has gt_joints_3d and gt_joints_2d."""
    layer = SMPLLayer(mini.assets.models["neutral"], np.zeros(1, int))
    assert train.smpl_valid.all() and not train.gender.any()
    for row in range(len(train)):
        pose = np.concatenate([train.global_orient[row][None], train.body_pose[row]])
        rotmats = axis_angle_to_matrix(torch.from_numpy(pose))[None]
        betas, transl = (torch.from_numpy(a[row][None]) for a in (train.betas, train.transl))
        joints = layer.joints(betas, rotmats, transl)[0].numpy().astype(float)
        expected = train.joints_3d[row, :24, :3] + train.root_3d[row]
        np.testing.assert_allclose(joints, expected, atol=2e-4)
        pixels = project(joints, train.K[row])
        np.testing.assert_allclose(pixels, train.keypoints_2d[row, :24, :2], atol=0.1)


def test_the_official_chain_gives_the_same_place(mini: Miniature, train: Records) -> None:
    """Yaw less 90 degrees, the camera's yaw and pitch, half a turn, centimetres of the engine."""
    frame = read_frame(mini.raw / FRAME, ALL)
    model = mini.assets.models["neutral"]
    for row in range(len(train)):
        image, k = row, 0  # the only person taken of every image
        kind = KINDS[image]
        name = frame["gt_path_smpl"][image][k].replace(".obj", ".pkl")
        fit = read_tensors(mini.raw / name)
        pelvis = model.joint_template[0] + model.joint_shapedirs[0] @ fit["betas"][0, :10]
        own = (pelvis + fit["translation"][0]) * [1, -1, -1]
        turn = Rotation.from_euler("y", frame["Yaw"][image][k] - 90, degrees=True)
        cm = np.array([frame[key][image][k] for key in "XYZ"]) / 100
        centre = np.array(kind.place) / 100
        cm, centre = (np.roll(v, 2) * [1, -1, 1] for v in (cm, centre))
        centre = centre + [0, -GROUND * kind.told, 0]
        at = Rotation.from_euler("y", -kind.yaw, degrees=True).apply(turn.apply(own) + cm - centre)
        at = Rotation.from_euler("x", kind.pitch, degrees=True).apply(at)
        np.testing.assert_allclose(at, pelvis + train.transl[row], atol=1e-4)


def test_cameras_by_name() -> None:
    """Focal length, yaw and pitch follow from the image's name, yaw else from the frame."""
    cases = {
        "ag_trainset_3dpeople_bfh_hdri_50mm_5_10_00000.png": (50, 0, 0),
        "ag_trainset_axyz_bfh_archviz_5_10_cam00_00000.png": (18, 135, 30),
        "ag_trainset_axyz_bfh_archviz_5_10_cam01_00000.png": (18, -135, 30),
        "ag_trainset_axyz_bfh_archviz_5_10_cam02_00000.png": (18, -45, 30),
        "ag_trainset_axyz_bfh_archviz_5_10_cam03_00000.png": (18, 45, 30),
        "ag_validationset_renderpeople_bfh_flowers_5_15_ag2_0.png": (28, 0, 15),
        "ag_trainset_renderpeople_bfh_construction_0.png": (28, 77, 0),
    }
    for name, (focal, yaw, pitch) in cases.items():
        K, R = camera(name, 77.0, (1280, 720), "row")
        assert K[0, 0] == pytest.approx(focal / 36 * 1280)
        assert K[1, 1] == pytest.approx(focal / 20.25 * 720)
        assert K[:2, 2].tolist() == [640, 360]
        expected = Rotation.from_euler("yx", [-yaw, pitch], degrees=True).as_matrix()
        np.testing.assert_allclose(R, expected, atol=1e-12)


def test_both_resolutions(mini: Miniature, train: Records, tmp_path: Path) -> None:
    """2D joints are in pixels of the large images: a third of them in the small ones, once."""

    def enlarge(root: Path) -> None:
        for path in root.rglob("*_1280x720.png"):
            if "train" in path.name:
                image = cv2.resize(cv2.imread(str(path)), (3840, 2160))
                path.unlink()
                name = path.name.replace("_1280x720", "")
                cv2.imwrite(str(path.with_name(name)), image)

    raw = mini.copy(tmp_path / "raw", enlarge)
    large = mini.convert("train", tmp_path / "large.h5", raw, resolution=2160)
    np.testing.assert_allclose(large.keypoints_2d[..., :2], 3 * train.keypoints_2d[..., :2],
                               rtol=1e-5)  # fmt: skip
    np.testing.assert_allclose(large.K[:, :2], 3 * train.K[:, :2])
    assert (large.original_size == [3840, 2160]).all()
    again = mini.convert("train", tmp_path / "again.h5")  # nothing was scaled in place
    assert again.path.read_bytes() == train.path.read_bytes()


def test_kids_and_hidden_people_are_left_out(mini: Miniature, train: Records) -> None:
    frame = read_frame(mini.raw / FRAME, ("kid", "isValid", "gt_path_smpl"))
    assert frame["isValid"] == [[True, False, True]] * 3 and frame["kid"] == [
        [False, False, True]] * 3  # fmt: skip
    assert train.person.tolist() == [0, 0, 0]
    kid = read_tensors(mini.raw / frame["gt_path_smpl"][0][2].replace(".obj", ".pkl"))
    assert kid["betas"].shape == (1, 11)  # one more than adults have


def test_the_line_counts_them(mini: Miniature, tmp_path: Path) -> None:
    line = mini.line("train", tmp_path / "out.h5", mini.raw)
    assert "3 kids" in line and "3 not valid" in line


def test_people_cut_off_lose_joints(mini: Miniature, tmp_path: Path) -> None:
    """Joints beyond the picture have no confidence; the box is still the whole person's."""

    def aside(columns: dict) -> None:
        joints, pixels = (columns[key][0][0] for key in ("gt_joints_3d", "gt_joints_2d"))
        joints[:, 0] -= pixels[:, 0].mean() / (50 / 36 * 3840) * joints[:, 2]
        pixels[:] = joints[:, :2] / joints[:, 2:] * (50 / 36 * 3840) + [1920, 1080]

    raw = mini.copy(tmp_path / "raw", edit(aside))
    records = mini.convert("train", tmp_path / "out.h5", raw, labels=None)
    inside = records.keypoints_2d[0, :, 2] > 0
    assert 2 <= inside.sum() < 45 and not records.keypoints_2d[0, ~inside].any()
    assert records.side[0] > 1.2 * np.ptp(records.keypoints_2d[0, inside, :2], axis=0).max() - 1


def test_without_labels_no_fit_is_read(mini: Miniature, tmp_path: Path) -> None:
    raw = mini.copy(tmp_path / "raw", remove(f"{HDRI}_0_0.pkl"))
    assert mini.convert("train", tmp_path / "out.h5", raw, labels=None).smpl_valid is None


class Command:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple:
        import os

        return os.system, ("touch pwned",)


def hostile(name: str) -> Change:
    return lambda root: next(root.rglob(name)).write_bytes(pickle.dumps({"betas": Command()}))


def twice(root: Path) -> None:
    path = next(root.rglob(f"{HDRI}_1280x720.png"))
    (path.parent.parent / "copy").mkdir()
    (path.parent.parent / "copy" / path.name).write_bytes(path.read_bytes())


def rename(root: Path) -> None:
    """Call an 18 mm image one of 50 mm: the wrong focal length."""
    path = next(root.rglob("*cam02*.png"))
    path.rename(path.with_name(path.name.replace("archviz_5_10_cam02", "hdri")))
    edit(lambda c: c["imgPath"].__setitem__(1, c["imgPath"][1].replace(
        "archviz_5_10_cam02", "hdri")))(root)  # fmt: skip


DAMAGE = {
    "no frame": (remove(FRAME), "data frames"),
    "truncated frame": (truncate(FRAME), "damaged"),
    "frame runs code": (hostile("train_0_withjv.pkl"), "system"),
    "no column": (lambda r: write_frame(r / FRAME, {"imgPath": ["a.png"]}), "saw only imgPath"),
    "uneven": (edit(lambda c: c["kid"][0].pop()), "kid: saw 2 entries"),
    "shape": (person("gt_joints_3d", lambda v: v[:24]), "gt_joints_3d: saw shape"),
    "swapped axes": (person("gt_joints_2d", lambda v: v.T), "gt_joints_2d: saw shape"),
    "NaN": (person("gt_joints_3d", lambda v: v * np.nan), "not finite"),
    "centimetres": (person("gt_joints_3d", lambda v: 100 * v), "gt_joints_3d"),
    "small pixels": (person("gt_joints_2d", lambda v: v / 3), "px from the 2D joints"),
    "focal length": (rename, "px from the 2D joints"),
    "yaw": (person("Yaw", lambda v: v + 90), "root_pose"),
    "yaw in words": (person("Yaw", lambda v: "north"), "Yaw"),
    "path": (person("gt_path_smpl", lambda v: "../../x.obj"), "gt_path_smpl"),
    "image path": (edit(lambda c: c["imgPath"].__setitem__(0, "/etc/x.png")), "imgPath"),
    "no fit": (remove(f"{HDRI}_0_0.pkl"), "no such file"),
    "truncated fit": (truncate(f"{HDRI}_0_0.pkl"), "damaged"),
    "fit runs code": (hostile(f"{HDRI}_0_0.pkl"), "system"),
    "fit without pose": (edit_fit(lambda a: a.pop("body_pose")), "body_pose"),
    "SMPL-X fit": (edit_fit(lambda a: a.update(body_pose=np.zeros((1, 21, 3)))), "body_pose"),
    "few betas": (edit_fit(lambda a: a.update(betas=np.zeros((1, 8)))), "betas"),
    "fit of another frame": (edit_fit(lambda a: a["root_pose"].__iadd__(1)), "root_pose"),
    "no image": (remove(f"{HDRI}_1280x720.png"), "unreadable"),
    "truncated image": (truncate(f"{HDRI}_1280x720.png"), "unreadable"),
    "image twice": (twice, "each image once"),
    "small image": (lambda r: cv2.imwrite(str(next(r.rglob(f"{HDRI}_1280x720.png"))),
                                          np.zeros((360, 640, 3), np.uint8)), "pixels, expected"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_one_line_and_leaves_nothing(
    mini: Miniature, tmp_path: Path, monkeypatch, case: str
) -> None:
    monkeypatch.chdir(tmp_path)
    mini.refuses("train", tmp_path, *DAMAGE[case])
    assert not (tmp_path / "pwned").exists()


def test_the_verb_ends_with_one(mini: Miniature, tmp_path: Path, capsys) -> None:
    raw = mini.copy(tmp_path / "raw", truncate(FRAME))
    assert mini.exit_code("train", tmp_path / "out.h5", raw) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")
    assert mini.exit_code("validation", tmp_path / "out.h5", mini.raw) == 0
