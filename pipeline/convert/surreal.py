"""SURREAL: `cmu/{train,val,test}/run{0,1,2}/<sequence>/<clip>{.mp4,_info.mat,_segm.mat}`.

Clips of up to 100 frames, 320 x 240; SMPL of the recorded gender (0 is female), metres. The
dataset's camera matrix has determinant -1: pictures are mirror images of what the parameters
say, so that the right arm seen is the left one of the labels. Here the pictures stay and the
labels are mirrored: sides of joints swapped, poses reflected. The root has to be turned by zrot
about z and by 90 degrees about x first. The translation is the mean offset of the 24 joints, as
the released root is not the body's J0 exactly; shapes count as symmetric, which they nearly are.
"""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import torch

from pipeline.body.smpl import BodyModel, SMPLLayer
from pipeline.convert.common import (
    Sample,
    Selection,
    SmplLabel,
    gender_name,
    intrinsics,
    keypoint_box,
    numbers,
    square_box,
)
from pipeline.convert.geometry import check_metres, check_projection
from pipeline.convert.matlab import read_mat
from pipeline.errors import InputError
from pipeline.joints import flip_permutation
from pipeline.rotations import axis_angle_to_matrix, matrix_to_axis_angle, rotate_about

KEYPOINT_SET = JOINT_SET = "smpl24"
ROOT = "pelvis"
SIZE = (320, 240)
K = intrinsics((600, 600), (160, 120))  # 60 mm before a sensor of 32 mm
TO_CAMERA = np.array([[0.0, 0, -1], [0, 1, 0], [-1, 0, 0]])  # world to camera, a reflection
MIRROR = np.diag([-1.0, 1, 1])
SWAP = flip_permutation("smpl24")
GENDERS = {0: "f", 1: "m"}
PROJECTION = 2.0  # largest median distance of 3D and 2D joints, pixels
BODY = 0.1  # largest median distance of the body's joints and the file's, metres
KEYS = ("joints2D", "joints3D", "pose", "shape", "gender", "zrot", "camLoc")


def select(raw: Path, split: str, settings: Mapping, models: Mapping[str, BodyModel]) -> Selection:
    """Return every `frame_step`-th frame in which the person is seen.

    Args:
        raw: root of the distribution.
        split: name of the split, for the rule.
        settings: folder, runs, frame_step, box (segmentation or keypoints), box_factor,
            skip_sequences (patterns; the subjects 18, 19 and the sequence 143_21 have monstrous
            shapes).
        models: body models by gender.

    Raises:
        InputError: if a run holds no clip.
    """
    step, skipped = settings["frame_step"], settings.get("skip_sequences") or ()
    runs = settings["runs"]
    selection = Selection(f"{split}: runs {runs}, every {step}th frame with the person in view")
    paths = []
    for run in runs:
        folder = raw / "cmu" / settings["folder"] / f"run{run}"
        found = sorted(folder.glob("*/*_info.mat"))
        if not found:
            raise InputError(folder, "", "no _info.mat file", "the sequences of SURREAL")
        for path in found:
            if any(fnmatch(path.parent.name, pattern) for pattern in skipped):
                selection.skipped["clips of monstrous shapes"] += 1
            else:
                paths.append(path)
    selection.samples = (
        sample for path in paths for sample in _clip(raw, path, settings, models, selection)
    )
    return selection


def _clip(
    raw: Path, path: Path, settings: Mapping, models: Mapping[str, BodyModel], selection: Selection
) -> Iterator[Sample]:
    selection.sources.append(path)
    pixels, joints, labels = _labels(path, models)
    frames = range(0, len(joints), settings["frame_step"])
    name = path.name.removesuffix("_info.mat")
    video = path.with_name(f"{name}.mp4")
    edges = None
    if settings["box"] == "segmentation":
        segments = path.with_name(f"{name}_segm.mat")
        selection.sources.append(segments)
        edges = _silhouettes(segments, frames)
    for frame in frames:
        inside = ((pixels[frame] > 0) & (pixels[frame] < SIZE)).all(1)
        keypoints = np.column_stack([pixels[frame], inside])
        keypoints[~inside] = 0
        box = keypoint_box(keypoints, settings["box_factor"])
        if edges is not None:
            box = edges[frame] and square_box(*edges[frame], settings["box_factor"])
        if box is None:
            selection.skipped["frames without the person in view"] += 1
            continue
        root, subject = joints[frame, 0], path.parent.name.split("_")[0]
        yield Sample(
            image=video, name=f"{video.relative_to(raw).as_posix()}:{frame:06d}", size=SIZE,
            video_frame=frame, center=box[0], side=box[1], keypoints_2d=keypoints, K=K,
            person=int(subject) if subject.isdigit() else 0, frame=frame, sequence=name,
            source=f"{path.parent.parent.name}/{path.parent.name}", smpl=labels[frame],
            joints_3d=np.column_stack([joints[frame] - root, np.ones(24)]), root_3d=root,
        )  # fmt: skip


def _labels(
    path: Path, models: Mapping[str, BodyModel]
) -> tuple[np.ndarray, np.ndarray, list[SmplLabel]]:
    """Return pixels (T, 24, 2), joints (T, 24, 3) of the camera frame, and bodies, as seen.

    Raises:
        InputError: if the arrays do not belong together.
    """
    content = read_mat(path, *KEYS)
    pose = _rows(content["pose"], (72,), None, path, "pose")
    count = len(pose)
    pixels = _rows(content["joints2D"], (2, 24), count, path, "joints2D").transpose(0, 2, 1)
    world = _rows(content["joints3D"], (3, 24), count, path, "joints3D").transpose(0, 2, 1)
    betas = _rows(content["shape"], (10,), count, path, "shape")
    zrot = _rows(content["zrot"].ravel(), (), count, path, "zrot")
    gender = _rows(content["gender"].ravel(), (), count, path, "gender")
    centre = numbers(content["camLoc"].ravel(), (3,), path, "camLoc")
    if len(set(gender)) != 1 or gender[0] not in GENDERS:
        raise InputError(path, "gender", sorted(set(gender)), "0 or 1, the same in all frames")
    joints = (world - centre) @ TO_CAMERA.T
    joints, pixels = joints[:, SWAP], pixels[:, SWAP]
    check_metres(joints, JOINT_SET, path, "joints3D")
    check_projection(joints, pixels, K, PROJECTION, path)
    name = gender_name(GENDERS[gender[0]], models, path)
    body = reflected(pose.reshape(-1, 24, 3), zrot)
    transl = _translation(body, betas, joints, models[name], path)
    labels = [
        SmplLabel(own[0], own[1:], shape, place, name)
        for own, shape, place in zip(body, betas, transl, strict=True)
    ]
    return pixels, joints, labels


def _rows(
    value: np.ndarray, shape: tuple[int, ...], count: int | None, path: Path, key: str
) -> np.ndarray:
    """Return an array whose last axis is time with time first, (T, *shape).

    MATLAB drops the last axis of clips of one frame.
    """
    if value.shape == shape:
        value = value[..., None]
    found = numbers(value, (*shape, count), path, key)
    return np.moveaxis(found, -1, 0)


def reflected(pose: np.ndarray, zrot: np.ndarray) -> np.ndarray:
    """Return poses as they are seen: in the camera frame, mirrored.

    The root's rotation becomes TO_CAMERA Rx(90) Rz(zrot) R MIRROR, both reflections together a
    rotation.

    Args:
        pose: (T, 24, 3) axis-angle as stored.
        zrot: (T,) radians.

    Returns:
        (T, 24, 3) axis-angle.
    """
    seen = pose[:, SWAP] * [1, -1, -1]
    root = axis_angle_to_matrix(torch.from_numpy(pose[:, 0]))
    upright = rotate_about("x", torch.tensor(np.pi / 2, dtype=torch.float64))
    turn = rotate_about("z", torch.from_numpy(zrot))
    to_camera, mirror = torch.from_numpy(TO_CAMERA), torch.from_numpy(MIRROR)
    seen[:, 0] = matrix_to_axis_angle(to_camera @ upright @ turn @ root @ mirror).numpy()
    return seen


def _translation(
    pose: np.ndarray, betas: np.ndarray, joints: np.ndarray, model: BodyModel, path: Path
) -> np.ndarray:
    """Return the translation (T, 3) that fits the body's joints to the file's best.

    Raises:
        InputError: if they do not fit.
    """
    layer = SMPLLayer(model, np.zeros(1, int))
    tensors = (torch.from_numpy(array).float() for array in (betas, pose))
    shape, turned = tensors
    own = layer.joints(shape, axis_angle_to_matrix(turned)).double().numpy()
    transl = (joints - own).mean(1)
    apart = float(np.median(np.linalg.norm(own + transl[:, None] - joints, axis=-1)))
    if apart > BODY:
        saw = f"a body whose joints are {apart:.3f} m from joints3D"
        raise InputError(path, "pose", saw, f"at most {BODY} m: zrot, gender and sides as stored")
    return transl


def _silhouettes(path: Path, frames: range) -> dict[int, tuple[np.ndarray, np.ndarray] | None]:
    """Return each frame's lowest and highest corner of what is seen of the person.

    Raises:
        InputError: if the file is damaged, or a frame is missing or of another size.
    """
    content, found = read_mat(path, *(f"segm_{frame + 1}" for frame in frames)), {}
    for frame in frames:
        image = content[f"segm_{frame + 1}"]
        if image.shape != SIZE[::-1]:
            expected = f"{SIZE[::-1]}: 240 rows, 320 columns"
            raise InputError(path, f"segm_{frame + 1}", f"shape {image.shape}", expected)
        rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
        found[frame] = None
        if len(rows):
            low, high = [columns[0], rows[0]], [columns[-1] + 1, rows[-1] + 1]
            found[frame] = np.array(low, float), np.array(high, float)
    return found
