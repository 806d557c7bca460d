"""Verb `figures`: losses, scores, virtual cameras, predictions and what networks hold inside."""

import argparse
import json
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    kinds = parser.add_subparsers(dest="figure", required=True)
    curves = kinds.add_parser("curves", help="learning curves of several runs")
    curves.add_argument("--history", nargs="+", required=True, metavar="RUN/SEED=CSV")
    tuning = kinds.add_parser("finetuning", help="with and without pre-training (MPT, Fig. 4)")
    tuning.add_argument("--settings", type=json.loads, required=True,
                        help="JSON: rows, each with pretrained and fraction; seeds")  # fmt: skip
    tuning.add_argument("--metrics", type=Path, nargs="+", required=True,
                        help="metrics.json of every row's seeds, row by row")  # fmt: skip
    views = kinds.add_parser("views", help="virtual cameras from above (MPT, Fig. 8)")
    views.add_argument("--settings", type=json.loads, required=True, help="JSON: cameras")
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
    inside = kinds.add_parser("inside", help="estimates, auxiliary maps or features of a network")
    inside.add_argument("--settings", type=json.loads, required=True,
                        help="JSON: kind (iterations, iuv, features), count, network")  # fmt: skip
    for flag in ("--weights", "--metrics", "--records", "--body"):
        inside.add_argument(flag, type=Path, required=True)
    inside.add_argument("--iuv", type=Path, help="rendered IUV of the records, for kind iuv")
    for sub in (curves, tuning, views, overlays, inside):
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
    if args.figure == "views":
        from pipeline.synthesis.views_plot import draw as draw_views

        draw_views(args.settings, args.out)
        return
    if args.figure == "finetuning":
        from pipeline.evaluation.finetuning import draw as draw_finetuning

        draw_finetuning(args.settings, args.metrics, args.out)
        return
    if args.figure == "inside":
        from pipeline.evaluation.inside import draw as draw_inside

        draw_inside(args.settings, args.weights, args.metrics, args.records, args.iuv, args.body,
                    args.out)  # fmt: skip
        return
    from pipeline.evaluation.overlays import draw as draw_overlays

    draw_overlays(args.settings, named_paths(args.weights), named_paths(args.metrics),
                  args.records, args.body, args.out)  # fmt: skip
