"""Checkpoints in the published layout, of networks of any size."""

import csv

import torch
from torch import Tensor, nn

from pipeline.models.official_keys import official_keys
from tests.models import golden_rule as golden

CSV = ("hmr", "pymaf")


def official_keys_of(kind: str, network: nn.Module) -> dict[str, str]:
    """Published key -> our key, for every weight of the network."""
    if kind not in CSV:
        return {key: key for key in network.state_dict()}
    names = official_keys(_shapes(kind), kind).names
    ours = network.state_dict()
    return {theirs: name for theirs, name in names.items() if name in ours}


def official_state(kind: str, network: nn.Module, assets=None) -> dict[str, Tensor]:
    """The network's weights under their published names, with all else that such a file holds."""
    ours = network.state_dict()
    state = {key: ours[name] for key, name in official_keys_of(kind, network).items()}
    if kind == "resnet":
        channels = network.channels
        state |= {"fc.weight": torch.ones(1000, channels), "fc.bias": torch.ones(1000)}
    if kind not in CSV:
        return state
    means = {"init_pose": "pose6d", "init_shape": "betas", "init_cam": "cam"}
    for key, shape in _shapes(kind).items():
        name = key.rsplit(".", 1)[-1]
        if name in means:
            state[key] = torch.as_tensor(assets.mean[means[name]]).float().reshape(shape)
        elif "smpl" in key or key.endswith("Dmap") or key == "points_grid":
            state[key] = torch.zeros(1).expand(shape)  # one value in the file, the full shape
    return state


def filled(network: nn.Module) -> nn.Module:
    """The network with weights that depend on their names only, in evaluation mode."""
    network.load_state_dict(golden.filled_like(network.state_dict()))
    return network.eval()


def _shapes(kind: str) -> dict[str, tuple[int, ...]]:
    with (golden.GOLDEN / f"{kind}_official.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {r["key"]: tuple(int(n) for n in r["shape"].split("x") if n) for r in rows}
