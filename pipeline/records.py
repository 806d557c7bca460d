"""Records: one HDF5 file per dataset and split, the same schema for every dataset.

Row i of every dataset is sample i. Images are JPEG bytes of a square person crop, one after the
other in `image/data`; everything else is a plain array. Groups that no row has are absent;
inside a group, validity marks the rows and joints that have the label (for `camera/K` and
`root_3d`: not NaN).

Frames and units: 2D is in continuous pixels of the *original* image (the centre of its first
pixel is at 0.5), `image/affine` maps it to the stored crop; 3D is in metres in the camera frame
(x right, y down, z forward); `joints_3d` is relative to its own root, which stands at `root_3d`;
SMPL parameters belong to the model of `smpl/gender`, global_orient and transl in the camera frame.

Hands are right hands: a left one is stored with its image mirrored, and everything else as seen
there. `mano/hand_pose` holds the fifteen finger joints' whole rotations, the model's mean pose
included, and the wrist stands at `root_3d`; `hand_vertices` is relative to the same root.

DensePose: `surface_points` are (x, y, chart 1..24, U, V), `surface_mirrored` the (chart, U, V)
of the same points in a mirrored image, where the table for it was there; `parts_png` is a label
map of the 14 coarse parts over the rectangle `parts_box` (x, y, width, height). Both 2D in
continuous pixels of the original image.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pipeline.hdf5 import open_hdf5
from pipeline.images import decode_jpeg
from pipeline.record_schema import (
    CHUNK,
    FIELDS,
    GENDERS,
    LABELS,
    UNKNOWN,
    check_structure,
    validate,
)
from pipeline.record_writer import RecordsWriter

__all__ = ["FIELDS", "GENDERS", "Records", "RecordsWriter", "subset", "validate"]


class Ragged:
    """Rows of different lengths, [row] -> its values."""

    def __init__(self, values: np.ndarray, offset: np.ndarray) -> None:
        self.values, self.offset = values, offset

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.offset) - 1

    def __getitem__(self, row: int) -> np.ndarray:
        """Return a row's values, of length 0 where it has none."""
        row = range(len(self))[row]
        return self.values[self.offset[row] : self.offset[row + 1]]


class Records:
    """Reads a records file.

    Every key of FIELDS is an attribute: a numpy array (or `Ragged`) read at first use, None when
    the file has no such label; texts come as str. The image bytes are mapped, not held by an
    HDF5 handle, so an object may be shared by threads and by forked processes.
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

    def __getattr__(self, key: str) -> np.ndarray | Ragged | None:
        """Return the array of a field, or None when the file has no such label."""
        if key not in FIELDS:
            raise AttributeError(f"records have no field {key!r}")
        value = None
        if key in self._paths:
            with open_hdf5(self.path) as file:
                value, field = file[FIELDS[key].path][:], FIELDS[key]
                offset = file[field.offset][:] if field.ragged else None
            value = np.char.decode(value, "utf-8") if value.dtype.kind == "S" else value
            value = Ragged(value, offset) if field.ragged else value
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
            given |= {k: None for k, v in given.items() if FIELDS[k].ragged and not len(v)}
            if not given.get("has_transl", 0):
                given["transl"] = None
            for group, label in LABELS.items():
                if not given.get(f"{group}_valid", 0):
                    given |= dict.fromkeys(label)
            writer.add(records.jpeg(row), **given)
