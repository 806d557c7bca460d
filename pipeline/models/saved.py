"""Networks back from their weights files alone."""

import dataclasses
from pathlib import Path

import numpy as np
from torch import nn

from pipeline.body.assets import BodyAssets
from pipeline.checkpoints import load_into, read_meta
from pipeline.errors import InputError
from pipeline.files import read_json
from pipeline.models.build import build_network


def load_network(path: Path | str, assets: BodyAssets) -> tuple[nn.Module, dict]:
    """Return the network that a weights file is of, filled, and its settings.

    Args:
        path: `model.pt` of the verb train, or a file of the verb import-checkpoint. Settings are
            read from the file, or else from `settings.json` beside it.
        assets: the body. Where the file has mean parameters of its own, they take the place of
            the body's.

    Raises:
        InputError: if the file says nothing about its network, or does not fit it.
    """
    meta = read_meta(path)
    settings = meta.get("network")
    if settings is None:
        beside = Path(path).with_name("settings.json")
        settings = read_json(beside).get("network") if beside.is_file() else None
    if settings is None:
        expected = "settings of the network in it, or settings.json beside it"
        raise InputError(path, "network", "nothing", expected)
    if means := meta.get("mean"):
        own = {name: np.asarray(values, dtype=np.float64) for name, values in means.items()}
        assets = dataclasses.replace(assets, mean={**assets.mean, **own})
    network = build_network(settings, assets, f"{path}: network")
    load_into(network, path)
    return network, settings
