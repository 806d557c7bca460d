"""Records: one HDF5 file per dataset and split, the same schema for every dataset.

Row i of every dataset is sample i. Images are JPEG bytes of a square person crop, one after the
other in `image/data`; everything else is a plain array. Groups that no row has are absent;
inside a group, validity marks the rows and joints that have the label (for `camera/K` and
`root_3d`: not NaN).

Frames and units: 2D is in continuous pixels of the *original* image (the centre of its first
pixel is at 0.5), `image/affine` maps it to the stored crop; 3D is in metres in the camera frame
(x right, y down, z forward); `joints_3d` is relative to its own root, which stands at `root_3d`;
SMPL parameters belong to the model of `smpl/gender`, global_orient and transl in the camera frame.
"""

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import h5py
import numpy as np

from pipeline.errors import InputError
from pipeline.files import atomic
from pipeline.hdf5 import open_hdf5, require_space
from pipeline.images import decode_jpeg, encode_jpeg
from pipeline.record_schema import (
    CHUNK,
    DEFAULTS,
    FIELDS,
    FRAMES,
    GENDERS,
    SCHEMA_VERSION,
    UNKNOWN,
    check_structure,
    row_shape,
    validate,
)

__all__ = ["FIELDS", "GENDERS", "Records", "RecordsWriter", "subset", "validate"]
BLOCK = 1024  # rows that the writer stacks at once
SMPL_LABEL = {"global_orient", "body_pose", "betas"}


class RecordsWriter:
    """Writes records row by row; the file takes its name when it is closed and valid.

    Use it as a context manager: an exception inside the block leaves no file.
    """

    def __init__(
        self,
        path: Path | str,
        dataset: str,
        split: str,
        rule: str,
        keypoint_set: str | None = None,
        joint_set: str | None = None,
        root: str | None = None,
        source_sha256: str = "",
    ) -> None:
        """Open the file under its `.part` name.

        Args:
            path: the records file.
            dataset: name of the dataset, as in params.
            split: name of the split.
            rule: the rule of selection, in words.
            keypoint_set: joint set of keypoints_2d; None when the dataset has none.
            joint_set: joint set of joints_3d; None when the dataset has none.
            root: the joint, or midpoint, that joints_3d is relative to.
            source_sha256: hash of the annotation files read.
        """
        self.path = Path(path)
        self.attrs = {"schema_version": SCHEMA_VERSION, "dataset": dataset, "split": split,
                      "rule": rule, "frames": FRAMES, "source_sha256": source_sha256}  # fmt: skip
        sets = {"keypoint_set": keypoint_set, "joint_set": joint_set, "root": root}
        self.attrs |= {key: value for key, value in sets.items() if value}
        with ExitStack() as stack:
            part = stack.enter_context(atomic(self.path))
            require_space(part, CHUNK)
            self._file = stack.enter_context(h5py.File(part, "w"))
            self._data = self._file.create_dataset(
                "image/data", (0,), "u1", maxshape=(None,), chunks=(CHUNK,), track_times=False
            )
            self._stack = stack.pop_all()  # left by close or by an error
        self._pending, self._offsets = bytearray(), [0]
        self._rows: list[dict[str, np.ndarray]] = []
        self._blocks: list[dict[str, np.ndarray]] = []

    def __len__(self) -> int:
        """Return the number of rows added."""
        return len(self._offsets) - 1

    def __enter__(self) -> "RecordsWriter":
        """Return the writer."""
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        """Close the file, or remove it when the block failed."""
        if kind is None:
            self.close()
        else:
            self._abort(error)

    def add(self, image: bytes | np.ndarray, **fields: object) -> None:
        """Add one row.

        Args:
            image: JPEG bytes of the stored crop, or the crop (h, w, 3) RGB uint8.
            **fields: keys of FIELDS. image_size and the ids have defaults; labels with a
                `missing` value may be absent or None. gender is a name or its index;
                smpl_valid and has_transl follow from the SMPL fields given.

        Raises:
            InputError: if a field is unknown, missing, not finite or of another shape.
        """
        jpeg = encode_jpeg(image) if isinstance(image, np.ndarray) else bytes(image)
        given = DEFAULTS | {key: value for key, value in fields.items() if value is not None}
        if "image_size" not in given:
            given["image_size"] = decode_jpeg(jpeg, given.get("name", "")).shape[1::-1]
        if isinstance(given.get("gender"), str):
            given["gender"] = GENDERS.index(given["gender"])
        label = SMPL_LABEL & given.keys()
        if label and label != SMPL_LABEL:
            raise InputError(given.get("name", self.path), "smpl", sorted(label), "all or none")
        given["smpl_valid"] = int(bool(label))
        given["has_transl"] = int(bool(label) and "transl" in given)
        self._rows.append(self._row(given))
        self._pending += jpeg
        self._offsets.append(self._offsets[-1] + len(jpeg))
        if len(self._rows) == BLOCK:
            self._flush()

    def close(self) -> None:
        """Write what is pending, check the file and give it its name.

        Raises:
            InputError: if no row was added.
        """
        try:
            if not len(self):
                raise InputError(self.path, "rows", 0, "at least one sample")
            self._flush(last=True)
            part = Path(self._file.filename)
            self._write_arrays()
            self._file.close()
            validate(part, name=self.path)
        except BaseException as error:
            self._abort(error)
            raise
        self._stack.close()

    def _abort(self, error: BaseException) -> None:
        """Drop the unfinished file; a full disk is reported as such by `atomic`."""
        self._stack.__exit__(type(error), error, error.__traceback__)

    def _row(self, given: dict) -> dict[str, np.ndarray]:
        """Return one checked array per field."""
        where = given.get("name", self.path)
        unknown = sorted(given.keys() - FIELDS.keys())
        if unknown:
            raise InputError(where, unknown[0], "an unknown field", ", ".join(FIELDS))
        row = {}
        for key, field in FIELDS.items():
            if key not in given and field.missing is None:
                raise InputError(where, key, "nothing", "a value in every row")
            if field.dtype == "S":
                row[key] = np.asarray(given[key].encode())
                continue
            shape = row_shape(field, self.attrs)
            if key in given and shape is None:
                raise InputError(where, key, "values", f"a writer that knows {field.shape[0]}")
            value = np.asarray(given.get(key, field.missing), field.dtype)
            if key in given and (value.shape != shape or not np.isfinite(value).all()):
                saw = f"shape {value.shape}, finite {bool(np.isfinite(value).all())}"
                raise InputError(where, key, saw, f"finite values of shape {shape}")
            row[key] = np.broadcast_to(value, shape or ())
        return row

    def _flush(self, last: bool = False) -> None:
        """Move pending rows to stacked arrays and whole chunks of image bytes to the file."""
        if self._rows:
            keys = FIELDS.keys()
            self._blocks.append({key: np.stack([row[key] for row in self._rows]) for key in keys})
            self._rows = []
        start = self._data.shape[0]
        count = len(self._pending) if last else len(self._pending) // CHUNK * CHUNK
        require_space(self.path, count + CHUNK)  # a chunk is stored whole
        self._data.resize(start + count, axis=0)
        self._data[start:] = np.frombuffer(self._pending, "u1", count)
        self._pending = self._pending[count:]

    def _write_arrays(self) -> None:
        """Write every field that some row has, and the attributes, in the schema's order."""
        self._file.create_dataset("image/offset", data=np.array(self._offsets), track_times=False)
        columns = {key: np.concatenate([block[key] for block in self._blocks]) for key in FIELDS}
        absent = {key for key in ("keypoints_2d", "joints_3d") if columns[key].ndim == 1}
        absent |= {key for key in UNKNOWN if np.isnan(columns[key]).all()}
        if not columns["smpl_valid"].any():
            absent |= {key for key, field in FIELDS.items() if field.path.startswith("smpl/")}
        require_space(self.path, sum(column.nbytes for column in columns.values()))
        for key, field in FIELDS.items():
            if key not in absent:
                self._file.create_dataset(field.path, data=columns[key], track_times=False)
        for key, value in (self.attrs | {"count": len(self)}).items():
            self._file.attrs[key] = value


class Records:
    """Reads a records file.

    Every key of FIELDS is an attribute: a numpy array read at first use, None when the file has
    no such label; texts come as str. The image bytes are mapped, not held by an HDF5 handle, so
    an object may be shared by threads and by forked processes.
    """

    def __init__(self, path: Path | str) -> None:
        """Open a file and check its structure (not its values; `validate` does that).

        Raises:
            InputError: if the file is missing, truncated or not of this schema.
        """
        self.path = Path(path)
        with open_hdf5(self.path) as file:
            check_structure(file, self.path)
            self.attrs: dict[str, object] = dict(file.attrs)
            self._paths = {key for key, field in FIELDS.items() if field.path in file}
            self._offset = file["image/offset"][:]
            chunks: dict[int, int] = {}
            file["image/data"].id.chunk_iter(
                lambda info: chunks.__setitem__(info.chunk_offset[0] // CHUNK, info.byte_offset)
            )
        self._chunk_start = np.array([chunks[i] for i in range(len(chunks))], "i8")
        self._map = np.memmap(self.path, "u1", "r")

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self._offset) - 1

    def __reduce__(self) -> tuple:
        """Travel to another process as a path; it maps the file itself."""
        return Records, (self.path,)

    def __getattr__(self, key: str) -> np.ndarray | None:
        """Return the array of a field, or None when the file has no such label."""
        if key not in FIELDS:
            raise AttributeError(f"records have no field {key!r}")
        value = None
        if key in self._paths:
            with open_hdf5(self.path) as file:
                value = file[FIELDS[key].path][:]
            value = np.char.decode(value, "utf-8") if value.dtype.kind == "S" else value
        self.__dict__[key] = value  # found before __getattr__ from now on
        return value

    @property
    def keypoint_set(self) -> str | None:
        """Joint set of keypoints_2d."""
        return self.attrs.get("keypoint_set")

    @property
    def joint_set(self) -> str | None:
        """Joint set of joints_3d."""
        return self.attrs.get("joint_set")

    def jpeg(self, index: int) -> bytes:
        """Return the JPEG bytes of a stored crop."""
        start, stop = int(self._offset[index]), int(self._offset[index + 1])
        parts = []
        while start < stop:
            chunk, at = divmod(start, CHUNK)
            count = min(stop - start, CHUNK - at)
            where = self._chunk_start[chunk] + at
            parts.append(self._map[where : where + count].tobytes())
            start += count
        return b"".join(parts)

    def image(self, index: int, shrink: int = 1) -> np.ndarray:
        """Return a stored crop as (h, w, 3) RGB uint8.

        Args:
            index: the row.
            shrink: 1, 2, 4 or 8; the decoder reduces by it, which is cheaper than decoding.
        """
        return decode_jpeg(self.jpeg(index), f"{self.path} row {index}", shrink)


def subset(path: Path | str, out: Path | str, rows: Iterable[int]) -> None:
    """Write the records of the given rows, in the order given, to another file."""
    records = Records(path)
    attrs = {key: records.attrs.get(key) for key in ("keypoint_set", "joint_set", "root")}
    stated = [records.attrs[key] for key in ("dataset", "split", "rule")]
    sha256 = records.attrs["source_sha256"]
    fields = {key: getattr(records, key) for key in FIELDS}
    with RecordsWriter(out, *stated, **attrs, source_sha256=sha256) as writer:
        for row in rows:
            given = {key: value[row] for key, value in fields.items() if value is not None}
            given |= {key: None for key in UNKNOWN if np.isnan(given.get(key, 0)).any()}
            if not given.get("has_transl", 0):
                given["transl"] = None
            if not given.get("smpl_valid", 0):
                given |= dict.fromkeys(SMPL_LABEL)
            writer.add(records.jpeg(row), **given)
