"""Verb `claims`: does one row of a table beat another? Answered from the metrics files alone.

Two rows are compared seed by seed, since runs of one seed share their initial weights and the
order of their data. A claim is decided by the 95 % Student interval of the mean difference over
seeds: supported where it lies above zero, contradicted where below, within noise where it holds
zero. A second interval, over the test samples, says how far the samples alone leave it open; it
knows nothing of other seeds and decides nothing.
"""

import argparse
import json
import statistics
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

import numpy as np
from scipy.special import stdtrit

from pipeline import files
from pipeline.errors import InputError
from pipeline.evaluation.table_names import TITLES, unit
from pipeline.evaluation.tables import read_metrics

CONFIDENCE = 0.95
HEADER = (
    "claim", "better", "worse", "protocol", "metric", "unit", "seeds", "gain", "gain_sd", "low",
    "high", "samples_low", "samples_high", "verdict",
)  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """One claim under one metric; a gain above zero speaks for the claim, in the metric's unit.

    Attributes:
        gains: the gain of every seed.
        interval: 95 % of the mean over seeds; None for one seed.
        samples: 95 % over the test samples; None for metrics that are no mean over samples.
    """

    gains: list[float]
    interval: tuple[float, float] | None
    samples: tuple[float, float] | None

    @property
    def verdict(self) -> str:
        """What the seeds say of the claim."""
        if self.interval is None:
            return "open: one seed"
        low, high = self.interval
        return "supported" if low > 0 else "contradicted" if high < 0 else "within noise"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("--settings", type=json.loads, required=True,
                        help="JSON: a table with its claims, and bootstrap")  # fmt: skip
    parser.add_argument("--metrics", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True, help="the CSV; .md beside it")


def student_interval(values: list[float]) -> tuple[float, float] | None:
    """95 % interval of the mean of normal values of unknown spread; None for a single value."""
    if len(values) < 2:
        return None
    reach = stdtrit(len(values) - 1, (1 + CONFIDENCE) / 2)
    reach = float(reach) * statistics.stdev(values) / sqrt(len(values))
    mean = statistics.fmean(values)
    return mean - reach, mean + reach


def samples_interval(values: np.ndarray, resamples: int) -> tuple[float, float]:
    """95 % percentile interval of the mean of (N,) values when the samples are drawn anew."""
    random = np.random.default_rng(0)
    means = [values[random.integers(len(values), size=len(values))].mean()
             for _ in range(resamples)]  # fmt: skip
    edge = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [edge, 1 - edge])
    return float(low), float(high)


def compare(better: list[dict], worse: list[dict], metric: str, resamples: int) -> Comparison:
    """Compare two rows' metrics files, one a seed, in the same order.

    Raises:
        InputError: if the files are not of the same samples.
    """
    sign = 1.0 if unit(metric) == "mm" else -1.0  # errors are to be small, shares large
    gains, differences = [], []
    for first, second in zip(better, worse, strict=True):
        if first["rows"] != second["rows"]:
            saw = f"{first['run']} and {second['run']} on different samples"
            raise InputError("claims", f"seed {first['seed']}", saw, "the same records")
        values = [m["metrics"][metric]["value"] for m in (first, second)]
        gains.append(sign * (values[1] - values[0]))
        if metric in first["per_sample"] and metric in second["per_sample"]:
            pair = [np.asarray(m["per_sample"][metric], dtype=float) for m in (first, second)]
            differences.append(sign * (pair[1] - pair[0]))
    samples = None
    if len(differences) == len(gains):
        samples = samples_interval(np.mean(differences, axis=0), resamples)
    return Comparison(gains, student_interval(gains), samples)


def build(settings: dict, found: dict) -> list[dict[str, str]]:
    """One line for each claim and metric.

    Args:
        settings: seeds, columns, rows, claims, bootstrap.
        found: metrics files by (run, seed, protocol).

    Raises:
        InputError: if a seed's metrics file is missing or does not hold the metric.
    """
    runs = {row["method"]: row["run"] for row in settings["rows"]}
    lines = []
    for claim in settings["claims"]:
        for column in settings["columns"]:
            for metric in column["metrics"]:
                pair = [_files(found, runs[claim[role]], settings["seeds"], column["protocol"],
                               metric) for role in ("better", "worse")]  # fmt: skip
                result = compare(*pair, metric, settings["bootstrap"])
                lines.append(_line(claim, column["protocol"], metric, settings["seeds"], result))
    return lines


def _files(found: dict, run: str, seeds: list[int], protocol: str, metric: str) -> list[dict]:
    chosen = []
    for seed in seeds:
        content = found.get((run, seed, protocol))
        if content is None or metric not in content["metrics"]:
            wanted = f"{protocol} {metric}"
            raise InputError("claims", f"{run} seed {seed}", "no metrics file", wanted)
        chosen.append(content)
    return chosen


def _line(claim: dict, protocol: str, metric: str, seeds: list[int], result: Comparison) -> dict:
    spread = statistics.stdev(result.gains) if len(seeds) > 1 else None
    low, high = result.interval or (None, None)
    samples_low, samples_high = result.samples or (None, None)
    numbers = {"gain": statistics.fmean(result.gains), "gain_sd": spread, "low": low, "high": high,
               "samples_low": samples_low, "samples_high": samples_high}  # fmt: skip
    digits = 4 if unit(metric) == "share" else 2
    texts = {k: "" if value is None else f"{value:.{digits}f}" for k, value in numbers.items()}
    return {"claim": claim["claim"], "better": claim["better"], "worse": claim["worse"],
            "protocol": protocol, "metric": metric, "unit": unit(metric),
            "seeds": " ".join(map(str, seeds)), **texts, "verdict": result.verdict}  # fmt: skip


def markdown(settings: dict, lines: list[dict[str, str]]) -> str:
    """The claims for people."""
    seeds = len(settings["seeds"])
    note = (
        f"Gain of the first row over the second, positive where the claim holds, paired over "
        f"{seeds} seed{'s' * (seeds > 1)}: mean ± sample standard deviation, [95 % Student "
        f"interval over seeds], (95 % bootstrap interval over the test samples). Data "
        f"`{settings['source']}`, scale `{settings['scale']}`."
    )
    head = ["| Claim | Compared | Metric | Gain | Verdict |", "|---|---|---|---:|---|"]
    text = [f"# {settings['title']}", "", note, "", *head]
    for line in lines:
        gain = line["gain"]
        if line["low"]:
            gain += f" ± {line['gain_sd']} [{line['low']}, {line['high']}]"
        if line["samples_low"]:
            gain += f" ({line['samples_low']}, {line['samples_high']})"
        metric = f"{TITLES.get(line['metric'], line['metric'])} `{line['protocol']}`"
        text.append(f"| {line['claim']} | {line['better']} / {line['worse']} | {metric} "
                    f"({line['unit']}) | {gain} | {line['verdict']} |")  # fmt: skip
    return "\n".join(text) + "\n"


def main(args: argparse.Namespace) -> None:
    """Write the CSV and the Markdown beside it."""
    lines = build(args.settings, read_metrics(args.metrics))
    text = markdown(args.settings, lines)
    with files.atomic(args.out.with_suffix(".md")) as part:
        part.write_text(text, encoding="utf-8")
    files.write_csv(args.out, list(HEADER), [[line[name] for name in HEADER] for line in lines])
    print(text)
