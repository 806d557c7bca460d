"""MPI-INF-3DHP: a round trip through the official layout, its traps, its damage."""

import shutil
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
import scipy.io

from pipeline.convert import mpi_inf_3dhp
from pipeline.convert.common import project
from pipeline.convert.mpi_files import read_calibration
from pipeline.data.crops import warp_image
from pipeline.images import decode_jpeg
from pipeline.joints import JOINT_SETS, index, mapping
from pipeline.records import Records
from tests.convert.demo_miniature import (
    Miniature,
    edit_json,
    edit_mat,
    edit_text,
    make,
    remove,
    truncate,
)

DEMO = {"image_size": 128, "camera_arc_deg": 40, "subjects": [1, 2], "sequences": [1],
        "cameras": [0, 8], "train_frames": 9, "test_sequences": [1, 5],
        "test_frames": 4}  # fmt: skip
SETTINGS = {
    "converter": "mpi_inf_3dhp",
    "labels": "NeuralAnnot",
    "splits": {
        "train": {"part": "train", "subjects": [1, 2], "sequences": [1], "cameras": [0, 8],
                  "every": 4, "images": "video"},
        "test": {"part": "test", "sequences": [1, 5], "inside": False},
    },
}  # fmt: skip
SEQUENCE = Path("S1/Seq1")
TS1, TS5 = (Path("mpi_inf_3dhp_test_set") / name for name in ("TS1", "TS5"))


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Miniature:
    return make(tmp_path_factory, "mpi_inf_3dhp", DEMO, SETTINGS)


@pytest.fixture(scope="module")
def train(mini: Miniature, tmp_path_factory: pytest.TempPathFactory) -> Records:
    return mini.convert("train", tmp_path_factory.mktemp("mpi") / "train.h5")


@pytest.fixture(scope="module")
def test(mini: Miniature, tmp_path_factory: pytest.TempPathFactory) -> Records:
    return mini.convert("test", tmp_path_factory.mktemp("mpi") / "test.h5")


def annotation(raw: Path, subject: int, camera: int) -> tuple[np.ndarray, np.ndarray]:
    """Return annot2 (T, 28, 2) and annot3 (T, 28, 3) as they stand in the file."""
    content = scipy.io.loadmat(raw / f"S{subject}" / "Seq1" / "annot.mat")
    cells = (content[key][camera, 0] for key in ("annot2", "annot3"))
    pixels, points = (cell.reshape(len(cell), 28, -1) for cell in cells)
    return pixels, points


def edit_hdf5(name: Path, change) -> object:
    def damage(root: Path) -> None:
        with h5py.File(root / name / "annot_data.mat", "r+") as file:
            change(file)

    return damage


def test_smpl_labels_project_onto_keypoints(mini: Miniature, train: Records) -> None:
    """World-frame fits, moved by the extrinsics, give the annotated 2D and 3D joints."""
    assert train.smpl_valid.all() and train.has_transl.all()
    for row in range(len(train)):
        joints = mini.mesh_joints(train, row, "mpi17")
        seen = project(joints, train.K[row])
        np.testing.assert_allclose(train.keypoints_2d[row, :, :2], seen, atol=0.02)
        np.testing.assert_allclose(
            train.joints_3d[row, :, :3] + train.root_3d[row], joints, atol=1e-4
        )


def test_annot3_is_in_the_cameras_own_frame_in_millimetres(
    mini: Miniature, train: Records
) -> None:
    for row in range(len(train)):
        subject, camera = int(train.person[row]), int(train.camera[row])
        pixels, points = annotation(mini.raw, subject, camera)
        points = points[train.frame[row], [7, 5, 14, 15, 16, 9, 10, 11, 23, 24, 25, 18, 19, 20,
                                           4, 3, 6]] / 1000  # fmt: skip
        np.testing.assert_allclose(train.joints_3d[row, :, :3], points - points[14], atol=1e-6)
        np.testing.assert_allclose(train.root_3d[row], points[14], atol=1e-6)
        np.testing.assert_allclose(
            project(points, train.K[row]), pixels[train.frame[row]][mpi_inf_3dhp.PICKED], atol=0.01
        )


def test_extrinsics_applied_to_annot3_are_refused(mini: Miniature, tmp_path: Path) -> None:
    cameras = read_calibration(mini.raw / SEQUENCE / "camera.calibration")

    def move(content: dict) -> None:
        for number, cell in enumerate(content["annot3"][:, 0]):
            camera = cameras[number]
            moved = cell.reshape(-1, 28, 3) @ camera.R.T + 1000 * camera.t
            content["annot3"][number, 0] = moved.reshape(cell.shape)

    mini.refuses("train", tmp_path, edit_mat("annot.mat", move), "3D joints that K projects")


def test_seventeen_of_twenty_eight_joints() -> None:
    picked = [7, 5, 14, 15, 16, 9, 10, 11, 23, 24, 25, 18, 19, 20, 4, 3, 6]
    assert mpi_inf_3dhp.PICKED.tolist() == picked == mapping("mpi28", "mpi17").tolist()
    assert mpi_inf_3dhp.PELVIS == 14 and JOINT_SETS["mpi28"][4] == "pelvis"


def extract(root: Path, layout: str) -> None:
    """Replace the videos by their frames, losslessly, named as a tool names them."""
    pattern, first = mpi_inf_3dhp.IMAGES[layout]
    for video in root.rglob("*.avi"):
        capture = cv2.VideoCapture(str(video))
        camera, folder = video.stem.removeprefix("video_"), video.parents[1]
        for number in range(first, first + 9):
            path = folder / pattern.format(camera=camera, number=number)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(cv2.imencode(".png", capture.read()[1])[1].tobytes())
        video.unlink()


@pytest.mark.parametrize("layout", ["spin", "mmhuman3d", "posepile"])
def test_image_t_is_frame_t_of_the_video(
    mini: Miniature, train: Records, tmp_path: Path, layout: str
) -> None:
    """Extracted frames, numbered as each tool does, give the records of the videos."""
    raw = mini.copy(tmp_path / "raw", lambda root: extract(root, layout))
    records = mini.convert("train", tmp_path / "out.h5", raw, images=layout)
    assert [records.jpeg(i) for i in range(len(records))] == [
        train.jpeg(i) for i in range(len(train))
    ]
    assert records.frame.tolist() == train.frame.tolist()
    pattern, first = mpi_inf_3dhp.IMAGES[layout]
    assert records.name[1].endswith(pattern.format(camera=0, number=train.frame[1] + first))


def test_a_missing_image_shifts_no_annotation(
    mini: Miniature, train: Records, tmp_path: Path
) -> None:
    """Images go by their numbers, not by their places in a listing."""
    raw = mini.copy(tmp_path / "raw", lambda root: extract(root, "spin"))
    for number in (2, 5):  # the second of these is the record of frame 4
        (raw / SEQUENCE / f"imageFrames/video_0/frame_{number:06d}.jpg").unlink()
    splits = {"train": mini.settings["splits"]["train"] | {"images": "spin"}}
    settings = mini.settings | {"splits": splits, "max_bad_share": 0.5}
    line = mini.line("train", tmp_path / "out.h5", raw, settings)
    assert "1 unreadable images" in line
    records = Records(tmp_path / "out.h5")
    kept = [row for row in range(len(train)) if row != 1]
    assert [records.jpeg(i) for i in range(len(records))] == [train.jpeg(row) for row in kept]
    np.testing.assert_array_equal(records.keypoints_2d, train.keypoints_2d[kept])


def test_the_person_is_where_the_keypoints_are(train: Records) -> None:
    """Frames of a video differ: the wrong frame would show another background around the box."""
    assert len({train.jpeg(i) for i in range(len(train))}) == len(train)
    assert (train.image_size == 96).all() and (train.original_size == 128).all()


def test_every_nth_is_counted_after_the_filter_across_cameras_and_subjects(
    mini: Miniature, tmp_path: Path
) -> None:
    """SPIN's rule: one counter of the frames whose 17 joints are all inside the image."""
    shift = np.tile([2500.0, 0, 0], 28)

    def walk_out(root: Path) -> None:
        cameras = read_calibration(root / SEQUENCE / "camera.calibration")

        def change(content: dict) -> None:
            for number, frames in ((0, slice(2, 5)), (8, slice(0, 1))):
                points = content["annot3"][number, 0]
                points[frames] += shift
                seen = project(points.reshape(-1, 28, 3), cameras[number].K)
                content["annot2"][number, 0] = seen.reshape(len(points), 56)

        edit_mat("S1/Seq1/annot.mat", change)(root)

    raw = mini.copy(tmp_path / "raw", walk_out)
    records = mini.convert("train", tmp_path / "out.h5", raw)
    expected, counter = [], 0
    for subject in (1, 2):
        for camera in (0, 8):
            pixels = annotation(raw, subject, camera)[0][:, mpi_inf_3dhp.PICKED]
            for frame, joints in enumerate(pixels):
                if not ((joints >= 0) & (joints < 128)).all():
                    continue
                counter += 1
                if counter % 4 == 1:
                    expected.append((subject, str(camera), frame))
    assert counter == 2 * 2 * 9 - 4
    found = list(zip(records.person.tolist(), records.camera.tolist(), records.frame.tolist(),
                     strict=True))  # fmt: skip
    assert found == expected


def test_only_the_seventeen_joints_decide_about_the_image(
    mini: Miniature, train: Records, tmp_path: Path
) -> None:
    """Toes and hands may lie outside."""
    toe = index("mpi28", "l_toe")

    def change(content: dict) -> None:
        content["annot2"][0, 0][:, 2 * toe] = -50

    raw = mini.copy(tmp_path / "raw", edit_mat("annot.mat", change))
    assert len(mini.convert("train", tmp_path / "out.h5", raw)) == len(train)


def test_a_video_known_to_end_early_is_left_out_and_counted(
    mini: Miniature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert mpi_inf_3dhp.VIDEO_ENDS == {("S6", "Seq2", 2): 3911}
    monkeypatch.setattr(mpi_inf_3dhp, "VIDEO_ENDS", {("S1", "Seq1", 8): 5})
    line = mini.line("train", tmp_path / "out.h5", mini.raw)
    assert "4 video known to end early" in line
    records = Records(tmp_path / "out.h5")
    assert records.frame[(records.person == 1) & (records.camera == "8")].tolist() == [3]


def test_any_other_short_video_is_counted_and_fatal_above_the_share(
    mini: Miniature, tmp_path: Path
) -> None:
    raw = mini.copy(tmp_path / "raw", truncate("video_8.avi", 0.6))
    settings = mini.settings | {"max_bad_share": 0.5}
    line = mini.line("train", tmp_path / "out.h5", raw, settings)
    assert "unreadable images" in line
    mini.refuses("train", tmp_path / "again", truncate("video_8.avi", 0.6), "unreadable")


def test_processes_change_nothing(mini: Miniature, train: Records, tmp_path: Path) -> None:
    again = mini.convert("train", tmp_path / "again.h5", workers=2)
    assert again.path.read_bytes() == train.path.read_bytes()


def test_missing_fits_are_normal(mini: Miniature, tmp_path: Path) -> None:
    raw = mini.copy(
        tmp_path / "raw", edit_json("*NeuralAnnot.json", lambda c: {"1": {"1": {
            "0": c["1"]["1"]["0"]}}})
    )  # fmt: skip
    records = mini.convert("train", tmp_path / "out.h5", raw)
    assert records.smpl_valid.sum() == 1 and records.smpl_valid[0]


def test_test_records_hold_the_universal_skeleton_about_the_pelvis(
    mini: Miniature, test: Records
) -> None:
    with h5py.File(mini.raw / TS5 / "annot_data.mat") as file:
        universal, pixels = file["univ_annot3"][:, 0] / 1000, file["annot2"][:, 0]
    rows = np.flatnonzero(test.sequence == "TS5")
    frames = test.frame[rows]
    assert frames.tolist() == [0, 1, 2]  # the fourth frame is not valid
    centred = universal[frames] - universal[frames][:, 14:15]
    np.testing.assert_allclose(test.joints_3d[rows, :, :3], centred, atol=1e-6)
    np.testing.assert_allclose(test.keypoints_2d[rows, :, :2], pixels[frames], atol=1e-4)
    assert test.K is None and test.root_3d is None and test.smpl_valid is None
    assert (test.attrs["root"], test.joint_set) == ("pelvis", "mpi17")


def test_test_images_count_from_one(mini: Miniature, test: Records) -> None:
    assert str(test.name[1]).endswith("TS1/imageSequence/img_000002.jpg") and test.frame[1] == 1
    apart = []
    for number in (1, 2, 3, 4):
        path = mini.raw / TS1 / "imageSequence" / f"img_{number:06d}.jpg"
        image = decode_jpeg(path.read_bytes(), path)
        crop = warp_image(image, test.affine[1], tuple(test.image_size[1]))
        apart.append(np.abs(crop.astype(float) - test.image(1)).mean())
    assert np.argmin(apart) == 1 and apart[1] < 3


def test_sequences_five_and_six_are_not_square(mini: Miniature, test: Records) -> None:
    assert {tuple(s) for s in test.original_size[test.sequence == "TS5"]} == {(128, 72)}


def test_inside_means_inside_the_real_image(mini: Miniature, tmp_path: Path) -> None:
    """A joint below a 16:9 image is outside, though a square one would hold it."""

    def lower(file: h5py.File) -> None:
        pixels = file["annot2"][:]
        pixels[0, 0, 10, 1] = 100
        file["annot2"][:] = pixels

    raw = mini.copy(tmp_path / "raw", edit_hdf5(TS5, lower))
    for inside, frames in ((True, [1, 2]), (False, [0, 1, 2])):
        out = tmp_path / f"{inside}.h5"
        records = mini.convert("test", out, raw, inside=inside)
        assert records.frame[records.sequence == "TS5"].tolist() == frames


def test_frames_that_are_not_valid_may_hold_anything(
    mini: Miniature, test: Records, tmp_path: Path
) -> None:
    def spoil(file: h5py.File) -> None:
        for key in ("annot2", "annot3", "univ_annot3"):
            file[key][3] = np.nan

    raw = mini.copy(tmp_path / "raw", edit_hdf5(TS1, spoil))
    assert len(mini.convert("test", tmp_path / "out.h5", raw)) == len(test)


def test_the_archive_unpacks_to_a_doubled_folder(
    mini: Miniature, test: Records, tmp_path: Path
) -> None:
    folder = tmp_path / "raw" / "mpi_inf_3dhp_test_set"
    shutil.copytree(mini.raw / "mpi_inf_3dhp_test_set", folder / "mpi_inf_3dhp_test_set")
    records = mini.convert("test", tmp_path / "out.h5", tmp_path / "raw")
    assert records.name.tolist() == test.name.tolist()


def cell(key: str, change) -> object:
    """Return the change of camera 0's array in S1."""

    def edit(content: dict) -> None:
        content[key][0, 0] = change(content[key][0, 0])

    return edit_mat("S1/Seq1/annot.mat", edit)


def spoiled(value: np.ndarray) -> np.ndarray:
    value[0, 0] = np.nan
    return value


def swap_sides(content: dict) -> None:
    """Exchange the labels left and right in 2D and in 3D."""
    names = JOINT_SETS["mpi28"]
    other = [names.index({"l_": "r_", "r_": "l_"}.get(n[:2], n[:2]) + n[2:]) for n in names]
    for key, columns in (("annot2", 2), ("annot3", 3)):
        for number, value in enumerate(content[key][:, 0]):
            shaped = value.reshape(len(value), 28, columns)[:, other]
            content[key][number, 0] = shaped.reshape(value.shape)


def as_hdf5(root: Path) -> None:
    path = root / SEQUENCE / "annot.mat"
    shutil.copy(root / TS1 / "annot_data.mat", path)


def replace(key: str, change) -> object:
    def edit(file: h5py.File) -> None:
        value = change(file[key][:])
        del file[key]
        if value is not None:
            file[key] = value

    return edit_hdf5(TS1, edit)


def legs(value: np.ndarray) -> np.ndarray:
    value[:, :, 8:14] = value[:, :, [11, 12, 13, 8, 9, 10]]
    value[:, :, 2:8] = value[:, :, [5, 6, 7, 2, 3, 4]]
    return value


def late(content: dict) -> dict:
    return {s: {q: {f: fit | {"trans": [0, 0, 9]} for f, fit in frames.items()}
                for q, frames in own.items()} for s, own in content.items()}  # fmt: skip


CALIBRATION = "S1/Seq1/camera.calibration"
DAMAGE = {
    "no annot.mat": ("train", remove("annot.mat"), "annot.mat: saw no such file"),
    "truncated": ("train", truncate("annot.mat"), "annot.mat: saw damaged content"),
    "HDF5": ("train", as_hdf5, "version 7.3"),
    "no annot3": ("train", edit_mat("annot.mat", lambda c: {"annot2": c["annot2"]}), "annot3"),
    "no cells": ("train", edit_mat("annot.mat", lambda c: c | {"annot2": c["annot2"][0, 0]}),
                 "no cells"),
    "few cells": ("train", edit_mat("annot.mat", lambda c: c | {"annot3": c["annot3"][:8]}),
                  "8 cells"),
    "swapped axes": ("train", cell("annot2", np.transpose), r"annot2\{1\}: saw shape \(56"),
    "planes": ("train", cell("annot3", lambda a: a.reshape(-1, 28, 3).transpose(0, 2, 1).reshape(
        -1, 84)), "apart|K projects|behind"),
    "NaN": ("train", cell("annot3", spoiled), "not finite"),
    "metres": ("train", cell("annot3", lambda a: a / 1000), "millimetres"),
    "frames": ("train", cell("annot3", lambda a: a[:-1]), "8 frames for camera 0"),
    "sides": ("train", edit_mat("annot.mat", swap_sides), "left and right are swapped|SMPL"),
    "no calibration": ("train", remove("camera.calibration"), "camera.calibration"),
    "half calibration": ("train", truncate("camera.calibration", 0.3), "camera|intrinsic"),
    "rotation": ("train", edit_text(CALIBRATION, "extrinsic   ", "extrinsic   7"), "no rotation"),
    "focal": ("train", edit_text(CALIBRATION, "intrinsic   ", "intrinsic   -"), "intrinsic"),
    "size": ("train", edit_text(CALIBRATION, "size        128 128", "size        2048 2048"),
             "unreadable"),
    "no camera": ("train", edit_text(CALIBRATION, "name          8", "name          88"),
                  "camera 8"),
    "no video": ("train", remove("video_0.avi"), "unreadable"),
    "no fits": ("train", remove("*NeuralAnnot.json"), "NeuralAnnot"),
    "list of fits": ("train", edit_json("*NeuralAnnot.json", lambda c: [c]), "a list"),
    "fits elsewhere": ("train", edit_json("*NeuralAnnot.json", late), "SMPL joints"),
    "test: truncated": ("test", truncate("annot_data.mat"), "annot_data.mat: saw a damaged"),
    "test: v5": ("test", lambda r: shutil.copy(r / SEQUENCE / "annot.mat",
                                               r / TS1 / "annot_data.mat"), "damaged"),
    "test: no key": ("test", replace("univ_annot3", lambda a: None), "univ_annot3"),
    "test: squeezed": ("test", replace("annot2", lambda a: a[:, 0]), r"annot2: saw shape \(4, 17"),
    "test: MATLAB's axes": ("test", replace("univ_annot3", np.transpose), r"shape \(3, 17, 1, 4"),
    "test: NaN": ("test", replace("annot3", lambda a: a * np.nan), "not finite"),
    "test: metres": ("test", replace("univ_annot3", lambda a: a / 1000), "millimetres"),
    "test: x and y": ("test", replace("annot2", lambda a: a[..., ::-1]), "K projects|focal"),
    "test: mirrored": ("test", replace("annot2", lambda a: a * [-1, 1] + [128, 0]), "focal"),
    "test: sides": ("test", lambda r: [replace(k, legs)(r) for k in
                                       ("annot2", "annot3", "univ_annot3")], "swapped"),
    "test: none valid": ("test", replace("valid_frame", lambda a: 0 * a), "no valid frame"),
    "test: activity": ("test", replace("activity_annotation", lambda a: 0 * a), "activity"),
    "test: no image": ("test", remove("img_000001.jpg"), "unreadable"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_one_line_and_leaves_nothing(mini: Miniature, tmp_path: Path, case: str) -> None:
    split, change, word = DAMAGE[case]
    # Sides are told by the majority: one damaged sequence of two would not be.
    sequences = {"sequences": [1]} if split == "test" else {"subjects": [1]}
    mini.refuses(split, tmp_path, change, word, **sequences)


def test_counts_are_compared(mini: Miniature, tmp_path: Path) -> None:
    mini.refuses("test", tmp_path, lambda root: None, "--allow-partial", expected=2929)


def test_the_verb_exits_with_one(
    mini: Miniature, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    raw, out = mini.copy(tmp_path / "raw", truncate("annot.mat")), tmp_path / "out" / "train.h5"
    assert mini.exit_code("train", out, raw) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")
    assert not out.parent.exists() or list(out.parent.iterdir()) == []
