"""Our networks compute what the public implementations compute with the same weights."""

import csv

import pytest
import torch
from torch import nn

from pipeline.errors import InputError
from pipeline.models.build import build_network
from pipeline.models.official_keys import official_keys
from pipeline.models.parametric import Estimate
from tests.models import golden_rule as golden

POSE_NETWORKS = {
    "SimpleBaseline-R50": {"kind": "simple_baseline"},
    "SimpleBaseline-R101": {"kind": "simple_baseline", "backbone": {"depth": 101}},
    "HigherHRNet-w32_512": {"kind": "higher_hrnet", "width": 32},
    "HigherHRNet-w48_640": {"kind": "higher_hrnet", "width": 48},
}


@pytest.mark.parametrize("name", POSE_NETWORKS)
def test_pose_network_equals_the_public_one(name: str) -> None:
    """The fill rule depends on key names, so this proves the key layout too."""
    expected = golden.load("pose_networks.json")[name]
    network = build_network(POSE_NETWORKS[name], None).eval()
    network.load_state_dict(golden.filled_like(network.state_dict()))
    assert sum(p.numel() for p in network.parameters()) == expected["parameters"]
    with torch.no_grad():
        maps = network(golden.normal_input(name, 2, 3, 128, 128))["maps"]
    assert len(maps) == len(expected["outputs"])
    for ours, recorded in zip(maps, expected["outputs"], strict=True):
        golden.assert_golden(ours, recorded)


def official_shapes(kind: str) -> dict[str, tuple[int, ...]]:
    """Key -> shape of the published state dict."""
    with (golden.GOLDEN / f"{kind}_official.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {r["key"]: tuple(int(n) for n in r["shape"].split("x") if n) for r in rows}


@pytest.mark.parametrize("kind", ["hmr", "pymaf"])
def test_every_official_key_is_accounted_for(kind: str, assets) -> None:
    network = build_network({"kind": kind}, assets)
    shapes = official_shapes(kind)
    translation = official_keys(shapes, kind)
    assert translation.names.keys() | translation.left_out.keys() == shapes.keys()
    ours = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    assert {new: shapes[old] for old, new in translation.names.items()} == ours


def test_unknown_official_keys_are_listed() -> None:
    assert official_keys(["fc3.weight", "fc1.weight", "x"], "hmr").unknown == ["fc3.weight", "x"]
    with pytest.raises(InputError, match="kind"):
        official_keys([], "mpt")


@pytest.fixture(scope="module")
def pymaf(assets) -> nn.Module:
    network = build_network({"kind": "pymaf"}, assets).eval()
    shapes = official_shapes("pymaf")
    names = official_keys(shapes, "pymaf").names
    # The blocks that have golden outputs; the trunk has its own (SimpleBaseline).
    wanted = [k for k in names if not k.startswith("feature_") and "num_batches" not in k]
    weights = golden.filled((key, shapes[key]) for key in wanted)
    network.load_state_dict({names[k]: v for k, v in weights.items()}, strict=False)
    return network


@torch.no_grad()
def test_pymaf_blocks_equal_the_official_ones(pymaf: nn.Module) -> None:
    blocks = golden.load("pymaf_blocks.json")
    maps, x = [], golden.normal_input("deconv", 2, 2048, 4, 4)
    for level in pymaf.pyramid:
        x = level(x)
        maps.append(x)
    for ours, recorded in zip(maps, blocks["pyramid"]["outputs"], strict=True):
        golden.assert_golden(ours, recorded)
    points = golden.uniform_input("points", 2, 431, 2)
    for level in range(3):
        recorded = blocks[f"maf_extractor_{level}"]["outputs"][0]
        golden.assert_golden(pymaf.extractors[level](maps[level], points), recorded)
    head = pymaf.auxiliary(maps[-1])
    recorded = blocks["iuv_head"]["outputs"]
    for ours, name in (("u", "predict_u"), ("v", "predict_v")):
        golden.assert_golden(head[ours], recorded[name])
    golden.assert_golden(head["index"], recorded["predict_uv_index"])
    golden.assert_golden(head["annotation"], recorded["predict_ann_index"])


@torch.no_grad()
@pytest.mark.parametrize("level", range(3))
def test_pymaf_regressors_equal_the_official_ones(pymaf: nn.Module, level: int) -> None:
    recorded = golden.load("pymaf_blocks.json")[f"regressor_{level}"]["outputs"]
    features = golden.normal_input(f"feat{level}", 2, 2205 if level == 0 else 2155)
    current = Estimate(
        golden.normal_input("pose", 2, 144),
        golden.normal_input("shape", 2, 10),
        golden.normal_input("cam", 2, 3),
    )
    updated = pymaf.regressors[level](features, current)
    for ours, name in zip(updated, ("pose", "shape", "cam"), strict=True):
        golden.assert_golden(ours, recorded[name])
