"""Where the virtual cameras stand, seen from above (MPT, Fig. 8 and supplement, Fig. 1)."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

from pipeline import files  # noqa: E402
from pipeline.synthesis.virtual_cameras import choose_views, read_cameras  # noqa: E402

SIZE = (6.8, 4.2)  # inches
ARROW = 1.0  # metres that a camera's line of sight is drawn


def draw(settings: dict, out: Path) -> None:
    """Write the PNG: the table's cameras in black, those midway between them in green.

    Args:
        settings: cameras, the table of params.yaml.
        out: the picture.
    """
    table = read_cameras(settings["cameras"])
    cameras = choose_views(table, 2 * len(table))
    figure, axis = plt.subplots(figsize=SIZE, layout="constrained")
    axis.plot(0, 0, "o", color="C3", ms=10)
    axis.annotate("body", (0, 0), (8, 6), textcoords="offset points", fontsize=8)
    for row, name in enumerate(cameras.ids):
        x, y, height = cameras.centre[row]
        sight = cameras.rotation[row, 2]  # the camera's z axis in the world
        colour = "black" if row < len(table) else "green"
        label = f"{row + 1}: {name}, {height:.2f} m high"
        axis.plot(x, y, "s", color=colour, ms=7, label=label)
        axis.annotate("", (x + ARROW * sight[0], y + ARROW * sight[1]), (x, y),
                      arrowprops={"arrowstyle": "->", "color": colour})  # fmt: skip
        axis.annotate(str(row + 1), (x, y), (-14, 4), textcoords="offset points", color=colour)
    axis.set(xlabel="x (m)", ylabel="y (m)", aspect="equal")
    axis.margins(0.15)
    figure.legend(loc="outside right center", fontsize=7, frameon=False)
    axis.grid(alpha=0.3)
    with files.atomic(out) as part:
        # without metadata, which holds the library's version: same input, same bytes
        figure.savefig(part, dpi=110, format="png", metadata={"Software": None})
    plt.close(figure)
