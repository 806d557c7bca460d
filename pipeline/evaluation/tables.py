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
from pipeline.evaluation.pck_protocols import MUPOTS_METRICS
from pipeline.evaluation.protocols import PROTOCOLS, get_protocol


def _mupots_title(metric: str) -> str:
    """Return "3DPCK matched, own bones, pooled" for such a metric of MuPoTS-3D."""
    measure, *counted = metric.replace("own_bones", "own bones").split("_")
    return ", ".join([f"3D{measure.upper()} {counted[0]}", *counted[1:]])


TITLES = {
    "pve": "PVE", "mpjpe": "MPJPE", "pa_mpjpe": "PA-MPJPE", "pck": "PCK", "auc": "AUC",
    "pa_pck": "PA-PCK", "pa_auc": "PA-AUC", "pa_mpvpe": "PA-MPVPE", "f_5": "F@5 mm",
    "f_15": "F@15 mm", "pve_t_sc": "PVE-T-SC", "miou_pooled": "mIoU pooled",
    "miou_mean": "mIoU mean", "fb_seg_acc": "FB seg. accuracy", "fb_seg_f1": "FB seg. F1",
    "part_seg_acc": "part seg. accuracy", "part_seg_f1": "part seg. F1", "ap": "AP",
    "ap50": "AP50", "ap75": "AP75", "ap_m": "AP M", "ap_l": "AP L",
    **{name: _mupots_title(name) for name in MUPOTS_METRICS},
}  # fmt: skip
BENCHMARKS = {
    "pw3d": "3DPW", "h36m": "Human3.6M", "mpi_inf_3dhp": "MPI-INF-3DHP", "mupots": "MuPoTS-3D",
    "oh3d": "3DOH50K", "ssp3d": "SSP-3D", "freihand": "FreiHAND", "lsp": "LSP", "coco": "COCO",
}  # fmt: skip
SHARES = ("f_5", "f_15", "fb_seg_f1", "part_seg_f1")
UNITS = {  # of metrics that are not millimetres
    metric: "pct"
    for protocol in PROTOCOLS.values()
    for metric in protocol.metrics
    if not metric.endswith(("mpjpe", "mpvpe", "pve", "pve_t_sc"))
} | dict.fromkeys(SHARES, "share")
SIGNS = {"mm": "", "pct": " (%)", "share": ""}
# Behind the point, as the papers print them; 1 of other metrics.
DIGITS = {"f_5": 3, "f_15": 3, "fb_seg_f1": 2, "part_seg_f1": 2, "fb_seg_acc": 2,
          "part_seg_acc": 2}  # fmt: skip


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
    names = [
        f"{metric}_{place}" for (_, metric), place in zip(columns, _places(columns), strict=True)
    ]
    units = [_unit(metric) for _, metric in columns]
    header, rows = ["method", "run", "seeds"], []
    for name, unit in zip(names, units, strict=True):
        header += [f"{name}_{unit}", f"{name}_sd"]
    header += ["protocols", "data", "scale"]
    header += [f"paper_{n}_{u}" for n, u in zip(names, units, strict=True)] + ["paper_row"]
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


def _places(columns: list[tuple[str, str]]) -> list[str]:
    """Return the benchmark of each column, or its protocol where one benchmark has several."""
    found = []
    for protocol, metric in columns:
        dataset = get_protocol(protocol).dataset
        rivals = {p for p, m in columns if m == metric and get_protocol(p).dataset == dataset}
        found.append(dataset if len(rivals) == 1 else protocol)
    return found


def _unit(metric: str) -> str:
    return UNITS.get(metric, "mm")


def _text(value: float, metric: str) -> str:
    return f"{value:.{DIGITS.get(metric, 1)}f}"


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
        f"{TITLES.get(metric, metric)} {BENCHMARKS.get(place, place)}{SIGNS[_unit(metric)]}"
        for (_, metric), place in zip(columns, _places(columns), strict=True)
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
