"""One JSON file of the means of every table, for `dvc metrics`."""

import argparse
import sys
from pathlib import Path

from pipeline.files import read_json, write_json


def main(words: list[str]) -> None:
    """Collect the tables' summaries under the tables' names."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.workflow.summary")
    parser.add_argument("tables", nargs="*", metavar="TABLE=FILE", help="summary of each table")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(words)
    named = (item.partition("=") for item in args.tables)
    write_json(args.out, {name: read_json(Path(path)) for name, _, path in named})


if __name__ == "__main__":
    main(sys.argv[1:])
