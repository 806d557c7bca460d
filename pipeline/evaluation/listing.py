"""All metrics of several metrics files as one list: protocol, metric, value, unit, count."""

import argparse
import sys
from pathlib import Path

from pipeline.files import read_json, write_csv

HEADER = ["protocol", "version", "run", "metric", "value", "unit", "count"]
UNDEFINED = "undefined"  # such as AP of sizes that no person has


def listed(content: dict) -> list[list[str]]:
    """Return a row for each metric that the protocol reports.

    Args:
        content: of a metrics file.
    """
    protocol, metrics = content["protocol"], content["metrics"]
    rows = []
    for metric in protocol["metrics"]:
        found = metrics.get(metric, {"value": UNDEFINED, "unit": ""})
        rows.append([protocol["name"], protocol["version"], content["run"], metric,
                     found["value"], found["unit"], content["count"]])  # fmt: skip
    return [[str(cell) for cell in row] for row in rows]


def main(words: list[str]) -> None:
    """Write the list."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.evaluation.listing")
    parser.add_argument("metrics", nargs="+", type=Path, help="files of the verb evaluate")
    parser.add_argument("--out", type=Path, required=True, help="the CSV to write")
    args = parser.parse_args(words)
    write_csv(args.out, HEADER, [row for path in args.metrics for row in listed(read_json(path))])


if __name__ == "__main__":
    main(sys.argv[1:])
