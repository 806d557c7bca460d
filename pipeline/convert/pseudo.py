"""Pseudo ground truth: SMPL bodies that others fitted to the images of a dataset.

NeuralAnnot (Moon et al. 2022): one json by annotation id, camera frame, with its own camera.
EFT (Joo et al. 2021): one json list; rotation matrices, and a camera for the 224 px crop of the
box that the entry itself names. COCO entries carry the annotation's id, others the image's name.
SPIN (Kolotouros et al. 2019): rows of SPIN's own annotation file; `spin_rows` reads them.
All are of the neutral model. Annotations without a fit are normal.
"""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np
import torch

from pipeline.body.pickles import read_npz
from pipeline.convert.common import (
    Selection,
    SmplLabel,
    inside,
    intrinsics,
    numbers,
    smpl_label,
    take,
)
from pipeline.errors import InputError
from pipeline.files import read_json
from pipeline.joints import convert
from pipeline.rotations import matrix_to_axis_angle

Found = tuple[SmplLabel | None, np.ndarray | None]  # the body and its camera matrix
EFT_FOCAL, EFT_CROP = 5000.0, 224.0
SAME_PERSON = 0.1  # largest median distance of two labels of one person, in sides of the box
LARGEST_BETA = 3.0


class NoFits:
    """What a dataset without pseudo ground truth has."""

    def find(self, annotation: int, image: str, keypoints: np.ndarray) -> Found:
        """Return nothing."""
        return None, None


class NeuralAnnot:
    """Fits by annotation id.

    Args:
        path: the json, {id: {smpl_param: {pose, shape, trans}, cam_param: {focal, princpt}}}.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._fits = path, read_json(path)
        if not isinstance(self._fits, Mapping):
            raise InputError(path, "", f"a {type(self._fits).__name__}", "fits by annotation id")

    def find(self, annotation: int, image: str, keypoints: np.ndarray) -> Found:
        """Return the body and the camera of an annotation, (None, None) if it has no fit.

        Raises:
            InputError: if the fit is damaged.
        """
        fit, where = self._fits.get(str(annotation)), f"{self._path}: annotation {annotation}"
        if fit is None:
            return None, None
        camera = take(fit, "cam_param", where)
        focal, principal = (
            numbers(take(camera, key, where), (2,), where, key) for key in ("focal", "princpt")
        )
        return smpl_label(take(fit, "smpl_param", where), where), intrinsics(focal, principal)


class Eft:
    """Fits by annotation id, or by image and, among its people, by keypoints.

    Args:
        path: the json, {data: [{parm_pose, parm_shape, parm_cam, bbox_scale, bbox_center,
            gt_keypoint_2d, annotId, imageName}]}.
        by: "annotation" or "image".
        keypoint_set: joint set of the keypoints that `find` gets.
    """

    def __init__(self, path: Path, by: str, keypoint_set: str) -> None:
        self._path, self._by, self._set = path, by, keypoint_set
        self._entries = defaultdict(list)
        for k, entry in enumerate(take(read_json(path), "data", path)):
            where = f"{path}: entry {k}"
            key = str(take(entry, "annotId" if by == "annotation" else "imageName", where))
            key = key if by == "annotation" else PurePosixPath(key).name
            self._entries[key].append((where, entry))

    def find(self, annotation: int, image: str, keypoints: np.ndarray) -> Found:
        """Return the body and the camera of a person, (None, None) if there is no fit.

        Args:
            annotation: its id.
            image: the image's path or name.
            keypoints: (K, 3) pixels and confidence, of the joint set given before.

        Raises:
            InputError: if the fit is damaged.
        """
        by_annotation = self._by == "annotation"
        key = str(annotation) if by_annotation else PurePosixPath(image).name
        found = self._entries.get(key, [])
        if not by_annotation:
            found = [item for item in found if self._apart(*item, keypoints) <= SAME_PERSON]
            found.sort(key=lambda item: self._apart(*item, keypoints))
        return eft_fit(found[0][1], found[0][0]) if found else (None, None)

    def _apart(self, where: str, entry: Mapping, keypoints: np.ndarray) -> float:
        """Return how far an entry's own keypoints are from a person's, in sides of its box."""
        own = numbers(take(entry, "gt_keypoint_2d", where), (49, 3), where, "gt_keypoint_2d")
        own = convert(own, "spin49", self._set)
        both = (own[:, 2] > 0) & (keypoints[:, 2] > 0)
        if not both.any():
            return np.inf
        side = 200 * float(numbers(take(entry, "bbox_scale", where), (), where, "bbox_scale"))
        return float(np.median(np.linalg.norm(own - keypoints, axis=1)[both])) / side


def eft_fit(entry: Mapping, where: str) -> Found:
    """Return the body of an EFT entry and the camera of the whole image.

    The crop's camera has a focal length of 5000 crop pixels and its centre in the middle of the
    box; scaled back to the image that is a pinhole whose principal point is the box's centre.

    Raises:
        InputError: if a value is missing or of another shape, or the pose is not made of
            rotations of SMPL's joints.
    """
    kind = entry.get("smpltype", "smpl")
    if kind != "smpl":
        raise InputError(where, "smpltype", kind, "smpl")
    rotmats = numbers(take(entry, "parm_pose", where), (24, 3, 3), where, "parm_pose")
    apart = np.abs(rotmats @ rotmats.transpose(0, 2, 1) - np.eye(3)).max()
    if apart > 0.02 or (np.linalg.det(rotmats) < 0).any():
        raise InputError(where, "parm_pose", f"matrices {apart:.2g} off rotations", "rotations")
    betas = numbers(take(entry, "parm_shape", where), (10,), where, "parm_shape")
    scale, tx, ty = numbers(take(entry, "parm_cam", where), (3,), where, "parm_cam")
    center = numbers(take(entry, "bbox_center", where), (2,), where, "bbox_center")
    side = 200 * float(numbers(take(entry, "bbox_scale", where), (), where, "bbox_scale"))
    if scale <= 0 or side <= 0:
        field = "parm_cam" if scale <= 0 else "bbox_scale"
        raise InputError(where, field, min(scale, side), "a positive scale")
    pose = matrix_to_axis_angle(torch.from_numpy(rotmats)).numpy()
    focal = EFT_FOCAL * side / EFT_CROP
    transl = np.array([tx, ty, 2 * EFT_FOCAL / (EFT_CROP * scale)])
    return SmplLabel(pose[0], pose[1:], betas, transl), intrinsics((focal, focal), center)


def open_fits(
    raw: Path, settings: Mapping, standard: str, keypoint_set: str, selection: Selection
) -> NoFits | NeuralAnnot | Eft:
    """Return the fits that a dataset's settings ask for; their file becomes a source.

    Args:
        raw: root of the distribution.
        settings: labels (NeuralAnnot, EFT or null) and, where the file has another name than
            NeuralAnnot's, labels_file inside `raw`.
        standard: NeuralAnnot's name of the file, inside `raw`.
        keypoint_set: joint set of the dataset's 2D labels.
        selection: whose sources the file joins.

    Raises:
        InputError: if the kind of labels is unknown, or their file is missing or damaged.
    """
    kind = settings.get("labels")
    if not kind:
        return NoFits()
    if kind not in ("NeuralAnnot", "EFT"):
        raise InputError("params", "labels", kind, "NeuralAnnot, EFT or null")
    name = settings.get("labels_file") or (standard if kind == "NeuralAnnot" else None)
    path = inside(raw, name, "params", "labels_file")
    selection.sources.append(path)
    if kind == "NeuralAnnot":
        return NeuralAnnot(path)
    return Eft(path, "annotation" if keypoint_set == "coco17" else "image", keypoint_set)


def spin_rows(path: Path, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the fits of SPIN to the rows of one of its annotation files.

    Static fits are an array (N, 82) of pose and betas; final fits and those of several views
    are an archive of pose, betas (or shape) and valid_fit (or has_smpl).

    Args:
        path: `.npy` or `.npz`.
        count: rows of the annotation file, which must be the very one the fits were made for.

    Returns:
        pose (N, 72) axis-angle, betas (N, 10), valid (N,) bool. Betas of a row with any beyond
        3 are zero, as in SPIN's training: such fits went wrong in their shape.

    Raises:
        InputError: if the file is missing or damaged, or holds another number of rows.
    """
    if path.suffix == ".npy":
        rows = numbers(read_npy(path), (count, 82), path, "")
        pose, betas, valid = rows[:, :72], rows[:, 72:].copy(), np.ones(count, bool)
    else:
        arrays = read_npz(path)
        shape = "betas" if "betas" in arrays else "shape"
        valid = next((arrays[key] for key in ("valid_fit", "has_smpl") if key in arrays), None)
        valid = np.ones(count) if valid is None else numbers(valid, (count,), path, "valid_fit")
        valid = valid > 0
        pose = numbers(take(arrays, "pose", path), (count, 72), path, "pose")
        betas = numbers(take(arrays, shape, path), (count, 10), path, shape)
    betas[(np.abs(betas) > LARGEST_BETA).any(1)] = 0
    return pose, betas, valid


def read_npy(path: Path) -> np.ndarray:
    """Return the array of a `.npy` file of numbers.

    Raises:
        InputError: if the file is missing or damaged, or would have to run code to be read.
    """
    try:
        return np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise InputError(path, "", "no such file", "an .npy file") from None
    except (ValueError, EOFError, OSError) as error:
        raise InputError(path, "", f"damaged content ({error})", "an array of numbers") from None
