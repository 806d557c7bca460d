"""Reading pictures and boxes as people have them, good and bad."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import InputError
from pipeline.prediction.pictures import find_pictures, read_boxes, read_picture, square_boxes


@pytest.fixture
def folder(tmp_path):
    for name in ("b.jpg", "a.PNG", "c.txt"):
        Image.new("RGB", (8, 6), (200, 10, 10)).save(tmp_path / name, format="PNG")
    return tmp_path


def boxes_file(folder: Path, content: object) -> Path:
    (folder / "boxes.json").write_text(json.dumps(content))
    return folder / "boxes.json"


def test_pictures_of_a_folder_by_name_and_their_boxes(folder):
    found = find_pictures(folder, boxes_file(folder, {"b.jpg": [[1, 2, 3, 4], [0, 0, 1, 1]]}))
    assert [picture.path.name for picture in found] == ["a.PNG", "b.jpg"]
    assert found[0].boxes is None and found[1].boxes.shape == (2, 4)


def test_one_file_and_nobody(folder):
    assert [p.path.name for p in find_pictures(folder / "b.jpg", None)] == ["b.jpg"]
    assert len(find_pictures(folder, boxes_file(folder, {"b.jpg": []}))) == 1


@pytest.mark.parametrize(
    "content, message",
    [([], "a list"), ({"b.jpg": 3}, "b.jpg: saw 3"), ({"x.jpg": [[0, 0, 1, 1]]}, "x.jpg"),
     ({"b.jpg": [[1, 2, 3]]}, "box 0"), ({"b.jpg": [[0, 0, 1, 1], [1, 2, 0, 3]]}, "box 1"),
     ({"b.jpg": [[1, 2, 3, "4"]]}, "box 0"), ({"b.jpg": [[1, 2, 3, float("nan")]]}, "box 0"),
     ({"b.jpg": [[True, 2, 3, 4]]}, "box 0"), ({"b.jpg": {"x": 1}}, "b.jpg")],
)  # fmt: skip
def test_boxes_of_another_form(folder, content, message):
    with pytest.raises(InputError, match=message):
        find_pictures(folder, boxes_file(folder, content))


def test_missing_and_empty_folders(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        find_pictures(tmp_path / "x", None)
    with pytest.raises(InputError, match="no picture"):
        find_pictures(tmp_path, None)
    with pytest.raises(InputError, match="no such file"):
        read_boxes(tmp_path / "boxes.json")


def test_the_cameras_orientation_is_applied(tmp_path):
    upright = np.zeros((20, 30, 3), np.uint8)
    upright[:10, :15] = (255, 0, 0)  # top left red
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    stored = np.rot90(upright)  # counter-clockwise, as the sensor lay
    Image.fromarray(np.ascontiguousarray(stored)).save(
        tmp_path / "a.jpg", exif=exif, quality=95, subsampling=0
    )
    read = read_picture(tmp_path / "a.jpg")
    assert read.shape == (20, 30, 3)
    assert np.abs(read.astype(int) - upright).mean() < 4


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1"])
def test_other_kinds_of_pictures(tmp_path, mode):
    suffix = "tif" if mode == "CMYK" else "png"
    Image.new("RGB", (5, 4), (255, 255, 255)).convert(mode).save(tmp_path / f"a.{suffix}")
    read = read_picture(tmp_path / f"a.{suffix}")
    assert read.shape == (4, 5, 3) and read.dtype == np.uint8 and read.min() > 250


def test_damaged_pictures(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "cut.jpg")
    whole = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "folder.jpg").mkdir()
    for name in ("cut.jpg", "text.jpg", "empty.jpg", "folder.jpg", "none.jpg"):
        with pytest.raises(InputError, match=name):
            read_picture(tmp_path / name)


def test_a_picture_that_unpacks_to_too_much(tmp_path):
    Image.new("1", (20000, 20000)).save(tmp_path / "bomb.png")
    with pytest.raises(InputError, match="bomb"):
        read_picture(tmp_path / "bomb.png")


def test_squares():
    centers, sides = square_boxes(None, (40, 30), 1.2)
    assert centers.tolist() == [[20, 15]] and sides.tolist() == [40]
    centers, sides = square_boxes(np.array([[10.0, 0, 10, 20]]), (40, 30), 1.2)
    assert centers.tolist() == [[15, 10]] and sides.tolist() == [24]
    with pytest.raises(InputError, match="beside"):
        square_boxes(np.array([[0.0, 0, 9, 9], [50, 0, 10, 20]]), (40, 30), 1.2)
