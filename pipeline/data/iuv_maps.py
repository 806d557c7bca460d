"""IUV maps of stored crops, brought into a training crop."""

import os
from pathlib import Path

import h5py
import numpy as np

from pipeline.data.crops import compose, warp_image, zoom_affine
from pipeline.errors import InputError
from pipeline.hdf5 import open_hdf5


class IuvMaps:
    """Reads the file that the verb `iuv` writes: part, u and v of each record's stored crop.

    A mirrored map needs a chart that mirrors onto another one. Where the atlas has no such
    table (`flip` None), mirrored samples have no IUV label.
    """

    def __init__(
        self, path: Path | str, count: int, flip: tuple[np.ndarray, np.ndarray] | None
    ) -> None:
        """Check the file's structure.

        Args:
            path: the HDF5 file.
            count: number of records that it must match.
            flip: (25,) the part that each part becomes, (25,) bool whether its u becomes 1 - u.

        Raises:
            InputError: if the file is damaged or does not match the records.
        """
        self.path, self.flip = Path(path), flip
        with open_hdf5(path) as file:
            for key in ("part", "u", "v", "valid"):
                if key not in file or len(file[key]) != count:
                    saw = len(file[key]) if key in file else "nothing"
                    raise InputError(path, key, saw, f"{count} rows, one per record")
            self.valid = file["valid"][:].astype(bool)
            self.resolution = file["part"].shape[1]
        self._handle: tuple[int, list[h5py.Dataset]] | None = None

    def __getstate__(self) -> dict:
        """Travel to another process without the open file."""
        return self.__dict__ | {"_handle": None}

    def _maps(self) -> list[h5py.Dataset]:
        """Return this process's part, u and v: a file opened before a fork must not be used."""
        if self._handle is None or self._handle[0] != os.getpid():
            file = h5py.File(self.path, "r")
            self._handle = (os.getpid(), [file[key] for key in ("part", "u", "v")])
        return self._handle[1]

    def crop(
        self,
        index: int,
        to_crop: np.ndarray,
        stored_size: np.ndarray,
        crop_size: int,
        size: int,
        mirrored: bool,
    ) -> tuple[np.ndarray, np.ndarray, bool]:
        """Return the map of one record in a training crop.

        Args:
            index: the record.
            to_crop: (2, 3) from stored crop to training crop, pixels.
            stored_size: (2,) width and height of the stored crop.
            crop_size: side of the training crop, pixels.
            size: side of the map wanted.
            mirrored: whether `to_crop` mirrors.

        Returns:
            part (size, size) int64, 0 is background; uv (size, size, 2) float32 in [0, 1];
            whether they are labels.
        """
        if not self.valid[index] or (mirrored and self.flip is None):
            return *empty_map(size), False
        stacked = np.dstack([maps[index] for maps in self._maps()])
        from_map = zoom_affine(stored_size / self.resolution)
        to_map = zoom_affine(size / crop_size)
        affine = compose(to_map, compose(to_crop, from_map))
        # Nearest: a mean of two parts' numbers is a third part.
        stacked = warp_image(stacked, affine, (size, size), nearest=True)
        part, uv = stacked[..., 0].astype(np.int64), stacked[..., 1:].astype(np.float32) / 255
        if mirrored:
            swap, mirror_u = self.flip
            turned = mirror_u[part] & (part > 0)
            uv[turned, 0] = 1 - uv[turned, 0]
            part = swap[part]
        return part, uv, True


def empty_map(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the part (size, size) and uv (size, size, 2) of a sample without a label."""
    return np.zeros((size, size), np.int64), np.zeros((size, size, 2), np.float32)
