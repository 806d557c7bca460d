"""Pictures and the boxes of the people in them, as users bring them."""

import io
import math
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.errors import InputError
from pipeline.files import read_json

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True)
class Picture:
    """A file to read; `boxes` (n, 4) as x, y, w, h in pixels, None for the whole picture."""

    path: Path
    boxes: np.ndarray | None


def find_pictures(source: Path, boxes: Path | None) -> list[Picture]:
    """Return the pictures of a folder (not of its sub-folders) or the one file, by name.

    Args:
        source: folder or file.
        boxes: JSON `{"name.jpg": [[x, y, w, h], ...]}`: people's boxes in pixels of the upright
            picture, x and y of the top left corner. A picture without an entry is taken whole; an
            empty list says that nobody is in it, and it is left out.

    Raises:
        InputError: if there is no picture, or the boxes are not of this form or of others.
    """
    if not source.exists():
        raise InputError(source, "", "no such file", "a picture or a folder of pictures")
    paths = [source]
    if source.is_dir():
        paths = [path for path in sorted(source.iterdir()) if path.suffix.lower() in SUFFIXES]
    if not paths:
        raise InputError(source, "", "no picture", f"files that end in {', '.join(SUFFIXES)}")
    found = read_boxes(boxes) if boxes else {}
    unknown = sorted(set(found) - {path.name for path in paths})
    if unknown:
        raise InputError(boxes, unknown[0], f"no such picture in {source}", "names as there")
    return [Picture(path, found.get(path.name)) for path in paths
            if path.name not in found or len(found[path.name])]  # fmt: skip


def read_boxes(path: Path) -> dict[str, np.ndarray]:
    """Return name -> (n, 4) boxes as x, y, w, h, see `find_pictures`.

    Raises:
        InputError: naming the picture and the box that is not of this form.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        form = '{"name.jpg": [[x, y, w, h], ...]}'
        raise InputError(path, "", f"a {type(content).__name__}", form)
    boxes = {}
    for name, rows in content.items():
        if not isinstance(rows, list):
            raise InputError(path, name, repr(rows), "a list of boxes [[x, y, w, h], ...]")
        for number, row in enumerate(rows):
            if not _is_box(row):
                expected = "four numbers x, y, w, h in pixels, w and h above 0"
                raise InputError(path, f"{name}: box {number}", repr(row), expected)
        boxes[name] = np.array(rows, dtype=float).reshape(-1, 4)
    return boxes


def _is_box(row: object) -> bool:
    if not isinstance(row, list) or len(row) != 4:
        return False
    numbers = all(isinstance(n, int | float) and not isinstance(n, bool) for n in row)
    return numbers and all(math.isfinite(n) for n in row) and row[2] > 0 and row[3] > 0


def read_picture(path: Path) -> np.ndarray:
    """Return the upright RGB picture, (H, W, 3) uint8; the camera's orientation is applied.

    Raises:
        InputError: if the file is no picture, is damaged or truncated, or unpacks to more pixels
            than any camera has.
    """
    from PIL import Image, ImageOps

    try:
        data = path.read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data)) as image:
                return np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except Exception as error:  # a damaged file can end in any of them
        reason = str(error).split("<")[0].strip() or type(error).__name__
        raise InputError(path, "", f"{reason}", "a whole picture") from error


def square_boxes(
    boxes: np.ndarray | None, size: tuple[int, int], factor: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return what the network is to see: centres (n, 2) and sides (n,) of squares, in pixels.

    Args:
        boxes: (n, 4) as x, y, w, h, or None for the whole picture.
        size: width and height of the picture.
        factor: side of the square over the longer side of a box; networks are trained with
            room around the person. The whole picture is taken as it is.

    Raises:
        InputError: if a box lies beside the picture.
    """
    if boxes is None:
        return np.array([[size[0] / 2, size[1] / 2]]), np.array([float(max(size))])
    for number, (x, y, w, h) in enumerate(boxes):
        if x >= size[0] or y >= size[1] or x + w <= 0 or y + h <= 0:
            saw = f"{[x, y, w, h]} beside the picture"
            raise InputError("boxes", f"box {number}", saw, f"one within {size[0]} x {size[1]}")
    return boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:].max(1) * factor
