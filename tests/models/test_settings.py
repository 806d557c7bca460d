from dataclasses import dataclass, field

import pytest

from pipeline.errors import InputError
from pipeline.models.build import KINDS, build_network
from pipeline.models.settings import choice, read_settings
from tests.models.conftest import HMR, MPT, POSE, PYMAF, TRANSFORMER


@dataclass(frozen=True)
class Inner:
    width: float = 1.0
    flag: bool = True


@dataclass(frozen=True)
class Outer:
    size: int
    sizes: tuple[int, ...] = (1, 2)
    mode: str = choice("a", "b")
    either: int | str = 3
    inner: Inner = field(default_factory=Inner)


def test_settings_are_filled_and_converted() -> None:
    read = read_settings(Outer, {"size": 4, "sizes": [5], "inner": {"width": 2}}, "network")
    assert read == Outer(4, (5,), inner=Inner(2.0))
    assert isinstance(read.inner.width, float)
    assert read_settings(Outer, {"size": 4, "either": "2x"}, "network").either == "2x"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "network: size: saw no value"),
        ({"size": 1, "extra": 2}, "network: extra: saw an unknown key"),
        ({"size": "1"}, "network: size: saw '1', expected a int"),
        ({"size": True}, "network: size"),
        ({"size": 1, "sizes": 3}, "network: sizes"),
        ({"size": 1, "mode": "c"}, "network: mode: saw 'c', expected one of a, b"),
        ({"size": 1, "either": 1.5}, "network: either"),
        ({"size": 1, "inner": {"flag": 1}}, "network.inner: flag"),
        ({"size": 1, "inner": {"depth": 1}}, "network.inner: depth: saw an unknown key"),
        ([], "network: settings"),
    ],
)
def test_wrong_settings_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_settings(Outer, settings, "network")
    assert str(caught.value).startswith(message)


def test_unknown_kind_is_refused() -> None:
    with pytest.raises(InputError, match="one of mean_pose, mean_hand, hmr, pymaf, mpt"):
        build_network({"kind": "spin"}, None)
    assert list(KINDS) == [name.rsplit(".", 1)[1] for name in KINDS.values()]


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({**HMR, "deconv": [16]}, "deconv"),
        ({**HMR, "supervise": "none"}, "supervise"),
        ({**PYMAF, "feedback": "global"}, "pyramid"),
        ({**PYMAF, "deconv": [16, 16]}, "deconv"),
        ({**PYMAF, "feedback": "grid", "initial": "mean_mesh"}, "initial"),
        ({**PYMAF, "pyramid": False, "initial": "grid"}, "initial"),
        ({**PYMAF, "initial": "mean"}, "initial"),
        ({**PYMAF, "auxiliary": "none", "input": "auxiliary"}, "auxiliary"),
        ({**PYMAF, "feedback": "global", "pyramid": False, "input": "auxiliary"}, "input"),
        ({**PYMAF, "vertices": 100}, "vertices"),
        ({**TRANSFORMER, "vertices": 100}, "vertices"),
        ({**TRANSFORMER, "joints": 24}, "joints"),
        ({**TRANSFORMER, "heads": 3}, "hidden"),
        ({**TRANSFORMER, "token_dims": [67, 32]}, "token_dims"),
        ({**TRANSFORMER, "feedforward": "double"}, "feedforward"),
        ({**TRANSFORMER, "heatmap": {"size": 60, "patch": 8}}, "heatmap.patch"),
        ({**MPT, "image_size": 96}, "pose_network.image_size"),
        ({**MPT, "regressor": {**TRANSFORMER, "input": "coordinates"}}, "regressor.input"),
        ({**MPT, "pose_network": {**POSE, "stride": 4}}, "stride"),
        ({"kind": "higher_hrnet", "image_size": 112}, "image_size"),
    ],
)
def test_contradictions_are_refused(settings: dict, field: str, assets) -> None:
    with pytest.raises(InputError) as caught:
        build_network(settings, assets)
    assert caught.value.field == field
