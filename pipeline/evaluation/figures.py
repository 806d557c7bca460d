"""Verb `figures`: `figures curves` plots training, `figures overlays` shows predictions."""

import argparse
import json
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    kinds = parser.add_subparsers(dest="figure", required=True)
    curves = kinds.add_parser("curves", help="learning curves of several runs")
    curves.add_argument("--history", nargs="+", required=True, metavar="RUN/SEED=CSV")
    overlays = kinds.add_parser("overlays", help="image, IUV and prediction from two views")
    overlays.add_argument(
        "--settings",
        type=json.loads,
        required=True,
        help="JSON: protocol, count, networks {run: network settings}",
    )
    overlays.add_argument("--weights", nargs="+", required=True, metavar="RUN=FILE")
    overlays.add_argument("--metrics", nargs="+", required=True, metavar="RUN=FILE")
    overlays.add_argument("--records", type=Path, required=True)
    overlays.add_argument("--body", type=Path, required=True)
    for sub in (curves, overlays):
        sub.add_argument("--out", type=Path, required=True)


def named_paths(items: list[str]) -> dict[str, Path]:
    """`name=path` arguments as a dictionary, in order."""
    return {name: Path(path) for name, _, path in (item.partition("=") for item in items)}


def main(args: argparse.Namespace) -> None:
    """Draw the figure that was asked for."""
    if args.figure == "curves":
        from pipeline.evaluation.curves import draw

        draw(named_paths(args.history), args.out)
        return
    from pipeline.evaluation.overlays import draw as draw_overlays

    draw_overlays(args.settings, named_paths(args.weights), named_paths(args.metrics),
                  args.records, args.body, args.out)  # fmt: skip
