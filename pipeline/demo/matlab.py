"""MATLAB files of both kinds, equal content in equal bytes."""

import io
from pathlib import Path

import h5py
import numpy as np
import scipy.io

TEXT = b"MATLAB 5.0 MAT-file, demo data".ljust(116)
TEXT_7_3 = b"MATLAB 7.3 MAT-file, demo data".ljust(116) + bytes(8) + b"\x00\x02IM"


def write_mat5(path: Path, content: dict) -> None:
    """Write a MAT-file of version 5 (`-v6` and `-v7` of MATLAB's `save`).

    Args:
        path: the file.
        content: variables; object arrays become cells, dictionaries structs.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, content, do_compression=True)
    path.write_bytes(TEXT + buffer.getvalue()[len(TEXT) :])  # scipy's text holds the time of day


def write_mat73(path: Path, content: dict[str, np.ndarray]) -> None:
    """Write a MAT-file of version 7.3, which is HDF5 behind MATLAB's own 512 bytes.

    Args:
        path: the file.
        content: arrays with their axes as h5py shows them: MATLAB's reversed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in content.items():
            file.create_dataset(name, data=value, track_times=False)
    with open(path, "r+b") as file:
        file.write(TEXT_7_3)


def cells(items: list) -> np.ndarray:
    """Return a list as a column of cells, (n, 1)."""
    column = np.empty((len(items), 1), object)
    column[:, 0] = items
    return column
