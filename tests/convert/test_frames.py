"""Pickled data frames and tensors: those that pandas and torch write, and those that would harm.

`golden/frames.json` holds the pickles, packed as text, that each pandas makes of the same frame:

    DataFrame({"imgPath": [...], "X": [[1.0, 2.5], [3.0]], "Yaw": ..., "camX": [0.0, 1.5],
               "camYaw": [0, 3], "isValid": ..., "gender": ..., "gt_joints_2d": lists of arrays})
"""

import base64
import json
import os
import pickle
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.convert.frames import read_frame, read_tensors
from pipeline.demo.pandas_pickle import write_frame, write_tensors
from pipeline.errors import InputError

GOLDEN = json.loads((Path(__file__).parent / "golden" / "frames.json").read_text())
COLUMNS = ("imgPath", "X", "camX", "camYaw", "isValid", "gender", "gt_joints_2d")
OLD = [name for name in GOLDEN if not name.startswith("pandas 3")]


def golden(name: str) -> bytes:
    return zlib.decompress(base64.b85decode(GOLDEN[name]))


@pytest.mark.parametrize("name", OLD)
def test_frames_of_every_pandas(tmp_path: Path, name: str) -> None:
    path = tmp_path / "frame.pkl"
    path.write_bytes(golden(name))
    frame = read_frame(path, COLUMNS)
    assert frame["imgPath"][1] == "ag_b_archviz_cam01_00001.png"
    assert frame["X"] == [[1.0, 2.5], [3.0]]
    assert frame["camX"] == [0.0, 1.5] and frame["camYaw"] == [0, 3]
    assert frame["isValid"] == [[True, False], [True]]
    assert frame["gender"] == [["male", "female"], ["female"]]
    first, second = frame["gt_joints_2d"]
    np.testing.assert_array_equal(first[0], np.arange(4.0).reshape(2, 2))
    assert len(first) == 2 and second[0].dtype == np.float32


def test_what_the_demo_writes(tmp_path: Path) -> None:
    columns = {
        "name": ["a", "b"], "camX": [0.5, 2.0], "lists": [[1, 2], [3, 4]],
        "arrays": [[np.ones((2, 2))], [np.zeros((2, 2), np.float32)]],
    }  # fmt: skip
    for name in "ab":
        write_frame(tmp_path / name, columns)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    found = read_frame(tmp_path / "a", tuple(columns))
    for key in ("name", "camX", "lists"):
        assert found[key] == columns[key]
    np.testing.assert_array_equal(found["arrays"][0][0], np.ones((2, 2)))


def test_pandas_reads_what_the_demo_writes(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    write_frame(tmp_path / "a", {"name": ["a", "b"], "camX": [0.5, 2.0], "lists": [[1], [2, 3]]})
    frame = pandas.read_pickle(tmp_path / "a")
    assert frame.shape == (2, 3) and frame["lists"].tolist() == [[1], [2, 3]]


def test_other_columns_are_not_touched(tmp_path: Path) -> None:
    """A column of meshes costs nothing, even a damaged one, when it is not asked for."""
    write_frame(tmp_path / "a", {"name": ["a"], "gt_verts": [[np.ones((3, 3))]]})
    data = (tmp_path / "a").read_bytes()
    broken = data.replace(b"f8", b"f9")
    assert broken != data
    (tmp_path / "a").write_bytes(broken)
    assert read_frame(tmp_path / "a", ("name",)) == {"name": ["a"]}
    with pytest.raises(InputError, match="damaged"):
        read_frame(tmp_path / "a", ("gt_verts",))


def test_tensors(tmp_path: Path) -> None:
    """Plain pickles of tensors, of a GPU too, and what torch itself saves."""
    arrays = {"betas": np.arange(10.0)[None], "root_pose": np.ones((1, 1, 3))}
    write_tensors(tmp_path / "gpu.pkl", arrays)
    tensors = {key: torch.from_numpy(np.float32(array)) for key, array in arrays.items()}
    (tmp_path / "cpu.pkl").write_bytes(pickle.dumps(
        {"betas": torch.nn.Parameter(tensors["betas"]), "root_pose": tensors["root_pose"]}, 2
    ))  # fmt: skip
    torch.save(tensors, tmp_path / "saved.pkl")
    strided = {"betas": torch.arange(20.0)[::2][None], "root_pose": tensors["root_pose"]}
    (tmp_path / "strided.pkl").write_bytes(pickle.dumps(strided))
    for path in tmp_path.iterdir():
        found = read_tensors(path)
        factor = 2 if path.name == "strided.pkl" else 1
        np.testing.assert_array_equal(found["betas"], factor * arrays["betas"])
        assert found["root_pose"].shape == (1, 1, 3)


class Command:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple:
        return os.system, ("touch pwned",)


class Nested:
    """Hides a command where a tensor's storage is expected."""

    def __reduce__(self) -> tuple:
        return torch.storage._load_from_bytes, (pickle.dumps(Command()),)


@pytest.mark.parametrize("content", [Command(), {"betas": Command()}, {"betas": Nested()}])
@pytest.mark.parametrize("read", [read_tensors, lambda path: read_frame(path, ("X",))])
def test_code_is_not_run(tmp_path: Path, monkeypatch, content: object, read) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "hostile.pkl"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(InputError) as error:
        read(path)
    assert "\n" not in str(error.value) and not (tmp_path / "pwned").exists()


def test_a_tensor_beyond_its_storage(tmp_path: Path) -> None:
    tensor = torch.arange(4.0)
    data = pickle.dumps({"betas": tensor}, 2)
    assert data.count(b"K\x04\x85") == 1  # its size, (4,)
    (tmp_path / "a.pkl").write_bytes(data.replace(b"K\x04\x85", b"K\xff\x85"))
    with pytest.raises(InputError, match="beyond its storage"):
        read_tensors(tmp_path / "a.pkl")


def frame_bytes(tmp_path: Path) -> bytes:
    write_frame(tmp_path / "whole.pkl", {"X": [[1.0]], "camX": [0.0]})
    return (tmp_path / "whole.pkl").read_bytes()


def test_damage_is_one_line(tmp_path: Path) -> None:
    whole, path = frame_bytes(tmp_path), tmp_path / "damaged.pkl"
    cases = {
        "no such file": None,
        "damaged": whole[: len(whole) // 2],
        "saw only others": whole,
        "a dict": pickle.dumps({"X": [1]}),
        "pandas.DataFrame": golden("pandas 3.1.1, protocol 4"),
    }
    for word, content in cases.items():
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(InputError, match=word) as error:
            read_frame(path, ("Yaw",))
        assert "\n" not in str(error.value)


def test_flipped_bits_end_in_one_line(tmp_path: Path) -> None:
    whole, path = frame_bytes(tmp_path), tmp_path / "flipped.pkl"
    draw = np.random.default_rng(0)
    for _ in range(300):
        data = bytearray(whole)
        data[draw.integers(len(data))] ^= 1 << draw.integers(8)
        path.write_bytes(data)
        try:
            read_frame(path, ("X", "camX"))
        except InputError as error:
            assert "\n" not in str(error)
