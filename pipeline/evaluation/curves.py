"""Learning curves: the loss of every run over its steps, one panel a run, one line a seed."""

import csv
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402

from pipeline import files  # noqa: E402
from pipeline.errors import InputError  # noqa: E402

_PANEL = (3.2, 2.6)  # inches
_COLUMNS = 4


def read_history(path: Path) -> dict[str, np.ndarray]:
    """Columns of a run's history.csv.

    Raises:
        InputError: if it lacks the columns `step` and `loss`, or a value is no number.
    """
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        if not {"step", "loss"} <= set(reader.fieldnames or ()):
            raise InputError(path, "header", reader.fieldnames, "columns step and loss")
        rows = list(reader)
    try:
        return {k: np.array([float(r[k]) for r in rows if r[k] != ""])
                for k in reader.fieldnames}  # fmt: skip
    except ValueError as error:
        raise InputError(path, "row", error, "numbers") from error


def smooth(values: np.ndarray, share: float = 0.04) -> np.ndarray:
    """Running mean over a window of `share` of the points, shortened at the ends."""
    if len(values) < 3:
        return values
    half = max(1, int(len(values) * share / 2))
    total = np.concatenate([[0.0], np.cumsum(values)])
    low = np.maximum(np.arange(len(values)) - half, 0)
    high = np.minimum(np.arange(len(values)) + half + 1, len(values))
    return (total[high] - total[low]) / (high - low)


def draw(histories: dict[str, Path], out: Path) -> None:
    """Write a PNG with one panel for each run of `histories` ("run/seed" -> history.csv)."""
    runs: dict[str, dict[str, dict[str, np.ndarray]]] = {}
    for key, path in histories.items():
        run, _, seed = key.rpartition("/")
        runs.setdefault(run, {})[seed] = read_history(path)
    runs = {
        run: seeds for run, seeds in runs.items() if any(len(h["step"]) for h in seeds.values())
    }
    columns = min(_COLUMNS, max(len(runs), 1))
    lines = -(-max(len(runs), 1) // columns)
    size = (_PANEL[0] * columns, _PANEL[1] * lines)
    figure, axes = plt.subplots(lines, columns, figsize=size, squeeze=False, layout="constrained")
    for axis, (run, seeds) in zip(axes.flat, runs.items(), strict=False):
        for seed, history in seeds.items():
            (line,) = axis.plot(history["step"], smooth(history["loss"]), label=seed, lw=1.2)
            axis.plot(history["step"], history["loss"], color=line.get_color(), alpha=0.2, lw=0.5)
        axis.set_title(run, fontsize=9)
        axis.set_yscale("log")
        axis.grid(alpha=0.3)
        axis.tick_params(labelsize=7)
        axis.set_xlabel("step", fontsize=8)
    for axis in axes.flat[len(runs) :]:
        axis.axis("off")
    axes.flat[0].set_ylabel("training loss", fontsize=8)
    axes.flat[0].legend(fontsize=7)
    with files.atomic(out) as part:
        # without metadata, which holds the library's version: same input, same bytes
        figure.savefig(part, dpi=110, format="png", metadata={"Software": None})
    plt.close(figure)
