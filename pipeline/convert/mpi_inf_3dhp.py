"""MPI-INF-3DHP: videos of eight people in a studio, and six test sequences.

Training: `S*/Seq*/annot.mat`, `camera.calibration` and the images, as videos
(`imageSequence/video_0.avi` ...) or as one of the layouts of extracted frames in IMAGES.
Test: `mpi_inf_3dhp_test_set/TS*/annot_data.mat` and `imageSequence/img_000001.jpg` ...; the
archive unpacks to a folder of this name inside another.

Of the 28 training joints the 17 of the test set are kept. `annot3` is in the frame of its own
camera. Frame t of the annotation is frame t of the video, whatever its rate. SMPL labels are
NeuralAnnot's `MPI-INF-3DHP_SMPL_NeuralAnnot.json` by subject, sequence and frame, in the world
frame of `camera.calibration`.

Test records hold `univ_annot3`, which the protocols compare. They have no K: none is shipped
beside the annotations, and two sequences are distorted.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from pipeline.body.smpl import BodyModel
from pipeline.convert.common import (
    Sample,
    Selection,
    keypoint_box,
    smpl_labels_to_camera,
)
from pipeline.convert.geometry import box_sides, check_metres, check_projection, fit_intrinsics
from pipeline.convert.mpi_files import (
    Calibration,
    ValidFrames,
    read_calibration,
    read_test,
    read_training,
)
from pipeline.errors import InputError
from pipeline.files import read_json
from pipeline.images import decode_jpeg
from pipeline.joints import index, mapping

KEYPOINT_SET = JOINT_SET = "mpi17"
ROOT = "pelvis"
PICKED, PELVIS = mapping("mpi28", JOINT_SET), index(JOINT_SET, ROOT)
IMAGES = {  # where the image of a frame is, and the number of the first frame
    "video": ("imageSequence/video_{camera}.avi", 0),
    "spin": ("imageFrames/video_{camera}/frame_{number:06d}.jpg", 1),
    "mmhuman3d": ("video_{camera}/frame_{number:06d}.jpg", 1),
    "posepile": ("imageSequence/img_{camera}_{number:06d}.jpg", 0),
}
VIDEO_ENDS = {("S6", "Seq2", 2): 3911}  # this video stops before its annotation does
LABEL_FILE = "MPI-INF-3DHP_SMPL_NeuralAnnot.json"
TEST_FOLDER = "mpi_inf_3dhp_test_set"
ACTIVITIES = ("stand or walk", "exercise", "sit", "reach or crouch", "on floor", "sports", "misc")
PIXELS = 2.0  # largest median distance of annot3, projected, from annot2
FIT = 0.05  # the same for fitted intrinsics, as a share of the person box: lenses are distorted


def select(raw: Path, split: str, settings: Mapping, models: Mapping[str, BodyModel]) -> Selection:
    """Return the samples of a split.

    Args:
        raw: root of the distribution.
        split: name of the split, for the rule.
        settings: part (train or test), box_factor; training: subjects, sequences, cameras, every,
            images (a key of IMAGES), labels (NeuralAnnot or null); test: sequences, inside (only
            frames with all joints inside the image, as SPIN selects them).
        models: body models by gender; the fits are of the neutral one.
    """
    if settings["part"] == "test":
        inside = ", all joints inside the image" if settings["inside"] else ""
        selection = Selection(f"{split}: TS1 to TS6, valid_frame{inside}; univ_annot3")
        selection.samples = _test(raw, settings, selection)
        return selection
    cameras, every = settings["cameras"], settings["every"]
    selection = Selection(
        f"{split}: cameras {cameras}, all 17 joints inside the image, of these every {every}th"
    )
    selection.samples = _train(raw, settings, models["neutral"], selection)
    return selection


def _train(
    raw: Path, settings: Mapping, model: BodyModel, selection: Selection
) -> Iterator[Sample]:
    """Yield the training samples; the count of every n-th runs on over cameras and subjects."""
    if settings["images"] not in IMAGES:
        raise InputError("params", "images", settings["images"], " or ".join(IMAGES))
    fits, seen = {}, 0
    if settings.get("labels"):
        selection.sources.append(raw / LABEL_FILE)
        fits = read_json(raw / LABEL_FILE)
    for subject in settings["subjects"]:
        for sequence in settings["sequences"]:
            folder = raw / f"S{subject}" / f"Seq{sequence}"
            annotations, calibration = folder / "annot.mat", folder / "camera.calibration"
            selection.sources += [annotations, calibration]
            joints = read_training(annotations, settings["cameras"])
            cameras = read_calibration(calibration)
            own = _inner(_inner(fits, str(subject)), str(sequence))
            for number, (pixels, points) in joints.items():
                if number not in cameras:
                    saw = f"cameras {sorted(cameras)}"
                    raise InputError(calibration, "name", saw, f"camera {number}")
                pixels, points = pixels[:, PICKED], points[:, PICKED]
                _check(pixels, points, cameras[number], f"{annotations}: camera {number}")
                frames = _visible(folder, number, pixels, cameras[number], selection)
                kept = frames[(seen + np.arange(len(frames))) % settings["every"] == 0]
                seen += len(frames)
                selection.skipped["between every n-th"] += len(frames) - len(kept)
                view = (number, cameras[number], pixels, points)
                yield from _view(folder, subject, view, kept, own, settings, model)


def _inner(fits: object, key: str) -> Mapping:
    """Return the fits of one subject or sequence; that there are none is normal."""
    found = fits.get(key, {}) if isinstance(fits, Mapping) else fits
    if not isinstance(found, Mapping):
        saw = f"a {type(found).__name__} at {key}"
        raise InputError(LABEL_FILE, "", saw, "subject -> sequence -> frame -> parameters")
    return found


def _check(pixels: np.ndarray, points: np.ndarray, camera: Calibration, where: str) -> None:
    """Check units, and that annot3 is in the camera's frame."""
    check_metres(points, JOINT_SET, where, "annot3")
    check_projection(points, pixels, camera.K, PIXELS, where)


def _visible(
    folder: Path, number: int, pixels: np.ndarray, camera: Calibration, selection: Selection
) -> np.ndarray:
    """Return the frames that have an image with all joints inside."""
    end = VIDEO_ENDS.get((*folder.parts[-2:], number), len(pixels))
    selection.skipped["video known to end early"] += max(0, len(pixels) - end)
    inside = _inside(pixels[:end], camera.size)
    selection.skipped["joints outside the image"] += int((~inside).sum())
    return np.flatnonzero(inside)


def _inside(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return which frames have all joints (N, J, 2) inside an image of this size, (N,) bool."""
    return ((pixels >= 0) & (pixels < size)).all((1, 2))


def _view(
    folder: Path,
    subject: int,
    view: tuple[int, Calibration, np.ndarray, np.ndarray],
    kept: np.ndarray,
    fits: Mapping,
    settings: Mapping,
    model: BodyModel,
) -> Iterator[Sample]:
    """Yield the kept frames of one camera in one sequence."""
    number, camera, pixels, points = view
    held = [fits.get(str(frame)) for frame in kept]
    where = f"{LABEL_FILE}: {subject} {folder.name}"
    labels = smpl_labels_to_camera(held, camera.R, camera.t, model, where)
    pattern, first = IMAGES[settings["images"]]
    for frame, label in zip(kept.tolist(), labels, strict=True):
        place = pattern.format(camera=number, number=frame + first)
        video = frame if settings["images"] == "video" else None
        name = "/".join([*folder.parts[-2:], place]) + (f"#{frame}" if video is not None else "")
        yield _sample(
            folder / place, pixels[frame], points[frame], settings["box_factor"],
            name=name, person=subject, frame=frame, sequence="/".join(folder.parts[-2:]),
            camera=str(number), source=name, size=camera.size, video_frame=video, K=camera.K,
            root_3d=points[frame, PELVIS], smpl=label,
        )  # fmt: skip


def _sample(
    image: Path, pixels: np.ndarray, points: np.ndarray, box_factor: float, **fields: object
) -> Sample:
    keypoints = np.column_stack([pixels, np.ones(len(pixels))])
    box = keypoint_box(keypoints, box_factor)
    if box is None:
        raise InputError(fields["name"], "annot2", "all joints in one place", "a person")
    joints = np.column_stack([points - points[PELVIS], np.ones(len(points))])
    return Sample(
        image=image, center=box[0], side=box[1], keypoints_2d=keypoints, joints_3d=joints,
        **fields,
    )  # fmt: skip


def _test(raw: Path, settings: Mapping, selection: Selection) -> Iterator[Sample]:
    """Yield the valid frames of the test sequences."""
    root = raw / TEST_FOLDER
    root = root / TEST_FOLDER if (root / TEST_FOLDER).is_dir() else root
    for number in settings["sequences"]:
        folder = root / f"TS{number}"
        path = folder / "annot_data.mat"
        selection.sources.append(path)
        valid = read_test(path)
        selection.skipped["not valid_frame"] += valid.invalid
        _check_test(valid, path)
        kept = np.ones(len(valid.frames), bool)
        if settings["inside"]:
            kept = _inside(valid.pixels, _image_size(folder))
            selection.skipped["joints outside the image"] += int((~kept).sum())
        for row in np.flatnonzero(kept):
            frame = int(valid.frames[row])
            place = f"imageSequence/img_{frame + 1:06d}.jpg"
            yield _sample(
                folder / place, valid.pixels[row], valid.universal[row], settings["box_factor"],
                name=f"{TEST_FOLDER}/TS{number}/{place}", person=number, frame=frame,
                sequence=f"TS{number}", source=ACTIVITIES[valid.activity[row] - 1],
            )  # fmt: skip


def _check_test(valid: ValidFrames, path: Path) -> None:
    """Check units and axes; 2D and 3D have to agree up to a lens, for no camera is given."""
    if not len(valid.frames):
        raise InputError(path, "valid_frame", "no valid frame", "at least one")
    check_metres(valid.universal, JOINT_SET, path, "univ_annot3")
    check_metres(valid.points, JOINT_SET, path, "annot3")
    K = fit_intrinsics(valid.points, valid.pixels, path)
    side = float(np.median(box_sides(valid.pixels)))
    check_projection(valid.points, valid.pixels, K, FIT * side, path)


def _image_size(folder: Path) -> tuple[int, int]:
    """Return width and height of a sequence's images: not all are 2048 x 2048."""
    first = folder / "imageSequence" / "img_000001.jpg"
    if not first.is_file():
        raise InputError(first, "", "no such file", "the first image of the sequence")
    height, width = decode_jpeg(first.read_bytes(), first).shape[:2]
    return width, height
