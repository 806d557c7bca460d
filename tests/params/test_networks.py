"""The schema of params.yaml knows the same keys of a network as the network itself."""

from dataclasses import fields
from importlib import import_module
from typing import Literal, get_args, get_origin, get_type_hints

import pytest

from pipeline.models.build import KINDS
from pipeline.params import networks
from pipeline.params.networks import NETWORKS

SETTINGS = {
    "mean_pose": "mean_pose.MeanPoseSettings",
    "mean_hand": "mean_hand.MeanHandSettings",
    "hmr": "hmr.HMRSettings",
    "pymaf": "pymaf.PyMAFSettings",
    "mpt": "mpt.MPTSettings",
    "mesh_transformer": "mesh_transformer_settings.MeshTransformerSettings",
    "simple_baseline": "simple_baseline.SimpleBaselineSettings",
    "higher_hrnet": "higher_hrnet.HigherHRNetSettings",
}


def keys(cls: type) -> set[str]:
    return {field.name for field in fields(cls)}


def choices(cls: type) -> dict[str, set[str]]:
    """The words that each field of a schema allows."""
    found = {}
    for name, hint in get_type_hints(cls).items():
        options = [hint, *get_args(hint)]
        words = {word for o in options if get_origin(o) is Literal for word in get_args(o)}
        found[name] = {word for word in words if isinstance(word, str)}
    return found


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_network_has_the_keys_of_its_schema(kind: str) -> None:
    module, _, name = SETTINGS[kind].partition(".")
    settings = getattr(import_module(f"pipeline.models.{module}"), name)
    assert keys(settings) == keys(NETWORKS[kind])
    allowed = choices(NETWORKS[kind])
    for field in fields(settings):
        if "choices" in field.metadata:
            assert allowed[field.name] == set(field.metadata["choices"]), field.name


def test_parts_have_the_keys_of_their_schema() -> None:
    from pipeline.models.mesh_transformer_settings import HeatmapSettings
    from pipeline.models.resnet import BackboneSettings

    assert keys(HeatmapSettings) == keys(networks.Heatmap)
    assert keys(BackboneSettings) == keys(networks.Backbone)
