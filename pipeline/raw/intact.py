"""Whether a file looks whole, from its size, head and tail: no content is decoded.

For the doctor, who looks over terabytes in seconds. A file that passes may still be damaged
inside; that is the converter's to find.
"""

import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

TAIL = 64  # bytes looked at from a file's end
PARSED = 1 << 24  # bytes of the largest JSON file that is parsed
SLACK = 4096  # that may follow a JPEG's end
SPACE = b" \t\r\n\0"
CDF_MAGIC = b"\xcd\xf3\x00\x01\x00\x00\xff\xff"  # version 3, not compressed
GDR_END = 36  # where in a CDF's second record the file's length stands
TAR_BLOCK = 512


def problem(path: Path) -> str | None:
    """Return what is wrong with a file, None where it looks whole.

    Args:
        path: an existing file.
    """
    size = path.stat().st_size
    if not size:
        return "is empty"
    whole = CHECKS.get(path.suffix.lower())
    try:
        return None if whole is None or whole(path, size) else "is truncated or damaged"
    except (OSError, ValueError, struct.error) as error:
        return f"is truncated or damaged ({type(error).__name__})"


def _tail(path: Path, size: int, count: int = TAIL) -> bytes:
    with open(path, "rb") as file:
        file.seek(max(0, size - count))
        return file.read()


def _json(path: Path, size: int) -> bool:
    """Small ones are parsed; large ones have to end as they begin."""
    if size <= PARSED:
        json.loads(path.read_bytes())
        return True
    with open(path, "rb") as file:
        first = file.read(TAIL).lstrip(SPACE)[:1]
    return _tail(path, size).rstrip(SPACE)[-1:] == {b"{": b"}", b"[": b"]"}.get(first)


def _pickle(path: Path, size: int) -> bool:
    """A pickle ends on its STOP; those of PyTorch and joblib are others."""
    with open(path, "rb") as file:
        if file.read(2) == b"PK":
            return _zip(path, size)
    return _tail(path, size, 1) == b"."


def _zip(path: Path, size: int) -> bool:
    return zipfile.is_zipfile(path)  # its directory is at the end


def _tar(path: Path, size: int) -> bool:
    return size % TAR_BLOCK == 0 and not _tail(path, size, TAR_BLOCK).strip(b"\0")


def _npy(path: Path, size: int) -> bool:
    array = np.lib.format.open_memmap(path, mode="r")
    return size >= array.offset + array.nbytes


def _hdf5(path: Path, size: int) -> bool:
    with h5py.File(path, "r"):  # compares the length that it states
        return True


def _mat(path: Path, size: int) -> bool:
    """HDF5, or variables of version 5 one after the other, each of which states its length."""
    if h5py.is_hdf5(path):
        return _hdf5(path, size)
    with open(path, "rb") as file:
        head = file.read(128)
        if 0 in head[:4]:
            return True  # version 4: no text comes first
        order, at = ("<" if head[126:] == b"IM" else ">"), 128
        while at < size:
            file.seek(at)
            kind, length = struct.unpack(f"{order}II", file.read(8))
            if not 0 < kind < 32:
                return False
            at += 8 + length
        return at == size > 128


def _image(path: Path, size: int) -> bool:
    """A JPEG or PNG under either's name: some sets hold one as the other."""
    with open(path, "rb") as file:
        head = file.read(8)
    if head.startswith(b"\xff\xd8"):
        return b"\xff\xd9" in _tail(path, size, SLACK)
    return head == b"\x89PNG\r\n\x1a\n" and b"IEND" in _tail(path, size)


def _mp4(path: Path, size: int) -> bool:
    """Walk over the boxes: each states its length, and one of them is the index."""
    at, kinds = 0, set()
    with open(path, "rb") as file:
        while at < size:
            file.seek(at)
            length, kind = struct.unpack(">I4s", file.read(8))
            if length == 1:
                length = struct.unpack(">Q", file.read(8))[0]
            kinds.add(kind)
            at += length or size - at
            if length and length < 8:
                return False
    return at == size and b"moov" in kinds


def _avi(path: Path, size: int) -> bool:
    with open(path, "rb") as file:
        mark, length = struct.unpack("<4sI", file.read(8))
    return mark == b"RIFF" and size >= length + 8


def _cdf(path: Path, size: int) -> bool:
    with open(path, "rb") as file:
        if file.read(8) != CDF_MAGIC:
            return True  # another version
        file.seek(20)
        second = struct.unpack(">Q", file.read(8))[0]
        file.seek(second + GDR_END)
        return size >= struct.unpack(">Q", file.read(8))[0]


CHECKS: dict[str, Callable[[Path, int], bool]] = {
    ".json": _json, ".pkl": _pickle, ".pt": _pickle, ".npz": _zip, ".npy": _npy, ".h5": _hdf5,
    ".mat": _mat, ".jpg": _image, ".jpeg": _image, ".png": _image, ".mp4": _mp4, ".avi": _avi,
    ".cdf": _cdf, ".zip": _zip, ".tar": _tar,
}  # fmt: skip
