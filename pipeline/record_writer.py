"""The writer of records: row by row, in blocks, a file that is whole or not there."""

from contextlib import ExitStack
from pathlib import Path

import h5py
import numpy as np

from pipeline.errors import InputError
from pipeline.files import atomic
from pipeline.hdf5 import require_space
from pipeline.images import decode_jpeg, encode_jpeg
from pipeline.record_schema import (
    CHUNK,
    DEFAULTS,
    FIELDS,
    FRAMES,
    GENDERS,
    LABELS,
    SCHEMA_VERSION,
    row_shape,
    validate,
)

BLOCK = 1024  # rows that the writer stacks at once
DERIVED = {"has_transl", *(f"{group}_valid" for group in LABELS)}  # the writer's own


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
        self._ragged: dict[str, dict[int, np.ndarray]] = {}  # field -> row -> values

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
                smpl_valid, mano_valid and has_transl follow from the fields given.

        Raises:
            InputError: if a field is unknown, missing, not finite or of another shape.
        """
        jpeg = encode_jpeg(image) if isinstance(image, np.ndarray) else bytes(image)
        given = {k: v for k, v in fields.items() if v is not None and k not in DERIVED}
        given = DEFAULTS | given
        if "image_size" not in given:
            given["image_size"] = decode_jpeg(jpeg, given.get("name", "")).shape[1::-1]
        if isinstance(given.get("gender"), str):
            given["gender"] = GENDERS.index(given["gender"])
        for group, whole in LABELS.items():
            label = whole & given.keys()
            if label and label != whole:
                raise InputError(given.get("name", self.path), group, sorted(label), "all or none")
            given |= {f"{group}_valid": 1} if label else {}
        if {"smpl_valid", "transl"} <= given.keys():
            given["has_transl"] = 1
        row = self._row(given)
        for key in [key for key in row if FIELDS[key].ragged]:
            self._ragged.setdefault(key, {})[len(self)] = row.pop(key)
        self._rows.append(row)
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
        """Return one checked array per field given."""
        where = given.get("name", self.path)
        unknown = sorted(given.keys() - FIELDS.keys())
        if unknown:
            raise InputError(where, unknown[0], "an unknown field", ", ".join(FIELDS))
        row = {}
        for key, field in FIELDS.items():
            if key not in given:
                if field.missing is None:
                    raise InputError(where, key, "nothing", "a value in every row")
                continue
            if field.dtype == "S":
                row[key] = np.asarray(given[key].encode())
                continue
            shape = row_shape(field, self.attrs)
            if shape is None:
                raise InputError(where, key, "values", f"a writer that knows {field.shape[0]}")
            row[key] = value = np.asarray(given[key], field.dtype)
            if field.ragged:
                shape = (*value.shape[:1], *shape[1:])
            if value.shape != shape or not np.isfinite(value).all():
                saw = f"shape {value.shape}, finite {bool(np.isfinite(value).all())}"
                raise InputError(where, key, saw, f"finite values of shape {shape}")
        return row

    def _missing(self, key: str, count: int) -> np.ndarray:
        """Return what stands in `count` rows without a field."""
        field = FIELDS[key]
        return np.full((count, *row_shape(field, self.attrs)), field.missing, field.dtype)

    def _flush(self, last: bool = False) -> None:
        """Move pending rows to stacked arrays and whole chunks of image bytes to the file."""
        if self._rows:
            keys = {key for row in self._rows for key in row}
            self._blocks.append({key: self._stacked(key) for key in keys})
            self._rows = []
        start = self._data.shape[0]
        count = len(self._pending) if last else len(self._pending) // CHUNK * CHUNK
        require_space(self.path, count + CHUNK)  # a chunk is stored whole
        self._data.resize(start + count, axis=0)
        self._data[start:] = np.frombuffer(self._pending, "u1", count)
        self._pending = self._pending[count:]

    def _stacked(self, key: str) -> np.ndarray:
        """Return a field of the pending rows."""
        if all(key in row for row in self._rows):
            return np.stack([row[key] for row in self._rows])
        absent = self._missing(key, 1)[0]
        return np.stack([row.get(key, absent) for row in self._rows])

    def _column(self, key: str) -> np.ndarray:
        """Return a field of all rows."""
        return np.concatenate([
            block[key] if key in block else self._missing(key, len(block["side"]))
            for block in self._blocks
        ])  # fmt: skip

    def _write_arrays(self) -> None:
        """Write every field that some row has, and the attributes, in the schema's order."""
        self._file.create_dataset("image/offset", data=np.array(self._offsets), track_times=False)
        held = set().union(*self._blocks)
        for group in LABELS:
            keys = {key for key, field in FIELDS.items() if field.path.startswith(f"{group}/")}
            held = held | keys if f"{group}_valid" in held else held - keys
        columns = {key: self._column(key) for key in FIELDS if key in held}
        columns = {FIELDS[key].path: column for key, column in columns.items()}
        for key in (key for key in FIELDS if key in self._ragged):
            columns |= self._ragged_columns(key)
        require_space(self.path, sum(column.nbytes for column in columns.values()))
        for path, column in columns.items():
            self._file.create_dataset(path, data=column, track_times=False)
        for key, value in (self.attrs | {"count": len(self)}).items():
            self._file.attrs[key] = value

    def _ragged_columns(self, key: str) -> dict[str, np.ndarray]:
        """Return the values of a ragged field one row after the other, and where rows begin."""
        field, rows = FIELDS[key], self._ragged[key]
        lengths = [len(rows[row]) if row in rows else 0 for row in range(len(self))]
        offset = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return {field.path: np.concatenate(list(rows.values())), field.offset: offset}
