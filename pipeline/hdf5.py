"""HDF5 files whose damage, or a full disk, ends in one clear line."""

import errno
import os
import shutil
from pathlib import Path

import h5py
import numpy as np

from pipeline.errors import InputError

SPARE = 1 << 20  # bytes that HDF5 may need beyond the arrays, to index them and to close


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


def require_space(path: Path | str, count: int) -> None:
    """Check that the disk has room for `count` more bytes of an HDF5 file and its indices.

    A write that fails inside HDF5 leaves the library unable to close the file and crashes the
    interpreter at its end, so the disk is asked before.

    Raises:
        OSError: ENOSPC, if it has not; `pipeline.files.atomic` turns it into one line.
    """
    if shutil.disk_usage(Path(path).parent).free < count + SPARE:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
