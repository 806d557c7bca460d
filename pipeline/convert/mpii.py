"""MPII Human Pose, in any of three forms of its training annotations; images in `images/`.

- `.mat`: the official `mpii_human_pose_v1_u12_2/mpii_human_pose_v1_u12_1.mat`.
- `.h5`: `train.h5` of Stacked Hourglass, which SPIN ships; a missing joint is (0, 0).
- `.json`: the COCO-style file of Moon et al. (I2L-MeshNet), the only one with annotation ids,
  which NeuralAnnot's fits need.

A person's place is their centre and their height over 200 px in the first two forms (SPIN takes
both as they are), a box in the third. Coordinates are taken for continuous pixels; the labels
of the test images are not published.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.body.smpl import BodyModel
from pipeline.convert.common import Sample, Selection, inside, numbers, square_box, take
from pipeline.convert.matlab import field, read_mat
from pipeline.convert.pseudo import open_fits
from pipeline.errors import InputError
from pipeline.files import read_json
from pipeline.hdf5 import open_hdf5

KEYPOINT_SET = "mpii16"
JOINT_SET = ROOT = None
JOINTS = 16
NEURAL_ANNOT = "annotations/MPII_train_SMPL_NeuralAnnot.json"
UNIT = 200.0  # px of a person's height for which `scale` is 1


@dataclass(frozen=True)
class _Person:
    """One annotated person."""

    image: str  # inside the distribution
    center: np.ndarray
    side: float
    keypoints: np.ndarray  # (16, 3) pixels and confidence
    number: int
    source: str
    size: tuple[int, int] | None = None


def select(raw: Path, split: str, settings: Mapping, models: Mapping[str, BodyModel]) -> Selection:
    """Return the persons with enough labelled joints.

    Args:
        raw: root of the distribution.
        split: name of the split, for the rule.
        settings: file (inside raw), min_keypoints (16: the rule of SPIN), box_factor (1 for the
            boxes of `.mat` and `.h5` as SPIN takes them), hourglass_box (move the centre 15 px
            of a 200 px person down and enlarge by 1.25, as Stacked Hourglass does on reading),
            labels (NeuralAnnot, EFT with labels_file, or null).
        models: unused; the fits are in the camera frame already.

    Raises:
        InputError: if the form of the file is unknown, or NeuralAnnot's fits are asked for
            without annotation ids.
    """
    path = inside(raw, settings["file"], "params", "file")
    readers = {".mat": _read_mat, ".h5": _read_h5, ".json": _read_json}
    if path.suffix not in readers:
        raise InputError("params", "file", settings["file"], f"one of {', '.join(readers)}")
    if settings.get("labels") == "NeuralAnnot" and path.suffix != ".json":
        saw = f"NeuralAnnot with {path.name}"
        raise InputError("params", "labels", saw, "the .json file, which has annotation ids")
    least = settings.get("min_keypoints") or JOINTS
    selection = Selection(f"{split}: {least} of the 16 joints or more", sources=[path])
    fits = open_fits(raw, settings, NEURAL_ANNOT, KEYPOINT_SET, selection)
    persons = list(_enough(readers[path.suffix](path, selection), least, selection))
    selection.count = len(persons)
    selection.samples = (_sample(raw, path, person, settings, fits) for person in persons)
    return selection


def _enough(persons: Iterator[_Person], least: int, selection: Selection) -> Iterator[_Person]:
    """Yield the persons with enough joints in a box that is one."""
    for person in persons:
        if person.keypoints[:, 2].sum() < least:
            selection.skipped["too few joints"] += 1
        elif person.side <= 1:
            selection.skipped["empty box"] += 1
        else:
            yield person


def _sample(raw: Path, path: Path, person: _Person, settings: Mapping, fits: object) -> Sample:
    image = inside(raw, person.image, f"{path}: {person.source}", "image")
    center, side = person.center, person.side * settings["box_factor"]
    if settings.get("hourglass_box"):
        center, side = center + [0, 15 * person.side / UNIT], 1.25 * side
    smpl, K = fits.find(person.number, person.image, person.keypoints)
    return Sample(
        image=image, name=person.image, center=center, side=side, keypoints_2d=person.keypoints,
        person=person.number, frame=0, sequence="", source=person.source, size=person.size, K=K,
        smpl=smpl,
    )  # fmt: skip


def _read_mat(path: Path, selection: Selection) -> Iterator[_Person]:
    """Yield the persons of the official file that have joints, a scale and a centre."""
    release = read_mat(path, "RELEASE")["RELEASE"]
    images, training = _field(release, "annolist", path), _field(release, "img_train", path)
    if images.size != training.size:
        raise InputError(
            path, "img_train", f"{training.size} flags", f"{images.size}, one an image"
        )
    for image, train in zip(images.ravel(), training.ravel(), strict=True):
        if train != 1:
            selection.skipped["test images"] += 1
            continue
        name = _text(_field(_field(image, "image", path), "name", path), path)
        persons = field(image, "annorect")
        for number, person in enumerate([] if persons is None else persons.ravel()):
            where = f"{path}: {name} person {number}"
            keypoints = _mat_keypoints(person, where)
            place, scale = field(person, "objpos"), field(person, "scale")
            if keypoints is None or place is None or scale is None:
                selection.skipped["no joints, centre or scale"] += 1
                continue
            center = np.array([_scalar(place, key, where) for key in "xy"])
            side = UNIT * float(numbers(np.squeeze(scale), (), where, "scale"))
            yield _Person(f"images/{name}", center, side, keypoints, number, f"{name}/{number}")


def _mat_keypoints(person: np.void, where: str) -> np.ndarray | None:
    """Return (16, 3) pixels and confidence of one person, None without joints."""
    points = field(person, "annopoints")
    points = None if points is None else field(points, "point")
    if points is None:
        return None
    keypoints = np.zeros((JOINTS, 3))
    for point in points.ravel():
        joint = _scalar(point, "id", where)
        if joint not in range(JOINTS):
            raise InputError(where, "annopoints.point.id", f"{joint:g}", "0 to 15")
        keypoints[int(joint)] = _scalar(point, "x", where), _scalar(point, "y", where), 1
    return keypoints


def _field(struct: np.ndarray | np.void, name: str, where: object) -> np.ndarray:
    value = field(struct, name)
    if value is None:
        raise InputError(where, name, "nothing", "this field")
    return value


def _scalar(struct: np.ndarray | np.void, name: str, where: object) -> float:
    return float(numbers(np.squeeze(_field(struct, name, where)), (), where, name))


def _text(value: np.ndarray, where: object) -> str:
    if value.dtype.kind != "U" or value.size != 1:
        raise InputError(where, "image.name", f"{value!r:.60}", "a text")
    return str(value.item())


def _read_h5(path: Path, selection: Selection) -> Iterator[_Person]:
    """Yield the persons of Stacked Hourglass' file."""
    with open_hdf5(path) as file:
        arrays = {key: take(file, key, path)[()] for key in ("imgname", "center", "scale", "part")}
    count = len(arrays["imgname"])
    center = numbers(arrays["center"], (count, 2), path, "center")
    scale = numbers(arrays["scale"], (count,), path, "scale")
    part = numbers(arrays["part"], (count, JOINTS, 2), path, "part")
    labelled = (part > 0).all(-1)
    keypoints = np.concatenate([part, labelled[..., None]], -1) * labelled[..., None]
    for row, code in enumerate(arrays["imgname"]):
        name = _decode(code, path)
        yield _Person(
            f"images/{name}", center[row], UNIT * scale[row], keypoints[row], row, f"{name}/{row}"
        )


def _decode(code: object, path: Path) -> str:
    """Return an image's name, written as a text or as a row of character codes."""
    if isinstance(code, np.ndarray) and code.dtype.kind in "iuf":
        code = bytes(int(letter) for letter in code if 0 < letter < 256)
    if not isinstance(code, bytes | str):
        raise InputError(path, "imgname", f"{code!r:.60}", "a text")
    return code if isinstance(code, str) else code.decode("latin1")


def _read_json(path: Path, selection: Selection) -> Iterator[_Person]:
    """Yield the persons of Moon's file."""
    content = read_json(path)
    images = {take(image, "id", path): image for image in take(content, "images", path)}
    for label in take(content, "annotations", path):
        where = f"{path}: annotation {take(label, 'id', path)}"
        image = take(images, take(label, "image_id", where), f"{where} image_id")
        flat = numbers(take(label, "keypoints", where), (3 * JOINTS,), where, "keypoints")
        keypoints = flat.reshape(JOINTS, 3)
        keypoints[:, 2] = keypoints[:, 2] > 0
        keypoints[keypoints[:, 2] == 0] = 0
        box = numbers(take(label, "bbox", where), (4,), where, "bbox")
        center, side = square_box(box[:2], box[:2] + box[2:], 1.0)
        name = take(image, "file_name", where)
        size = (take(image, "width", where), take(image, "height", where))
        yield _Person(name, center, side, keypoints, int(label["id"]), str(label["id"]), size)
