"""ImageNet ILSVRC2012: whole images for pre-training without labels.

`train/<wnid>/<wnid>_<n>.JPEG`, and `val/ILSVRC2012_val_<n>.JPEG` in one folder with the devkit's
`ILSVRC2012_devkit_t12/data/{ILSVRC2012_validation_ground_truth.txt,meta.mat}` beside it. The
stored square holds the whole image, black around its shorter side; the box is that square.
There are no keypoints and no bodies. The class is told by `id/sequence` (wnid) and `id/person`
(number of the wnid in sorted order, as the published weights count, which is not the devkit's
ILSVRC2012_ID). Some files are CMYK, one is a PNG by another name: both decode to RGB.
"""

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from pipeline.body.smpl import BodyModel
from pipeline.convert.common import Sample, Selection, numbers
from pipeline.convert.matlab import field, read_mat
from pipeline.errors import InputError

KEYPOINT_SET = JOINT_SET = ROOT = None
CLASSES = 1000  # devkit ids above are of groups of classes
DEVKIT = Path("ILSVRC2012_devkit_t12/data")
FRAMES_OF_JPEG = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # markers with the image's size
PNG = b"\x89PNG\r\n\x1a\n"


def select(raw: Path, split: str, settings: Mapping, models: Mapping[str, BodyModel]) -> Selection:
    """Return every image.

    Args:
        raw: root of the distribution.
        split: name of the split, for the rule.
        settings: folder (train or val), box_factor (1 keeps the whole image).
        models: unused.

    Raises:
        InputError: if the folder is empty, or images and classes do not belong together.
    """
    folder = raw / settings["folder"]
    selection = Selection(f"{split}: every image")
    flat = sorted(folder.glob("*.JPEG"))
    named = _validation(raw, flat, selection) if flat else _by_folder(folder)
    selection.count = len(named)
    selection.samples = _samples(raw, named, settings["box_factor"])
    return selection


def _by_folder(folder: Path) -> list[tuple[Path, str, int]]:
    """Return image, wnid and class of each image of a folder with one folder per class."""
    if not folder.is_dir():
        raise InputError(folder, "", "no such folder", "<wnid>/*.JPEG or *.JPEG")
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    found = [
        (path, own.name, number)
        for number, own in enumerate(classes)
        for path in sorted(own.glob("*.JPEG"))
    ]
    if not found:
        raise InputError(folder, "", "no .JPEG file", "<wnid>/*.JPEG or *.JPEG")
    return found


def _validation(
    raw: Path, images: list[Path], selection: Selection
) -> list[tuple[Path, str, int]]:
    """Return image, wnid and class of images whose classes stand in the devkit."""
    names = ("ILSVRC2012_validation_ground_truth.txt", "meta.mat")
    truth, meta = (raw / DEVKIT / name for name in names)
    selection.sources += [truth, meta]
    wnids = _wnids(meta)
    if not truth.is_file():
        raise InputError(truth, "", "no such file", "the ground truth of the validation images")
    ids = numbers(truth.read_text("latin1").split(), (None,), truth, "lines").astype(int)
    if len(ids) != len(images):
        raise InputError(truth, "", f"{len(ids)} classes", f"{len(images)} as there are images")
    unknown = sorted(set(ids.tolist()) - wnids.keys())
    if unknown:
        raise InputError(truth, "", f"class {unknown[0]}", f"ids of {meta.name}, 1 to {CLASSES}")
    order = {wnid: number for number, wnid in enumerate(sorted(wnids.values()))}
    return [
        (path, wnids[k], order[wnids[k]]) for path, k in zip(images, ids.tolist(), strict=True)
    ]


def _wnids(path: Path) -> dict[int, str]:
    """Return the wnids of the classes by their id in the devkit."""
    synsets, found = read_mat(path, "synsets")["synsets"].ravel(), {}
    for entry in synsets:
        number, wnid = field(entry, "ILSVRC2012_ID"), field(entry, "WNID")
        if number is None or wnid is None:
            raise InputError(path, "synsets", "an entry without", "ILSVRC2012_ID and WNID")
        if int(number.ravel()[0]) <= CLASSES:
            found[int(number.ravel()[0])] = str(wnid.ravel()[0])
    return found


def _samples(raw: Path, named: list[tuple[Path, str, int]], box_factor: float) -> Iterator[Sample]:
    for number, (path, wnid, label) in enumerate(named):
        size = read_size(path)
        yield Sample(
            image=path, name=path.relative_to(raw).as_posix(), size=size, keypoints_2d=None,
            center=np.array(size) / 2, side=max(1.0, box_factor * max(size)), person=label,
            frame=number, sequence=wnid, source=path.stem,
        )  # fmt: skip


def read_size(path: Path) -> tuple[int, int]:
    """Return width and height from a JPEG's or PNG's header, (0, 0) if it has none."""
    with open(path, "rb") as file:
        head = file.read(24)
        if head.startswith(PNG) and len(head) == 24:
            return struct.unpack(">II", head[16:24])
        file.seek(2)
        while head.startswith(b"\xff\xd8"):
            mark = file.read(4)
            if len(mark) < 4 or mark[0] != 0xFF:
                break
            if mark[1] == 0xFF:  # a fill byte
                file.seek(-3, 1)
            elif mark[1] in FRAMES_OF_JPEG:
                size = file.read(5)
                return struct.unpack(">xHH", size)[::-1] if len(size) == 5 else (0, 0)
            else:
                file.seek(struct.unpack(">H", mark[2:])[0] - 2, 1)
    return 0, 0
