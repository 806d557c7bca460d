"""Verb `report`: one HTML page with the tables and figures; it needs no network."""

import argparse
import base64
import csv
import html
import json
from pathlib import Path

from pipeline import files
from pipeline.evaluation.figures import named_paths
from pipeline.evaluation.tables import NONE

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#222}
body{margin:2rem auto;max-width:1180px;padding:0 1rem}
table{border-collapse:collapse;font-size:13px;margin:1rem 0;display:block;overflow-x:auto}
th,td{padding:.3rem .6rem;border-bottom:1px solid #ddd;text-align:right;white-space:nowrap}
th:first-child,td:first-child{text-align:left}
thead th{border-bottom:2px solid #888}
td.paper,th.paper{color:#777}
img{max-width:100%;height:auto;border:1px solid #ddd;margin:.3rem 0}
figcaption{color:#555;font-size:13px;margin-bottom:1.5rem}
code,pre{background:#f5f5f5;padding:.1rem .3rem;font-size:12px}
pre{padding:.8rem;overflow-x:auto}
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("--settings", type=json.loads, required=True,
                        help="JSON: scale, source, seed, tables {name: {title}}")  # fmt: skip
    parser.add_argument("--tables", nargs="+", required=True, metavar="TABLE=CSV")
    parser.add_argument("--figures", type=Path, nargs="*", default=[])
    parser.add_argument("--out", type=Path, required=True)


CAPTIONS = {
    "curves": "Training loss of every run; one line a seed, smoothed over 4 % of the steps.",
    "mpt_finetuning": "Fine-tuning on Human3.6M with and without mesh pre-training: PA-MPJPE on "
    "the test set over the steps and by the share of the data; thin lines and dashes are seeds.",
    "overlays": "Predictions at evenly spaced quantiles of the first run's PA-MPJPE, good to bad: "
    "image, IUV of the prediction, then for each run the mesh over the image and from the side.",
    "iterations": "The mesh after every update, from the mean parameters (M0) on, and the last "
    "from the side.",
    "iuv": "Auxiliary prediction beside its target: surface part, U and V; dark is 0, bright 1.",
    "features": "The maps that the updates sample, coarse to fine, summed over their channels.",
    "contact": "What training and evaluation read: crop, 2D joints, ground-truth mesh, IUV.",
}


def table_html(path: Path) -> str:
    """One CSV table as HTML; mean and spread share a cell, the papers' columns are grey."""
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    header, body = rows[0], rows[1:]
    shown = [k for k, name in enumerate(header) if not name.endswith("_sd")
             and name not in ("run", "protocols", "data", "scale")]  # fmt: skip
    lines = ["<table><thead><tr>"]
    for k in shown:
        kind = ' class="paper"' if header[k].startswith("paper_") else ""
        lines.append(f"<th{kind}>{html.escape(header[k].replace('_', ' '))}</th>")
    lines.append("</tr></thead><tbody>")
    for row in body:
        lines.append("<tr>")
        for k in shown:
            kind = ' class="paper"' if header[k].startswith("paper_") else ""
            text = html.escape(row[k])
            if k + 1 < len(header) and header[k + 1].endswith("_sd") and row[k + 1] != NONE:
                text += f" ± {html.escape(row[k + 1])}"
            lines.append(f"<td{kind}>{text}</td>")
        lines.append("</tr>")
    return "".join([*lines, "</tbody></table>"])


def figure_html(path: Path) -> str:
    """One PNG, embedded, with its caption."""
    data = base64.b64encode(path.read_bytes()).decode()
    caption = next((c for k, c in CAPTIONS.items() if path.stem.startswith(k)), "")
    return (f'<figure><img alt="{html.escape(path.stem)}" src="data:image/png;base64,{data}">'
            f"<figcaption><b>{html.escape(path.stem)}</b>. {html.escape(caption)}</figcaption>"
            "</figure>")  # fmt: skip


def page(settings: dict, tables: dict[str, Path], figures: list[Path]) -> str:
    """The whole page."""
    data = {"demo": "demo data rendered from the open body model",
            "real": "the licensed datasets"}[settings["source"]]  # fmt: skip
    parts = ["<!doctype html><html lang=en><meta charset=utf-8>",
             "<title>Human mesh recovery: results</title>", f"<style>{STYLE}</style>",
             "<h1>Human mesh recovery: results</h1>",
             f"<p>Measured on {data} at scale <code>{settings['scale']}</code>. Grey columns are "
             "the papers' numbers on the licensed data; they are comparable only with rows "
             "measured on the same data at the papers' scale.</p>"]  # fmt: skip
    for name, path in tables.items():
        title = settings["tables"][name]["title"]
        parts += [f"<h2>{html.escape(title)}</h2>", table_html(path)]
    parts += ["<h2>Figures</h2>", *map(figure_html, figures)] if figures else []
    return "\n".join(parts) + "\n"


def main(args: argparse.Namespace) -> None:
    """Write the page."""
    tables = named_paths(args.tables)
    with files.atomic(args.out) as part:
        part.write_text(page(args.settings, tables, args.figures), encoding="utf-8")
    print(f"{args.out}: {len(tables)} tables, {len(args.figures)} figures", flush=True)
