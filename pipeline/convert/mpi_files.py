"""Readers of the files of MPI-INF-3DHP: MATLAB annotations and camera calibration."""

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from pipeline.convert.common import numbers
from pipeline.convert.matlab import read_mat
from pipeline.errors import InputError
from pipeline.hdf5 import open_hdf5

JOINTS = 28
ROTATION = 1e-3  # largest deviation of R R^T from the identity


@dataclass(frozen=True)
class Calibration:
    """One camera; X_cam = R X + t."""

    K: np.ndarray  # (3, 3) pixels
    R: np.ndarray  # (3, 3)
    t: np.ndarray  # (3,) metres
    size: tuple[int, int]  # width, height


def read_training(path: Path, cameras: list[int]) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Return the joints of `annot.mat` by camera.

    `annot2` and `annot3` are cells of one array (T, 56) and (T, 84) for each of the cameras;
    `annot3` is in the frame of that very camera, so that no extrinsics belong to it.

    Returns:
        camera -> (T, 28, 2) pixels and (T, 28, 3) metres.

    Raises:
        InputError: if the file is not of this form.
    """
    content = read_mat(path, "annot2", "annot3")
    found = {}
    for camera in cameras:
        pixels = _cell(content["annot2"], camera, 2, path, "annot2")
        points = _cell(content["annot3"], camera, 3, path, "annot3")
        if len(pixels) != len(points):
            saw = f"{len(points)} frames for camera {camera}"
            raise InputError(path, "annot3", saw, f"{len(pixels)} as in annot2")
        found[camera] = (pixels, points / 1000)
    lengths = {camera: len(pixels) for camera, (pixels, _) in found.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(path, "annot2", f"frames by camera {lengths}", "as many for each")
    return found


def _cell(value: np.ndarray, camera: int, columns: int, path: Path, key: str) -> np.ndarray:
    """Return one camera's joints, (T, 28, columns)."""
    cells = value.ravel() if value.dtype == object else []
    if len(cells) <= camera:
        saw = f"{len(cells)} cells" if len(cells) else f"an array {value.shape}, no cells"
        raise InputError(path, key, saw, f"a cell for each camera up to {camera}")
    where = f"{key}{{{camera + 1}}}"
    flat = numbers(cells[camera], (None, columns * JOINTS), path, where)
    return flat.reshape(len(flat), JOINTS, columns)


def read_calibration(path: Path) -> dict[int, Calibration]:
    """Return the cameras of `camera.calibration` by number.

    After one line of title, seven lines a camera: name, sensor, size, animated, intrinsic and
    extrinsic (4 x 4 by rows; world to camera, millimetres), radial.

    Raises:
        InputError: if the file is missing or not of this form.
    """
    try:
        lines = [line.split() for line in path.read_text().splitlines()[1:] if line.strip()]
    except FileNotFoundError:
        raise InputError(path, "", "no such file", "the cameras of the sequence") from None
    except UnicodeDecodeError:
        raise InputError(path, "", "no text", "the cameras of the sequence") from None
    if not lines or lines[0][0] != "name":
        raise InputError(path, "", "no line 'name'", "seven lines for each camera")
    starts = [i for i, words in enumerate(lines) if words[0] == "name"]
    found = {}
    for start, stop in zip(starts, [*starts[1:], len(lines)], strict=True):
        block = {words[0]: words[1:] for words in lines[start:stop]}
        number = int(_values(block, "name", 1, path)[0])
        found[number] = _camera(block, f"{path}: camera {number}")
    return found


def _values(block: dict[str, list[str]], key: str, count: int, where: object) -> np.ndarray:
    return numbers(block.get(key, []), (count,), where, key)


def _camera(block: dict[str, list[str]], where: str) -> Calibration:
    intrinsic = _values(block, "intrinsic", 16, where).reshape(4, 4)
    extrinsic = _values(block, "extrinsic", 16, where).reshape(4, 4)
    width, height = _values(block, "size", 2, where)
    R = extrinsic[:3, :3]
    if np.abs(R @ R.T - np.eye(3)).max() > ROTATION or np.linalg.det(R) < 0:
        raise InputError(where, "extrinsic", "no rotation", "world to camera, by rows")
    K = intrinsic[:3, :3]
    if min(K[0, 0], K[1, 1], width, height) <= 0 or (K[2] != (0, 0, 1)).any():
        raise InputError(where, "intrinsic", K.tolist(), "focal lengths and principal point")
    return Calibration(K, R, extrinsic[:3, 3] / 1000, (int(width), int(height)))


@dataclass(frozen=True)
class ValidFrames:
    """The valid frames of one test sequence."""

    frames: np.ndarray  # (N,) from 0
    pixels: np.ndarray  # (N, 17, 2)
    points: np.ndarray  # (N, 17, 3) metres, camera frame
    universal: np.ndarray  # (N, 17, 3) metres, scaled to the universal skeleton
    activity: np.ndarray  # (N,) 1 to 7
    invalid: int  # number of frames left out


def read_test(path: Path) -> ValidFrames:
    """Return the valid frames of `annot_data.mat` (version 7.3: HDF5, axes reversed).

    Raises:
        InputError: if the file is missing, damaged or not of this form.
    """
    with open_hdf5(path) as file:
        valid = _dataset(file, "valid_frame", (None, 1), path)[:, 0] != 0
        frames, count = np.flatnonzero(valid), len(valid)
        shapes = {"annot2": (count, 1, 17, 2), "annot3": (count, 1, 17, 3),
                  "univ_annot3": (count, 1, 17, 3), "activity_annotation": (count, 1)}  # fmt: skip
        values = {key: _dataset(file, key, shape, path)[frames] for key, shape in shapes.items()}
    arrays = {
        key: numbers(value[:, 0], (len(frames), *shapes[key][2:]), path, key)
        for key, value in values.items()
    }  # frames that are not valid may hold anything
    activity = arrays["activity_annotation"]
    if ((activity < 1) | (activity > 7)).any():
        raise InputError(path, "activity_annotation", sorted(set(activity)), "1 to 7")
    return ValidFrames(
        frames, arrays["annot2"], arrays["annot3"] / 1000, arrays["univ_annot3"] / 1000,
        activity.astype(int), int(count - len(frames)),
    )  # fmt: skip


def _dataset(file: h5py.File, key: str, shape: tuple[int | None, ...], path: Path) -> np.ndarray:
    """Return an array of the file, whose shape has to be the given one."""
    if key not in file or not isinstance(file[key], h5py.Dataset):
        raise InputError(path, key, f"only {', '.join(file)}", "this variable")
    seen = file[key].shape
    if len(seen) != len(shape) or any(
        length not in (None, size) for length, size in zip(shape, seen, strict=True)
    ):
        raise InputError(path, key, f"shape {seen}", f"shape {shape}")
    try:
        return file[key][:]
    except OSError as error:
        raise InputError(path, key, f"damaged content ({error})", "a whole file") from None
