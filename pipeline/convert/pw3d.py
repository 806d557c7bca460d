"""3DPW: `sequenceFiles/<folder>/<sequence>.pkl` and `imageFiles/<sequence>/image_%05d.jpg`.

Each file holds one or two people in the world frame, metres, SMPL of the recorded gender. Used
are frames with a valid camera pose; 2D points are OpenPose detections, zero where undetected.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from pipeline.body.pickles import read_pickle
from pipeline.body.smpl import BodyModel
from pipeline.convert.common import (
    Sample,
    Selection,
    SmplLabel,
    gender_name,
    keypoint_box,
    numbers,
    smpl_to_camera,
    take,
)
from pipeline.errors import InputError

KEYPOINT_SET = "openpose18"
JOINT_SET = ROOT = None  # the pose is the label; the joints follow from it
JOINTS_AGREE = 0.1  # metres between the file's joints and the model's pelvis, median


def select(raw: Path, split: str, settings: Mapping, models: Mapping[str, BodyModel]) -> Selection:
    """Return every person in every frame with a valid camera pose and two detected joints.

    Args:
        raw: root of the distribution.
        split: name of the split, for the rule.
        settings: folder, box_factor.
        models: body models by gender.

    Raises:
        InputError: if the folder holds no sequence.
    """
    folder = raw / "sequenceFiles" / settings["folder"]
    paths = sorted(folder.glob("*.pkl"))
    if not paths:
        raise InputError(folder, "", "no .pkl file", "the sequences of 3DPW")
    selection = Selection(f"{split}: frames with campose_valid", sources=paths)
    selection.samples = (
        sample for path in paths for sample in _sequence(raw, path, settings, models, selection)
    )
    return selection


def _sequence(
    raw: Path,
    path: Path,
    settings: Mapping,
    models: Mapping[str, BodyModel],
    selection: Selection,
) -> Iterator[Sample]:
    """Yield the samples of one file, person after person."""
    content = read_pickle(path)
    name = str(take(content, "sequence", path))
    count = len(numbers(take(content, "img_frame_ids", path), (None,), path, "img_frame_ids"))
    K = numbers(take(content, "cam_intrinsics", path), (3, 3), path, "cam_intrinsics")
    cameras = numbers(take(content, "cam_poses", path), (count, 4, 4), path, "cam_poses")
    for person in range(len(take(content, "poses", path))):
        valid, keypoints, labels = _person(content, person, count, cameras, models, path)
        selection.skipped["no valid camera pose"] += int(count - valid.sum())
        for frame in np.flatnonzero(valid):
            box = keypoint_box(keypoints[frame], settings["box_factor"])
            if box is None:
                selection.skipped["fewer than two 2D joints"] += 1
                continue
            image = f"imageFiles/{name}/image_{frame:05d}.jpg"
            yield Sample(
                image=raw / image, name=image, center=box[0], side=box[1],
                keypoints_2d=keypoints[frame], person=person, frame=int(frame), sequence=name,
                source=f"{path.stem}/{person}", K=K, smpl=labels[frame],
            )  # fmt: skip


def _person(
    content: Mapping,
    person: int,
    count: int,
    cameras: np.ndarray,
    models: Mapping[str, BodyModel],
    path: Path,
) -> tuple[np.ndarray, np.ndarray, list[SmplLabel]]:
    """Return which frames are valid, (N, 18, 3) keypoints and the labels, camera frame."""

    def entry(key: str, shape: tuple[int | None, ...]) -> np.ndarray:
        persons = take(content, key, path)
        if len(persons) <= person:
            raise InputError(path, key, f"{len(persons)} persons", f"at least {person + 1}")
        return numbers(persons[person], shape, path, f"{key}[{person}]")

    genders = take(content, "genders", path)
    gender = gender_name(genders[person] if person < len(genders) else "", models, path)
    pose, transl = entry("poses", (count, 72)), entry("trans", (count, 3))
    betas, points = entry("betas", (None,))[:10], entry("poses2d", (count, 3, 18))
    valid = entry("campose_valid", (count,)) > 0
    model = models[gender]
    _check_pelvis(entry("jointPositions", (count, 72)), betas, transl, model, path)
    stacked = np.broadcast_to(betas, (count, 10))
    orient, moved = smpl_to_camera(
        pose[:, :3], transl, stacked, cameras[:, :3, :3], cameras[:, :3, 3], model
    )
    labels = [
        SmplLabel(orient[i], pose[i, 3:].reshape(23, 3), betas, moved[i], gender)
        for i in range(count)
    ]
    return valid, points.transpose(0, 2, 1), labels


def _check_pelvis(
    joints: np.ndarray, betas: np.ndarray, transl: np.ndarray, model: BodyModel, path: Path
) -> None:
    """Check the model against the file: its pelvis at J0(betas) + transl."""
    pelvis = model.joint_template[0] + model.joint_shapedirs[0, :, :10] @ betas + transl
    apart = float(np.median(np.linalg.norm(joints[:, :3] - pelvis, axis=-1)))
    if apart > JOINTS_AGREE:
        saw = f"pelvis {apart:.3f} m from the body model's"
        raise InputError(path, "jointPositions", saw, f"at most {JOINTS_AGREE} m")
