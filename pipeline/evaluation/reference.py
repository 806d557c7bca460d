"""Numbers that the papers print, for the reference columns of our tables."""

import csv
from pathlib import Path

from pipeline.errors import InputError

FOLDER = Path(__file__).resolve().parents[1] / "reference"

# The papers' tables name a number by metric and benchmark; ours by protocol and metric.
_METRICS = {"pve": ("pve", "mpve"), "mpjpe": ("mpjpe",), "pa_mpjpe": ("pampjpe",),
            "pck_all": ("pck3d",), "pa_mpvpe": ("pampvpe",), "miou_pooled": ("miou",),
            "miou_mean": ("miou",)}  # fmt: skip
_WHOLE_COLUMNS = {  # that name no benchmark
    "f_5": "f_at_5mm", "f_15": "f_at_15mm", "fb_seg_acc": "fb_seg_acc_pct",
    "fb_seg_f1": "fb_seg_f1", "part_seg_acc": "part_seg_acc_pct", "part_seg_f1": "part_seg_f1",
    "encoder_params": "n_backbone_params", "regressor_params": "n_transformer_params",
    "ap": "ap_pct", "ap50": "ap50_pct", "ap75": "ap75_pct", "ap_m": "apm_pct", "ap_l": "apl_pct",
}  # fmt: skip
_UNITS = ("_mm", "_pct", "")  # endings of the papers' columns
_BENCHMARKS = {"pw3d": "3dpw", "h36m": "h36m", "oh3d": "3doh50k"}


def lookup(table: str, where: dict[str, str]) -> dict[str, str]:
    """The one row of a paper's table that matches every `column: value` of `where`.

    Raises:
        InputError: if the table does not exist or not exactly one row matches.
    """
    found = rows(table, where)
    if len(found) != 1:
        raise InputError(
            "params.yaml", "reference.where", f"{where} ({len(found)} rows)", "one row"
        )
    return found[0]


def rows(table: str, where: dict[str, str]) -> list[dict[str, str]]:
    """The rows of a paper's table that match every `column: value` of `where`.

    Raises:
        InputError: if the table does not exist.
    """
    path = FOLDER / f"{table}.csv"
    if not path.is_file():
        known = sorted(
            p.relative_to(FOLDER).with_suffix("").as_posix() for p in FOLDER.rglob("*.csv")
        )
        raise InputError(
            "params.yaml", "reference.table", repr(table), "one of " + ", ".join(known)
        )
    with path.open(newline="") as file:
        return [r for r in csv.DictReader(file) if all(r.get(k) == v for k, v in where.items())]


def value(row: dict[str, str], dataset: str, metric: str) -> float | None:
    """The paper's number in our unit, or None where its table has none.

    Args:
        row: of `lookup`.
        dataset: the benchmark.
        metric: ours; one that ends on `_m0`, `_m1`, ... is of that iteration of the regressor,
            for which PyMAF's Table 6 has a column each and a row for each metric.
    """
    if row.get(_WHOLE_COLUMNS.get(metric)):
        return float(row[_WHOLE_COLUMNS[metric]])
    whole, _, iteration = metric.rpartition("_m")
    if iteration.isdigit():
        named = row.get("metric") in _METRICS.get(whole, (whole,))
        text = row.get(f"m{iteration}_mm") if named else None
        return float(text) if text else None
    for spelling in _METRICS.get(metric, (metric,)):
        for unit in _UNITS:
            text = row.get(f"{spelling}_{_BENCHMARKS.get(dataset, dataset)}{unit}")
            if text:
                return float(text)
    return None
