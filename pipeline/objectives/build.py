"""Makes a run's objective: its network, initialised, and the data that it learns from."""

from importlib import import_module
from pathlib import Path

import torch

from pipeline.body.assets import load_assets
from pipeline.checkpoints import load_into
from pipeline.errors import InputError
from pipeline.models.build import build_network
from pipeline.objectives.sources import Sources
from pipeline.seeding import torch_generator
from pipeline.training import Objective

KINDS = ("parametric", "mesh_pretrain", "mesh_finetune", "pose2d", "silhouette")


def build_objective(settings: dict, body: Path, sources: Sources) -> Objective:
    """Return the objective that the settings name.

    Args:
        settings: the resolved run; with steps: 0 the network and its init are enough.
        body: file of the verb `body`.
        sources: the files to learn and to start from.

    Raises:
        InputError: for an unknown objective, a network that it cannot train, or a file that is
            missing or does not fit.
    """
    kind = settings["objective"]
    if kind not in KINDS:
        raise InputError("--settings", "objective", kind, f"one of {', '.join(KINDS)}")
    assets = load_assets(body)
    torch.manual_seed(torch_generator(settings["seed"], "init").initial_seed())
    network = build_network(settings["network"], assets)
    for part, path in sources.init.items():
        print(load_into(network, path, part), flush=True)
    module = import_module(f"pipeline.objectives.{kind}")
    return module.build(settings, network, assets, sources)
