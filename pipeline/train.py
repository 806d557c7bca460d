"""Verb `train`: one run, from resolved settings and files to weights, losses and history."""

import argparse
import json
import math
import sys
from pathlib import Path

from pipeline import files
from pipeline.errors import InputError
from pipeline.objectives.sources import Sources, named_paths

SECTIONS = ("seed", "objective", "network", "training")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb; NAME=PATH arguments may be many after one flag."""
    parser.add_argument("--settings", type=json.loads, required=True,
                        help="JSON: the resolved run (seed, objective, network, init, data, loss, "
                        "corruption, augmentation, training)")  # fmt: skip
    parser.add_argument("--body", type=Path, required=True)
    for flag, what in (("--records", "DATASET_SPLIT=PATH of the mixture, and validation=PATH"),
                       ("--iuv", "DATASET_SPLIT=PATH of rendered IUV"),
                       ("--init", "PART=PATH of weights to start from")):  # fmt: skip
        parser.add_argument(flag, nargs="+", action="extend", default=[], help=what)
    parser.add_argument("--pairs", type=Path, help="pairs of 2D joints and meshes")
    parser.add_argument("--checkpoints", type=Path, required=True,
                        help="folder of unfinished training, removed at the end")  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, help="folder of the outputs")
    for flag, what in (("--threads", "of torch; equal bytes need equal numbers of threads"),
                       ("--workers", "threads that make batches ahead; changes no result"),
                       ("--checkpoint-every", "steps; changes no result")):  # fmt: skip
        parser.add_argument(flag, type=int, help=f"{what}; default: that of the settings")


def main(args: argparse.Namespace) -> None:
    """Train the run, or finish one that was interrupted, and write its outputs."""
    settings = read_settings(args)
    sources = Sources(
        named_paths(args.records, "--records"), named_paths(args.iuv, "--iuv"),
        named_paths(args.init, "--init"), args.pairs,
    )  # fmt: skip
    wanted = {part for part, source in (settings.get("init") or {}).items() if source is not None}
    if wanted != set(sources.init):
        expected = f"the parts that the run starts from, {sorted(wanted)}"
        raise InputError("--init", "", sorted(sources.init), expected)
    inputs = {"body": args.body, **sources.files()}
    for role, path in inputs.items():
        if not path.is_file():
            raise InputError(path, "", "no such file", f"the file of {role}")
    run(settings, sources, inputs, args)


def read_settings(args: argparse.Namespace) -> dict:
    """Return the run's settings with the keys of `training` that change no result filled in.

    Raises:
        InputError: if a section is missing.
    """
    settings = args.settings
    for section in SECTIONS:
        if section not in settings:
            raise InputError("--settings", section, "nothing", "the run's resolved settings")
    given = {"threads": args.threads, "workers": args.workers,
             "checkpoint_every": args.checkpoint_every}  # fmt: skip
    given = {key: value for key, value in given.items() if value is not None}
    defaults = {"workers": 0, "checkpoint_every": 500, "checkpoint_activations": False}
    return {**settings, "training": defaults | settings["training"] | given}


def run(settings: dict, sources: Sources, inputs: dict, args: argparse.Namespace) -> None:
    """Train under the lock of the checkpoint folder; the first process writes."""
    import torch
    from lightning_fabric.utilities.rank_zero import rank_zero_only

    from pipeline.objectives.build import build_objective
    from pipeline.resume import CheckpointFolder, fingerprint
    from pipeline.training import fit

    if settings["training"].get("threads"):
        torch.set_num_threads(settings["training"]["threads"])
    folder = CheckpointFolder(args.checkpoints, fingerprint(settings, inputs))
    first = rank_zero_only.rank == 0  # further processes are started by the first, or by torchrun
    if first:
        folder.__enter__()
    try:
        objective = build_objective(settings, args.body, sources)
        outcome = fit(objective, settings["training"], settings["seed"], folder)
        if first:
            write_outputs(args.out, args.settings, objective.network, outcome)
            if warning := selection_note(args.settings).get("warning"):
                print(f"warning: {warning}", file=sys.stderr, flush=True)
            folder.remove()
    finally:
        if first:
            folder.__exit__()


def write_outputs(out: Path, settings: dict, network: object, outcome: object) -> None:
    """Write settings.json, history.csv, metrics.json and, last, model.pt: no times, no paths."""
    from pipeline.checkpoints import save_weights

    parameters = list(network.parameters())
    metrics = {
        "steps": settings["training"]["steps"],
        "selected_step": outcome.selected_step,
        **selection_note(settings),
        "parameters": sum(p.numel() for p in parameters),
        "trainable_parameters": sum(p.numel() for p in parameters if p.requires_grad),
        "train": _rounded(outcome.history.final()),
        "validation": _rounded(outcome.validation),
        "course": [_rounded(scores) for scores in outcome.course],
    }
    files.write_json(out / "settings.json", settings)
    header, rows = outcome.history.table()
    text = ([step, *(f"{value:.6g}" for value in values)] for step, *values in rows)
    files.write_csv(out / "history.csv", header, text)
    files.write_json(out / "metrics.json", metrics)
    meta = {"network": settings["network"], "objective": settings["objective"],
            "seed": settings["seed"], "step": outcome.selected_step}  # fmt: skip
    save_weights(out / "model.pt", network, meta)


def selection_note(settings: dict) -> dict[str, str]:
    """How the weights were chosen; where that was on a benchmark, what this means."""
    selection = settings["training"].get("selection", "last")
    if selection != "paper":
        return {"selection": selection}
    records = settings["data"]["validation"]
    return {"selection": "paper", "warning": f"WEIGHTS CHOSEN ON THE TEST BENCHMARK {records}: "
            "its numbers are too good; only for comparison with papers that do so"}  # fmt: skip


def _rounded(values: dict[str, float]) -> dict[str, float]:
    """Six digits; without what is not finite, as the norm of an overflowed float16 gradient."""
    return {k: float(f"{value:.6g}") for k, value in values.items() if math.isfinite(value)}
