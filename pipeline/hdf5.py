"""Opening HDF5 files so that a damaged one ends in one clear line."""

from pathlib import Path

import h5py
import numpy as np

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


def mapped(file: h5py.File, name: str) -> np.ndarray:
    """Return a dataset as an array that is read where it is touched, when it allows that.

    Contiguous datasets are mapped: they take no memory beyond the pages in use, and may be
    shared by threads and by forked processes. Others are read.

    Args:
        file: the open file; it may be closed afterwards.
        name: the dataset.

    Raises:
        InputError: if there is no such dataset.
    """
    if name not in file:
        raise InputError(file.filename, name, "nothing", f"one of {', '.join(sorted(file))}")
    data = file[name]
    offset = data.id.get_offset()
    if offset is None or data.size == 0:
        return data[()]
    return np.memmap(file.filename, data.dtype, "r", offset, data.shape)
