"""Makes a network from its settings, importing only the file of its kind."""

from importlib import import_module

from torch import nn

from pipeline.body.assets import BodyAssets
from pipeline.errors import InputError

KINDS = {
    kind: f"pipeline.models.{kind}"
    for kind in (
        "mean_pose",
        "mean_hand",
        "hmr",
        "pymaf",
        "mpt",
        "mesh_transformer",
        "simple_baseline",
        "higher_hrnet",
    )
}


def build_network(settings: dict, assets: BodyAssets | None, where: str = "network") -> nn.Module:
    """The network that `settings` describe, randomly initialised.

    Args:
        settings: `kind` and what the dataclass of that kind lists.
        assets: the body; the 2D pose networks do without.
        where: name of this level in messages.

    Raises:
        InputError: for an unknown kind or key, or a value outside its choices.
    """
    kind = settings.get("kind") if isinstance(settings, dict) else None
    if kind not in KINDS:
        raise InputError(where, "kind", repr(kind), f"one of {', '.join(KINDS)}")
    return import_module(KINDS[kind]).build(settings, assets, where)
