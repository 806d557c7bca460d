"""What every converter shares: the sample, reading annotations, boxes and camera frames."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from pipeline.body.smpl import BodyModel
from pipeline.errors import InputError
from pipeline.records import GENDERS
from pipeline.rotations import axis_angle_to_matrix, matrix_to_axis_angle


@dataclass(frozen=True)
class SmplLabel:
    """SMPL parameters in the camera frame; metres, radians."""

    global_orient: np.ndarray  # (3,)
    body_pose: np.ndarray  # (23, 3)
    betas: np.ndarray  # (10,)
    transl: np.ndarray | None  # (3,); None where only the pose and the shape are known
    gender: str = "neutral"


@dataclass(frozen=True)
class Sample:
    """One person in one image, before it is cut out."""

    image: Path
    name: str  # the image's path inside the distribution
    center: np.ndarray  # (2,) of the square person box, continuous pixels
    side: float  # of the same, box factor included
    keypoints_2d: np.ndarray | None  # (K, 3) continuous pixels and confidence
    person: int
    frame: int
    sequence: str
    source: str  # the distribution's own name of the annotation
    camera: str = ""
    size: tuple[int, int] | None = None  # width and height that the annotation states
    video_frame: int | None = None  # from 0, where `image` is a video
    K: np.ndarray | None = None  # (3, 3)
    joints_3d: np.ndarray | None = None  # (J, 4) metres, camera frame, about the root; validity
    root_3d: np.ndarray | None = None  # (3,) metres, camera frame: where that root stands
    smpl: SmplLabel | None = None
    mirror: bool = False  # the image is read mirrored left to right, as all labels describe it
    extra: Mapping[str, object] = field(default_factory=dict)  # further fields of the records


@dataclass
class Selection:
    """The samples that a rule selects from a distribution.

    `skipped` counts, by reason, what was left out; it and `sources`, the annotation files read,
    are complete once `samples` has been gone through.
    """

    rule: str
    samples: Iterable[Sample] = ()
    count: int | None = None  # of samples, where it is known beforehand
    skipped: Counter = field(default_factory=Counter)
    sources: list[Path] = field(default_factory=list)


def inside(folder: Path, name: object, where: object, field: str) -> Path:
    """Return the path of a file that an annotation names.

    Args:
        folder: that the name is relative to.
        name: as written in the annotation.
        where: for errors.
        field: for errors.

    Raises:
        InputError: if the name is no text or leads out of the folder.
    """
    path = Path(name) if isinstance(name, str) and "\0" not in name else None
    if path is None or not path.parts or path.is_absolute() or ".." in path.parts:
        raise InputError(where, field, f"{name!r:.80}", "a path inside the distribution")
    return folder / path


def take(mapping: Mapping, key: str, where: object) -> object:
    """Return an entry of an annotation.

    Raises:
        InputError: if it is missing.
    """
    if not isinstance(mapping, Mapping) or key not in mapping:
        keys = ", ".join(map(str, list(mapping)[:8])) if isinstance(mapping, Mapping) else mapping
        raise InputError(where, key, f"only {keys}"[:120], "this key")
    return mapping[key]


def numbers(value: object, shape: tuple[int | None, ...], where: object, name: str) -> np.ndarray:
    """Return a float64 array of the given shape; None in the shape takes any length.

    Raises:
        InputError: if the value has another shape, is no number or is not finite.
    """
    try:
        array = np.array(value, np.float64)
    except (TypeError, ValueError):
        raise InputError(where, name, f"{value!r:.60}", f"numbers of shape {shape}") from None
    fits = array.ndim == len(shape) and all(
        length in (None, seen) for length, seen in zip(shape, array.shape, strict=True)
    )
    if not fits:
        raise InputError(where, name, f"shape {array.shape}", f"shape {shape}")
    if not np.isfinite(array).all():
        raise InputError(where, name, "values that are not finite", "finite values")
    return array


def split_settings(settings: Mapping, split: str) -> dict:
    """Return a dataset's settings with those of one split laid over them.

    Raises:
        InputError: if there is no such split.
    """
    splits = settings["splits"]
    if split not in splits:
        raise InputError("params", "data.datasets.*.splits", split, " or ".join(splits))
    return {key: value for key, value in settings.items() if key != "splits"} | splits[split]


def square_box(low: np.ndarray, high: np.ndarray, factor: float) -> tuple[np.ndarray, float]:
    """Return centre (2,) and side of the square around a box, enlarged by `factor`."""
    return (low + high) / 2, float((high - low).max() * factor)


def keypoint_box(keypoints: np.ndarray, factor: float) -> tuple[np.ndarray, float] | None:
    """Return the square box around the labelled points, None when they span nothing.

    Args:
        keypoints: (K, 3) pixels and confidence.
        factor: enlargement.
    """
    points = keypoints[keypoints[:, 2] > 0, :2]
    if len(points) < 2:
        return None
    center, side = square_box(points.min(0), points.max(0), factor)
    return (center, side) if side > 1 else None


def intrinsics(focal: Sequence[float], principal: Sequence[float]) -> np.ndarray:
    """Return the camera matrix (3, 3)."""
    return np.array([[focal[0], 0, principal[0]], [0, focal[1], principal[1]], [0, 0, 1.0]])


def project(points: np.ndarray, K: np.ndarray) -> np.ndarray:
    """Return camera points (..., 3) in pixels (..., 2)."""
    image = points @ np.swapaxes(K, -1, -2)
    return image[..., :2] / image[..., 2:]


def smpl_to_camera(
    global_orient: np.ndarray,
    transl: np.ndarray,
    betas: np.ndarray,
    R: np.ndarray,
    t: np.ndarray,
    model: BodyModel,
) -> tuple[np.ndarray, np.ndarray]:
    """Return orientation and translation of SMPL bodies after x -> R x + t.

    SMPL turns about its pelvis J0(betas), not about the origin, so that the translation is
    R (J0 + transl) + t - J0 and depends on the shape and on the gendered model.

    Args:
        global_orient: (N, 3) axis-angle.
        transl: (N, 3) metres.
        betas: (N, 10).
        R: (N, 3, 3) or (3, 3).
        t: (N, 3) or (3,), metres.
        model: the body model that betas belong to.

    Returns:
        (N, 3) axis-angle and (N, 3) metres.
    """
    shapedirs = model.joint_shapedirs[0, :, : betas.shape[1]]  # (3, 10)
    pelvis = model.joint_template[0] + betas @ shapedirs.T
    moved = np.einsum("...ij,...j->...i", R, pelvis + transl) + t - pelvis
    turned = torch.from_numpy(R) @ axis_angle_to_matrix(torch.from_numpy(global_orient))
    return matrix_to_axis_angle(turned).numpy(), moved


def smpl_label(
    parameters: Mapping, where: object, names: tuple[str, str, str] = ("pose", "shape", "trans")
) -> SmplLabel:
    """Return the label of one annotation, in whatever frame it is written.

    Raises:
        InputError: if a parameter is missing or has another shape.
    """
    pose, betas, transl = (
        numbers(take(parameters, name, where), (size,), where, name)
        for name, size in zip(names, (72, None, 3), strict=True)
    )
    if len(betas) < 10:
        raise InputError(where, names[1], f"{len(betas)} numbers", "10 or more")
    return SmplLabel(pose[:3], pose[3:].reshape(23, 3), betas[:10], transl)


def smpl_labels_to_camera(
    fits: Sequence[Mapping | None], R: np.ndarray, t: np.ndarray, model: BodyModel, where: object
) -> list[SmplLabel | None]:
    """Return world-frame fits as labels after x -> R x + t; None where there is no fit.

    Args:
        fits: `smpl_label`'s parameters, or None.
        R: (3, 3).
        t: (3,) metres.
        model: the body model of the fits.
        where: for errors.
    """
    held = {i: smpl_label(fit, where) for i, fit in enumerate(fits) if fit is not None}
    found: list[SmplLabel | None] = [None] * len(fits)
    if held:
        parts = [(label.global_orient, label.transl, label.betas) for label in held.values()]
        stacked = [np.stack(part) for part in zip(*parts, strict=True)]
        for i, orient, transl in zip(held, *smpl_to_camera(*stacked, R, t, model), strict=True):
            found[i] = SmplLabel(orient, held[i].body_pose, held[i].betas, transl)
    return found


def gender_name(letter: str, models: Mapping[str, BodyModel], where: object) -> str:
    """Return the gender that an annotation abbreviates.

    Raises:
        InputError: if it is neither m, f nor n, or its body model is not there.
    """
    names = {name[0]: name for name in GENDERS}
    if str(letter) not in names:
        raise InputError(where, "genders", letter, "m, f or n")
    if names[str(letter)] not in models:
        raise InputError("body models", names[letter], f"only {', '.join(models)}",
                         f"this model, whose betas {where} holds")  # fmt: skip
    return names[str(letter)]
