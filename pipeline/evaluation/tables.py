"""Verb `table`: metrics files of many runs -> one table as CSV and Markdown.

Every number comes from a metrics file; the papers' own numbers stand in columns of their own. A
cell without a number says n/a, and a note or the caption says why.
"""

import argparse
import json
import statistics
from pathlib import Path

from pipeline import files
from pipeline.errors import InputError
from pipeline.evaluation import reference
from pipeline.evaluation.protocols import get_protocol
from pipeline.evaluation.table_names import BENCHMARKS, TITLES, places, text, titles, unit

__all__ = ["BENCHMARKS", "TITLES", "build", "cell", "main", "markdown", "read_metrics", "summary"]
NONE = "n/a"
QUOTED = "quoted"  # stands for the run of a row that none was made for
MEASURED = 3  # columns before the measured ones: method, run, seeds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("--settings", type=json.loads, required=True,
                        help="JSON: title, seeds, columns, rows, scale, source")  # fmt: skip
    parser.add_argument("--metrics", type=Path, nargs="+", required=True)
    parser.add_argument(
        "--out", type=Path, required=True, help="the CSV; .md is written beside it"
    )
    parser.add_argument("--summary", type=Path, help="JSON of all means, for `dvc metrics`")


def read_metrics(paths: list[Path]) -> dict[tuple[str, int, str], dict]:
    """Metrics files by (run, seed, protocol)."""
    found = {}
    for path in paths:
        content = files.read_json(path)
        found[content["run"], content["seed"], content["protocol"]["name"]] = content
    return found


def cell(found: dict, run: str, seeds: list[int], protocol: str, metric: str) -> tuple[str, str]:
    """Mean over seeds and the sample standard deviation, which one seed does not have.

    Both are n/a if a seed's predictions leave the metric undefined (the average precision of
    large people where there are none).

    Raises:
        InputError: if a seed's metrics file is missing.
    """
    values = []
    for seed in seeds:
        content = found.get((run, seed, protocol))
        if content is None:
            raise InputError(
                "table", f"{run} seed {seed}", "no metrics file", f"{protocol} {metric}"
            )
        if metric not in content["metrics"]:
            return NONE, NONE
        values.append(content["metrics"][metric]["value"])
    spread = text(statistics.stdev(values), metric) if len(values) > 1 else NONE
    return text(statistics.fmean(values), metric), spread


def build(settings: dict, found: dict) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the CSV."""
    columns = _columns(settings)
    names = [f"{m}_{place}" for (_, m), place in zip(columns, places(columns), strict=True)]
    units = [unit(metric) for _, metric in columns]
    header, rows = ["method", "run", "seeds"], []
    for name, of in zip(names, units, strict=True):
        header += [f"{name}_{of}", f"{name}_sd"]
    header += ["protocols", "data", "scale"]
    header += [f"paper_{n}_{u}" for n, u in zip(names, units, strict=True)]
    parts = [row.get("group") or "" for row in settings["rows"]]
    grouped = any(parts)
    header += ["paper_row", *["group"] * grouped, "notes"]
    place = [" ".join(dict.fromkeys(p for p, _ in columns)), settings["source"], settings["scale"]]
    for row, part in zip(settings["rows"], parts, strict=True):
        start, notes = _measured_cells(row, settings, found, names)
        end = [*[part] * grouped, notes]
        rows.append([row["method"], *start, *place, *_paper_cells(row, settings), *end])
    return header, rows


def _columns(settings: dict) -> list[tuple[str, str]]:
    return [(c["protocol"], m) for c in settings["columns"] for m in c["metrics"]]


def _measured_cells(
    row: dict, settings: dict, found: dict, names: list[str]
) -> tuple[list[str], str]:
    """Run, seeds, mean and spread of every column; and why some are n/a."""
    columns = _columns(settings)
    if row["run"] is None:
        note = f"{QUOTED} from {row['reference']['table']}, not run here"
        return [QUOTED, NONE, *[NONE] * (2 * len(columns))], note
    seeds, undefined = row.get("seeds", settings["seeds"]), []
    cells = [row["run"], " ".join(map(str, seeds))]
    for (protocol, metric), name in zip(columns, names, strict=True):
        pair = cell(found, row["run"], seeds, protocol, metric)
        cells += pair
        undefined += [name] if pair[0] == NONE else []
    return cells, f"not defined on these data: {', '.join(undefined)}" if undefined else ""


def _paper_cells(row: dict, settings: dict) -> list[str]:
    """The papers' number of every column, and the name of their row."""
    source = row.get("reference")
    if not source:
        return [NONE] * (len(_columns(settings)) + 1)
    cells = []
    for column in settings["columns"]:
        where = {**source["where"], **(column.get("where") or {})}
        paper = reference.lookup(source["table"], where)
        dataset = get_protocol(column["protocol"]).dataset
        for metric in column["metrics"]:
            number = reference.value(paper, dataset, metric)
            cells.append(NONE if number is None else text(number, metric))
    return [*cells, f"{source['table']}: {', '.join(source['where'].values())}"]


def markdown(settings: dict, header: list[str], rows: list[list[str]]) -> str:
    """The table for people: mean +- spread, the papers' numbers behind, notes below."""
    names = titles(_columns(settings))
    head = ["Method", *names, *(f"paper: {name}" for name in names)]
    papers, body, notes = header.index("scale") + 1, [], {}
    for row in rows:
        cells = []
        for k in range(len(names)):
            mean, spread = row[MEASURED + 2 * k : MEASURED + 2 * k + 2]
            cells.append(mean if spread == NONE else f"{mean} ± {spread}")
        cells += row[papers : papers + len(names)]
        if row[-1]:
            notes.setdefault(row[-1], len(notes) + 1)
        mark = f" [{notes[row[-1]]}]" if row[-1] else ""
        part = f"({row[-2]}) " if "group" in header and row[-2] else ""
        body.append(f"| {' | '.join([part + row[0] + mark, *cells])} |")
    lines = [f"# {settings['title']}", "", _caption(settings, body), ""]
    lines += [f"| {' | '.join(head)} |", "|---" + "|---:" * (len(head) - 1) + "|", *body]
    lines += ["", *(f"[{number}] {note}." for note, number in notes.items())] if notes else []
    return "\n".join(lines) + "\n"


def _caption(settings: dict, body: list[str]) -> str:
    data = {"demo": "demo data rendered from the open body", "real": "the licensed datasets"}
    protocols = ", ".join(dict.fromkeys(f"`{c['protocol']}`" for c in settings["columns"]))
    seeds = len(settings["seeds"])
    spread = f"mean ± sample standard deviation over {seeds} seeds" if seeds > 1 else "one seed"
    note = ("" if settings["source"] == "real" and settings["scale"] == "paper" else
            " The papers' columns are measured on the licensed data at full scale and are "
            "not comparable with ours beside them.")  # fmt: skip
    if any(NONE in line for line in body):
        note += f" {NONE}: not reported by the paper, or as the note of the row says."
    return (f"Millimetres, or as the column says, {spread}; {data[settings['source']]}, scale "
            f"`{settings['scale']}`; protocols {protocols}.{note}")  # fmt: skip


def summary(found: dict) -> dict:
    """{run: {protocol: {metric: mean over seeds}}}, what `dvc metrics diff` compares."""
    out: dict = {}
    for (run, _, protocol), content in sorted(found.items()):
        for metric, numbers in content["metrics"].items():
            out.setdefault(run, {}).setdefault(protocol, {}).setdefault(metric, []).append(
                numbers["value"]
            )
    return {r: {p: {m: round(statistics.fmean(v), 3) for m, v in ms.items()}
                for p, ms in ps.items()} for r, ps in out.items()}  # fmt: skip


def main(args: argparse.Namespace) -> None:
    """Write the CSV, the Markdown beside it and, if asked, the summary."""
    found = read_metrics(args.metrics)
    header, rows = build(args.settings, found)
    page = markdown(args.settings, header, rows)
    with files.atomic(args.out.with_suffix(".md")) as part:
        part.write_text(page, encoding="utf-8")
    if args.summary:
        files.write_json(args.summary, summary(found))
    files.write_csv(args.out, header, rows)
    print(page)
