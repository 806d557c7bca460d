"""Verb `manifest`: list the files of a raw distribution, so that its records name their source.

Large files are listed by name and size; hashing terabytes of images would take longer than
converting them. Times are left out: they change when files are copied.
"""

import argparse
import os
from pathlib import Path

from pipeline.errors import InputError
from pipeline.files import sha256, write_json
from pipeline.progress import progress

HASHED = 1 << 20  # bytes up to which a file's content is hashed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument("dataset")
    parser.add_argument("--raw", type=Path, required=True, help="folder as its owner ships it")
    parser.add_argument("--out", type=Path, required=True)


def main(args: argparse.Namespace) -> None:
    """List the folder.

    Raises:
        InputError: if there is nothing in it.
    """
    if not args.raw.is_dir():
        raise InputError(
            args.raw, "", "no such folder", f"the files of {args.dataset}, see README"
        )
    found = sorted(
        Path(folder, name)
        for folder, _, names in os.walk(args.raw, followlinks=True)
        for name in names
    )
    if not found:
        raise InputError(args.raw, "", "an empty folder", f"the files of {args.dataset}")
    listed = {
        path.relative_to(args.raw).as_posix(): entry(path)
        for path in progress(found, len(found), f"manifest {args.dataset}")
    }
    write_json(args.out, {"dataset": args.dataset, "files": listed})


def entry(path: Path) -> dict:
    """Return a file's size and, if it is small, the hash of its content."""
    size = path.stat().st_size
    return {"size": size, "sha256": sha256(path)} if size <= HASHED else {"size": size}
