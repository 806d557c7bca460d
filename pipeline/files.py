"""Files that appear whole or not at all."""

import csv
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import InputError


def part_path(path: Path | str) -> Path:
    """Return the name under which `path` is written until it is whole (same folder)."""
    path = Path(path)
    return path.with_name(f"{path.name}.part")


@contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Yield a `.part` name beside `path`; what is made there takes `path`'s name on success.

    It may be a file or a folder. The parent folder is made. What an interrupted run left
    under the `.part` name is removed first; any failure removes it as well, so `path` is
    never half written.

    Raises:
        InputError: if the disk is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = part_path(path)
    _remove(part)
    try:
        yield part
        _sync(part)
        if part.is_dir():
            _remove(path)
        os.replace(part, path)
    except BaseException as error:
        _remove(part)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise full_disk(path) from error
        raise


def full_disk(path: Path | str) -> InputError:
    """Return the error that a full disk ends in, naming the file being written."""
    return InputError(path, "", "a full disk", "free space, then the same command again")


def write_json(path: Path | str, content: object) -> None:
    """Write `content` with sorted keys: equal content, equal bytes."""
    with atomic(path) as part:
        part.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")


def read_json(path: Path | str) -> object:
    """Return the content of a JSON file.

    Raises:
        InputError: if the file is missing or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text())
    except FileNotFoundError:
        raise InputError(path, "", "no such file", "a JSON file") from None
    except ValueError as error:
        raise InputError(path, "", f"no JSON ({error})", "a JSON file") from None


def write_csv(path: Path | str, header: Sequence[str], rows: Iterable[Sequence]) -> None:
    """Write a table with one header line and Unix line ends."""
    with atomic(path) as part, open(part, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def sha256(path: Path | str) -> str:
    """Return the SHA-256 of a file's content as hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_many(paths: Iterable[Path | str]) -> str:
    """Return one SHA-256 over the contents of several files, in the order given."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(sha256(path).encode())
    return digest.hexdigest()


def _sync(part: Path) -> None:
    """Put the file's bytes on the disk before it takes its name (a folder: each file)."""
    for file in part.rglob("*") if part.is_dir() else [part]:
        if file.is_file():
            with open(file, "rb") as handle:
                os.fsync(handle.fileno())


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
