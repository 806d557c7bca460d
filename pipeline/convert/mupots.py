"""MuPoTS-3D, the test set of several people: 20 sequences, as released or as json.

Released: `MultiPersonTestSet/TS*/annot.mat`, a cell of frames by persons whose structs hold
`annot2` (2, 17) pixels, `annot3` and `univ_annot3` (3, 17) millimetres in the camera frame and
`isValidFrame`; `occlusion.mat` with 1 for hidden joints; `img_000000.jpg` ..., counted from zero.
There are no intrinsics: K is fitted to a sequence's annot2 and annot3.

Json (`MuPoTS-3D.json` of 3DMPPE) beside the same images: intrinsics (fx, fy, cx, cy) of each
image, annot3 alone, so that errors are measured on the metric skeleton.

joints_3d is `univ_annot3` (json: annot3) about its pelvis, root_3d the pelvis of annot3. Every
joint is labelled; a confidence of 0.5 says that it is hidden.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from pipeline.body.smpl import BodyModel
from pipeline.convert.common import (
    Sample,
    Selection,
    inside,
    intrinsics,
    keypoint_box,
    numbers,
    take,
)
from pipeline.convert.geometry import box_sides, check_metres, check_projection, fit_intrinsics
from pipeline.convert.matlab import read_mat
from pipeline.errors import InputError
from pipeline.files import read_json
from pipeline.joints import index

KEYPOINT_SET = JOINT_SET = "mpi17"
ROOT = "pelvis"
PELVIS = index(JOINT_SET, ROOT)
FOLDER, JSON = "MultiPersonTestSet", "MuPoTS-3D.json"
HIDDEN = 0.5  # confidence of a hidden joint
FIT = 0.02  # largest median distance of annot3, projected, from annot2, in person boxes
FIELDS = {"annot2": (2, 17), "annot3": (3, 17), "univ_annot3": (3, 17)}


def select(raw: Path, split: str, settings: Mapping, models: Mapping[str, BodyModel]) -> Selection:
    """Return every annotated person of every valid frame.

    Args:
        raw: root of the distribution.
        split: name of the split, for the rule.
        settings: sequences (numbers), annotations (mat or json), box_factor.
        models: unused; there are no SMPL labels.
    """
    if settings["annotations"] == "json":
        selection = Selection(f"{split}: is_valid; annot3 of {JSON}")
        selection.samples = _from_json(raw, settings, selection)
    else:
        selection = Selection(f"{split}: isValidFrame; univ_annot3")
        selection.samples = (
            sample
            for number in settings["sequences"]
            for sample in _sequence(raw, number, settings["box_factor"], selection)
        )
    return selection


def _sequence(raw: Path, number: int, box_factor: float, selection: Selection) -> Iterator[Sample]:
    """Yield the samples of one sequence, frame after frame."""
    folder = raw / FOLDER / f"TS{number}"
    paths = folder / "annot.mat", folder / "occlusion.mat"
    selection.sources += paths
    cells = _cells(read_mat(paths[0], "annotations")["annotations"], paths[0], "annotations")
    occluded = read_mat(paths[1], "occlusion_labels")["occlusion_labels"]
    occluded = _cells(occluded, paths[1], "occlusion_labels")
    if occluded.shape != cells.shape:
        expected = f"{cells.shape} as in annot.mat"
        raise InputError(paths[1], "occlusion_labels", f"cells {occluded.shape}", expected)
    places = [place for place in np.ndindex(cells.shape) if _valid(cells[place], paths[0], place)]
    selection.skipped["not isValidFrame"] += cells.size - len(places)
    if not places:
        raise InputError(paths[0], "isValidFrame", "no valid person", "at least one")
    pixels, points, scaled = (
        np.stack([_field(cells[place], key, paths[0], place) for place in places])
        for key in FIELDS
    )
    points, scaled = points / 1000, scaled / 1000
    K = _camera(pixels, points, scaled, paths[0])
    for row, (frame, person) in enumerate(places):
        where = f"occlusion_labels{{{frame + 1},{person + 1}}}"
        hidden = numbers(np.ravel(occluded[frame, person]), (17,), paths[1], where) > 0
        name = f"{FOLDER}/TS{number}/img_{frame:06d}.jpg"
        yield _sample(
            pixels[row], scaled[row], hidden, box_factor, image=raw / name, name=name,
            person=person, frame=frame, sequence=f"TS{number}", source=f"TS{number}/{person}",
            K=K, root_3d=points[row, PELVIS],
        )  # fmt: skip


def _cells(value: np.ndarray, path: Path, key: str) -> np.ndarray:
    """Return a cell array of frames by persons."""
    if value.dtype != object or value.ndim != 2 or not value.size:
        saw = f"{value.dtype} of shape {value.shape}"
        raise InputError(path, key, saw, "a cell of frames by persons")
    return value


def _field(cell: np.ndarray, key: str, path: Path, place: tuple[int, int]) -> np.ndarray:
    """Return an array of one person's struct, joints first."""
    return numbers(_entry(cell, key, path, place), FIELDS[key], path, _named(key, place)).T


def _valid(cell: np.ndarray, path: Path, place: tuple[int, int]) -> bool:
    flag = np.ravel(_entry(cell, "isValidFrame", path, place))
    return bool(numbers(flag, (1,), path, _named("isValidFrame", place))[0])


def _entry(cell: object, key: str, path: Path, place: tuple[int, int]) -> object:
    names = getattr(getattr(cell, "dtype", None), "names", None)
    if names is None or key not in names or cell.size != 1:
        saw = f"a struct of {', '.join(names)}" if names else "no struct"
        raise InputError(path, _named(key, place), saw, "a struct with this field")
    return cell[key].item()


def _named(key: str, place: tuple[int, int]) -> str:
    return f"annotations{{{place[0] + 1},{place[1] + 1}}}.{key}"


def _camera(pixels: np.ndarray, points: np.ndarray, scaled: np.ndarray, path: Path) -> np.ndarray:
    """Return the K that annot2 and annot3 imply, after checks of units and axes."""
    check_metres(points, JOINT_SET, path, "annot3")
    check_metres(scaled, JOINT_SET, path, "univ_annot3")
    K = fit_intrinsics(points, pixels, path)
    check_projection(points, pixels, K, FIT * float(np.median(box_sides(pixels))), path)
    return K


def _sample(
    pixels: np.ndarray,
    points: np.ndarray,
    hidden: np.ndarray,
    box_factor: float,
    **fields: object,
) -> Sample:
    keypoints = np.column_stack([pixels, np.where(hidden, HIDDEN, 1.0)])
    box = keypoint_box(keypoints, box_factor)
    if box is None:
        raise InputError(fields["name"], "2D joints", "all in one place", "a person")
    joints = np.column_stack([points - points[PELVIS], np.ones(len(points))])
    return Sample(center=box[0], side=box[1], keypoints_2d=keypoints, joints_3d=joints, **fields)


def _from_json(raw: Path, settings: Mapping, selection: Selection) -> Iterator[Sample]:
    """Yield the samples of the json redistribution."""
    path = raw / JSON
    selection.sources.append(path)
    content = read_json(path)
    images = {take(image, "id", path): image for image in take(content, "images", path)}
    wanted = {f"TS{number}" for number in settings["sequences"]}
    held: dict[str, list[Mapping]] = {name: [] for name in sorted(wanted, key=_number)}
    for label in take(content, "annotations", path):
        where = f"{path}: annotation {take(label, 'id', path)}"
        image = take(images, take(label, "image_id", where), where)
        sequence = inside(raw, take(image, "file_name", where), where, "file_name").parent.name
        if sequence not in wanted:
            continue
        if take(label, "is_valid", where):
            held[sequence].append(label)
        else:
            selection.skipped["not is_valid"] += 1
    for sequence, labels in held.items():
        if not labels:
            raise InputError(path, "images", f"no valid person in {sequence}", "at least one")
        yield from _json_sequence(raw, path, sequence, labels, images, settings["box_factor"])


def _number(name: str) -> int:
    return int(name.removeprefix("TS"))


def _json_sequence(
    raw: Path,
    path: Path,
    sequence: str,
    labels: list[Mapping],
    images: Mapping[int, Mapping],
    box_factor: float,
) -> Iterator[Sample]:
    shapes = {"keypoints_img": (17, 2), "keypoints_cam": (17, 3), "keypoints_vis": (17,)}
    wheres = [f"{path}: annotation {label['id']}" for label in labels]
    pixels, points, seen = (
        np.stack([
            numbers(take(label, key, where), shape, where, key)
            for label, where in zip(labels, wheres, strict=True)
        ])
        for key, shape in shapes.items()
    )  # fmt: skip
    points, where = points / 1000, f"{path}: {sequence}"
    K = np.stack([_json_camera(images[label["image_id"]], path) for label in labels])
    check_metres(points, JOINT_SET, where, "keypoints_cam")
    check_projection(points, pixels, K, FIT * float(np.median(box_sides(pixels))), where)
    people: dict[int, int] = {}
    for row, label in enumerate(labels):
        image = images[label["image_id"]]
        person = people[label["image_id"]] = people.get(label["image_id"], -1) + 1
        name = f"{FOLDER}/{image['file_name']}"
        yield _sample(
            pixels[row], points[row], seen[row] == 0, box_factor, image=raw / name, name=name,
            person=person, frame=_frame(image["file_name"], wheres[row]), sequence=sequence,
            source=str(label["id"]), K=K[row], root_3d=points[row, PELVIS],
            size=(take(image, "width", wheres[row]), take(image, "height", wheres[row])),
        )  # fmt: skip


def _json_camera(image: Mapping, path: Path) -> np.ndarray:
    where = f"{path}: image {image['id']}"
    fx, fy, cx, cy = numbers(take(image, "intrinsic", where), (4,), where, "intrinsic")
    return intrinsics((fx, fy), (cx, cy))


def _frame(name: str, where: str) -> int:
    """Return the frame that an image's name counts from zero."""
    digits = Path(name).stem.removeprefix("img_")
    if not digits.isdecimal():
        raise InputError(where, "file_name", name, "TS<n>/img_<frame>.jpg")
    return int(digits)
