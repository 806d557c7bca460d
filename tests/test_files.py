"""Files appear whole or not at all; errors are one line."""

import errno
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import files
from pipeline.errors import InputError
from pipeline.progress import line, progress


def test_file_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep/er/file.txt"
    with files.atomic(path) as part:
        part.write_text("whole")
        assert not path.exists() and part.parent == path.parent
    assert path.read_text() == "whole" and os.listdir(path.parent) == ["file.txt"]


def test_failure_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("before")
    with pytest.raises(ZeroDivisionError), files.atomic(path) as part:
        part.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "before" and os.listdir(tmp_path) == ["file.txt"]


def test_folder_takes_the_place_of_another(tmp_path: Path) -> None:
    for name in ("first", "second"):
        with files.atomic(tmp_path / "folder") as part:
            part.mkdir()
            (part / name).write_text(name)
    assert os.listdir(tmp_path / "folder") == ["second"]


def test_full_disk_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="saw a full disk, expected free space"):
        with files.atomic(tmp_path / "file") as part:
            part.write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")
    assert os.listdir(tmp_path) == []


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    files.write_json(tmp_path / "a", {"x": 1, "y": [2.5]})
    files.write_json(tmp_path / "b", {"y": [2.5], "x": 1})
    assert files.sha256(tmp_path / "a") == files.sha256(tmp_path / "b")
    assert files.read_json(tmp_path / "a") == {"x": 1, "y": [2.5]}
    files.write_csv(tmp_path / "c", ["a", "b"], [[1, "x,y"]])
    assert (tmp_path / "c").read_bytes() == b'a,b\n1,"x,y"\n'


def test_hash_of_many_depends_on_order(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text(name)
    paths = [tmp_path / "a", tmp_path / "b"]
    assert files.sha256_many(paths) != files.sha256_many(paths[::-1])


def test_broken_json_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{")
    for name, saw in (("x.json", "saw no JSON"), ("y.json", "saw no such file")):
        with pytest.raises(InputError, match=saw):
            files.read_json(tmp_path / name)


def test_error_travels_between_processes() -> None:
    error = InputError("file", "key", "a", "b")
    assert str(pickle.loads(pickle.dumps(error))) == "file: key: saw a, expected b"


def test_command_line_ends_with_one_line(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "pipeline", "manifest", "x", "--raw", str(tmp_path / "no"),
             "--out", str(tmp_path / "out.json")]  # fmt: skip
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1 and not (tmp_path / "out.json").exists()


def test_manifest_names_files_without_times(tmp_path: Path) -> None:
    (tmp_path / "raw/deep").mkdir(parents=True)
    (tmp_path / "raw/deep/small").write_text("x")
    (tmp_path / "raw/large").write_bytes(b"0" * (1 << 21))
    words = [sys.executable, "-m", "pipeline", "manifest", "set", "--raw", str(tmp_path / "raw"),
             "--out", str(tmp_path / "out.json")]  # fmt: skip
    subprocess.run(words, check=True)
    listed = files.read_json(tmp_path / "out.json")
    assert listed["files"]["large"] == {"size": 1 << 21}
    assert listed["files"]["deep/small"]["size"] == 1


def test_progress_says_how_far(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress(range(3), None, "things", every=0)) == [0, 1, 2]
    assert "things 3/3 100%" in capsys.readouterr().err
    assert line("things", 30, 100, 10.0) == "things 30/100 30% 3.0/s eta 23s"
