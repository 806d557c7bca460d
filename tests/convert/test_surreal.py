"""SURREAL: a round trip through mirrored labels, the traps of its files, their damage."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io
import torch

from pipeline.body.smpl import SMPLLayer
from pipeline.convert.common import project
from pipeline.convert.run import convert
from pipeline.convert.surreal import TO_CAMERA, K, reflected
from pipeline.data.crops import warp_image
from pipeline.errors import InputError
from pipeline.joints import index
from pipeline.records import Records
from pipeline.rotations import axis_angle_to_matrix
from pipeline.seeding import rng
from tests.convert.demo_miniature import Miniature, edit_mat, make, remove, truncate

DEMO = {"train_clips": 3, "val_clips": 1, "test_clips": 0, "frames": 4}
SETTINGS = {
    "converter": "surreal",
    "box": "segmentation",
    "frame_step": 2,
    "skip_sequences": ["18_*", "19_*", "143_21"],
    "splits": {
        "train": {"folder": "train", "runs": [0, 1]},
        "val": {"folder": "val", "runs": [0]},
    },
}
INFO, SEGMENTS = "01_01_c0001_info.mat", "01_01_c0001_segm.mat"
FIRST = Path("cmu/train/run0/01_01")


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Miniature:
    return make(tmp_path_factory, "surreal", DEMO, SETTINGS)


@pytest.fixture(scope="module")
def train(mini: Miniature, tmp_path_factory: pytest.TempPathFactory) -> Records:
    return mini.convert("train", tmp_path_factory.mktemp("surreal") / "train.h5")


def test_labels_are_those_of_the_picture(mini: Miniature, train: Records) -> None:
    """The gendered body has the file's joints, in 3D and in pixels, sides and all."""
    assert train.smpl_valid.all() and train.has_transl.all()
    for row in range(len(train)):
        model = mini.assets.models[("neutral", "male", "female")[train.gender[row]]]
        pose = np.concatenate([train.global_orient[row][None], train.body_pose[row]])
        rotmats = axis_angle_to_matrix(torch.from_numpy(pose))[None]
        betas, transl = (torch.from_numpy(a[row][None]) for a in (train.betas, train.transl))
        joints = SMPLLayer(model).joints(betas, rotmats, transl)[0].numpy().astype(float)
        expected = train.joints_3d[row, :, :3] + train.root_3d[row]
        np.testing.assert_allclose(joints, expected, atol=2e-4)
        inside = train.keypoints_2d[row, :, 2] > 0
        pixels = project(joints, train.K[row])[inside]
        np.testing.assert_allclose(pixels, train.keypoints_2d[row, inside, :2], atol=0.05)


def test_pictures_are_mirrored_against_the_names(mini: Miniature, train: Records) -> None:
    """What the files call the left arm is the right arm of the person in the picture."""
    segments = scipy.io.loadmat(mini.raw / FIRST / SEGMENTS)["segm_1"]
    stored = scipy.io.loadmat(mini.raw / FIRST / INFO)["joints2D"][:, :, 0].T
    for side, other in ("lr", "rl"):
        own, theirs = (index("smpl24", f"{s}_knee") for s in (side, other))
        np.testing.assert_allclose(train.keypoints_2d[0, own, :2], stored[theirs], atol=1e-3)
        x, y = train.keypoints_2d[0, own, :2].astype(int)
        limb = [1 + index("smpl24", f"{other}_{joint}") for joint in ("hip", "knee")]
        assert segments[y, x] in limb


def test_both_reflections_are_a_rotation() -> None:
    assert np.linalg.det(TO_CAMERA) == pytest.approx(-1)
    draw = rng(0, "poses")
    pose = reflected(draw.normal(size=(3, 24, 3)), draw.uniform(-3, 3, 3))
    assert np.isfinite(pose).all() and np.linalg.norm(pose[:, 0], axis=1).max() <= np.pi + 1e-9


def test_zrot_and_the_fixed_turn(mini: Miniature) -> None:
    """A body upright in the motion capture's axes stands upright in the picture."""
    upright = np.zeros((1, 24, 3))
    upright[0, 0] = [np.pi / 2, 0, 0]  # y up to z up
    for zrot in (0.0, 1.0, -2.0):
        root = reflected(upright, np.array([zrot]))[0, 0]
        matrix = axis_angle_to_matrix(torch.from_numpy(root)).numpy()
        np.testing.assert_allclose(matrix @ [0, 1, 0], [0, -1, 0], atol=1e-9)


def test_female_is_zero(train: Records) -> None:
    """Gender 0 is female, 1 male; records number them 2 and 1."""
    assert train.sequence.tolist() == ["01_01_c0001"] * 2 + ["02_03_c0001"]
    assert train.gender.tolist() == [2, 2, 1]


def test_clips_of_one_frame(mini: Miniature, train: Records) -> None:
    """Their arrays have lost the axis of time."""
    path = mini.raw / "cmu/train/run1/02_03/02_03_c0001_info.mat"
    assert scipy.io.loadmat(path)["joints3D"].shape == (3, 24)
    assert train.frame.tolist() == [0, 2, 0]


def test_monstrous_shapes_are_left_out(mini: Miniature, train: Records, tmp_path: Path) -> None:
    every = mini.convert("train", tmp_path / "all.h5", skip_sequences=[])
    assert set(every.sequence) - set(train.sequence) == {"18_02_c0001"}
    assert "1 clips of monstrous shapes" in mini.line("train", tmp_path / "out.h5", mini.raw)


def test_frames_are_the_videos(mini: Miniature, train: Records) -> None:
    row = 1
    video = cv2.VideoCapture(str(mini.raw / train.name[row].rsplit(":", 1)[0]))
    stored, size = train.image(row).astype(float), tuple(train.image_size[row])
    apart = [
        np.abs(warp_image(video.read()[1][..., ::-1], train.affine[row], size) - stored).mean()
        for _ in range(4)
    ]
    assert np.argmin(apart) == train.frame[row] == 2
    assert train.original_size[row].tolist() == [320, 240]
    np.testing.assert_array_equal(train.K[row], K)


def test_boxes_of_segments_or_joints(mini: Miniature, train: Records, tmp_path: Path) -> None:
    y, x = np.nonzero(scipy.io.loadmat(mini.raw / FIRST / SEGMENTS)["segm_1"])
    extent = max(np.ptp(x), np.ptp(y)) + 1
    assert train.side[0] == pytest.approx(1.2 * extent)
    joints = mini.convert("train", tmp_path / "out.h5", box="keypoints")
    seen = joints.keypoints_2d[0, :, :2]
    assert joints.side[0] == pytest.approx(1.2 * np.ptp(seen, axis=0).max(), rel=1e-5)


def test_frames_without_the_person(mini: Miniature, tmp_path: Path) -> None:
    """People walk out of SURREAL's pictures; joints outside have no confidence."""
    empty = edit_mat(SEGMENTS, lambda c: c | {"segm_3": np.zeros((240, 320), np.uint8)})
    raw = mini.copy(tmp_path / "raw", empty)
    line = mini.line("train", tmp_path / "out.h5", raw)
    assert "2 samples" in line and "1 frames without the person in view" in line

    def aside(content: dict) -> None:
        content["joints2D"][0] += 150  # pixels at 6 m, of a camera of 600 px
        content["joints3D"][2] -= 150 / 600 * (content["camLoc"][0] - content["joints3D"][0])

    raw = mini.copy(tmp_path / "moved", edit_mat(INFO, aside))
    records = mini.convert("train", tmp_path / "moved.h5", raw)
    inside = records.keypoints_2d[0, :, 2] > 0
    assert inside.any() and not inside.all()
    assert not records.keypoints_2d[0, ~inside].any()


def test_processes_change_nothing(mini: Miniature, train: Records, tmp_path: Path) -> None:
    again = mini.convert("train", tmp_path / "again.h5", workers=2)
    assert again.path.read_bytes() == train.path.read_bytes()


def change(key: str, function) -> object:
    return edit_mat(INFO, lambda content: content | {key: function(content[key])})


def swap_sides(content: dict) -> dict:
    """Name the joints as they are seen."""
    order = [index("smpl24", n) for n in (
        "pelvis r_hip l_hip spine1 r_knee l_knee spine2 r_ankle l_ankle spine3 r_foot l_foot neck "
        "r_collar l_collar head r_shoulder l_shoulder r_elbow l_elbow r_wrist l_wrist r_hand "
        "l_hand"
    ).split()]  # fmt: skip
    return content | {key: content[key][:, order] for key in ("joints2D", "joints3D")}


def nan(value: np.ndarray) -> np.ndarray:
    value = value.copy()
    value.flat[3] = np.nan
    return value


DAMAGE = {
    "no clips": (lambda r: [path.unlink() for path in (r / "cmu/train/run1").rglob("*.mat")],
                 "no _info.mat"),
    "truncated": (truncate(INFO), "damaged"),
    "no key": (edit_mat(INFO, lambda c: c.pop("zrot") is None or c), "zrot"),
    "wrong shape": (change("shape", lambda v: v[:9]), "shape: saw shape"),
    "swapped axes": (change("joints3D", lambda v: v.transpose(2, 1, 0)), "joints3D: saw shape"),
    "fewer frames": (change("joints2D", lambda v: v[..., :3]), "joints2D: saw shape"),
    "NaN": (change("pose", nan), "not finite"),
    "millimetres": (edit_mat(INFO, lambda c: c | {
        k: 1000 * c[k] for k in ("joints3D", "camLoc")}), "joints3D"),
    "gender": (change("gender", lambda v: v + 2), "gender"),
    "two genders": (change("gender", lambda v: np.arange(4)[:, None] % 2), "gender"),
    "other camera": (change("camLoc", lambda v: v + [[0], [1], [0]]), "px from the 2D joints"),
    "behind": (change("camLoc", lambda v: v - [[20], [0], [0]]), "behind the camera"),
    "sides": (edit_mat(INFO, swap_sides), "a body whose joints"),
    "turn": (change("zrot", lambda v: v + 1.5), "a body whose joints"),
    "no segments": (remove(SEGMENTS), "no such file"),
    "segments lost": (edit_mat(SEGMENTS, lambda c: c.pop("segm_3") is None or c), "segm_3"),
    "segments turned": (edit_mat(SEGMENTS, lambda c: {k: v.T for k, v in c.items()}),
                        "240 rows, 320 columns"),
    "no video": (remove("01_01_c0001.mp4"), "unreadable"),
    "truncated video": (truncate("01_01_c0001.mp4"), "unreadable"),
    "code": (lambda r: (r / FIRST / INFO).write_bytes(b"import os"), "damaged"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_one_line_and_leaves_nothing(mini: Miniature, tmp_path: Path, case: str) -> None:
    mini.refuses("train", tmp_path, *DAMAGE[case])


def test_the_verb_ends_with_one(mini: Miniature, tmp_path: Path, capsys) -> None:
    raw = mini.copy(tmp_path / "raw", truncate(INFO))
    assert mini.exit_code("train", tmp_path / "out.h5", raw) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")
    assert mini.exit_code("val", tmp_path / "out.h5", mini.raw) == 0


def test_a_missing_gender_is_named(mini: Miniature, tmp_path: Path) -> None:
    """Betas belong to the gendered body: the neutral one does not stand in."""
    models = {"neutral": mini.assets.models["neutral"]}
    with pytest.raises(InputError, match="female"):
        convert("surreal", "train", mini.raw, models, mini.settings, tmp_path / "out.h5")
