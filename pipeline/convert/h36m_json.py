"""Human3.6M in the COCO-style json redistribution of Moon et al. (I2L-MeshNet, Pose2Mesh).

`annotations/Human36M_subject{S}_{data,camera,joint_3d}.json` and the SMPL fits of NeuralAnnot or
SMPLify-X; `images/<sequence>/<sequence>_%06d.jpg`, numbered from frame_idx + 1. Millimetres and
the studio's world frame inside, metres and the camera frame outside; 17 joints, right leg first.

Departure: the person box spans the projected joints, as for the other datasets (SPIN: 0.9 of the
silhouette's box).
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.body.smpl import BodyModel
from pipeline.convert.common import (
    Sample,
    Selection,
    intrinsics,
    keypoint_box,
    numbers,
    project,
    smpl_labels_to_camera,
    take,
)
from pipeline.errors import InputError
from pipeline.files import read_json

KEYPOINT_SET = JOINT_SET = "h36m17"
ROOT = "pelvis"
CAMERAS = {1: "54138969", 2: "55011271", 3: "58860488", 4: "60457274"}
LABEL_FILES = {"NeuralAnnot": "SMPL_NeuralAnnot", "SMPLify-X": "smpl_param"}
FITTING = 0.9  # share of frames whose joints must fit the annotated box


@dataclass(frozen=True)
class _Subject:
    """The annotation files of one subject."""

    number: int
    where: Path
    data: dict
    cameras: dict
    joints: dict
    smpl: dict


def select(raw: Path, split: str, settings: Mapping, models: Mapping[str, BodyModel]) -> Selection:
    """Return every `frame_step`-th frame of the split's subjects.

    Args:
        raw: root of the distribution.
        split: name of the split, for the rule.
        settings: subjects, frame_step, labels (NeuralAnnot, SMPLify-X or null),
            skip_sequences, box_factor.
        models: body models by gender; the fits are of the neutral one.
    """
    subjects, step = settings["subjects"], settings["frame_step"]
    rule = f"{split}: subjects {subjects}, every {step}th frame, all cameras"
    selection = Selection(rule)
    selection.samples = (
        sample
        for number in subjects
        for sample in _subject_samples(raw, number, settings, models["neutral"], selection)
    )
    return selection


def _subject_samples(
    raw: Path, number: int, settings: Mapping, model: BodyModel, selection: Selection
) -> Iterator[Sample]:
    subject = _read(raw, number, settings.get("labels"), selection)
    images = take(subject.data, "images", subject.where)
    boxes = {
        take(label, "image_id", subject.where): take(label, "bbox", subject.where)
        for label in take(subject.data, "annotations", subject.where)
    }
    sequences = defaultdict(list)
    for image in images:
        if take(image, "frame_idx", subject.where) % settings["frame_step"] == 0:
            sequences[Path(take(image, "file_name", subject.where)).parts[0]].append(image)
    for name, frames in sequences.items():
        if name in (settings.get("skip_sequences") or ()):
            selection.skipped["sequence known to be broken"] += len(frames)
        else:
            yield from _sequence(raw, name, frames, boxes, subject, settings, model, selection)


def _read(raw: Path, number: int, labels: str | None, selection: Selection) -> _Subject:
    """Read a subject's files, and note them as sources."""
    names = ["data", "camera", "joint_3d"] + ([LABEL_FILES[labels]] if labels else [])
    paths = [raw / "annotations" / f"Human36M_subject{number}_{name}.json" for name in names]
    selection.sources += paths
    contents = [read_json(path) for path in paths] + ([] if labels else [{}])
    return _Subject(number, paths[0], *contents)


def _sequence(
    raw: Path,
    name: str,
    frames: list[dict],
    boxes: dict,
    subject: _Subject,
    settings: Mapping,
    model: BodyModel,
    selection: Selection,
) -> Iterator[Sample]:
    """Yield the samples of one action in one camera."""
    first, where = frames[0], f"{subject.where}: {name}"
    act, sub, cam = (take(first, f"{key}_idx", where) for key in ("action", "subaction", "cam"))
    joints = take(take(subject.joints, str(act), where), str(sub), where)
    fits = subject.smpl.get(str(act), {}).get(str(sub), {})
    kept = [frame for frame in frames if str(frame["frame_idx"]) in joints]
    selection.skipped["no 3D joints"] += len(frames) - len(kept)
    if not kept:
        return
    world = np.stack([
        numbers(joints[str(f["frame_idx"])], (17, 3), where, "joint_3d") for f in kept
    ]) / 1000  # fmt: skip
    seen = np.stack([numbers(take(boxes, f["id"], where), (4,), where, "bbox") for f in kept])
    R, t, K = _camera(take(subject.cameras, str(cam), where), world, seen, where)
    camera_joints = world @ R.T + t
    held = [fits.get(str(frame["frame_idx"])) for frame in kept]
    labels = smpl_labels_to_camera(held, R, t, model, where)
    for frame, points, label in zip(kept, camera_joints, labels, strict=True):
        keypoints = np.column_stack([project(points, K), np.ones(17)])
        box = keypoint_box(keypoints, settings["box_factor"])
        path = _image_name(frame, name, where)
        yield Sample(
            image=raw / "images" / path, name=f"images/{path}", center=box[0], side=box[1],
            keypoints_2d=keypoints, person=subject.number, frame=int(frame["frame_idx"]),
            sequence=name, source=str(frame["id"]), camera=CAMERAS[cam],
            size=(take(frame, "width", where), take(frame, "height", where)), K=K,
            joints_3d=np.column_stack([points - points[0], np.ones(17)]), smpl=label,
        )  # fmt: skip


def _camera(
    camera: Mapping, joints: np.ndarray, boxes: np.ndarray, where: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return R, t (metres) with x_cam = R x + t, and K.

    The released files hold that t; the tool of the same repository writes the camera's centre
    under the same key. The joints fill the annotated boxes for one of the two.

    Args:
        camera: R, t in millimetres, f, c.
        joints: (N, 17, 3) world joints, metres.
        boxes: (N, 4) annotated boxes, x y width height.
        where: for errors.

    Raises:
        InputError: if they do for neither.
    """
    shapes = {"R": (3, 3), "t": (3,), "f": (2,), "c": (2,)}
    R, t, f, c = (numbers(take(camera, k, where), s, where, k) for k, s in shapes.items())
    K, shares = intrinsics(f, c), []
    for shift in (t / 1000, -R @ t / 1000):
        points = joints @ R.T + shift
        shares.append(_fitting(project(points, K), points[..., 2], boxes))
        if shares[-1] >= FITTING:
            return R, shift, K
    saw = " and ".join(f"{100 * share:.0f} %" for share in shares)
    raise InputError(where, "camera t", f"joints that fit their box in {saw} of the frames",
                     "x_cam = R x + t or R (x - t), in millimetres")  # fmt: skip


def _fitting(points: np.ndarray, depth: np.ndarray, boxes: np.ndarray) -> float:
    """Return the share of frames whose root is in the box and whose joints span half of it."""
    low, size = boxes[:, :2], boxes[:, 2:]
    inside = ((points[:, 0] > low) & (points[:, 0] < low + size)).all(1)
    span = np.ptp(points, axis=1).max(1) / size.max(1)
    return float((inside & (span > 0.5) & (span < 1.5) & (depth > 0).all(1)).mean())


def _image_name(frame: Mapping, sequence: str, where: str) -> str:
    """Return the path under `images/`, whose number must be frame_idx + 1."""
    expected = f"{sequence}_{frame['frame_idx'] + 1:06d}"
    path = Path(frame["file_name"])
    if path.stem != expected:
        raise InputError(where, "file_name", path.stem, expected)
    return f"{sequence}/{path.name}"
