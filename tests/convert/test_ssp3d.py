"""SSP-3D: a round trip through the official layout, its traps, its damage."""

import pickle
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from pipeline.body.smpl import SMPLLayer
from pipeline.convert.common import project
from pipeline.joints import flip_permutation, index
from pipeline.records import GENDERS, Records
from pipeline.rendering.rasterizer import rasterize
from pipeline.rotations import axis_angle_to_matrix
from tests.convert.demo_miniature import Miniature, make, remove, truncate

DEMO = {"images": 3}
SETTINGS = {"converter": "ssp3d", "splits": {"test": {}}}
LIMBS = [f"{s}_{j}" for s in "lr" for j in ("knee", "ankle", "shoulder", "elbow", "wrist")]


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Miniature:
    return make(tmp_path_factory, "ssp3d", DEMO, SETTINGS)


@pytest.fixture(scope="module")
def records(mini: Miniature, tmp_path_factory: pytest.TempPathFactory) -> Records:
    return mini.convert("test", tmp_path_factory.mktemp("ssp3d") / "test.h5")


@pytest.fixture(scope="module")
def labels(mini: Miniature) -> dict[str, np.ndarray]:
    with np.load(mini.raw / "labels.npz") as file:
        return dict(file)


def posed(mini: Miniature, records: Records, row: int) -> tuple[np.ndarray, np.ndarray]:
    """Return vertices and joints of a record's label, camera frame."""
    pose = np.concatenate([records.global_orient[row][None], records.body_pose[row]])
    rotmats = axis_angle_to_matrix(torch.from_numpy(pose))[None]
    betas, transl = (torch.from_numpy(a[row][None]) for a in (records.betas, records.transl))
    layer = SMPLLayer(mini.assets.models[GENDERS[records.gender[row]]])
    return tuple(part[0].double().numpy() for part in layer(betas, rotmats, transl))


def test_gendered_labels_project_onto_keypoints_and_silhouette(
    mini: Miniature, records: Records
) -> None:
    assert records.gender.tolist() == [1, 2, 1] and records.joints_3d is None
    for row in range(len(records)):
        vertices, joints = posed(mini, records, row)
        seen = project(joints, records.K[row])
        for name in LIMBS:
            point = records.keypoints_2d[row, index("coco17", name)]
            np.testing.assert_allclose(point[:2], seen[index("smpl24", name)], atol=3)
            assert 0.7 <= point[2] <= 1
        path = mini.raw / records.name[row].replace("images", "silhouettes", 1)
        silhouette = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) > 0
        drawn = rasterize(vertices, mini.assets.faces, records.K[row], 512, 512).face_id >= 0
        assert (drawn & silhouette).sum() / (drawn | silhouette).sum() > 0.98


def test_the_camera_is_that_of_the_dataset(records: Records) -> None:
    assert records.original_size.tolist() == [[512, 512]] * 3
    expected = np.array([[5000, 0, 256], [0, 5000, 256], [0, 0, 1]])
    assert (records.K == expected).all()


def test_box_centres_are_row_and_column(records: Records, labels: dict[str, np.ndarray]) -> None:
    rows, columns = labels["bbox_centres"].T
    np.testing.assert_allclose(records.center, np.column_stack([columns, rows]), rtol=1e-6)
    np.testing.assert_allclose(records.side, 1.2 * labels["bbox_whs"], rtol=1e-6)
    assert np.abs(rows - columns).max() > 5


def test_scores_may_be_left_out(mini: Miniature, tmp_path: Path) -> None:
    change = edit_npz(lambda c: c.update(joints2D=c["joints2D"][..., :2]))
    raw = mini.copy(tmp_path / "raw", change)
    found = mini.convert("test", tmp_path / "out.h5", raw)
    assert (found.keypoints_2d[..., 2] == 1).all()


def test_the_published_number_is_asked_for(mini: Miniature, tmp_path: Path) -> None:
    mini.refuses("test", tmp_path, lambda root: None, "count: saw 3, expected 311", expected=311)


def edit_npz(change: Callable[[dict], object]) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        with np.load(root / "labels.npz") as file:
            content = dict(file)
        change(content)
        np.savez(root / "labels.npz", **content)

    return damage


def put(**values: object) -> Callable[[Path], None]:
    return edit_npz(lambda content: content.update(values))


class Evil:
    """A pickle that wants to run a command."""

    def __reduce__(self) -> tuple:
        return (print, ("owned",))


def code_inside(root: Path) -> None:
    names = np.empty(3, object)
    names[:] = [Evil(), "b", "c"]
    edit_npz(lambda content: content.update(fnames=names))(root)


def swap_sides(content: dict) -> None:
    content["joints2D"] = content["joints2D"][:, flip_permutation("coco17")]


DAMAGE = {
    "no file": (remove("labels.npz"), "labels.npz: saw no such file"),
    "truncated": (truncate("labels.npz"), "labels.npz: saw damaged content"),
    "a pickle": (lambda root: (root / "labels.npz").write_bytes(pickle.dumps({})), "damaged"),
    "code": (code_inside, "fnames: saw builtins.print"),
    "no key": (edit_npz(lambda c: c.pop("shapes")), "shapes: saw only"),
    "shape": (put(poses=np.zeros((3, 24, 3))), "poses: saw shape"),
    "other length": (edit_npz(lambda c: c.update(genders=c["genders"][:2])),
                     "genders: saw 2 entries, expected 3"),
    "NaN": (put(cam_trans=np.full((3, 3), np.nan)), "cam_trans: saw values that are not finite"),
    "gender": (put(genders=np.array(["m", "x", "m"])), "genders: saw x"),
    "(x, y)": (edit_npz(lambda c: c.update(bbox_centres=c["bbox_centres"][:, ::-1])),
               "expected centres as .row, column."),
    "no box": (put(bbox_whs=np.zeros(3)), "bbox_whs: saw 0"),
    "one column": (edit_npz(lambda c: c.update(joints2D=c["joints2D"][..., :1])), "joints2D"),
    "millimetres": (edit_npz(lambda c: c.update(cam_trans=1000 * c["cam_trans"])),
                    "smpl: saw SMPL joints"),
    "sides": (edit_npz(swap_sides), "nearer to their own side"),
    "path outside": (put(fnames=np.array(["../../secret.png", "b", "c"])), "fnames: saw"),
    "no image": (remove("images/00001.png"), "unreadable"),
    "truncated image": (truncate("images/00001.png"), "unreadable"),
    "other size": (lambda root: cv2.imwrite(
        str(root / "images/00001.png"), np.zeros((500, 512, 3), np.uint8)) and None, "unreadable"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_one_line_and_leaves_nothing(
    mini: Miniature, tmp_path: Path, case: str, capsys
) -> None:
    damage, word = DAMAGE[case]
    mini.refuses("test", tmp_path, damage, word)
    assert "owned" not in capsys.readouterr().out


def test_exit_code(mini: Miniature, tmp_path: Path, capsys) -> None:
    raw = mini.copy(tmp_path / "broken", remove("labels.npz"))
    assert mini.exit_code("test", tmp_path / "out.h5", raw) == 1
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith("error: ")
    assert not (tmp_path / "out.h5").exists()
