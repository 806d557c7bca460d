"""The schema of records files, and the check that a file follows it."""

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from pipeline.errors import InputError
from pipeline.hdf5 import open_hdf5
from pipeline.images import decode_jpeg
from pipeline.joints import JOINT_SETS

SCHEMA_VERSION = 1
FRAMES = "pixels continuous, original image; metres, camera frame x right y down z forward"
GENDERS = ("neutral", "male", "female")
CHUNK = 1 << 20  # bytes of image/data; stored as they are, so that readers can map the file


@dataclass(frozen=True)
class Field:
    """One array of the schema: where it is, its row, and what stands in rows without it."""

    path: str
    dtype: str
    shape: tuple[int | str | None, ...] = ()  # None: as many as the row has
    missing: float | None = None  # None: every row must have it

    @property
    def ragged(self) -> bool:
        """Whether rows differ in length; they stand one after the other, `offset` divides them."""
        return self.shape[:1] == (None,)

    @property
    def offset(self) -> str:
        """Path of where the rows of a ragged array begin, (N + 1,)."""
        return f"{self.path}_offset"


FIELDS = {
    "affine": Field("image/affine", "f8", (2, 3)),
    "image_size": Field("image/size", "i4", (2,)),
    "name": Field("image/name", "S"),
    "original_size": Field("image/original_size", "i4", (2,)),
    "center": Field("bbox/center", "f4", (2,)),
    "side": Field("bbox/side", "f4"),
    "person": Field("id/person", "i8"),
    "frame": Field("id/frame", "i8"),
    "sequence": Field("id/sequence", "S"),
    "camera": Field("id/camera", "S"),
    "source": Field("id/source", "S"),
    "K": Field("camera/K", "f8", (3, 3), np.nan),
    "keypoints_2d": Field("keypoints_2d", "f4", ("keypoint_set", 3), 0),
    "joints_3d": Field("joints_3d", "f4", ("joint_set", 4), 0),
    "root_3d": Field("root_3d", "f4", (3,), np.nan),
    "global_orient": Field("smpl/global_orient", "f4", (3,), 0),
    "body_pose": Field("smpl/body_pose", "f4", (23, 3), 0),
    "betas": Field("smpl/betas", "f4", (10,), 0),
    "transl": Field("smpl/transl", "f4", (3,), 0),
    "gender": Field("smpl/gender", "u1", (), 0),
    "smpl_valid": Field("smpl/valid", "u1", (), 0),
    "has_transl": Field("smpl/has_transl", "u1", (), 0),
    "mano_global_orient": Field("mano/global_orient", "f4", (3,), 0),
    "hand_pose": Field("mano/hand_pose", "f4", (45,), 0),
    "mano_betas": Field("mano/betas", "f4", (10,), 0),
    "mano_valid": Field("mano/valid", "u1", (), 0),
    "hand_vertices": Field("hand_vertices", "f4", (778, 3), np.nan),
    "surface_points": Field("densepose/points", "f4", (None, 5), 0),
    "surface_mirrored": Field("densepose/mirrored", "f4", (None, 3), 0),
    "parts_png": Field("densepose/parts", "u1", (None,), 0),
    "parts_box": Field("densepose/box", "f4", (4,), np.nan),
}
LABELS = {
    "smpl": {"global_orient", "body_pose", "betas"},
    "mano": {"mano_global_orient", "hand_pose", "mano_betas"},
}
"""Groups whose label is whole or absent, and the fields that make it; `valid` says which."""
UNKNOWN = tuple(key for key, field in FIELDS.items() if np.isnan(field.missing or 0))
"""Fields that are NaN in rows without them: there is no number that says nothing."""
DEFAULTS = {"person": 0, "frame": 0, "sequence": "", "camera": "", "source": ""}
ATTRIBUTES = ("schema_version", "dataset", "split", "rule", "count", "frames", "source_sha256")


def row_shape(field: Field, attrs: dict) -> tuple[int, ...] | None:
    """Return the shape of a row; None when the file names no known joint set for it."""
    first = field.shape[0] if field.shape else None
    if not isinstance(first, str):
        return field.shape
    joints = JOINT_SETS.get(attrs.get(first))
    return (len(joints), *field.shape[1:]) if joints else None


def check_structure(file: h5py.File, name: Path | str) -> None:
    """Check version, attributes, presence and shapes, without reading the arrays."""
    version = file.attrs.get("schema_version")
    if version != SCHEMA_VERSION:
        raise InputError(name, "schema_version", version, SCHEMA_VERSION)
    for key in ATTRIBUTES:
        if key not in file.attrs:
            raise InputError(name, key, "nothing", "an attribute of the file")
    count = int(file.attrs["count"])
    expected = {"image/offset": (count + 1,)}
    for field in FIELDS.values():
        if field.ragged:
            if field.path in file:
                expected[field.offset] = (count + 1,)
                expected[field.path] = (len(file[field.path]), *field.shape[1:])
            continue
        if field.missing is None or field.path in file:
            shape = row_shape(field, dict(file.attrs))
            if shape is None:
                saw = file.attrs.get(field.shape[0])
                raise InputError(name, field.shape[0], saw, "the name of a joint set")
            expected[field.path] = (count, *shape)
    for path, shape in expected.items():
        saw = file[path].shape if path in file else "nothing"
        if saw != shape:
            raise InputError(name, path, saw, f"shape {shape}")
    data = file["image/data"] if "image/data" in file else None
    if data is None or data.chunks != (CHUNK,) or data.id.get_create_plist().get_nfilters():
        raise InputError(name, "image/data", "nothing or a packed array", f"chunks of {CHUNK}")


def validate(path: Path | str, name: Path | str | None = None) -> None:
    """Check structure and values of a records file.

    Args:
        path: the file.
        name: what to call it in errors, when it does not have its final name yet.

    Raises:
        InputError: naming the first field that is wrong.
    """
    name = name or path
    with open_hdf5(path) as file:
        check_structure(file, name)
        offset = _check_offset(file, "image/offset", len(file["image/data"]), 1, name)
        for key, field in FIELDS.items():
            if field.path in file and field.dtype != "S":
                _check_values(key, file[field.path][:], f"{name}: {field.path}")
            if field.path in file and field.ragged:
                _check_offset(file, field.offset, len(file[field.path]), 0, name)
        for row in {0, len(offset) // 2 - 1, len(offset) - 2}:
            data = file["image/data"][offset[row] : offset[row + 1]].tobytes()
            size, stated = decode_jpeg(data, f"{name} row {row}").shape[1::-1], file["image/size"]
            if size != tuple(stated[row]):
                raise InputError(name, "image/size", stated[row], f"its image's {size}")


def _check_offset(
    file: h5py.File, path: str, total: int, least: int, name: Path | str
) -> np.ndarray:
    """Return where the rows of a ragged array begin, each with `least` or more entries."""
    offset = file[path][:]
    if offset[0] != 0 or offset[-1] != total or (np.diff(offset) < least).any():
        raise InputError(name, path, offset[-1], f"steps that rise to {total}")
    return offset


def _check_values(key: str, value: np.ndarray, where: str) -> None:
    """Check the values of one field."""
    if key not in UNKNOWN and not np.isfinite(value).all():
        raise InputError(where, "", "values that are not finite", "finite values")
    if key in ("side", "image_size", "original_size") and (value <= 0).any():
        raise InputError(where, "", value.min(), "positive values")
    if key == "gender" and value.max() >= len(GENDERS):
        raise InputError(where, "", value.max(), f"0..{len(GENDERS) - 1}")
    if key == "affine" and (np.abs(np.linalg.det(value[:, :, :2])) < 1e-9).any():
        raise InputError(where, "", "a singular map", "invertible maps")
