"""Fine-tuning with and without pre-training: the error over the steps, and over the share of data.

Source: MPT, Fig. 4. Departures: the paper fine-tunes for one epoch in its left panel; here both
panels show the same runs, all of the same number of steps.
"""

import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402

from pipeline import files  # noqa: E402
from pipeline.errors import InputError  # noqa: E402

SIZE = (8.4, 3.4)  # inches
SCORE = "pa_mpjpe"
LOOKS = {True: ("with pre-training", "C0"), False: ("without", "C1")}
Course = tuple[np.ndarray, np.ndarray]  # steps, errors in mm


def read_course(path: Path) -> Course:
    """Steps and errors of a run's validations.

    Raises:
        InputError: if its metrics hold none.
    """
    content = files.read_json(path).get("course") or []
    if not content or SCORE not in content[0]:
        raise InputError(path, "course", "no scores", f"{SCORE} of a run with validate_every")
    return np.array([p["step"] for p in content]), np.array([p[SCORE] for p in content])


def draw(settings: dict, metrics: list[Path], out: Path) -> None:
    """Write the PNG.

    Args:
        settings: rows, each with pretrained and fraction; seeds.
        metrics: metrics.json of the trainings of every row at every seed, row by row.
        out: the picture.

    Raises:
        InputError: if there are too many or too few of them, or one holds no scores.
    """
    count = len(settings["seeds"])
    if len(metrics) != count * len(settings["rows"]):
        expected = f"{len(settings['rows'])} rows x {count} seeds"
        raise InputError("--metrics", "", f"{len(metrics)} files", expected)
    found: dict[tuple[bool, float], list[Course]] = {}
    for start, row in zip(range(0, len(metrics), count), settings["rows"], strict=True):
        courses = [read_course(path) for path in metrics[start : start + count]]
        found[row["pretrained"], row["fraction"]] = courses
    figure, (left, right) = plt.subplots(1, 2, figsize=SIZE, layout="constrained")
    for pretrained, (label, colour) in LOOKS.items():
        shares = sorted(fraction for kind, fraction in found if kind == pretrained)
        if not shares:
            continue
        _draw_courses(left, found[pretrained, shares[-1]], label, colour)
        finals = [[course[1][-1] for course in found[pretrained, share]] for share in shares]
        percents = [100 * share for share in shares]
        right.plot(percents, [np.mean(v) for v in finals], "o-", color=colour, label=label)
        for percent, values in zip(percents, finals, strict=True):
            right.plot([percent] * len(values), values, "_", color=colour, ms=9)
    left.set(xlabel="fine-tuning step", ylabel="PA-MPJPE (mm)", title="all of the data")
    right.set(xlabel="share of the fine-tuning data (%)", title="after the last step")
    right.set_xscale("log")
    ticks = sorted({100 * fraction for _, fraction in found})
    right.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    right.minorticks_off()
    for axis in (left, right):
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    with files.atomic(out) as part:
        # without metadata, which holds the library's version: same input, same bytes
        figure.savefig(part, dpi=110, format="png", metadata={"Software": None})
    plt.close(figure)
    print(json.dumps({f"{LOOKS[k][0]}, {100 * f:g} %": [round(float(c[1][-1]), 1) for c in v]
                      for (k, f), v in found.items()}))  # fmt: skip


def _draw_courses(axis: plt.Axes, courses: list[Course], label: str, colour: str) -> None:
    """Draw the mean over seeds, and each seed thinly."""
    for steps, errors in courses:
        axis.plot(steps, errors, color=colour, alpha=0.3, lw=0.8)
    steps = courses[0][0]
    axis.plot(steps, np.mean([errors for _, errors in courses], 0), color=colour, label=label)
