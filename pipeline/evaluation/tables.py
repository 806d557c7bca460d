"""Verb `table`: metrics files of many runs -> one table as CSV and Markdown.

Every number comes from a metrics file; the papers' own numbers stand in columns of their own. A
cell is empty only where the table asks for nothing (a paper that does not report the number, or a
spread of one seed).
"""

import argparse
import json
import statistics
from pathlib import Path

from pipeline import files
from pipeline.errors import InputError
from pipeline.evaluation import reference
from pipeline.evaluation.pck_protocols import PCK_PROTOCOLS
from pipeline.evaluation.protocols import get_protocol

TITLES = {
    "pve": "PVE", "mpjpe": "MPJPE", "pa_mpjpe": "PA-MPJPE", "pck": "PCK", "auc": "AUC",
    "pa_pck": "PA-PCK", "pa_auc": "PA-AUC", "pck_all": "3DPCK", "pa_mpvpe": "PA-MPVPE",
    "f_5": "F@5 mm", "f_15": "F@15 mm", "pve_t_sc": "PVE-T-SC", "miou_pooled": "mIoU pooled",
    "miou_mean": "mIoU mean",
}  # fmt: skip
BENCHMARKS = {
    "pw3d": "3DPW", "h36m": "Human3.6M", "mpi_inf_3dhp": "MPI-INF-3DHP", "mupots": "MuPoTS-3D",
    "oh3d": "3DOH50K", "ssp3d": "SSP-3D", "freihand": "FreiHAND",
}  # fmt: skip
UNITS = {  # of metrics that are not millimetres
    metric: "pct"
    for protocol in PCK_PROTOCOLS.values()
    for metric in protocol.metrics
    if not metric.endswith("mpjpe")
} | {"miou_pooled": "pct", "miou_mean": "pct", "f_5": "share", "f_15": "share"}
SIGNS = {"mm": "", "pct": " (%)", "share": ""}
DIGITS = {"share": 3}  # behind the point; 1 of other units


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


def cell(found: dict, run: str, seeds: list[int], protocol: str, metric: str) -> tuple[float, str]:
    """Mean over seeds and the sample standard deviation (empty for one seed), millimetres.

    Raises:
        InputError: if a seed's metrics file is missing or does not hold the metric.
    """
    values = []
    for seed in seeds:
        content = found.get((run, seed, protocol))
        if content is None or metric not in content["metrics"]:
            raise InputError(
                "table", f"{run} seed {seed}", "no metrics file", f"{protocol} {metric}"
            )
        values.append(content["metrics"][metric]["value"])
    spread = _text(statistics.stdev(values), metric) if len(values) > 1 else ""
    return statistics.fmean(values), spread


def build(settings: dict, found: dict) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the CSV."""
    columns = [(c["protocol"], m) for c in settings["columns"] for m in c["metrics"]]
    datasets = {p: get_protocol(p).dataset for p, _ in columns}
    header, rows = ["method", "run", "seeds"], []
    for protocol, metric in columns:
        name = f"{metric}_{datasets[protocol]}"
        header += [f"{name}_{_unit(metric)}", f"{name}_sd"]
    header += ["protocols", "data", "scale"]
    header += [f"paper_{m}_{datasets[p]}_{_unit(m)}" for p, m in columns] + ["paper_row"]
    for row in settings["rows"]:
        seeds = row.get("seeds", settings["seeds"])
        line = [row["method"], row["run"], " ".join(map(str, seeds))]
        for protocol, metric in columns:
            mean, spread = cell(found, row["run"], seeds, protocol, metric)
            line += [_text(mean, metric), spread]
        line += [
            " ".join(dict.fromkeys(p for p, _ in columns)),
            settings["source"],
            settings["scale"],
        ]
        line += _paper_cells(row, columns, datasets)
        rows.append(line)
    return header, rows


def _unit(metric: str) -> str:
    return UNITS.get(metric, "mm")


def _text(value: float, metric: str) -> str:
    return f"{value:.{DIGITS.get(_unit(metric), 1)}f}"


def _paper_cells(row: dict, columns: list[tuple[str, str]], datasets: dict[str, str]) -> list[str]:
    source = row.get("reference")
    if not source:
        return [""] * (len(columns) + 1)
    paper = reference.lookup(source["table"], source["where"])
    values = [reference.value(paper, datasets[p], m) for p, m in columns]
    where = ", ".join(source["where"].values())
    texts = ["" if v is None else _text(v, m) for v, (_, m) in zip(values, columns, strict=True)]
    return [*texts, f"{source['table']}: {where}"]


def markdown(settings: dict, header: list[str], rows: list[list[str]]) -> str:
    """The table for people: mean +- spread, the papers' numbers behind."""
    columns = [(c["protocol"], m) for c in settings["columns"] for m in c["metrics"]]
    names = [
        f"{TITLES.get(m, m)} {BENCHMARKS.get(get_protocol(p).dataset, p)}{SIGNS[_unit(m)]}"
        for p, m in columns
    ]
    head = ["Method", *names, *(f"paper: {n}" for n in names)]
    lines = [f"# {settings['title']}", "", _caption(settings), ""]
    lines += ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    first, papers = 3, header.index("scale") + 1
    for row in rows:
        cells = []
        for k in range(len(columns)):
            mean, spread = row[first + 2 * k : first + 2 * k + 2]
            cells.append(f"{mean} ± {spread}" if spread else mean)
        cells += [c or "–" for c in row[papers : papers + len(columns)]]
        lines.append("| " + " | ".join([row[0], *cells]) + " |")
    return "\n".join(lines) + "\n"


def _caption(settings: dict) -> str:
    data = {"demo": "demo data rendered from the open body", "real": "the licensed datasets"}
    protocols = ", ".join(f"`{c['protocol']}`" for c in settings["columns"])
    seeds = len(settings["seeds"])
    spread = f"mean ± sample standard deviation over {seeds} seeds" if seeds > 1 else "one seed"
    note = ("" if settings["source"] == "real" and settings["scale"] == "paper" else
            " The papers' columns are measured on the licensed data at full scale and are "
            "not comparable with ours beside them.")  # fmt: skip
    unit = "Millimetres, or as the column says"
    return (f"{unit}, {spread}; {data[settings['source']]}, scale `{settings['scale']}`; "
            f"protocols {protocols}.{note}")  # fmt: skip


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
    text = markdown(args.settings, header, rows)
    with files.atomic(args.out.with_suffix(".md")) as part:
        part.write_text(text, encoding="utf-8")
    if args.summary:
        files.write_json(args.summary, summary(found))
    files.write_csv(args.out, header, rows)
    print(text)
