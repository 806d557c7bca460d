"""DensePose-COCO: a round trip, the traps of masks and points, their damage."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from pipeline.body.parts import PARTS14, PARTS24, flip_parts14, flip_parts24, merge_charts
from pipeline.convert.coco_densepose import mirrored, part_map, read_symmetry
from pipeline.convert.rle import decode_rle
from pipeline.data.crops import crop_affine, transform_points
from pipeline.data.surface import SurfaceLabels
from pipeline.demo.coco_densepose import surface
from pipeline.demo.matlab import write_mat5
from pipeline.demo.portraits import photograph
from pipeline.demo.stage import Stage
from pipeline.joints import index
from pipeline.records import Records
from pipeline.seeding import rng
from tests.convert.demo_miniature import (
    SHARED,
    Miniature,
    edit_json,
    make,
    remove,
    truncate,
)

DEMO = {"image_size": 160, "train_people": 4, "valminusminival_people": 2, "minival_people": 1}
TABLES = "UV_data/UV_symmetry_transforms.mat"
SETTINGS = {
    "converter": "coco_densepose",
    "symmetry_file": TABLES,
    "splits": {
        "train": {"part": "train"},
        "val": {"part": "valminusminival"},
        "minival": {"part": "minival"},
    },
}
TRAIN = "densepose_coco_2014_train.json"


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Miniature:
    return make(tmp_path_factory, "coco_densepose", DEMO, SETTINGS)


@pytest.fixture(scope="module")
def train(mini: Miniature, tmp_path_factory: pytest.TempPathFactory) -> Records:
    return mini.convert("train", tmp_path_factory.mktemp("densepose") / "train.h5")


def annotations(root: Path) -> list[dict]:
    labels = json.loads((root / "annotations" / TRAIN).read_text())["annotations"]
    return [label for label in labels if "dp_x" in label]


def parts_of(records: Records, row: int) -> np.ndarray:
    return cv2.imdecode(records.parts_png[row], cv2.IMREAD_GRAYSCALE)


def encoded(mask: np.ndarray) -> dict:
    rle = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {"size": rle["size"], "counts": rle["counts"].decode()}


def test_parts_and_points_are_the_bodys(mini: Miniature, train: Records) -> None:
    """Charts, coordinates and parts at their place in the image are those of the mesh."""
    stage = Stage.build(mini.assets, {**DEMO, **SHARED}, Path())
    assert len(train) == DEMO["train_people"]
    for row in range(len(train)):
        portrait = photograph(rng(0, "coco_densepose", "train", row), stage)
        box = train.parts_box[row].astype(float)
        chart, uv = surface(portrait, 0, box[:2], box[2:], stage)
        np.testing.assert_array_equal(parts_of(train, row), merge_charts()[chart])
        points = train.surface_points[row]
        x, y = ((points[:, :2] - box[:2]) / box[2:] * 256).astype(int).T
        np.testing.assert_array_equal(points[:, 2], chart[y, x])
        np.testing.assert_allclose(points[:, 3:], uv[y, x], atol=1e-5)


def test_points_span_the_box(mini: Miniature, tmp_path: Path) -> None:
    """dp_x of 0 and 255 are the edges of the box: divided by 255, not by 256."""

    def corners(content: dict) -> None:
        label = next(a for a in content["annotations"] if "dp_x" in a)
        label |= {"dp_x": [0, 255], "dp_y": [255, 0], "dp_I": [1, 2], "dp_U": [0, 1],
                  "dp_V": [1, 0]}  # fmt: skip

    raw = mini.copy(tmp_path / "raw", edit_json(TRAIN, corners))
    records = mini.convert("train", tmp_path / "out.h5", raw)
    x, y, width, height = annotations(raw)[0]["bbox"]
    expected = [[x, y + height, 1, 0, 1], [x + width, y, 2, 1, 0]]
    np.testing.assert_allclose(records.surface_points[0], expected, atol=1e-4)


def test_legs_right_first_arms_left_first(mini: Miniature, train: Records) -> None:
    """Sides are the person's: each hand, foot and limb lies at its own joint."""
    assert PARTS14[2:6] == ("right hand", "left hand", "left foot", "right foot")
    assert PARTS14[6:8] == ("right upper leg", "left upper leg")
    assert PARTS14[10:12] == ("left upper arm", "right upper arm")
    near = {2: "r_wrist", 3: "l_wrist", 4: "l_ankle", 5: "r_ankle", 12: "l_wrist", 13: "r_wrist"}
    votes = []
    for row in range(len(train)):
        box, parts = train.parts_box[row], parts_of(train, row)
        for part, joint in near.items():
            y, x = np.nonzero(parts == part)
            other = joint.replace("l_", "?_").replace("r_", "l_").replace("?_", "r_")
            at = train.keypoints_2d[row, [index("coco17", joint), index("coco17", other)], :2]
            if len(x):
                middle = box[:2] + (np.array([x.mean(), y.mean()]) + 0.5) / 256 * box[2:]
                apart = np.linalg.norm(at - middle, axis=1)
                votes.append(apart[0] < apart[1])
    assert len(votes) > 10 and np.mean(votes) > 0.8


def test_fine_charts_to_coarse_parts() -> None:
    pairs = {(1, 2): 1, (3,): 2, (4,): 3, (5,): 4, (6,): 5, (7, 9): 6, (8, 10): 7, (11, 13): 8,
             (12, 14): 9, (15, 17): 10, (16, 18): 11, (19, 21): 12, (20, 22): 13,
             (23, 24): 14}  # fmt: skip
    for charts, part in pairs.items():
        assert (merge_charts()[list(charts)] == part).all()


def test_flip_tables() -> None:
    charts = [1, 2, *(k + 1 if k % 2 else k - 1 for k in range(3, 25))]  # 4, 3, 6, 5, ...
    masks = [1, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 14]
    assert flip_parts24()[1:].tolist() == charts and flip_parts14()[1:].tolist() == masks
    assert len(PARTS24) == 25 and (merge_charts()[flip_parts24()] == flip_parts14()[
        merge_charts()]).all()  # fmt: skip


def test_run_lengths_are_cocos() -> None:
    draw = rng(0, "masks")
    for density in (0, 0.001, 0.5, 1):
        mask = draw.random((256, 256)) < density
        mask[40:90, 7:200] = density < 1
        np.testing.assert_array_equal(decode_rle(encoded(mask), (256, 256), "mask"), mask)


def test_empty_masks_and_overlaps() -> None:
    """An empty entry is an absent part; where masks overlap the later one counts."""
    low, high = np.zeros((2, 256, 256), bool)
    low[:, :100], high[50:60, 90:110] = True, True
    parts = part_map([encoded(low), *[[]] * 12, encoded(high)], "annotation")
    assert parts[55, 95] == 14 and parts[0, 95] == 1 and parts[55, 105] == 14
    assert parts[0, 105] == 0 and set(np.unique(parts)) == {0, 1, 14}


def test_persons_without_masks_keep_their_points(mini: Miniature, tmp_path: Path) -> None:
    def empty(content: dict) -> None:
        next(a for a in content["annotations"] if "dp_x" in a)["dp_masks"] = [[]] * 14

    raw = mini.copy(tmp_path / "raw", edit_json(TRAIN, empty))
    records = mini.convert("train", tmp_path / "out.h5", raw)
    assert not len(records.parts_png[0]) and np.isnan(records.parts_box[0]).all()
    assert len(records.surface_points[0]) and len(records.parts_png[1])
    assert SurfaceLabels(records).parts(0, np.eye(2, 3), 96, 32)[1] is False


def test_annotations_without_labels_are_left_out(mini: Miniature, tmp_path: Path) -> None:
    def thin(content: dict) -> None:
        label = next(a for a in content["annotations"] if "dp_x" in a)
        for key in [key for key in label if key.startswith("dp_")]:
            del label[key]

    raw = mini.copy(tmp_path / "raw", edit_json(TRAIN, thin))
    content = json.loads((raw / "annotations" / TRAIN).read_text())
    bare = sum("dp_x" not in label for label in content["annotations"])
    line = mini.line("train", tmp_path / "out.h5", raw)
    assert "3 samples" in line and f"{bare} without DensePose labels" in line


def test_names_of_the_mirror(mini: Miniature, train: Records, tmp_path: Path) -> None:
    """detectron2 ships the same files under other names; images come from both folders."""

    def rename(root: Path) -> None:
        (root / "annotations" / TRAIN).rename(root / "annotations/densepose_train2014.json")

    raw = mini.copy(tmp_path / "raw", rename)
    again = mini.convert("train", tmp_path / "train.h5", raw)
    assert again.path.read_bytes() == train.path.read_bytes()
    rest = mini.convert("val", tmp_path / "val.h5", raw)
    assert len(rest) == 2 and rest.name[0].startswith("val2014/COCO_val2014_")
    assert train.name[0].startswith("train2014/COCO_train2014_")


def test_mirrored_coordinates_need_the_users_table(
    mini: Miniature, train: Records, tmp_path: Path
) -> None:
    """U and V of a mirrored image come from the table at [V, U], or there are none."""
    plain = mini.convert("train", tmp_path / "plain.h5", symmetry_file=None)
    assert plain.surface_mirrored is None
    assert len(SurfaceLabels(plain).points(0, np.eye(2, 3), mirrored=True)) == 0
    points, other = train.surface_points[0], train.surface_mirrored[0]
    np.testing.assert_array_equal(other[:, 0], flip_parts24()[points[:, 2].astype(int)])
    torso = points[:, 2] <= 2
    assert torso.any() and not torso.all()
    np.testing.assert_allclose(other[torso, 1], 1 - points[torso, 3], atol=1 / 255)
    np.testing.assert_allclose(other[~torso, 1], points[~torso, 3], atol=1 / 255)
    np.testing.assert_allclose(other[:, 2], points[:, 4], atol=1 / 255)


def test_tables_are_indexed_by_v_then_u() -> None:
    tables = np.zeros((2, 24, 256, 256))
    tables[0, 4, 255, 51], tables[1, 4, 255, 51] = 0.25, 0.75
    found = mirrored(np.array([[0, 0, 5, 0.2, 1.0]], np.float32), (tables[0], tables[1]))
    np.testing.assert_allclose(found, [[6, 0.25, 0.75]])


@pytest.mark.parametrize("flip", [False, True])
def test_labels_in_a_training_crop(train: Records, flip: bool) -> None:
    """Points lie on their parts after the crop's affine map, mirrored or not."""
    labels, shares = SurfaceLabels(train), []
    for row in range(len(train)):
        affine = crop_affine(train.center[row], train.side[row], 96, 20.0, 1.1, flip)
        parts, valid = labels.parts(row, affine, 96, 48, flip)
        points = labels.points(row, affine, flip)
        at = transform_points(train.surface_points[row][:, :2], affine)
        np.testing.assert_allclose(points[:, :2], at, atol=1e-4)
        x, y = (points[:, :2] / 2).astype(int).clip(0, 47).T
        shares.append((parts[y, x] == merge_charts()[points[:, 2].astype(int)]).mean())
        assert valid and parts.min() == -1  # beyond the annotated box nothing is known
    assert np.mean(shares) > 0.85


def first(change) -> object:
    """Return the change of the first annotation with DensePose labels."""
    return edit_json(TRAIN, lambda content: change(
        next(a for a in content["annotations"] if "dp_x" in a)
    ) and None)  # fmt: skip


def every(change) -> object:
    return edit_json(TRAIN, lambda content: [
        change(a) for a in content["annotations"] if "dp_x" in a
    ] and None)  # fmt: skip


def put(key: str, value: object) -> object:
    return first(lambda label: label.__setitem__(key, value))


def put_mask(**changes: object) -> object:
    def change(label: dict) -> None:
        masks = label["dp_masks"]
        where = next(k for k, mask in enumerate(masks) if mask)
        masks[where] = masks[where] | changes

    return first(change)


def by_rows(label: dict) -> None:
    """Write the masks' pixels by rows, as no other format would not."""
    for k, mask in enumerate(label["dp_masks"]):
        if mask:
            label["dp_masks"][k] = encoded(decode_rle(mask, (256, 256), "").T)


def few_cells(root: Path) -> None:
    cells = np.empty((1, 23), object)
    cells[0, :] = [np.zeros((256, 256))] * 23
    write_mat5(root / TABLES, {"U_transforms": cells, "V_transforms": cells})


def both_names(root: Path) -> None:
    text = (root / "annotations" / TRAIN).read_text()
    (root / "annotations/densepose_train2014.json").write_text(text)


DAMAGE = {
    "no file": (remove(TRAIN), "or densepose_train2014.json"),
    "two files": (both_names, "saw both"),
    "truncated": (truncate(TRAIN), "no JSON"),
    "no box": (first(lambda label: label.pop("bbox")), "bbox"),
    "lengths": (first(lambda label: label["dp_U"].pop()), "dp_U: saw"),
    "NaN": (put("dp_V", [float("nan")]), "dp_V"),
    "chart 25": (first(lambda label: label["dp_I"].__setitem__(0, 25)), "dp_I: saw 25"),
    "half a chart": (first(lambda label: label["dp_I"].__setitem__(0, 2.5)), "fractions"),
    "pixels": (first(lambda label: label["dp_x"].__setitem__(0, 300)), "dp_x: saw 300"),
    "percent": (first(lambda label: label["dp_U"].__setitem__(0, 50)), "dp_U: saw 50"),
    "13 masks": (first(lambda label: label["dp_masks"].pop()), "13 masks"),
    "no list": (put("dp_masks", "x"), "dp_masks: saw str"),
    "mask size": (put_mask(size=[128, 512]), "size"),
    "mask runs": (put_mask(counts="a0b"), "damaged run lengths"),
    "mask bytes": (put_mask(counts="\x01\u00e9"), "counts"),
    "endless run": (put_mask(counts="o" * 90), "damaged run lengths"),
    "swapped axes": (every(by_rows), "14 parts in order"),
    "other order": (every(lambda label: label["dp_masks"].reverse()), "14 parts in order"),
    "image": (put("image_id", -1), "-1"),
    "path": (edit_json(TRAIN, lambda c: c["images"][0].update(
        file_name="COCO_train2014_../../x.jpg")), "file_name"),
    "truncated image": (truncate("COCO_train2014*.jpg"), "unreadable"),
    "no table": (remove("UV_symmetry*"), "no such file"),
    "truncated table": (truncate("UV_symmetry*"), "damaged"),
    "23 charts": (few_cells, "23 cells"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_one_line_and_leaves_nothing(mini: Miniature, tmp_path: Path, case: str) -> None:
    mini.refuses("train", tmp_path, *DAMAGE[case])


def test_counts_are_compared(mini: Miniature, tmp_path: Path) -> None:
    mini.refuses("train", tmp_path, lambda root: None, "--allow-partial", expected=39210)


def test_the_verb_ends_with_one(mini: Miniature, tmp_path: Path, capsys) -> None:
    raw = mini.copy(tmp_path / "raw", truncate(TRAIN))
    assert mini.exit_code("train", tmp_path / "out.h5", raw) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")
    assert mini.exit_code("minival", tmp_path / "out.h5", mini.raw) == 0


def test_table_of_the_demo(mini: Miniature) -> None:
    u, v = read_symmetry(mini.raw / TABLES)
    assert u.shape == v.shape == (24, 256, 256)
    np.testing.assert_allclose(u[0, 7], 1 - np.arange(256) / 255)  # the torso spans both sides
    np.testing.assert_allclose(v[0, :, 7], np.arange(256) / 255)
