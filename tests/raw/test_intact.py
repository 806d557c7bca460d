"""Which files look whole; those of every dataset are in the tests of the doctor."""

import io
import struct
import tarfile
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
import scipy.io

from pipeline.raw.intact import PARSED, problem

PICTURE = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)


def mat(version: str, compressed: bool = False) -> bytes:
    out = io.BytesIO()
    content = {"a": np.arange(3000.0), "b": np.eye(20)}
    scipy.io.savemat(out, content, format=version, do_compression=compressed)
    return out.getvalue()


def picture(ending: str) -> bytes:
    return cv2.imencode(ending, PICTURE)[1].tobytes()


def hdf5() -> bytes:
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        file["a"] = np.arange(5000)
    return out.getvalue()


def tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("a")
        info.size = 3000
        archive.addfile(info, io.BytesIO(b"x" * 3000))
    return out.getvalue()


def boxes(*pairs: tuple[bytes, int]) -> bytes:
    return b"".join(struct.pack(">I4s", 8 + n, kind) + bytes(n) for kind, n in pairs)


LARGE = b'{"a": [' + b'"x", ' * (PARSED // 5) + b'"x"]}\n'
WHOLE = {
    "v5.mat": mat("5"),
    "packed.mat": mat("5", compressed=True),
    "v73.mat": hdf5(),
    "a.h5": hdf5(),
    "a.jpg": picture(".jpg"),
    "jpeg.png": picture(".jpg"),
    "png.JPEG": picture(".png"),
    "small.json": b'{"a": [1, 2]}',
    "large.json": LARGE,
    "a.mp4": boxes((b"ftyp", 8), (b"mdat", 500), (b"moov", 90)),
    "a.tar": tar(),
    "a.avi": b"RIFF" + struct.pack("<I", 400) + bytes(400),
}


@pytest.mark.parametrize("name", WHOLE)
def test_whole_files_pass_and_cut_ones_do_not(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(WHOLE[name])
    assert problem(path) is None
    path.write_bytes(WHOLE[name][: len(WHOLE[name]) // 5])
    assert problem(path).startswith("is truncated or damaged")
    path.write_bytes(b"")
    assert problem(path) == "is empty"


def test_what_is_not_known_passes(tmp_path: Path) -> None:
    """Old MATLAB files and the last box of a video state no length to check."""
    for name, content in (
        ("v4.mat", mat("4")),
        ("a.txt", b"x"),
        ("open.mp4", boxes((b"moov", 9)) + struct.pack(">I4s", 0, b"mdat") + bytes(77)),
    ):
        (tmp_path / name).write_bytes(content)
        assert problem(tmp_path / name) is None, name


def test_a_video_without_its_index_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(boxes((b"ftyp", 8), (b"mdat", 500)))
    assert problem(tmp_path / "a.mp4") == "is truncated or damaged"
