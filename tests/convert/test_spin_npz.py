"""SPIN's annotation files and the fits that belong to them by the order of rows."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.convert.pseudo import spin_rows
from pipeline.errors import InputError
from pipeline.joints import convert, index
from pipeline.records import Records
from tests.convert.demo_miniature import Miniature, make, remove, truncate

DEMO = {"image_size": 128, "coco_images": 5, "h36m_images": 4}
COCO, H36M = "dataset_extras/coco_2014_train.npz", "dataset_extras/h36m_train.npz"
STATIC, FINAL = "static_fits/coco_fits.npy", "final_fits/coco.npz"
SETTINGS = {
    "converter": "spin_npz",
    "images": "images",
    "box_factor": 1.0,
    "splits": {
        "coco": {"file": COCO},
        "static": {"file": COCO, "fits": STATIC},
        "final": {"file": COCO, "fits": FINAL},
        "h36m": {"file": H36M},
    },
}


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Miniature:
    return make(tmp_path_factory, "spin", DEMO, SETTINGS)


@pytest.fixture(scope="module")
def splits(mini: Miniature, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Records]:
    folder = tmp_path_factory.mktemp("spin")
    return {name: mini.convert(name, folder / f"{name}.h5") for name in SETTINGS["splits"]}


def arrays(mini: Miniature, name: str) -> dict[str, np.ndarray]:
    with np.load(mini.raw / name) as file:
        return dict(file)


def edit(name: str, change: Callable[[dict], object]) -> Callable[[Path], None]:
    """Return the change of an archive's arrays, in place or by what is returned."""

    def damage(root: Path) -> None:
        with np.load(root / name) as file:
            content = dict(file)
        np.savez(root / name, **(change(content) or content))

    return damage


def replace(name: str, key: str, change: Callable[[np.ndarray], np.ndarray]):
    return edit(name, lambda content: content.update({key: change(content[key])}))


def without(name: str, *keys: str) -> Callable[[Path], None]:
    return edit(name, lambda content: {k: v for k, v in content.items() if k not in keys})


def test_pixels_are_taken_as_they_are(mini: Miniature, splits: dict[str, Records]) -> None:
    """No +1, no rounding: those are of SPIN's crops, not of its files. Scale is of 200 px."""
    content, records = arrays(mini, COCO), splits["coco"]
    assert records.keypoint_set == "spin49"
    np.testing.assert_allclose(records.keypoints_2d[:, 25:], content["part"], rtol=1e-6)
    np.testing.assert_allclose(records.keypoints_2d[:, :25], content["openpose"], rtol=1e-6)
    np.testing.assert_allclose(records.center, content["center"], rtol=1e-6)
    np.testing.assert_allclose(records.side, 200 * content["scale"], rtol=1e-6)
    assert records.name.tolist() == content["imgname"].tolist()
    moved = records.keypoints_2d[..., :2] @ records.affine[0, :, :2].T + records.affine[0, :, 2]
    assert np.abs(moved % 1).max() > 0.1


def test_annotated_joints_come_before_detected_ones(splits: dict[str, Records]) -> None:
    """Of the 49 joints, those named alike are the annotated half."""
    records = splits["coco"]
    np.testing.assert_array_equal(
        convert(records.keypoints_2d, "spin49", "spin24"), records.keypoints_2d[:, 25:]
    )


def test_absent_keys_mean_no_such_label(mini: Miniature, tmp_path: Path) -> None:
    raw = mini.copy(tmp_path / "raw", without(COCO, "part", "openpose"))
    records = mini.convert("coco", tmp_path / "out.h5", raw)
    assert records.smpl_valid is None
    for labels in (records.keypoints_2d, records.joints_3d):
        assert labels is None or (labels == 0).all()
    raw = mini.copy(tmp_path / "raw2", without(COCO, "openpose"))
    records = mini.convert("coco", tmp_path / "out2.h5", raw)
    assert (records.keypoints_2d[:, :25] == 0).all() and records.keypoints_2d[:, 25:].any()


def test_has_smpl_marks_the_rows_with_a_body(mini: Miniature, splits: dict[str, Records]) -> None:
    content, records = arrays(mini, H36M), splits["h36m"]
    assert records.smpl_valid.tolist() == content["has_smpl"].astype(int).tolist() == [1, 0, 1, 1]
    valid = content["has_smpl"]
    np.testing.assert_allclose(records.betas[valid], content["shape"][valid], atol=1e-6)
    np.testing.assert_allclose(
        records.body_pose[valid].reshape(-1, 69), content["pose"][valid, 3:], atol=1e-6
    )
    assert not records.has_transl.any() and records.K is None


def test_without_has_smpl_all_bodies_count(mini: Miniature, tmp_path: Path) -> None:
    raw = mini.copy(tmp_path / "raw", without(H36M, "has_smpl"))
    assert mini.convert("h36m", tmp_path / "out.h5", raw).smpl_valid.all()


def test_joints_are_metres_about_the_pelvis(mini: Miniature, splits: dict[str, Records]) -> None:
    content, records = arrays(mini, H36M), splits["h36m"]
    assert (records.joint_set, records.attrs["root"]) == ("spin24", "pelvis")
    np.testing.assert_allclose(records.joints_3d, content["S"], atol=1e-6)
    assert np.abs(records.joints_3d[:, index("spin24", "pelvis"), :3]).max() < 1e-6


def test_the_camera_of_human36m_is_read_off_the_name(mini: Miniature, tmp_path: Path) -> None:
    """Protocols of one camera need it."""
    assert mini.convert("coco", tmp_path / "coco.h5").camera.tolist() == [""] * 5

    def rename(root: Path) -> None:
        with np.load(root / H36M) as file:
            content = dict(file)
        new = [f"h36m/S9_Directions_1.60457274_{k:06d}.jpg" for k in range(4)]
        for old, name in zip(content["imgname"], new, strict=True):
            (root / "images" / old).rename(root / "images" / name)
        np.savez(root / H36M, **content | {"imgname": new})

    raw = mini.copy(tmp_path / "raw", rename)
    assert mini.convert("h36m", tmp_path / "out.h5", raw).camera.tolist() == ["60457274"] * 4


def test_joints_without_confidence_are_zero(mini: Miniature, tmp_path: Path) -> None:
    def doubt(joints: np.ndarray) -> np.ndarray:
        joints[:, 13] = [9e5, 9e5, 9e5, 0]
        return joints

    raw = mini.copy(tmp_path / "raw", replace(H36M, "S", doubt))
    assert (mini.convert("h36m", tmp_path / "out.h5", raw).joints_3d[:, 13] == 0).all()


@pytest.mark.parametrize("letters", [["m", "f", "m", "f"], [b"m", b"f", b"m", b"f"]])
def test_gender_is_a_letter(mini: Miniature, tmp_path: Path, letters: list) -> None:
    """SPIN's loader turns 'm' and 'f' into 0 and 1, -1 is neutral; the records count otherwise."""
    raw = mini.copy(tmp_path / "raw", edit(H36M, lambda c: c.update(gender=np.array(letters))))
    records = mini.convert("h36m", tmp_path / "out.h5", raw)
    assert records.gender.tolist() == [1, 0, 1, 2]


def test_static_and_final_fits_are_joined_by_row(
    mini: Miniature, splits: dict[str, Records]
) -> None:
    static = np.load(mini.raw / STATIC)
    final = arrays(mini, FINAL)
    assert splits["static"].smpl_valid.all()
    np.testing.assert_allclose(splits["static"].betas, static[:, 72:], atol=1e-6)
    valid = final["valid_fit"]
    assert splits["final"].smpl_valid.tolist() == valid.astype(int).tolist() == [1, 0, 1, 1, 1]
    np.testing.assert_allclose(
        splits["final"].global_orient[valid], final["pose"][valid, :3], atol=1e-6
    )


def test_betas_beyond_three_are_reset(mini: Miniature, splits: dict[str, Records]) -> None:
    """The whole shape of the row, as in SPIN's training; the pose stays."""
    final = arrays(mini, FINAL)
    assert (np.abs(final["betas"][-1]) > 3).any()
    assert (splits["final"].betas[-1] == 0).all()
    np.testing.assert_allclose(splits["final"].betas[0], final["betas"][0], atol=1e-6)
    np.testing.assert_allclose(
        splits["final"].body_pose[-1].ravel(), final["pose"][-1, 3:], atol=1e-6
    )


def test_the_files_own_bodies_come_before_fits(mini: Miniature, tmp_path: Path) -> None:
    def fit(root: Path) -> None:
        content = arrays(mini, H36M)
        rows = np.hstack([content["pose"], np.full((len(content["pose"]), 10), 0.5)])
        np.save(root / "static_fits/h36m.npy", rows)

    raw = mini.copy(tmp_path / "raw", fit)
    records = mini.convert("h36m", tmp_path / "out.h5", raw, fits="static_fits/h36m.npy")
    assert records.smpl_valid.all()
    assert [(row == 0.5).all() for row in records.betas] == [False, True, False, False]


def test_fits_of_several_views_have_other_keys(mini: Miniature, tmp_path: Path) -> None:
    content = arrays(mini, FINAL)
    path = tmp_path / "mpi-inf-3dhp_mview_fits.npz"
    np.savez(path, pose=content["pose"], shape=content["betas"], has_smpl=content["valid_fit"])
    pose, betas, valid = spin_rows(path, 5)
    np.testing.assert_array_equal(pose, content["pose"])
    assert valid.tolist() == [True, False, True, True, True] and (betas[-1] == 0).all()


def test_another_number_of_rows_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "fits.npy", np.zeros((4, 82)))
    with pytest.raises(InputError, match=r"shape \(4, 82\), expected shape \(5, 82\)"):
        spin_rows(tmp_path / "fits.npy", 5)


@pytest.mark.parametrize("split", ["static", "final"])
def test_fits_in_another_order_are_refused(mini: Miniature, tmp_path: Path, split: str) -> None:
    """Fits of a file that somebody made anew, in another order, fit nobody."""

    def reorder(root: Path) -> None:
        rows = np.load(root / STATIC)
        np.save(root / STATIC, np.roll(rows, 1, 0))
        edit(FINAL, lambda c: {k: np.roll(v, 1, 0) for k, v in c.items()})(root)

    mini.refuses(split, tmp_path, reorder, "smpl: saw (SMPL joints|bodies)")


class Code:
    """Pickles to a call."""

    def __reduce__(self) -> tuple:
        return print, ("code was run",)


def names(*changed: str):
    return replace(COCO, "imgname", lambda v: np.array([*changed, *v[len(changed) :]]))


def coded_fits(root: Path) -> None:
    np.save(root / STATIC, np.array([Code()], object), allow_pickle=True)


DAMAGE = {
    "no file": ("coco", remove("coco_2014_train.npz"), "no such file"),
    "truncated": ("coco", truncate("coco_2014_train.npz"), "damaged content"),
    "no scale": ("coco", without(COCO, "scale"), "scale: saw only imgname, center"),
    "row lost": ("coco", replace(COCO, "center", lambda v: v[1:]), r"center: saw shape \(4, 2\)"),
    "16 joints": ("coco", replace(COCO, "part", lambda v: v[:, :16]), "part: saw shape"),
    "axes": ("coco", replace(COCO, "part", lambda v: v.transpose(0, 2, 1)), "part: saw shape"),
    "NaN": ("coco", replace(COCO, "scale", lambda v: v * np.nan), "scale: saw values"),
    "no side": ("coco", replace(COCO, "scale", lambda v: -v), "scale: saw -"),
    "path": ("coco", names("../../../etc/hostname"), "imgname: saw '../../../etc"),
    "absolute path": ("coco", names("/etc/hostname"), "inside the distribution"),
    "empty name": ("coco", names(""), "imgname"),
    "code": ("coco", edit(COCO, lambda c: c.update(imgname=np.array([Code()] * 5, object))),
             "arrays and nothing else|damaged content"),
    "no image": ("coco", remove("coco/000002.jpg"), "unreadable"),
    "millimetres": ("h36m", replace(H36M, "S", lambda v: v * [1000, 1000, 1000, 1]),
                    "S: saw a joint .* expected metres"),
    "pose alone": ("h36m", without(H36M, "shape"), "pose alone"),
    "legs swapped": ("h36m", replace(H36M, "S", lambda v: v[:, [5, 4, 3, 2, 1, 0, *range(6, 24)]]),
                     "left and right are swapped"),
    "sides of the image": ("h36m", replace(H36M, "part", lambda v: v[:, [
        5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 6, *range(12, 24)]]), "other side"),
    "y up": ("h36m", replace(H36M, "pose", lambda v: v * ([0] * 3 + [1] * 69)), "SMPL joints"),
    "gender code": ("h36m", edit(H36M, lambda c: c.update(gender=np.array([0, 1, 0, -1]))),
                    "genders: saw"),
    "genders lost": ("h36m", edit(H36M, lambda c: c.update(gender=np.array(["m"]))), "1 rows"),
    "fits lost": ("static", remove("coco_fits.npy"), "no such file"),
    "fits truncated": ("static", truncate("coco_fits.npy"), "damaged content"),
    "code in fits": ("static", coded_fits, "damaged content"),
    "fits without shape": ("final", without(FINAL, "betas"), "shape: saw only"),
    "flags lost": ("final", replace(FINAL, "valid_fit", lambda v: v[:3]), "valid_fit"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_refused_in_one_line(
    mini: Miniature, tmp_path: Path, case: str, capsys: pytest.CaptureFixture
) -> None:
    split, change, word = DAMAGE[case]
    mini.refuses(split, tmp_path, change, word)
    assert "code was run" not in capsys.readouterr().out


def test_the_verb_ends_with_one(mini: Miniature, tmp_path: Path, capsys) -> None:
    raw = mini.copy(tmp_path / "raw", truncate("coco_fits.npy"))
    assert mini.exit_code("static", tmp_path / "out.h5", raw) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")
    assert mini.exit_code("static", tmp_path / "out.h5", mini.raw) == 0
