"""Readers of Human3.6M's own files: metadata.xml, poses in CDF, silhouettes in HDF5."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cdflib
import cv2
import h5py
import numpy as np

from pipeline.convert.common import intrinsics, numbers
from pipeline.errors import InputError
from pipeline.hdf5 import open_hdf5

SUBJECTS, CAMERAS = 11, 4
EXTRINSIC, INTRINSIC = SUBJECTS * CAMERAS * 6, CAMERAS * 9  # numbers of `w0`, in this order
ALL = 1  # the action that names whole recordings, `_ALL 1`: they repeat the others


@dataclass(frozen=True)
class StudioCamera:
    """One of the four cameras as one subject was recorded; X_cam = R (X - centre)."""

    R: np.ndarray  # (3, 3)
    centre: np.ndarray  # (3,) metres
    K: np.ndarray  # (3, 3) pixels
    distortion: np.ndarray  # (5,) k1, k2, k3, p1, p2

    @property
    def t(self) -> np.ndarray:
        """The translation of X_cam = R X + t, (3,) metres."""
        return -self.R @ self.centre

    def project(self, points_cam: np.ndarray) -> np.ndarray:
        """Return where the lens shows points of the camera frame, (..., 3) -> (..., 2) pixels."""
        k1, k2, k3, p1, p2 = self.distortion
        flat = np.ascontiguousarray(points_cam, np.float64).reshape(-1, 1, 3)
        still, bend = np.zeros(3), np.array([k1, k2, p1, p2, k3])  # OpenCV's order
        return cv2.projectPoints(flat, still, still, self.K, bend)[0].reshape(
            *points_cam.shape[:-1], 2
        )


@dataclass(frozen=True)
class Studio:
    """What metadata.xml says."""

    names: dict[tuple[int, int, int], str]  # subject, action, sub-action -> name of the files
    cameras: dict[tuple[int, str], StudioCamera]  # subject, camera

    @property
    def camera_ids(self) -> list[str]:
        """The cameras in the metadata's order."""
        return list(dict.fromkeys(camera for _, camera in self.cameras))


@dataclass(frozen=True)
class Take:
    """One action of one subject, seen by one camera."""

    subject: int
    action: int
    sub: int
    name: str  # of the files
    number: int  # of the camera, from 0
    camera_id: str
    camera: StudioCamera

    @property
    def sequence(self) -> str:
        """What the json redistribution calls it."""
        parts = {"s": self.subject, "act": self.action, "subact": self.sub, "ca": self.number + 1}
        return "_".join(f"{key}_{value:02d}" for key, value in parts.items())

    def file(self, raw: Path, folder: str, ending: str) -> Path:
        """Return one of the take's files."""
        return raw / f"S{self.subject}" / folder / f"{self.name}.{self.camera_id}.{ending}"


def read_metadata(path: Path) -> Studio:
    """Return file names and cameras.

    The files of one action have other names for S1 than for the rest (TakingPhoto and Photo):
    the table of this file says which belong together.

    Raises:
        InputError: if the file is missing, damaged, or lacks one of its parts.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except FileNotFoundError:
        raise InputError(path, "", "no such file", "metadata.xml of code-v1.2") from None
    except (ElementTree.ParseError, ValueError) as error:
        raise InputError(path, "", f"no XML ({error})", "metadata.xml of code-v1.2") from None
    for tag in ("mapping", "dbcameras/index2id", "w0"):
        if root.find(tag) is None:
            raise InputError(path, tag, "nothing", "this element")
    ids = [str(item.text).strip() for item in root.find("dbcameras/index2id")]
    if len(set(ids)) != CAMERAS:
        raise InputError(path, "dbcameras/index2id", ids, f"{CAMERAS} cameras")
    return Studio(_names(root.find("mapping"), path), _cameras(root.find("w0").text, ids, path))


def _names(table: ElementTree.Element, path: Path) -> dict[tuple[int, int, int], str]:
    rows = [[(cell.text or "").strip() for cell in row] for row in table]
    heads = rows[0][2:] if rows else []
    if not heads or any(head[:1] != "S" or not head[1:].isdigit() for head in heads):
        raise InputError(path, "mapping", heads, "S1 to S11 in its first row")
    names = {}
    for row in rows[1:]:
        if len(row) == len(heads) + 2 and row[0].isdigit() and row[1].isdigit():
            for head, name in zip(heads, row[2:], strict=True):
                names[int(head[1:]), int(row[0]), int(row[1])] = name
    return names


def _cameras(text: str | None, ids: list[str], path: Path) -> dict[tuple[int, str], StudioCamera]:
    """Return the cameras of `w0`: angles and centres of each subject, then the lenses."""
    flat = numbers((text or "").strip(" []\n\t").split(), (None,), path, "w0")
    if len(flat) != EXTRINSIC + INTRINSIC:
        raise InputError(path, "w0", f"{len(flat)} numbers", f"{EXTRINSIC + INTRINSIC}")
    placed = flat[:EXTRINSIC].reshape(CAMERAS, SUBJECTS, 6)
    lenses = flat[EXTRINSIC:].reshape(CAMERAS, 9)  # fx, fy, cx, cy, k1, k2, k3, p1, p2
    return {
        (subject + 1, camera): StudioCamera(
            from_angles(placed[k, subject, :3]), placed[k, subject, 3:] / 1000,
            intrinsics(lenses[k, :2], lenses[k, 2:4]), lenses[k, 4:],
        )
        for k, camera in enumerate(ids)
        for subject in range(SUBJECTS)
    }  # fmt: skip


def from_angles(angles: Sequence[float]) -> np.ndarray:
    """Return the rotation Rx(a) Ry(b) Rz(c) of the metadata, world to camera."""
    (ca, cb, cc), (sa, sb, sc) = np.cos(angles), np.sin(angles)
    x = np.array([[1, 0, 0], [0, ca, -sa], [0, sa, ca]])
    y = np.array([[cb, 0, sb], [0, 1, 0], [-sb, 0, cb]])
    z = np.array([[cc, -sc, 0], [sc, cc, 0], [0, 0, 1]])
    return x @ y @ z


def read_poses(path: Path, joints: int, width: int) -> np.ndarray:
    """Return the variable `Pose` of a CDF file, (T, joints, width), in the file's unit.

    Raises:
        InputError: if the file is missing, damaged, or holds something else.
    """
    if not path.is_file():
        raise InputError(path, "", "no such file", "poses in the Common Data Format")
    try:
        with cdflib.CDF(path) as file:
            variables = file.cdf_info()
            variables = variables.zVariables + variables.rVariables
            values = file.varget("Pose") if "Pose" in variables else None
    except Exception as error:  # damaged bytes can end in any of them
        reason = str(error) or type(error).__name__
        raise InputError(path, "", f"damaged content ({reason})", "a whole CDF file") from None
    if values is None:
        held = ", ".join(variables) or "nothing"
        raise InputError(path, "Pose", f"only {held}", "this variable")
    flat = numbers(values, (1, None, joints * width), path, "Pose")
    return flat[0].reshape(-1, joints, width)


def read_silhouettes(path: Path, frames: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    """Return the boxes around silhouettes, and the size of the images.

    `Masks` refers to one image a frame, each stored with its axes swapped, as MATLAB does.

    Args:
        path: a file of `ground_truth_bb` (filled boxes) or `ground_truth_bs` (silhouettes).
        frames: (n,) numbers of the frames, from 0.

    Returns:
        (n, 4) left, top, right, bottom in pixels, NaN where there is no person or no mask; and
        (width, height).

    Raises:
        InputError: if the file is missing or damaged.
    """
    boxes, size = np.full((len(frames), 4), np.nan), (0, 0)
    with open_hdf5(path) as file:
        masks = file["Masks"] if "Masks" in file else None
        if masks is None or masks.ndim != 2 or masks.dtype != h5py.ref_dtype:
            raise InputError(path, "Masks", "nothing", "one reference to an image per frame")
        for row, frame in enumerate(frames):
            if frame < len(masks):
                mask = _mask(file, masks[frame, 0], f"{path}: Masks {frame}")
                size, boxes[row] = mask.shape[::-1], _box(mask)
    return boxes, size


def _mask(file: h5py.File, reference: h5py.Reference, where: str) -> np.ndarray:
    try:
        mask = file[reference][()].T
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise InputError(where, "", f"damaged content ({error})", "an image") from None
    if mask.ndim != 2 or mask.dtype.kind not in "bui":
        raise InputError(where, "", f"{mask.dtype} of shape {mask.shape}", "an image of 0 and 1")
    return mask


def _box(mask: np.ndarray) -> np.ndarray | float:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return np.nan
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], float)
