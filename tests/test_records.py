"""Records: round trip, equal bytes, and one line for every kind of damage."""

import pickle
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from pipeline.errors import InputError
from pipeline.images import decode_jpeg, encode_jpeg
from pipeline.records import FIELDS, Records, RecordsWriter, subset, validate
from pipeline.seeding import rng, torch_generator

COUNT = 5


def row(index: int, size: int = 40) -> dict:
    """Return the fields of a sample; odd rows have no camera and no SMPL label."""
    draw = rng(0, "row", index)
    fields = {
        "image": draw.integers(0, 255, (size, size, 3), dtype=np.uint8),
        "affine": [[0.5, 0, 1.0 + index], [0, 0.5, 2.0]],
        "name": f"images/é_{index}.jpg",
        "original_size": (640, 480),
        "center": draw.uniform(100, 200, 2),
        "side": 80.0,
        "person": index,
        "frame": 10 * index,
        "keypoints_2d": draw.uniform(0, 1, (17, 3)),
        "joints_3d": draw.uniform(-1, 1, (17, 4)),
    }
    if index % 2 == 0:
        fields |= {
            "K": [[1000, 0, 320], [0, 1000, 240], [0, 0, 1]],
            "root_3d": [0.1, 0.2, 4.0],
            "global_orient": draw.normal(size=3),
            "body_pose": draw.normal(size=(23, 3)),
            "betas": draw.normal(size=10),
            "transl": [0, 0, 4.0],
            "gender": "female",
            "mano_global_orient": draw.normal(size=3),
            "hand_pose": draw.normal(size=45),
            "mano_betas": draw.normal(size=10),
            "hand_vertices": draw.normal(size=(778, 3)),
        }
    return fields


def write(path: Path, rows: list[dict], **attrs: str) -> Path:
    """Write rows with the joint sets of `row`."""
    sets = {"keypoint_set": "coco17", "joint_set": "h36m17", "root": "pelvis"} | attrs
    with RecordsWriter(path, "toy", "train", "all of them", **sets) as writer:
        for fields in rows:
            writer.add(**fields)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "toy.h5", [row(i) for i in range(COUNT)])


def test_what_is_written_is_read(path: Path) -> None:
    records = Records(path)
    assert len(records) == COUNT
    assert (records.keypoint_set, records.joint_set) == ("coco17", "h36m17")
    for index in range(COUNT):
        fields = row(index)
        assert records.name[index] == fields["name"]
        assert records.jpeg(index) == encode_jpeg(fields["image"])
        assert records.image(index).shape == fields["image"].shape
        for key in ("affine", "center", "keypoints_2d", "joints_3d", "frame"):
            np.testing.assert_allclose(getattr(records, key)[index], fields[key], rtol=1e-6)
    assert records.smpl_valid.tolist() == records.has_transl.tolist() == [1, 0, 1, 0, 1]
    assert records.gender.tolist() == [2, 0, 2, 0, 2]
    assert records.mano_valid.tolist() == [1, 0, 1, 0, 1]
    np.testing.assert_allclose(records.hand_pose[2], row(2)["hand_pose"], rtol=1e-6)
    assert np.isnan(records.hand_vertices[1]).all() and np.isfinite(records.hand_vertices[0]).all()
    assert np.isnan(records.K[1]).all() and np.isfinite(records.K[0]).all()


def test_labels_that_no_row_has_are_absent(tmp_path: Path) -> None:
    rows = [{k: v for k, v in row(1).items() if k not in ("keypoints_2d", "joints_3d")}]
    path = write(tmp_path / "toy.h5", rows, keypoint_set=None, joint_set=None)
    records = Records(path)
    optional = [key for key, field in FIELDS.items() if field.missing is not None]
    assert [getattr(records, key) for key in optional] == [None] * len(optional)
    with h5py.File(path) as file:
        assert sorted(file) == ["bbox", "id", "image"]


def test_images_across_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Crops that straddle a chunk's end come back whole."""
    for module in ("records", "record_writer", "record_schema"):
        monkeypatch.setattr(f"pipeline.{module}.CHUNK", 1024)
    monkeypatch.setattr("pipeline.record_writer.BLOCK", 3)
    rows = [row(i) for i in range(COUNT)]
    records = Records(write(tmp_path / "toy.h5", rows))
    assert [records.jpeg(i) for i in range(COUNT)] == [encode_jpeg(r["image"]) for r in rows]


def test_equal_rows_equal_bytes(tmp_path: Path, path: Path) -> None:
    again = write(tmp_path / "again.h5", [row(i) for i in range(COUNT)])
    assert again.read_bytes() == path.read_bytes()


def test_subset_keeps_every_field(tmp_path: Path, path: Path) -> None:
    subset(path, tmp_path / "some.h5", [3, 0])
    all_rows, some = Records(path), Records(tmp_path / "some.h5")
    for key in (key for key, field in FIELDS.items() if "densepose" not in field.path):
        np.testing.assert_array_equal(getattr(some, key), getattr(all_rows, key)[[3, 0]])
    assert some.jpeg(1) == all_rows.jpeg(0)


def test_shared_by_threads_and_processes(path: Path) -> None:
    records, seen = Records(path), []
    threads = [threading.Thread(target=lambda i=i: seen.append(records.jpeg(i))) for i in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == sorted(records.jpeg(i) for i in range(5))
    assert pickle.loads(pickle.dumps(records)).jpeg(2) == records.jpeg(2)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def edit(change):
    def damage(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            change(file)

    return damage


def replace(key: str, value: object):
    def change(file: h5py.File) -> None:
        del file[key]
        file[key] = value

    return edit(change)


DAMAGE = {
    "missing file": (Path.unlink, "no such file"),
    "truncated": (truncate, "damaged"),
    "not HDF5": (lambda path: path.write_bytes(b"hello"), "damaged"),
    "version": (edit(lambda f: f.attrs.__setitem__("schema_version", 9)), "schema_version"),
    "no rule": (edit(lambda f: f.attrs.__delitem__("rule")), "rule"),
    "missing key": (edit(lambda f: f.__delitem__("bbox/side")), "bbox/side"),
    "wrong shape": (replace("bbox/center", np.ones((COUNT, 3))), "bbox/center"),
    "rows": (replace("keypoints_2d", np.ones((COUNT - 1, 17, 3))), "keypoints_2d"),
    "joint set": (edit(lambda f: f.attrs.__setitem__("joint_set", "lsp14")), "joints_3d"),
    "unknown set": (edit(lambda f: f.attrs.__setitem__("joint_set", "no")), "joint_set"),
    "NaN": (edit(lambda f: f["smpl/betas"].__setitem__(2, np.nan)), "smpl/betas"),
    "side": (edit(lambda f: f["bbox/side"].__setitem__(2, 0)), "bbox/side"),
    "affine": (edit(lambda f: f["image/affine"].__setitem__(2, 0)), "image/affine"),
    "gender": (edit(lambda f: f["smpl/gender"].__setitem__(2, 3)), "smpl/gender"),
    "offset": (edit(lambda f: f["image/offset"].__setitem__(2, 0)), "image/offset"),
    "image": (edit(lambda f: f["image/data"].__setitem__(slice(None), 0)), "row"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_one_line(path: Path, case: str) -> None:
    damage, word = DAMAGE[case]
    damage(path)
    with pytest.raises(InputError, match=word) as error:
        validate(path)
    assert "\n" not in str(error.value) and path.name in str(error.value)


WRONG = {
    "shape": {"center": [1, 2, 3]},
    "NaN": {"keypoints_2d": np.full((17, 3), np.nan)},
    "unknown": {"colour": 1},
    "absent": {"side": None},
    "partial SMPL": {"betas": None},
    "partial MANO": {"hand_pose": None},
    "no image": {"image": b"\xff\xd8 nothing"},
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_row_leaves_no_file(tmp_path: Path, case: str) -> None:
    with pytest.raises(InputError, match="é_0"):
        write(tmp_path / "toy.h5", [row(0) | WRONG[case]])
    assert list(tmp_path.iterdir()) == []


def test_no_rows_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least one"):
        write(tmp_path / "toy.h5", [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_full_disk_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    """When the file is opened, at its images, and at its arrays."""
    free = iter([1 << 40] * (call - 1) + [1000])
    usage = lambda folder: SimpleNamespace(free=next(free))  # noqa: E731
    monkeypatch.setattr("pipeline.hdf5.shutil.disk_usage", usage)
    with pytest.raises(InputError, match="full disk"):
        write(tmp_path / "toy.h5", [row(0)])
    assert list(tmp_path.iterdir()) == []


def test_rewriting_keeps_the_old_file_open(tmp_path: Path, path: Path) -> None:
    """A reader goes on with what it opened while the file is replaced."""
    records = Records(path)
    before = records.jpeg(1)
    shutil.copy(write(tmp_path / "b.h5", [row(7)]), tmp_path / "c.h5")
    (tmp_path / "c.h5").replace(path)
    assert records.jpeg(1) == before


def test_truncated_jpeg_is_refused() -> None:
    data = encode_jpeg(row(0, size=200)["image"])
    with pytest.raises(InputError, match="truncated"):
        decode_jpeg(data[:-2000], "a.jpg")


def test_streams_depend_on_seed_and_path_only() -> None:
    assert rng(1, "a", 2).integers(1 << 60) == rng(1, "a", np.int64(2)).integers(1 << 60)
    draws = {rng(*key).integers(1 << 60) for key in [(1,), (2,), (1, "a"), (1, "a", 2), (1, 2)]}
    assert len(draws) == 5
    assert rng(1, 2).random() != rng(1, "2").random()
    first, second = torch_generator(1, "a"), torch_generator(1, "b")
    assert first.initial_seed() != second.initial_seed()


def surface(index: int) -> dict:
    """Return the surface labels of a row: as many points as its number, none in row 0."""
    points = rng(0, "surface", index).uniform(0, 1, (index, 5)).astype(np.float32)
    label = {"parts_png": np.arange(index, dtype=np.uint8), "parts_box": [1.5, 2, 30, 40]}
    return {"surface_points": points} | label if index else {}


def test_rows_of_different_lengths(tmp_path: Path) -> None:
    with RecordsWriter(tmp_path / "r.h5", "coco", "train", "every row") as writer:
        for index in (2, 0, 3):
            writer.add(np.zeros((8, 8, 3), np.uint8), **plain(index), **surface(index))
    subset(tmp_path / "r.h5", tmp_path / "s.h5", [1, 2])
    for name, expected in (("r.h5", (2, 0, 3)), ("s.h5", (0, 3))):
        records = Records(tmp_path / name)
        assert len(records.surface_points) == len(expected)
        for row, index in enumerate(expected):
            points = surface(index).get("surface_points", np.zeros((0, 5)))
            np.testing.assert_array_equal(records.surface_points[row], points)
            assert records.parts_png[row].tolist() == list(range(index))
            assert np.isnan(records.parts_box[row]).all() == (index == 0)
        assert records.surface_mirrored is None


@pytest.mark.parametrize("values", [np.zeros((2, 4)), np.full((2, 5), np.nan), np.zeros(5)])
def test_bad_rows_of_different_lengths(tmp_path: Path, values: np.ndarray) -> None:
    with pytest.raises(InputError, match="surface_points"):
        with RecordsWriter(tmp_path / "r.h5", "coco", "train", "every row") as writer:
            writer.add(np.zeros((8, 8, 3), np.uint8), **plain(1), surface_points=values)
    assert list(tmp_path.iterdir()) == []


def test_offsets_of_another_file(tmp_path: Path) -> None:
    with RecordsWriter(tmp_path / "r.h5", "coco", "train", "every row") as writer:
        writer.add(np.zeros((8, 8, 3), np.uint8), **plain(2), **surface(2))
    with h5py.File(tmp_path / "r.h5", "r+") as file:
        file["densepose/points_offset"][1] = 1
    with pytest.raises(InputError, match="densepose/points_offset"):
        validate(tmp_path / "r.h5")


def plain(index: int) -> dict:
    """Return the fields that every row must have."""
    fields = {"affine": [[1, 0, 0], [0, 1, 0]], "name": f"{index}.jpg", "original_size": (8, 8)}
    return fields | {"center": (4, 4), "side": 8}
