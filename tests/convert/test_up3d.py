"""UP-3D: a round trip through the official layout, its traps, its damage."""

import pickle
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pipeline.convert.common import project
from pipeline.joints import index, joint_names
from pipeline.records import Records
from tests.convert.demo_miniature import Miniature, edit_text, make, remove, truncate

DEMO = {"image_size": 128, "train_images": 2, "val_images": 1, "test_images": 1}
SETTINGS = {
    "converter": "up3d",
    "splits": {"trainval": {"list": "trainval.txt"}, "test": {"list": "test.txt"}},
}
LIMBS = [n for n in joint_names("smpl24") if n[2:] in ("knee", "ankle", "elbow", "wrist")]


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Miniature:
    return make(tmp_path_factory, "up3d", DEMO, SETTINGS)


@pytest.fixture(scope="module")
def trainval(mini: Miniature, tmp_path_factory: pytest.TempPathFactory) -> Records:
    return mini.convert("trainval", tmp_path_factory.mktemp("up3d") / "trainval.h5")


def edit_body(change: Callable[[dict], object]) -> Callable[[Path], None]:
    """Return the change of every body file."""

    def damage(root: Path) -> None:
        for path in sorted(root.glob("*_body.pkl")):
            content = pickle.loads(path.read_bytes())
            change(content)
            path.write_bytes(pickle.dumps(content, protocol=2))

    return damage


def edit_joints(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        for path in root.glob("*_joints.npy"):
            np.save(path, change(np.load(path)))

    return damage


def test_the_fits_camera_is_that_of_the_scaled_part(mini: Miniature, trainval: Records) -> None:
    """Bodies project onto the joints of the whole image: focal length and centre are mapped."""
    assert trainval.smpl_valid.all() and trainval.has_transl.all()
    for row in range(len(trainval)):
        joints = mini.tree_joints(trainval, row)
        for limb in LIMBS:
            seen = project(joints[index("smpl24", limb)], trainval.K[row])
            x, y, confidence = trainval.keypoints_2d[row, index("lsp14", limb)]
            if confidence:
                np.testing.assert_allclose([x, y], seen, atol=0.02)
        body = pickle.loads((mini.raw / f"{trainval.source[row]}_body.pkl").read_bytes())
        np.testing.assert_allclose(trainval.K[row, 0, 0], body["f"] / 2, rtol=1e-9)


def test_the_camera_of_the_crop_taken_for_the_images_is_refused(
    mini: Miniature, tmp_path: Path
) -> None:
    def forget(root: Path) -> None:
        for path in root.glob("*_fit_crop_info.txt"):
            height, width = path.read_text().split()[:2]
            path.write_text(f"{height} {width} 0 {height} 0 {width}\n")

    mini.refuses("trainval", tmp_path, forget, "SMPL joints")


def test_bodies_turn_about_the_pelvis_into_the_cameras_frame(
    mini: Miniature, trainval: Records, tmp_path: Path
) -> None:
    """Fits in a frame of their own, with the camera's rotation in rt, give the same records."""
    world = Rotation.from_rotvec([0.3, -0.5, 0.2])

    def turn(content: dict) -> None:
        model = mini.assets.models["neutral"]
        pelvis = model.joint_template[0] + model.joint_shapedirs[0] @ content["betas"]
        shift = np.array([0.1, 0.2, -0.3])
        moved = world.inv().apply(pelvis + content["t"] - shift)
        orient = world.inv() * Rotation.from_rotvec(content["pose"][:3])
        content["pose"][:3] = orient.as_rotvec()
        content.update(rt=world.as_rotvec(), t=shift, trans=moved - pelvis)

    raw = mini.copy(tmp_path / "raw", edit_body(turn))
    records = mini.convert("trainval", tmp_path / "out.h5", raw)
    for row in range(len(records)):
        np.testing.assert_allclose(
            mini.tree_joints(records, row), mini.tree_joints(trainval, row), atol=1e-5
        )


def test_the_box_spans_the_drawn_body(mini: Miniature, trainval: Records) -> None:
    """Whatever is not white in the rendering, enlarged by 1.2."""
    for row, number in enumerate(trainval.source):
        drawn = (cv2.imread(str(mini.raw / f"{number}_render_light.png")) < 255).any(-1)
        rows, columns = np.flatnonzero(drawn.any(1)), np.flatnonzero(drawn.any(0))
        height, width = rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0]
        assert abs(trainval.side[row] - 1.2 * max(width, height)) < 1e-4
        middle = [(columns[0] + columns[-1] + 1) / 2, (rows[0] + rows[-1] + 1) / 2]
        np.testing.assert_allclose(trainval.center[row], middle)


def test_the_third_row_is_confidence(mini: Miniature, tmp_path: Path) -> None:
    def doubt(joints: np.ndarray) -> np.ndarray:
        joints[2] = 0.5
        joints[:, 4] = [-3, -3, 0]
        return joints

    raw = mini.copy(tmp_path / "raw", edit_joints(doubt))
    records = mini.convert("trainval", tmp_path / "out.h5", raw)
    assert (records.keypoints_2d[:, 4] == 0).all()
    assert (np.delete(records.keypoints_2d[..., 2], 4, 1) == 0.5).all()


def test_lists_name_images_with_a_slash(
    mini: Miniature, trainval: Records, tmp_path: Path
) -> None:
    """Splits are the lists; empty lines at their end are no images."""
    assert trainval.name.tolist() == ["00020_image.png", "00027_image.png", "00034_image.png"]
    raw = mini.copy(tmp_path / "raw", edit_text("test.txt", "\n", "\n\n"))
    test = mini.convert("test", tmp_path / "out.h5", raw)
    assert test.source.tolist() == ["00041"]


def test_images_of_other_benchmarks_can_be_left_out(
    mini: Miniature, trainval: Records, tmp_path: Path
) -> None:
    """UP-3D holds images of LSP and MPII, which training on it would leak."""
    origin = trainval.sequence[0]
    kept = int((trainval.sequence != origin).sum())
    if kept:
        records = mini.convert("trainval", tmp_path / "out.h5", skip_origins=[str(origin)])
        assert len(records) == kept and origin not in records.sequence
        assert f"without images of {origin}" in records.attrs["rule"]
    mini.refuses("trainval", tmp_path, remove("00027_dataset_info.txt"), "origin",
                 skip_origins=["nothing"])  # fmt: skip


class Code:
    """Pickles to a call."""

    def __reduce__(self) -> tuple:
        return print, ("code was run",)


def malicious(root: Path) -> None:
    for path in root.glob("*_body.pkl"):
        path.write_bytes(pickle.dumps({"pose": Code()}))


def coded_joints(root: Path) -> None:
    np.save(root / "00020_joints.npy", np.array([Code()], object), allow_pickle=True)


def white(root: Path) -> None:
    path = root / "00020_render_light.png"
    cv2.imwrite(str(path), np.full_like(cv2.imread(str(path)), 255))


DAMAGE = {
    "no list": (remove("trainval.txt"), "trainval.txt: saw no such file"),
    "path in a list": (edit_text("trainval.txt", "/00020", "/../00020"), "line 1: saw '/../00020"),
    "unknown line": (edit_text("trainval.txt", "_image.png", "_image.jpg"), "12345_image.png"),
    "no body": (remove("00020_body.pkl"), "no such file"),
    "code in a body": (malicious, "arrays and nothing else"),
    "code in joints": (coded_joints, "00020_joints.npy: saw damaged content"),
    "truncated body": (truncate("00020_body.pkl"), "damaged content"),
    "no pose": (edit_body(lambda c: c.pop("pose")), "pose: saw only"),
    "66 angles": (edit_body(lambda c: c.update(pose=c["pose"][:66])), "pose: saw shape"),
    "NaN": (edit_body(lambda c: c["t"].__setitem__(2, np.nan)), "t: saw values"),
    "focal length": (edit_body(lambda c: c.update(f=-1.0)), "f: saw -1.0"),
    "millimetres": (edit_body(lambda c: c.update(t=1000 * c["t"])), "SMPL joints"),
    "axes of joints": (edit_joints(lambda j: j.T), r"shape \(14, 3\)"),
    "truncated joints": (truncate("00020_joints.npy"), "damaged content"),
    "no joints": (remove("00020_joints.npy"), "no such file"),
    "crop of five": (edit_text("00020_fit_crop_info.txt", "\n", " 7\n"), r"shape \(7,\)"),
    "crop of words": (lambda root: (root / "00020_fit_crop_info.txt").write_text("a b c d e f"),
                      "not finite"),
    "empty crop": (lambda root: (root / "00020_fit_crop_info.txt").write_text("9 9 5 5 0 9"),
                   "y1 < y2"),
    "no crop": (remove("00020_fit_crop_info.txt"), "height width"),
    "white rendering": (white, "a white image"),
    "truncated rendering": (truncate("00020_render_light.png"), "truncated or no image"),
    "no rendering": (remove("00020_render_light.png"), "drawn body"),
    "truncated image": (truncate("00020_image.png"), "unreadable"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_refused_in_one_line(
    mini: Miniature, tmp_path: Path, case: str, capsys: pytest.CaptureFixture
) -> None:
    mini.refuses("trainval", tmp_path, *DAMAGE[case])
    assert "code was run" not in capsys.readouterr().out


def test_the_verb_ends_with_one(mini: Miniature, tmp_path: Path, capsys) -> None:
    raw = mini.copy(tmp_path / "raw", malicious)
    assert mini.exit_code("trainval", tmp_path / "out.h5", raw) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")
    assert mini.exit_code("trainval", tmp_path / "out.h5", mini.raw) == 0


def test_counts_are_those_published(mini: Miniature, tmp_path: Path) -> None:
    mini.refuses("trainval", tmp_path, lambda root: None, "count: saw 3", expected=7126)
