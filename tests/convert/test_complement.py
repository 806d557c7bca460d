"""Complement: a round trip through the official layout, its traps, its damage."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.convert.common import project
from pipeline.convert.complement import read_obj
from pipeline.convert.hand_checks import check_right
from pipeline.demo.complement import FOLDERS, write_obj
from pipeline.errors import InputError
from pipeline.joints import JOINT_SETS
from pipeline.records import Records
from tests.convert.demo_miniature import Miniature, make, remove, truncate

DEMO = {"poses": 1, "views": 2, "turn_deg": 180}
SETTINGS = {
    "converter": "complement",
    "units_per_metre": 1.0,
    "finger_tips": "freihand",
    "splits": {"train": {"folders": list(FOLDERS)}},
}
POSE = Path("base_pose/0000")
MESH = "base_pose/0000/model_mano/1.obj"


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Miniature:
    return make(tmp_path_factory, "complement", DEMO, SETTINGS)


@pytest.fixture(scope="module")
def records(mini: Miniature, tmp_path_factory: pytest.TempPathFactory) -> Records:
    return mini.convert("train", tmp_path_factory.mktemp("complement") / "train.h5")


def picture(path: Path) -> np.ndarray:
    return cv2.imread(str(path))[..., ::-1]


def test_left_hands_become_right_ones_with_their_picture(
    mini: Miniature, records: Records
) -> None:
    """Mesh, joints and crop are mirrored alike: the mesh lies over the mirrored mask."""
    for row in range(len(records)):
        pose, view = mini.raw / records.sequence[row], records.frame[row]
        mesh = read_obj(pose / f"model_mano/{view}.obj") * [-1, 1, 1]
        vertices = records.hand_vertices[row] + records.root_3d[row]
        np.testing.assert_allclose(vertices, mesh, atol=1e-6)
        mask = picture(pose / f"mask256/{view}.png")[:, ::-1, 0] > 127
        x, y = np.floor(project(vertices, records.K[row])).astype(int).T
        inside = (x >= 0) & (x < 256) & (y >= 0) & (y < 256)
        assert mask[y[inside], x[inside]].mean() > 0.85
    right = mini.assets.hand_models["right"]
    check_right(records.hand_vertices, right, "x")
    with pytest.raises(InputError, match="right hands in 0 %"):
        check_right(records.hand_vertices * [-1, 1, 1], right, "x")


def test_the_stored_crop_is_the_mirrored_picture(mini: Miniature, tmp_path: Path) -> None:
    crop = {"size": 400, "margin": 1.8, "jpeg_quality": 100}
    found = mini.convert("train", tmp_path / "native.h5", crop=crop)
    shown = found.image(0)
    x, y = (-found.affine[0][:, 2]).astype(int)
    whole = picture(mini.raw / found.name[0])[:, ::-1]
    height, width = shown.shape[:2]
    inner = slice(max(0, -y), min(height, 256 - y)), slice(max(0, -x), min(width, 256 - x))
    expected = whole[max(y, 0) : y + height, max(x, 0) : x + width]
    assert np.abs(shown[inner].astype(int) - expected).mean() < 4
    assert np.abs(shown[inner].astype(int) - expected[:, ::-1]).mean() > 8


def test_joints_are_regressed_in_freihands_order(mini: Miniature, records: Records) -> None:
    hand = mini.assets.hand_models["right"]
    joints = hand.joints(records.hand_vertices.astype(float))
    np.testing.assert_allclose(records.joints_3d[..., :3], joints - joints[:, :1], atol=1e-6)
    assert records.joint_set == "freihand21" and records.mano_valid is None
    for row in range(len(records)):
        points = records.joints_3d[row, :, :3] + records.root_3d[row]
        seen = project(points, records.K[row])
        np.testing.assert_allclose(records.keypoints_2d[row, :, :2], seen, atol=0.01)


def test_finger_tips_are_a_choice(mini: Miniature, records: Records, tmp_path: Path) -> None:
    other = mini.convert("train", tmp_path / "tips.h5", finger_tips="handmesh")
    apart = np.abs(other.joints_3d - records.joints_3d).max((0, 2))
    names = [JOINT_SETS["freihand21"][k] for k in np.flatnonzero(apart > 1e-6)]
    assert names == ["index4", "middle4"]


def test_the_second_field_of_a_name_is_the_number(mini: Miniature, records: Records) -> None:
    assert records.name[1] == "base_pose/0000/pic256/look0/hand.0002.png"
    assert records.source[1] == "base_pose/0000/model_mano/2.obj"
    assert records.frame.tolist() == [1, 2] * 4


def test_all_four_sets_are_read(records: Records) -> None:
    assert [name.split("/")[0] for name in records.sequence[::2]] == list(FOLDERS)


def test_poses_can_be_left_out(mini: Miniature, tmp_path: Path) -> None:
    """Upstream reports one whose global pose does not follow the picture."""
    found = mini.convert("train", tmp_path / "some.h5", skip_sequences=["base_pose/0000"])
    assert len(found) == 6 and "base_pose/0000" not in found.sequence


def test_centimetres_are_a_setting_and_refused_as_metres(
    mini: Miniature, records: Records, tmp_path: Path
) -> None:
    def to_centimetres(root: Path) -> None:
        for path in root.rglob("*.obj"):
            write_obj(path, 100 * read_obj(path), np.zeros((0, 3), int))

    mini.refuses("train", tmp_path, to_centimetres, "wrist and middle knuckle .* mm apart")
    raw = tmp_path / "raw"
    found = mini.convert("train", tmp_path / "cm.h5", raw, units_per_metre=100.0)
    np.testing.assert_allclose(found.hand_vertices, records.hand_vertices, atol=1e-5)


def edit_obj(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        for path in root.rglob("*.obj"):
            write_obj(path, change(read_obj(path)), np.zeros((0, 3), int))

    return damage


def mirror_pictures(root: Path) -> None:
    for path in (*root.rglob("pic256/**/*.png"), *root.rglob("mask256/*.png")):
        cv2.imwrite(str(path), cv2.imread(str(path))[:, ::-1])


def text(content: str) -> Callable[[Path], None]:
    return lambda root: (root / MESH).write_text(content) and None


DAMAGE = {
    "no mesh": (remove(MESH), "1.obj: saw no such file"),
    "truncated mesh": (truncate(MESH, 0.2), "1.obj: v: saw"),
    "no numbers": (text("v 1 two 3\n"), "1.obj: v: saw damaged content"),
    "two coordinates": (text("v 1 2\n"), "1.obj: v: saw damaged content"),
    "NaN": (text("v nan 0 1\n" * 778), "finite False"),
    "another mesh": (text("v 0 0 1\n" * 6890), "saw 6890 vertices"),
    "no mask": (remove("base_pose/0000/mask256/1.png"), "mask256/1.png: saw no such file"),
    "truncated mask": (truncate("base_pose/0000/mask256/1.png"), "1.png: image: saw"),
    "already mirrored meshes": (edit_obj(lambda v: v * [-1, 1, 1]), "boxes of mesh and mask"),
    "already mirrored pictures": (mirror_pictures, "boxes of mesh and mask"),
    "swapped axes": (edit_obj(lambda v: v[:, [1, 0, 2]]), "saw"),
    "y up, z backwards": (edit_obj(lambda v: v * [1, -1, -1]), "behind the camera"),
    "no number": (lambda root: (root / POSE / "pic256/look0/hand.0001.png").rename(
        root / POSE / "pic256/look0/hand.png"), "<name>.<number>.png"),
    "no set": (lambda root: (root / "base_pose").rename(root / "base"), "no picture"),
    "truncated picture": (truncate("base_pose/0000/pic256/look0/*.png"), "unreadable"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_one_line_and_leaves_nothing(mini: Miniature, tmp_path: Path, case: str) -> None:
    damage, word = DAMAGE[case]
    mini.refuses("train", tmp_path, damage, word)


def test_counts_tips_and_exit_code(mini: Miniature, tmp_path: Path, capsys) -> None:
    mini.refuses("train", tmp_path / "a", lambda root: None, "count: saw 8", expected=9)
    mini.refuses("train", tmp_path / "b", lambda root: None, "finger_tips", finger_tips="mine")
    raw = mini.copy(tmp_path / "broken", remove(MESH))
    assert mini.exit_code("train", tmp_path / "out.h5", raw) == 1
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith("error: ")
    assert not (tmp_path / "out.h5").exists()
