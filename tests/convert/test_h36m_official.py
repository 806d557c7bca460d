"""Human3.6M as its owners ship it: a round trip, its traps, its damage."""

import pickle
import shutil
from pathlib import Path

import cdflib
import cv2
import h5py
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pipeline.convert.h36m_files import StudioCamera, from_angles, read_metadata
from pipeline.convert.h36m_official import PICKED
from pipeline.data.crops import warp_image
from pipeline.demo.h36m_official import LENS, studio_cameras, write_masks, write_poses
from pipeline.records import Records
from tests.convert.demo_miniature import (
    SHARED,
    Change,
    Miniature,
    edit_json,
    edit_text,
    make,
    remove,
    truncate,
)

DEMO = {"image_size": 96, "camera_arc_deg": 60, "subjects": [1, 9],
        "sequences": [[12, 1], [10, 1]], "frames": 6}  # fmt: skip
SETTINGS = {
    "converter": "h36m_official",
    "box": "ground_truth_bb",
    "box_factor": 0.9,
    "frame_step": 5,
    "labels": "NeuralAnnot",
    "splits": {"train": {"subjects": [1]}, "test": {"subjects": [9]}},
}
MONO, FLAT, WORLD = "D3_Positions_mono", "D2_Positions", "D3_Positions"
VIEW = "TakingPhoto 1.54138969"
FITS = "Human36M_subject1_SMPL_NeuralAnnot.json"


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Miniature:
    return make(tmp_path_factory, "h36m_official", DEMO, SETTINGS)


@pytest.fixture(scope="module")
def train(mini: Miniature, tmp_path_factory: pytest.TempPathFactory) -> Records:
    return mini.convert("train", tmp_path_factory.mktemp("h36m") / "train.h5")


@pytest.fixture(scope="module")
def test(mini: Miniature, tmp_path_factory: pytest.TempPathFactory) -> Records:
    return mini.convert("test", tmp_path_factory.mktemp("h36m") / "test.h5")


def poses(raw: Path, kind: str, view: str = VIEW, subject: int = 1) -> np.ndarray:
    """Return all 32 joints of a file, (T, 32, D)."""
    path = raw / f"S{subject}" / "MyPoseFeatures" / kind / f"{view}.cdf"
    values = cdflib.CDF(path).varget("Pose")[0].astype(float)
    return values.reshape(len(values), 32, -1)


def edit_poses(kind: str, change, view: str = VIEW, subject: int = 1) -> Change:
    """Return the change of one file's joints (T, 32, D)."""

    def damage(root: Path) -> None:
        path = root / f"S{subject}" / "MyPoseFeatures" / kind / f"{view}.cdf"
        values = change(poses(root, kind, view, subject))
        path.unlink()
        write_poses(path, values)

    return damage


def edit_masks(change, view: str = VIEW, subject: int = 1) -> Change:
    """Return the change of the masks (T, H, W) of one view."""

    def damage(root: Path) -> None:
        path = root / f"S{subject}" / "MySegmentsMat" / "ground_truth_bb" / f"{view}.mat"
        with h5py.File(path) as file:
            masks = np.stack([file[reference][()].T for reference in file["Masks"][:, 0]])
        write_masks(path, change(masks))

    return damage


def in_world(records: Records, rows: np.ndarray) -> np.ndarray:
    """Return the joints (n, 17, 3) of S9's records in the world."""
    cameras = studio_cameras(9, DEMO | SHARED)
    numbers = [int(name[-2:]) - 1 for name in records.sequence[rows]]
    points = records.joints_3d[rows, :, :3] + records.root_3d[rows, None]
    return np.stack([
        (points[k] - cameras[n].t) @ cameras[n].R for k, n in enumerate(numbers)
    ])  # fmt: skip


def test_joints_are_the_bodys(mini: Miniature, train: Records) -> None:
    """Unit, frame and order: the mesh of the fit has the file's joints, in 3D and in pixels."""
    assert len(train) == 2 * 4 * 2 and train.smpl_valid.all()
    cameras = studio_cameras(1, DEMO | SHARED)
    for row in range(0, len(train), 3):
        regressed = mini.mesh_joints(train, row, "h36m17")
        joints = train.joints_3d[row, :, :3] + train.root_3d[row]
        np.testing.assert_allclose(regressed, joints, atol=1e-3)
        camera = cameras[int(train.sequence[row][-2:]) - 1]
        lens = StudioCamera(camera.R, camera.centre, camera.K, np.array(LENS))
        pixels = train.keypoints_2d[row, :, :2]
        np.testing.assert_allclose(lens.project(joints), pixels, atol=1e-2)
        assert train.camera[row] in ("54138969", "55011271", "58860488", "60457274")
    assert train.attrs["root"] == "pelvis" and not train.joints_3d[:, 0, :3].any()


def test_the_right_leg_comes_first(train: Records) -> None:
    """The 17 of the 32 in the official order; SPIN and others pick the left leg first."""
    right_first = [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]
    assert PICKED.tolist() == right_first
    assert train.joint_set == train.keypoint_set == "h36m17"


def test_frames_of_the_video_are_not_one_late(mini: Miniature, test: Records) -> None:
    """Record k shows the video's frame k, not the one after it."""
    for row in np.flatnonzero(test.frame == 5)[::3]:
        video = cv2.VideoCapture(str(mini.raw / test.name[row].rsplit(":", 1)[0]))
        frames = [video.read()[1][..., ::-1] for _ in range(6)]
        size = tuple(test.image_size[row])
        stored = test.image(row).astype(float)
        apart = [
            np.abs(warp_image(frame, test.affine[row], size) - stored).mean() for frame in frames
        ]
        assert np.argmin(apart) == 5


def test_names_come_from_the_metadata(train: Records, test: Records) -> None:
    """S1 calls TakingPhoto what the others call Photo: both are action 12."""

    def actions(records: Records) -> dict[str, str]:
        named = zip(records.source, records.sequence, strict=True)
        return {name: sequence[5:-6] for name, sequence in named}

    sitting = {"SittingDown 1": "act_10_subact_01"}
    assert actions(train) == {"TakingPhoto 1": "act_12_subact_01"} | sitting
    assert actions(test) == {"Photo 1": "act_12_subact_01"} | sitting


def test_whole_recordings_are_skipped(mini: Miniature) -> None:
    """The `_ALL` files repeat the others."""
    studio = read_metadata(mini.raw / "metadata.xml")
    assert studio.names[1, 1, 1] == "_ALL 1"  # and has no file, which nothing complains about
    assert not list(mini.raw.rglob("_ALL*"))


def test_rotations_of_the_metadata() -> None:
    angles = [1.2, -0.3, 2.5]
    expected = Rotation.from_euler("XYZ", angles).as_matrix()
    np.testing.assert_allclose(from_angles(angles), expected, atol=1e-12)


def test_centres_of_the_metadata(mini: Miniature) -> None:
    """The numbers after the angles are where the camera stands, not the t of R X + t."""
    studio = read_metadata(mini.raw / "metadata.xml")
    for subject in (1, 9):
        for k, camera in enumerate(studio_cameras(subject, DEMO | SHARED)):
            read = studio.cameras[subject, studio.camera_ids[k]]
            np.testing.assert_allclose(read.centre, camera.centre, atol=1e-6)
            np.testing.assert_allclose(read.t, camera.t, atol=1e-6)
            np.testing.assert_allclose(read.R, camera.R, atol=1e-8)


def test_images_of_two_heights(train: Records) -> None:
    """Two of the cameras have two more rows."""
    tall = np.isin(train.camera, ["54138969", "60457274"])
    np.testing.assert_array_equal(train.original_size[:, 1], np.where(tall, 98, 96))
    np.testing.assert_array_equal(train.original_size[:, 0], 96)


def test_boxes_of_silhouettes(mini: Miniature, train: Records, tmp_path: Path) -> None:
    """0.9 of the longer side of the silhouette, whose masks have swapped axes."""
    row = int(np.flatnonzero(train.source == "TakingPhoto 1")[0])
    path = mini.raw / "S1/MySegmentsMat/ground_truth_bb" / f"{VIEW}.mat"
    with h5py.File(path) as file:
        columns, rows = np.nonzero(file[file["Masks"][0, 0]][()])
    low, high = np.array([[columns.min(), rows.min()], [columns.max() + 1, rows.max() + 1]])
    np.testing.assert_allclose(train.center[row], (low + high) / 2)
    assert train.side[row] == np.float32(0.9 * (high - low).max())
    outline = mini.convert("train", tmp_path / "bs.h5", box="ground_truth_bs")
    np.testing.assert_allclose(outline.center, train.center, atol=1)
    assert (outline.side < 0.95 * train.side).all()  # boxes are loose
    joints = mini.convert("train", tmp_path / "k.h5", box="keypoints", box_factor=1.2)
    low, high = (f(joints.keypoints_2d[..., :2], 1) for f in (np.min, np.max))
    np.testing.assert_allclose(joints.side, 1.2 * (high - low).max(1), rtol=1e-5)


def test_frames_without_a_silhouette(mini: Miniature, train: Records, tmp_path: Path) -> None:
    """Empty masks, and frames after the last mask, are left out and counted."""

    def empty_first(masks: np.ndarray) -> np.ndarray:
        return np.concatenate([0 * masks[:1], masks[1:5]])

    raw = mini.copy(tmp_path / "raw", edit_masks(empty_first))
    settings = mini.settings | {"splits": {"train": {"subjects": [1]}}}
    line = mini.line("train", tmp_path / "out.h5", raw, settings)
    assert f"{len(train) - 2} samples" in line and "2 frames without a silhouette" in line


def test_s9_is_shifted_unless_corrected(mini: Miniature, test: Records, tmp_path: Path) -> None:
    """Three sequences of S9 lie 200 mm off in x; papers keep the error, the flag removes it."""
    corrected = mini.convert("test", tmp_path / "out.h5", correct_s9=True)
    moved = test.source == "SittingDown 1"
    assert 0 < moved.sum() < len(test)
    for key in ("root_3d", "keypoints_2d", "center", "side", "transl"):
        np.testing.assert_array_equal(getattr(test, key)[~moved], getattr(corrected, key)[~moved])
    before, after = (in_world(records, moved) for records in (test, corrected))
    np.testing.assert_allclose(after - before, np.broadcast_to([-0.2, 0, 0], before.shape),
                               atol=1e-4)  # fmt: skip
    for row in np.flatnonzero(moved):
        joints = mini.mesh_joints(corrected, row, "h36m17")
        expected = corrected.joints_3d[row, :, :3] + corrected.root_3d[row]
        np.testing.assert_allclose(joints, expected, atol=1e-3)
        # The box goes where the pelvis goes.
        pelvis = [records.keypoints_2d[row, 0, 0] for records in (test, corrected)]
        centers = [records.center[row, 0] for records in (test, corrected)]
        assert abs(np.diff(pelvis)[0] - np.diff(centers)[0]) < 0.5
        assert abs(np.diff(pelvis)[0]) > 2


def test_mosh_turns_by_half(mini: Miniature, train: Records, tmp_path: Path) -> None:
    """MoSh's root is half a turn off, on the right; its rows are every fifth frame."""
    raw = mini.copy(tmp_path / "raw")
    (raw / "S1/images/TakingPhoto 1_cam2_aligned.pkl").unlink()
    settings = mini.settings | {"labels": "MoSh"}
    line = mini.line("train", tmp_path / "out.h5", raw, settings)
    assert "1 sequences' MoSh labels" in line
    mosh = Records(tmp_path / "out.h5")
    absent = (mosh.camera == "58860488") & (mosh.source == "TakingPhoto 1")
    np.testing.assert_array_equal(mosh.smpl_valid == 0, absent)
    assert not mosh.has_transl.any()
    for key in ("global_orient", "body_pose", "betas"):
        np.testing.assert_allclose(
            getattr(mosh, key)[~absent], getattr(train, key)[~absent], atol=2e-6
        )


def test_broken_sequences_can_be_named(mini: Miniature, train: Records, tmp_path: Path) -> None:
    broken = "s_01_act_12_subact_01_ca_02"
    records = mini.convert("train", tmp_path / "out.h5", skip_sequences=[broken])
    assert set(train.sequence) - set(records.sequence) == {broken}


def test_frames_without_a_fit_are_normal(mini: Miniature, tmp_path: Path) -> None:
    raw = mini.copy(tmp_path / "raw", edit_json(FITS, lambda c: c["12"]["1"].pop("5") and None))
    records = mini.convert("train", tmp_path / "out.h5", raw)
    absent = (records.source == "TakingPhoto 1") & (records.frame == 5)
    np.testing.assert_array_equal(records.smpl_valid == 0, absent)


def test_processes_change_nothing(mini: Miniature, test: Records, tmp_path: Path) -> None:
    again = mini.convert("test", tmp_path / "again.h5", workers=2)
    assert again.path.read_bytes() == test.path.read_bytes()


def test_a_video_that_ends_early(mini: Miniature, train: Records, tmp_path: Path) -> None:
    """Its last frames are counted as unreadable."""

    def shorten(root: Path) -> None:
        path = root / "S1/Videos" / f"{VIEW}.mp4"
        video = cv2.VideoCapture(str(path))
        frames = [video.read()[1] for _ in range(3)]
        path.unlink()
        size = frames[0].shape[1::-1]
        code = cv2.VideoWriter_fourcc(*"mp4v")
        writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, 50, size)
        for frame in frames:
            writer.write(frame)
        writer.release()

    raw = mini.copy(tmp_path / "raw", shorten)
    records = mini.convert("train", tmp_path / "out.h5", raw, max_bad_share=0.1)
    assert len(records) == len(train) - 1
    mini.refuses("train", tmp_path / "strict", shorten, f"{VIEW}.mp4")


def swap_legs(joints: np.ndarray) -> np.ndarray:
    joints = joints.copy()
    joints[:, [1, 2, 3, 6, 7, 8]] = joints[:, [6, 7, 8, 1, 2, 3]]
    return joints


def swap_files(change) -> Change:
    """Return the same change of every file of S1's 3D and 2D joints."""

    def damage(root: Path) -> None:
        for kind in (MONO, FLAT, WORLD):
            for path in sorted((root / "S1/MyPoseFeatures" / kind).glob("*.cdf")):
                edit_poses(kind, change, path.stem)(root)

    return damage


def drop_variable(root: Path) -> None:
    path = root / "S1/MyPoseFeatures" / MONO / f"{VIEW}.cdf"
    values = poses(root, MONO)
    path.unlink()
    with cdflib.cdfwrite.CDF(path, cdf_spec={"Majority": "Row_major"}) as file:
        file.write_var({"Variable": "Other", "Data_Type": 44, "Num_Elements": 1, "Rec_Vary": True,
                        "Dim_Sizes": [2]}, var_data=values[:, 0, :2])  # fmt: skip


def universal(joints: np.ndarray) -> np.ndarray:
    """Return the joints of a skeleton of another size at the same place."""
    return joints[:, :1] + 0.8 * (joints - joints[:, :1])


def nan_at_one(joints: np.ndarray) -> np.ndarray:
    joints[2, 7, 1] = np.nan
    return joints


class Command:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple:
        import os

        return os.system, ("touch pwned",)


def hostile_mosh(root: Path) -> None:
    path = sorted(root.rglob("*_aligned.pkl"))[0]
    path.write_bytes(pickle.dumps({"new_poses": Command(), "betas": np.zeros(10)}))


def short_mosh(root: Path) -> None:
    path = sorted(root.rglob("*_aligned.pkl"))[0]
    path.write_bytes(pickle.dumps({"new_poses": np.zeros((2, 66)), "betas": np.zeros(10)}))


def backwards_mosh(root: Path) -> None:
    """Turn every root by half, as a reader that does not know of the turn would."""
    for path in root.rglob("*_aligned.pkl"):
        content = pickle.loads(path.read_bytes())
        roots = content["new_poses"][:, :3]
        turned = Rotation.from_rotvec(roots) * Rotation.from_euler("x", np.pi)
        roots[:] = turned.as_rotvec()
        path.write_bytes(pickle.dumps(content, protocol=2))


DAMAGE = {
    "no metadata": (remove("metadata.xml"), "metadata.xml: saw no such file"),
    "truncated metadata": (truncate("metadata.xml"), "no XML"),
    "no cameras": (edit_text("metadata.xml", "w0>[", "w9>["), "no XML"),
    "a number too few": (edit_text("metadata.xml", "w0>[", "w0>[a"), "w0"),
    "one number lost": (edit_text("metadata.xml", " -0.0014 ", " "), "w0: saw 299"),
    "path in a name": (edit_text("metadata.xml", "TakingPhoto 1", "../TakingPhoto 1"), "mapping"),
    "names of nobody": (edit_text("metadata.xml", "<td>S1</td>", "<td>1</td>"), "mapping"),
    "no poses": (remove(f"{MONO}/{VIEW}.cdf"), "no such file"),
    "truncated poses": (truncate(f"{MONO}/{VIEW}.cdf", 0.7), f"{VIEW}.cdf"),
    "no CDF": (lambda r: (r / f"S1/MyPoseFeatures/{MONO}/{VIEW}.cdf").write_bytes(b"x" * 99),
               "damaged"),
    "no variable": (drop_variable, "Pose: saw only Other"),
    "wrong shape": (edit_poses(MONO, lambda j: j[:, :17]), "Pose: saw shape"),
    "swapped axes": (edit_poses(MONO, lambda j: j.transpose(2, 1, 0).reshape(3, 32, -1)),
                     "Pose"),
    "NaN": (edit_poses(MONO, nan_at_one), "not finite"),
    "metres": (edit_poses(MONO, lambda j: j / 1000), "250 to 900, coordinates in millimetres"),
    "world frame": (lambda r: shutil.copy(
        r / f"S1/MyPoseFeatures/{WORLD}/TakingPhoto 1.cdf",
        r / f"S1/MyPoseFeatures/{MONO}/{VIEW}.cdf"), "px from the 2D joints"),
    "universal skeleton": (edit_poses(MONO, universal), "not the universal skeleton"),
    "other world": (edit_poses(WORLD, lambda j: j + 100, "TakingPhoto 1"), "D3_Positions"),
    "count": (edit_poses(FLAT, lambda j: j[:5]), "5 frames, expected 6"),
    "sides": (swap_files(swap_legs), "left and right"),
    "masks as they look": (edit_masks(lambda m: m.transpose(0, 2, 1)), "swapped axes"),
    "truncated masks": (truncate(f"ground_truth_bb/{VIEW}.mat"), "damaged"),
    "other masks": (lambda r: h5py.File(
        r / f"S1/MySegmentsMat/ground_truth_bb/{VIEW}.mat", "w").close(), "Masks"),
    "masks of another size": (edit_masks(lambda m: np.pad(m, ((0, 0), (0, 2), (0, 0)))),
                              "pixels, expected"),
    "no video": (remove(f"Videos/{VIEW}.mp4"), "no such file"),
    "truncated video": (truncate(f"Videos/{VIEW}.mp4", 0.3), "damaged"),
    "no fits": (remove(FITS), FITS),
    "fits by another key": (edit_json(FITS, lambda c: [c]), "no fits by frame"),
    "fits of the camera's frame": (edit_json(FITS, lambda c: {
        a: {s: {f: v | {"trans": [0, 0, 5]} for f, v in frames.items()}
            for s, frames in subs.items()} for a, subs in c.items()}), "SMPL joints"),
}  # fmt: skip
MOSH_DAMAGE = {
    "runs code": (hostile_mosh, "system"),
    "wrong shape": (short_mosh, "new_poses"),
    "truncated": (truncate("*_aligned.pkl"), "damaged"),
    "not half a turn off": (backwards_mosh, "smpl"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_one_line_and_leaves_nothing(mini: Miniature, tmp_path: Path, case: str) -> None:
    mini.refuses("train", tmp_path, *DAMAGE[case])


@pytest.mark.parametrize("case", MOSH_DAMAGE)
def test_damaged_mosh(mini: Miniature, tmp_path: Path, case: str) -> None:
    mini.refuses("train", tmp_path, *MOSH_DAMAGE[case], labels="MoSh")
    assert not Path("pwned").exists()


def test_the_verb_ends_with_one(mini: Miniature, tmp_path: Path, capsys) -> None:
    raw = mini.copy(tmp_path / "raw", remove("metadata.xml"))
    assert mini.exit_code("train", tmp_path / "out.h5", raw) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")
    assert mini.exit_code("train", tmp_path / "out.h5", mini.raw) == 0
    assert "16 samples" in capsys.readouterr().out


def test_unknown_subjects_are_named(mini: Miniature, tmp_path: Path) -> None:
    mini.refuses("train", tmp_path, lambda root: None, "subjects", subjects=[12])
