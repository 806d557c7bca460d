"""MuPoTS-3D: a round trip through both layouts, their traps, their damage."""

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from pipeline.convert.common import project
from pipeline.convert.geometry import fit_intrinsics
from pipeline.data.crops import warp_image
from pipeline.errors import InputError
from pipeline.images import decode_jpeg
from pipeline.joints import JOINT_SETS
from pipeline.records import Records
from tests.convert.demo_miniature import (
    Miniature,
    edit_json,
    edit_mat,
    make,
    remove,
    truncate,
)

DEMO = {"image_size": 160, "sequences": [1, 6], "frames": 3}
SETTINGS = {
    "converter": "mupots",
    "splits": {
        "test": {"sequences": [1, 6], "annotations": "mat"},
        "json": {"sequences": [1, 6], "annotations": "json"},
    },
}
TS1 = Path("MultiPersonTestSet/TS1")


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Miniature:
    return make(tmp_path_factory, "mupots", DEMO, SETTINGS)


@pytest.fixture(scope="module", params=["test", "json"])
def records(
    mini: Miniature, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Records:
    out = tmp_path_factory.mktemp("mupots") / "records.h5"
    return mini.convert(request.param, out)


def person(raw: Path, records: Records, row: int, key: str) -> np.ndarray:
    """Return an array of the struct that a record came from, joints first."""
    folder = raw / "MultiPersonTestSet" / str(records.sequence[row])
    cells = scipy.io.loadmat(folder / "annot.mat")["annotations"]
    return cells[records.frame[row], records.person[row]][key].item().T


def cameras(raw: Path) -> dict[str, np.ndarray]:
    """Return the true K of each sequence."""
    found = {}
    for image in json.loads((raw / "MuPoTS-3D.json").read_text())["images"]:
        fx, fy, cx, cy = image["intrinsic"]
        found[Path(image["file_name"]).parent.name] = np.array([[fx, 0, cx], [0, fy, cy],
                                                                [0, 0, 1]])  # fmt: skip
    return found


def test_every_valid_person_of_every_frame(records: Records) -> None:
    """TS1 has three people, TS6 two; the last one of each is not valid in frame 2."""
    found = list(zip(records.sequence.tolist(), records.frame.tolist(), strict=True))
    expected = [("TS1", f) for f in (0, 1, 2) for _ in range(3 if f < 2 else 2)]
    expected += [("TS6", f) for f in (0, 1, 2) for _ in range(2 if f < 2 else 1)]
    assert found == expected
    assert records.person.tolist()[:3] == [0, 1, 2]


def test_keypoints_are_the_projected_joints(mini: Miniature, records: Records) -> None:
    for row in range(len(records)):
        metric = person(mini.raw, records, row, "annot3") / 1000
        seen = project(metric, records.K[row])
        np.testing.assert_allclose(records.keypoints_2d[row, :, :2], seen, atol=0.01)
        np.testing.assert_allclose(records.root_3d[row], metric[14], atol=1e-5)


def test_intrinsics_are_those_of_the_camera(mini: Miniature, records: Records) -> None:
    """The released files have none: least squares over annot2 and annot3 finds them."""
    true = cameras(mini.raw)
    for row in range(len(records)):
        np.testing.assert_allclose(records.K[row], true[records.sequence[row]], rtol=1e-6)


def test_intrinsics_are_fitted_per_sequence(records: Records) -> None:
    first, last = records.K[0], records.K[-1]
    assert np.abs(first - last).max() > 1


def test_universal_and_metric_skeletons(mini: Miniature, records: Records) -> None:
    """The released files give univ_annot3, the json only annot3; both about the pelvis."""
    key = "univ_annot3" if "univ_annot3" in records.attrs["rule"] else "annot3"
    assert ("annot3 of MuPoTS-3D.json" in records.attrs["rule"]) == (key == "annot3")
    for row in range(len(records)):
        points = person(mini.raw, records, row, key) / 1000
        np.testing.assert_allclose(records.joints_3d[row, :, :3], points - points[14], atol=1e-6)


def test_hidden_joints_are_labelled_with_half_the_confidence(
    mini: Miniature, records: Records
) -> None:
    hidden = 0
    for row in range(len(records)):
        folder = mini.raw / "MultiPersonTestSet" / str(records.sequence[row])
        labels = scipy.io.loadmat(folder / "occlusion.mat")["occlusion_labels"]
        flags = labels[records.frame[row], records.person[row]].ravel()
        np.testing.assert_array_equal(records.keypoints_2d[row, :, 2], np.where(flags, 0.5, 1))
        hidden += flags.sum()
    assert hidden > 0


def test_images_count_from_zero(mini: Miniature, records: Records) -> None:
    assert records.name[0] == "MultiPersonTestSet/TS1/img_000000.jpg"
    row = int(np.flatnonzero(records.frame == 1)[0])
    apart = []
    for number in range(3):
        path = mini.raw / TS1 / f"img_{number:06d}.jpg"
        image = decode_jpeg(path.read_bytes(), path)
        crop = warp_image(image, records.affine[row], tuple(records.image_size[row]))
        apart.append(np.abs(crop.astype(float) - records.image(row)).mean())
    assert np.argmin(apart) == 1


def test_sequences_have_their_own_image_sizes(records: Records) -> None:
    assert tuple(records.original_size[0]) == (160, 160)
    assert tuple(records.original_size[-1]) == (160, 90)


def test_one_annotated_person_is_still_a_column_of_cells(mini: Miniature, tmp_path: Path) -> None:
    """Readers that squeeze lose the axis of persons."""

    def change(root: Path) -> None:
        edit_mat("TS1/annot.mat", lambda c: {"annotations": c["annotations"][:, :1]})(root)
        edit_mat("TS1/occlusion.mat", lambda c: {
            "occlusion_labels": c["occlusion_labels"][:, :1]})(root)  # fmt: skip

    raw = mini.copy(tmp_path / "raw", change)
    records = mini.convert("test", tmp_path / "out.h5", raw, sequences=[1])
    assert records.frame.tolist() == [0, 1, 2] and set(records.person) == {0}


def test_persons_that_are_not_valid_may_hold_anything(mini: Miniature, tmp_path: Path) -> None:
    def change(content: dict) -> None:
        content["annotations"][2, 2]["annot3"][0, 0][:] = np.nan

    raw = mini.copy(tmp_path / "raw", edit_mat("TS1/annot.mat", change))
    assert len(mini.convert("test", tmp_path / "out.h5", raw, sequences=[1])) == 8


def test_fitting_needs_more_than_one_ray() -> None:
    points = np.tile([0.0, 0.0, 4.0], (1, 17, 1))
    with pytest.raises(InputError, match="one ray"):
        fit_intrinsics(points, np.zeros((1, 17, 2)), "file")


def field(key: str, change) -> object:
    """Return the change of one field in every struct of TS1."""

    def edit(content: dict) -> None:
        for cell in content["annotations"].ravel():
            cell[key][0, 0] = change(cell[key][0, 0])

    return edit_mat("TS1/annot.mat", edit)


def spoil(value: np.ndarray) -> np.ndarray:
    value[1, 3] = np.nan
    return value


def without(key: str) -> object:
    def edit(content: dict) -> None:
        for place in np.ndindex(content["annotations"].shape):
            cell = content["annotations"][place]
            content["annotations"][place] = {
                name: cell[name].item() for name in cell.dtype.names if name != key
            }

    return edit_mat("TS1/annot.mat", edit)


def swap_sides(root: Path) -> None:
    names = JOINT_SETS["mpi17"]
    other = [names.index({"l_": "r_", "r_": "l_"}.get(n[:2], n[:2]) + n[2:]) for n in names]
    for key in ("annot2", "annot3", "univ_annot3"):
        field(key, lambda value: value[:, other])(root)


def first(**changes: object) -> object:
    """Return the change of the json's first annotation (None removes a key)."""

    def edit(content: dict) -> None:
        label = content["annotations"][0] | changes
        content["annotations"][0] = {k: v for k, v in label.items() if v is not None}

    return edit_json("MuPoTS-3D.json", edit)


def every(key: str, change) -> object:
    def edit(content: dict) -> None:
        for label in content["annotations"]:
            label[key] = change(np.array(label[key])).tolist()

    return edit_json("MuPoTS-3D.json", edit)


def renamed(name: str) -> object:
    def edit(content: dict) -> None:
        content["images"][0]["file_name"] = name

    return edit_json("MuPoTS-3D.json", edit)


def intrinsic(values: object) -> object:
    def edit(content: dict) -> None:
        for image in content["images"]:
            image["intrinsic"] = values

    return edit_json("MuPoTS-3D.json", edit)


def occlusion(change) -> object:
    key = "occlusion_labels"
    return edit_mat("TS1/occlusion.mat", lambda content: {key: change(content[key])})


def few(cells: np.ndarray) -> np.ndarray:
    cells[0, 0] = np.zeros((1, 14))
    return cells


DAMAGE = {
    "no file": ("test", remove("TS1/annot.mat"), "annot.mat: saw no such file"),
    "no occlusion": ("test", remove("TS1/occlusion.mat"), "occlusion.mat: saw no such"),
    "truncated": ("test", truncate("annot.mat"), "damaged content"),
    "other cells": ("test", occlusion(lambda cells: cells[:2]), "as in annot.mat"),
    "few flags": ("test", occlusion(few), r"occlusion_labels\{1,1\}"),
    "no cells": ("test", edit_mat("TS1/annot.mat", lambda c: {"annotations": np.zeros((3, 3))}),
                 "a cell of frames by persons"),
    "no variable": ("test", edit_mat("TS1/annot.mat", lambda c: {"annot": c["annotations"]}),
                    "annotations: saw only annot,"),
    "no struct": ("test", edit_mat("TS1/annot.mat", lambda c: c["annotations"].__setitem__(
        (0, 1), np.zeros(3))), r"annotations\{1,2\}.isValidFrame: saw no struct"),
    "no key": ("test", without("univ_annot3"), "univ_annot3"),
    "axes": ("test", field("annot2", np.transpose), r"annot2: saw shape \(17, 2"),
    "x and y": ("test", field("annot2", lambda a: a[::-1]), "K projects|focal lengths"),
    "mirrored": ("test", field("annot2", lambda a: a * [[-1], [1]] + [[160], [0]]), "focal"),
    "metres": ("test", field("univ_annot3", lambda a: a / 1000), "univ_annot3: saw pelvis"),
    "metric metres": ("test", field("annot3", lambda a: a / 1000), "annot3: saw pelvis"),
    "NaN": ("test", field("annot3", spoil), "not finite"),
    "sides": ("test", swap_sides, "left and right are swapped"),
    "nobody": ("test", field("isValidFrame", lambda a: 0 * a), "no valid person"),
    "no image": ("test", remove("img_000000.jpg"), "unreadable"),
    "half an image": ("test", truncate("img_000001.jpg"), "unreadable"),
    "json: truncated": ("json", truncate("MuPoTS-3D.json"), "MuPoTS-3D.json: saw no JSON"),
    "json: no key": ("json", first(keypoints_cam=None), "annotation 0: keypoints_cam"),
    "json: shape": ("json", first(keypoints_img=[[0, 0]] * 21), r"saw shape \(21, 2"),
    "json: text": ("json", first(keypoints_vis=["a"] * 17), "keypoints_vis"),
    "json: image": ("json", first(image_id=77), "annotation 0: 77"),
    "json: path": ("json", renamed("../../TS1/img_000000.jpg"), "inside the distribution"),
    "json: name": ("json", renamed("TS1/first.jpg"), "file_name"),
    "json: metres": ("json", every("keypoints_cam", lambda a: a / 1000), "millimetres"),
    "json: camera": ("json", intrinsic([200, 200, 30, 30]), "K projects"),
    "json: matrix": ("json", intrinsic(np.eye(3).tolist()), "intrinsic: saw shape"),
    "json: sequence": ("json", edit_json("MuPoTS-3D.json", lambda c: c | {"annotations": [
        a for a in c["annotations"] if a["image_id"] > 2]}), "no valid person in TS1"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_one_line_and_leaves_nothing(mini: Miniature, tmp_path: Path, case: str) -> None:
    split, change, word = DAMAGE[case]
    mini.refuses(split, tmp_path, change, word, sequences=[1])


def test_all_sequences_asked_for_have_to_be_there(mini: Miniature, tmp_path: Path) -> None:
    mini.refuses("test", tmp_path, lambda root: None, "TS2", sequences=[1, 2])


def test_the_verb_exits_with_one(
    mini: Miniature, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    raw, out = mini.copy(tmp_path / "raw", truncate("annot.mat")), tmp_path / "out" / "test.h5"
    assert mini.exit_code("test", out, raw) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")
    assert not out.parent.exists() or list(out.parent.iterdir()) == []
