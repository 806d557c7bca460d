"""InstaVariety: frames of Instagram videos with OpenPose's detections as labels.

Two public forms, both with images under `images/`: the "light" COCO-style
`annotations/insta_variety_annotations_light_{train,test}.json` (25 joints in HMMR's order, which
is not BODY_25), of which the pre-training study takes every third annotation; and
`annotations/insta_train_db.pt` of joblib (ann_id, file_name, img_shape as height and width, bbox;
joints2D at times). Bodies of NeuralAnnot by annotation id fit either. VIBE's `insta_train_db.h5`
and HMMR's tfrecords are refused: the former has no images, the latter none by file.

Boxes span the detections: they are no ground truth.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.body.smpl import BodyModel
from pipeline.convert.common import Sample, Selection, inside, numbers, square_box, take
from pipeline.convert.joblib_files import read_joblib
from pipeline.convert.pseudo import Eft, NeuralAnnot, NoFits, open_fits
from pipeline.errors import InputError
from pipeline.files import read_json

KEYPOINT_SET = "hmmr25"
JOINT_SET = ROOT = None
LIGHT = "insta_variety_annotations_light_{}.json"
PACKED = "insta_{}_db.pt"
FEATURES = "insta_train_db.h5"
COLUMNS = ("ann_id", "file_name", "img_shape", "bbox")


def select(raw: Path, split: str, settings: Mapping, models: Mapping[str, BodyModel]) -> Selection:
    """Return every n-th annotation with a box.

    Args:
        raw: root of the distribution.
        split: name of the split, for the rule.
        settings: form (light or neuralannot), part (train or test), every (n), box_factor,
            labels (NeuralAnnot or null).
        models: unused; pseudo labels are in the camera frame already.

    Raises:
        InputError: if there are no annotations of that form.
    """
    part, every = settings["part"], settings["every"]
    name = {"light": LIGHT, "neuralannot": PACKED}[settings["form"]].format(part)
    path = raw / "annotations" / name
    if not path.is_file():
        _refuse(raw, path)
    selection = Selection(f"{split}: every {every}. annotation", sources=[path])
    standard = f"annotations/InstaVariety_{part}_SMPL_NeuralAnnot.json"
    fits = open_fits(raw, settings, standard, KEYPOINT_SET, selection)
    rows = _light(path) if settings["form"] == "light" else _packed(path)
    chosen = rows[::every]
    selection.samples = _samples(raw, chosen, fits, settings["box_factor"], selection)
    return selection


def _refuse(raw: Path, path: Path) -> None:
    """Raise the error of missing annotations, with what stands in their place."""
    features = sorted(raw.rglob(FEATURES)) + sorted(raw.rglob("*.tfrecord"))
    if features:
        saw = f"only {features[0].name}, which holds no image files"
        raise InputError(path, "", saw, "the light json, or insta_train_db.pt with images/")
    raise InputError(path, "", "no such file", "the annotations of InstaVariety")


class _Row(NamedTuple):
    """One annotation, from either file."""

    number: int
    name: object  # of the image
    size: tuple[int, int]  # width, height
    box: object  # (4,) x, y, width, height
    points: np.ndarray  # (75,)
    where: str


def _light(path: Path) -> list[_Row]:
    content = read_json(path)
    images = {take(image, "id", path): image for image in take(content, "images", path)}
    rows = []
    for label in take(content, "annotations", path):
        where = f"{path}: annotation {take(label, 'id', path)}"
        image = take(images, take(label, "image_id", where), where)
        size = take(image, "width", where), take(image, "height", where)
        box, points = take(label, "bbox", where), take(label, "keypoints", where)
        name = take(image, "file_name", where)
        rows.append(_Row(int(label["id"]), name, size, box, np.ravel(points), where))
    return rows


def _packed(path: Path) -> list[_Row]:
    content = read_joblib(path)
    columns = [take(content, key, path) for key in COLUMNS]
    points = content.get("joints2D", [np.zeros((25, 3))] * len(columns[0]))
    for key, column in zip((*COLUMNS, "joints2D"), (*columns, points), strict=True):
        if len(column) != len(columns[0]):
            expected = f"{len(columns[0])} as in ann_id"
            raise InputError(path, key, f"{len(column)} rows", expected)
    rows = []
    for number, name, shape, box, own in zip(*columns, points, strict=True):
        where = f"{path}: annotation {number}"
        height, width = numbers(shape, (2,), where, "img_shape").astype(int).tolist()
        rows.append(_Row(int(number), str(name), (width, height), box, np.ravel(own), where))
    return rows


def _samples(
    raw: Path,
    rows: list[_Row],
    fits: NoFits | NeuralAnnot | Eft,
    box_factor: float,
    selection: Selection,
) -> Iterator[Sample]:
    for row in rows:
        box = numbers(row.box, (4,), row.where, "bbox")
        if box[2:].min() <= 1:
            selection.skipped["empty box"] += 1
            continue
        image = inside(raw / "images", row.name, row.where, "file_name")
        keypoints = numbers(row.points, (75,), row.where, "keypoints").reshape(25, 3)
        keypoints[keypoints[:, 2] <= 0] = 0
        center, side = square_box(box[:2], box[:2] + box[2:], box_factor)
        smpl, K = fits.find(row.number, str(row.name), keypoints)
        yield Sample(
            image=image, name=f"images/{row.name}", size=row.size, center=center, side=side,
            keypoints_2d=keypoints, person=row.number, frame=0, K=K, smpl=smpl,
            sequence=str(Path(str(row.name)).parent), source=str(row.number),
        )  # fmt: skip
