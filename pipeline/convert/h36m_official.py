"""Human3.6M as its owners ship it: videos, poses in CDF, silhouettes, metadata.xml.

`S*/MyPoseFeatures/{D3_Positions_mono,D2_Positions}/<name>.<camera>.cdf` (32 joints; millimetres
in that camera's frame, pixels), `S*/Videos/<name>.<camera>.mp4` at 50 Hz, `S*/MySegmentsMat/
ground_truth_{bb,bs}/<name>.<camera>.mat`. SMPL labels, where somebody has them: the withdrawn
MoSh fits `S*/images/<name>_cam{0..3}_aligned.pkl` (10 Hz, camera frame, no translation), or the
json fits of `annotations/` in the world frame. Out come 17 joints, right leg first, metres.

Frame k of the poses is frame k of the video: some converters read one frame before they count,
and pair each label with the picture 20 ms later. 2D labels lie where the lens shows the joints;
the records' K has no distortion.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from pipeline.body.smpl import BodyModel
from pipeline.convert.common import Sample, Selection, SmplLabel, keypoint_box, square_box
from pipeline.convert.geometry import check_metres
from pipeline.convert.h36m_files import (
    ALL,
    Studio,
    StudioCamera,
    Take,
    read_metadata,
    read_poses,
    read_silhouettes,
)
from pipeline.convert.h36m_labels import open_labels
from pipeline.errors import InputError
from pipeline.joints import JOINT_SETS, indices

KEYPOINT_SET = JOINT_SET = "h36m17"
ROOT = "pelvis"
PICKED = indices("h36m32", JOINT_SETS["h36m17"])
SHIFTED = {"Greeting", "SittingDown 1", "Waiting 1"}  # of S9
SHIFT = np.array([-0.2, 0, 0])  # metres, world; what those sequences lack
PROJECTION = 2.0  # largest median distance of 3D and 2D joints, pixels
WORLD = 0.02  # largest median distance of the two 3D files, metres
INSIDE = 0.9  # least share of joints in the silhouette's box, enlarged by
SLACK = 0.1  # of its larger side


def select(raw: Path, split: str, settings: Mapping, models: Mapping[str, BodyModel]) -> Selection:
    """Return every `frame_step`-th frame of the split's subjects, in all cameras.

    Args:
        raw: root of the distribution.
        split: name of the split, for the rule.
        settings: subjects, frame_step (5 makes 10 Hz), box (ground_truth_bb, ground_truth_bs or
            keypoints), box_factor, labels (MoSh, NeuralAnnot, SMPLify-X or null), correct_s9
            (undo the shift of three sequences of S9; papers before it keep the error),
            skip_sequences.
        models: body models by gender; the fits are of the neutral one.
    """
    path = raw / "metadata.xml"
    studio, step = read_metadata(path), settings["frame_step"]
    rule = f"{split}: subjects {settings['subjects']}, every {step}th frame, all cameras"
    if settings.get("correct_s9"):
        rule += ", S9 corrected"
    selection = Selection(rule, sources=[path])
    selection.samples = (
        sample
        for subject in settings["subjects"]
        for take in _takes(studio, subject, settings.get("skip_sequences") or (), selection)
        for sample in _samples(raw, take, settings, models["neutral"], selection)
    )
    return selection


def _takes(studio: Studio, subject: int, skipped: list[str], selection: Selection):
    """Yield a subject's sequences, camera by camera."""
    named = [(action, sub) for who, action, sub in studio.names if who == subject]
    if not named:
        raise InputError("params", "subjects", subject, "a subject of metadata.xml")
    for action, sub in sorted(named):
        name = studio.names[subject, action, sub]
        if action == ALL or not name or name.startswith("_ALL"):
            continue
        if "/" in name or name.startswith("."):
            raise InputError("metadata.xml", "mapping", name, "the name of a file")
        for number, camera in enumerate(studio.camera_ids):
            lens = studio.cameras[subject, camera]
            take = Take(subject, action, sub, name, number, camera, lens)
            if take.sequence in skipped:
                selection.skipped["sequences known to be broken"] += 1
                continue
            yield take


def _samples(
    raw: Path, take: Take, settings: Mapping, model: BodyModel, selection: Selection
) -> Iterator[Sample]:
    joints, pixels = _poses(raw, take, selection)
    frames = np.arange(0, len(joints), settings["frame_step"])
    joints, pixels = joints[frames], pixels[frames]
    boxes, size = _boxes(raw, take, settings, frames, pixels)
    find = open_labels(raw, take, settings, model, selection)
    moved = settings.get("correct_s9") and take.subject == 9 and take.name in SHIFTED
    shift = take.camera.R @ SHIFT if moved else None
    video = take.file(raw, "Videos", "mp4")
    for frame, points, seen, box in zip(frames, joints, pixels, boxes, strict=True):
        if box is None:
            selection.skipped["frames without a silhouette"] += 1
            continue
        smpl = find(int(frame))
        if shift is not None:
            points, seen, box, smpl = _corrected(points, box, smpl, shift, take.camera)
        ones = np.ones(len(points))
        yield Sample(
            image=video, name=f"{video.relative_to(raw).as_posix()}:{frame:06d}",
            video_frame=int(frame), size=size, center=box[0], side=box[1],
            keypoints_2d=np.column_stack([seen, ones]), person=take.subject, frame=int(frame),
            sequence=take.sequence, source=take.name, camera=take.camera_id, K=take.camera.K,
            joints_3d=np.column_stack([points - points[0], ones]), root_3d=points[0], smpl=smpl,
        )  # fmt: skip


def _poses(raw: Path, take: Take, selection: Selection) -> tuple[np.ndarray, np.ndarray]:
    """Return all frames' joints, (T, 17, 3) metres in the camera frame and (T, 17, 2) pixels.

    Raises:
        InputError: if the files do not belong together: unit, frame, camera or length.
    """
    mono, flat = (
        take.file(raw, f"MyPoseFeatures/{kind}", "cdf")
        for kind in ("D3_Positions_mono", "D2_Positions")
    )
    selection.sources += [mono, flat]
    joints = read_poses(mono, 32, 3)[:, PICKED] / 1000
    pixels = read_poses(flat, 32, 2)[:, PICKED]
    if not 0 < len(joints) == len(pixels):
        raise InputError(flat, "Pose", f"{len(pixels)} frames", f"{len(joints)} as in {mono.name}")
    check_metres(joints, JOINT_SET, mono, "Pose")
    apart = np.linalg.norm(take.camera.project(joints) - pixels, axis=-1)
    median = float(np.median(np.where(joints[..., 2] > 0, apart, np.inf)))
    if not median <= PROJECTION:
        saw = f"3D joints that the camera shows {median:.3g} px from the 2D joints"
        raise InputError(mono, "Pose", saw, f"at most {PROJECTION:g} px: millimetres, this "
                         "camera's frame, not the universal skeleton")  # fmt: skip
    world = raw / f"S{take.subject}" / "MyPoseFeatures" / "D3_Positions" / f"{take.name}.cdf"
    if world.is_file():
        _check_world(world, joints, take.camera, selection)
    return joints, pixels


def _check_world(path: Path, joints: np.ndarray, camera: StudioCamera, selection: Selection):
    """Check that the metadata's camera takes the world joints to the camera's."""
    if path not in selection.sources:
        selection.sources.append(path)
    world = read_poses(path, 32, 3)[:, PICKED] / 1000
    if len(world) != len(joints):
        raise InputError(path, "Pose", f"{len(world)} frames", len(joints))
    apart = np.linalg.norm((world - camera.centre) @ camera.R.T - joints, axis=-1)
    median = float(np.median(apart))
    if not median <= WORLD:
        saw = f"joints {median:.3g} m from those of D3_Positions_mono"
        raise InputError(path, "Pose", saw, f"at most {WORLD} m after R (X - T) of metadata.xml")


def _boxes(
    raw: Path, take: Take, settings: Mapping, frames: np.ndarray, pixels: np.ndarray
) -> tuple[list[tuple[np.ndarray, float] | None], tuple[int, int] | None]:
    """Return the square boxes, None without a silhouette; and the image's size if known.

    Raises:
        InputError: if the silhouettes are not around the person.
    """
    factor = settings["box_factor"]
    if settings["box"] == "keypoints":
        ones = np.ones((pixels.shape[1], 1))
        return [keypoint_box(np.hstack([points, ones]), factor) for points in pixels], None
    path = take.file(raw, f"MySegmentsMat/{settings['box']}", "mat")
    edges, size = read_silhouettes(path, frames)
    known = np.isfinite(edges).all(1)
    low, high = edges[known, None, :2], edges[known, None, 2:]
    slack = SLACK * (high - low).max(2, keepdims=True)
    held = ((pixels[known] > low - slack) & (pixels[known] < high + slack)).all(2)
    if held.size and held.mean() < INSIDE:
        saw = f"{100 * held.mean():.0f} % of the joints inside"
        raise InputError(path, "Masks", saw, "nearly all: masks are stored with swapped axes")
    squares = [square_box(edge[:2], edge[2:], factor) for edge in edges]
    return [box if k else None for box, k in zip(squares, known, strict=True)], size


def _corrected(
    points: np.ndarray,
    box: tuple[np.ndarray, float],
    smpl: SmplLabel | None,
    shift: np.ndarray,
    camera: StudioCamera,
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, float], SmplLabel | None]:
    """Return joints, pixels, box and SMPL label after a shift (3,) of the camera frame.

    The box moves as a card at the pelvis' depth would.
    """
    depth, away = points[0, 2], points[0, 2] + shift[2]
    principal, focal = camera.K[:2, 2], camera.K[[0, 1], [0, 1]]
    center = ((box[0] - principal) * depth + focal * shift[:2]) / away + principal
    moved = points + shift
    if smpl is not None and smpl.transl is not None:
        label = {**vars(smpl), "transl": smpl.transl + shift}
        smpl = SmplLabel(**label)
    return moved, camera.project(moved), (center, box[1] * depth / away), smpl
