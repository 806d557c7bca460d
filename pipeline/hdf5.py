"""Opening HDF5 files so that a damaged one ends in one clear line."""

from pathlib import Path

import h5py

from pipeline.errors import InputError


def open_hdf5(path: Path | str) -> h5py.File:
    """Open an HDF5 file for reading.

    Raises:
        InputError: if the file is missing, truncated or not HDF5.
    """
    if not Path(path).is_file():
        raise InputError(path, "", "no such file", "an HDF5 file")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise InputError(path, "", f"a damaged file ({error})", "a whole HDF5 file") from None
