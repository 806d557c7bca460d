"""Public checkpoints come in whole: same outputs, every key accounted for, no body data."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from pipeline.__main__ import main
from pipeline.body.assets import load_assets
from pipeline.checkpoints import load_into, load_weights, read_meta
from pipeline.models.build import build_network
from pipeline.models.resnet import ResNet
from pipeline.models.saved import load_network
from tests.body_asset import body_asset
from tests.importing.official import filled, official_keys_of, official_state

NARROW = {"depth": 50, "width": 0.0625}
SMALL = {
    "hmr": {"kind": "hmr", "backbone": NARROW, "hidden": 32},
    "pymaf": {"kind": "pymaf", "backbone": NARROW, "hidden": 32, "deconv": [8, 8, 8],
              "feature_dims": [8, 8, 5], "grid_size": 7},
    "simple_baseline": {"kind": "simple_baseline", "backbone": NARROW, "deconv": [8, 8, 8]},
    "higher_hrnet": {"kind": "higher_hrnet", "width": 4},
}  # fmt: skip
FULL = {
    "hmr": {"kind": "hmr"},
    "pymaf": {"kind": "pymaf"},
    "simple_baseline": {"kind": "simple_baseline"},
    "simple_baseline r101": {"kind": "simple_baseline", "backbone": {"depth": 101}},
    "higher_hrnet": {"kind": "higher_hrnet"},
    "higher_hrnet w48": {"kind": "higher_hrnet", "width": 48},
}
BODY = ("hmr", "pymaf")


@pytest.fixture(scope="module")
def body(tmp_path_factory):
    return body_asset(tmp_path_factory)


@pytest.fixture(scope="module")
def assets(body):
    return load_assets(body)


def run(kind, source, out, body=None, *more) -> int:
    channels = ["--channels", "rgb"] if kind == "simple_baseline" else []
    with_body = ["--body", str(body)] if kind in BODY else []
    return main(["import-checkpoint", "--kind", kind, "--checkpoint", str(source),
                 "--out", str(out), *channels, *with_body, *more])  # fmt: skip


def outputs(network, size=64):
    image = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        if hasattr(network, "predict"):
            return list(network.predict(image).values())
        return network(image)["maps"]


def made(settings, assets):
    return filled(build_network(settings, assets))


def check_round_trip(name, settings, body, assets, tmp_path, wrap=lambda state: state):
    kind = name.split()[0]
    network = made(settings, assets)
    torch.save(wrap(official_state(kind, network, assets)), tmp_path / "public.pt")
    assert run(kind, tmp_path / "public.pt", tmp_path / "ours.pt", body) == 0
    again, found = load_network(tmp_path / "ours.pt", assets)
    assert {key: found[key] for key in settings if key != "backbone"} == {
        key: value for key, value in settings.items() if key != "backbone"
    }
    for before, after in zip(outputs(network), outputs(again.eval()), strict=True):
        assert torch.equal(before, after)
    assert not any(6890 in value.shape for value in load_weights(tmp_path / "ours.pt").values())


@pytest.mark.parametrize("name", SMALL)
def test_same_outputs_before_and_after(name, body, assets, tmp_path, capsys):
    check_round_trip(name, SMALL[name], body, assets, tmp_path)
    said = capsys.readouterr().out
    assert "mapped" in said and ("user's own file" in said) == (name in BODY)


@pytest.mark.slow
@pytest.mark.parametrize("name", FULL)
def test_same_outputs_at_full_size(name, body, assets, tmp_path):
    check_round_trip(name, FULL[name], body, assets, tmp_path)


def half(state):
    """As the half-precision wrapper stores a network: normalisations stay in single."""
    return {f"1.{key}": value.half() if value.ndim == 4 else value for key, value in state.items()}


WRAPS = {
    "data parallel": lambda state: {"model": {f"module.{k}": v for k, v in state.items()}},
    "nested": lambda state: {"epoch": 3, "model_state_dict": {"state_dict": state}},
    "half precision inside data parallel": lambda state: {
        f"module.{key}": value for key, value in half(state).items()
    },
    "optimizer and numpy": lambda state: {
        "model": state, "optimizer": {"state": {0: {"step": 5, "exp_avg": torch.ones(2)}}},
        "best": np.float64(51.3), "dataset_perm": np.arange(5), "total_step_count": 7,
    },
}  # fmt: skip


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
@pytest.mark.parametrize("zipped", [True, False])
def test_wrapped_files_in_both_formats(wrap, zipped, tmp_path, capsys):
    network = filled(ResNet(18, 0.0625))
    state = wrap({key: value.half().float() for key, value in network.state_dict().items()
                  if value.is_floating_point()})  # fmt: skip
    torch.save(state, tmp_path / "a.pth.tar", _use_new_zipfile_serialization=zipped)
    assert run("resnet", tmp_path / "a.pth.tar", tmp_path / "b.pt") == 0
    weights = load_weights(tmp_path / "b.pt")
    for key, value in network.state_dict().items():
        if value.is_floating_point():
            assert weights[key].dtype == torch.float32
            assert torch.equal(weights[key], value.half().float())
    assert "created" in capsys.readouterr().out  # the counters were taken out above


def test_mmpose_names_need_no_word_about_channels(tmp_path):
    network = made(SMALL["simple_baseline"], None)
    state = {}
    for key, value in network.state_dict().items():
        head = key.startswith(("deconv_layers", "final_layer"))
        state[("keypoint_head." if head else "backbone.") + key] = value
    torch.save({"meta": {"epoch": 1}, "state_dict": state}, tmp_path / "mmpose.pth")
    arguments = ["import-checkpoint", "--kind", "simple_baseline"]
    arguments += ["--checkpoint", str(tmp_path / "mmpose.pth"), "--out", str(tmp_path / "o.pt")]
    assert main(arguments) == 0
    torch.save(network.state_dict(), tmp_path / "mmpose.pth")
    assert main(arguments) == 1  # flat names: the colours' order has to be said


@pytest.mark.parametrize("size", [0.0625, pytest.param(1.0, marks=pytest.mark.slow)])
def test_imagenet_trunk_starts_a_run(size, body, assets, tmp_path, capsys):
    trunk = filled(ResNet(18, size))
    torch.save(official_state("resnet", trunk), tmp_path / "resnet.pth")
    assert run("resnet", tmp_path / "resnet.pth", tmp_path / "trunk.pt") == 0
    assert "classifier" in capsys.readouterr().out
    settings = {**SMALL["hmr"], "backbone": {"depth": 18, "width": size}}
    hmr = build_network(settings, assets)
    load_into(hmr, tmp_path / "trunk.pt", "backbone")
    for key, value in trunk.state_dict().items():
        assert torch.equal(hmr.backbone.state_dict()[key], value)


def test_imported_weights_start_a_whole_run(body, assets, tmp_path):
    network = made(SMALL["hmr"], assets)
    torch.save(official_state("hmr", network, assets), tmp_path / "public.pt")
    assert run("hmr", tmp_path / "public.pt", tmp_path / "ours.pt", body) == 0
    other = build_network(SMALL["hmr"], assets)
    assert "keys" in load_into(other, tmp_path / "ours.pt", "network")
    assert torch.equal(other.regressor.fc1.weight, network.regressor.fc1.weight)


def test_an_imported_pose_network_starts_one_inside_mpt(assets, tmp_path):
    """At 112 px its maps keep what the weights were trained for: nothing depends on the size."""
    network = made(SMALL["simple_baseline"], None)
    torch.save(network.state_dict(), tmp_path / "a.pth")
    assert run("simple_baseline", tmp_path / "a.pth", tmp_path / "b.pt") == 0
    holder = torch.nn.Module()
    holder.pose_network = build_network({**SMALL["simple_baseline"], "image_size": 112}, None)
    load_into(holder, tmp_path / "b.pt", "pose_network")
    for key, value in network.state_dict().items():
        assert torch.equal(holder.pose_network.state_dict()[key], value)


def test_names_of_code_derived_from_spin(body, assets, tmp_path):
    network = made(SMALL["hmr"], assets)
    names = {ours: theirs for theirs, ours in official_keys_of("hmr", network).items()}
    state = dict(network.state_dict())  # backbone.*, regressor.fc1.*
    assert set(state) == set(names)
    torch.save(state, tmp_path / "a.pt")
    assert run("hmr", tmp_path / "a.pt", tmp_path / "b.pt", body) == 0


@pytest.mark.parametrize(
    "change, message",
    [(lambda s: s | {"fc3.weight": torch.ones(1)}, "unknown: 1 (fc3.weight)"),
     (lambda s: {k: v for k, v in s.items() if k != "fc2.bias"},
      "missing: 1 (regressor.fc2.bias)"),
     (lambda s: s | {"fc2.bias": torch.ones(3)},
      "of another shape: 1 (fc2.bias (3,) for (32,))"),
     (lambda s: s | {"regressor.fc2.bias": s["fc2.bias"]}, "twice: 1 (fc2.bias)")],
)  # fmt: skip
def test_what_does_not_fit_is_listed(change, message, body, assets, tmp_path, capsys):
    state = official_state("hmr", made(SMALL["hmr"], assets), assets)
    torch.save(change(state), tmp_path / "a.pt")
    assert run("hmr", tmp_path / "a.pt", tmp_path / "b.pt", body) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "b.pt").exists()


def test_all_problems_in_one_line(body, assets, tmp_path, capsys):
    state = official_state("hmr", made(SMALL["hmr"], assets), assets)
    state = {k: v for k, v in state.items() if not k.startswith("layer4.2")}
    torch.save(state | {"a": torch.ones(1), "fc1.bias": torch.ones(2)}, tmp_path / "a.pt")
    assert run("hmr", tmp_path / "a.pt", tmp_path / "b.pt", body) == 1
    assert "layer1 to 4" in capsys.readouterr().err  # no ResNet has two blocks there
    settings = ["--settings", json.dumps({"backbone": {"depth": 50, "width": 0.0625}})]
    state = official_state("hmr", made(SMALL["hmr"], assets), assets)
    del state["layer4.2.conv3.weight"]
    torch.save(state | {"a": torch.ones(1), "fc1.bias": torch.ones(2)}, tmp_path / "a.pt")
    assert run("hmr", tmp_path / "a.pt", tmp_path / "b.pt", body, *settings) == 1
    error = capsys.readouterr().err
    assert all(word in error for word in ("unknown", "missing", "of another shape"))


def test_the_auxiliary_head_can_be_left_out(body, assets, tmp_path, capsys):
    network = made(SMALL["pymaf"], assets)
    torch.save(official_state("pymaf", network, assets), tmp_path / "a.pt")
    settings = ["--settings", '{"auxiliary": "none"}']
    assert run("pymaf", tmp_path / "a.pt", tmp_path / "b.pt", body, *settings) == 0
    assert "auxiliary head" in capsys.readouterr().out
    again, found = load_network(tmp_path / "b.pt", assets)
    assert found["auxiliary"] == "none"
    for before, after in zip(outputs(network), outputs(again.eval()), strict=True):
        assert torch.equal(before, after)


def test_other_mean_parameters_are_kept_for_prediction_and_refused_elsewhere(
    body, assets, tmp_path, capsys
):
    theirs = dataclasses.replace(assets, mean={**assets.mean, "cam": np.array([0.5, 0.1, 0.2])})
    network = made(SMALL["hmr"], theirs)
    torch.save(official_state("hmr", network, theirs), tmp_path / "a.pt")
    assert run("hmr", tmp_path / "a.pt", tmp_path / "b.pt", body) == 0
    assert "kept for predict" in capsys.readouterr().out
    again, settings = load_network(tmp_path / "b.pt", assets)
    for before, after in zip(outputs(network), outputs(again.eval()), strict=True):
        assert torch.equal(before, after)
    with pytest.raises(Exception, match="mean cam"):
        load_into(build_network(settings, assets), tmp_path / "b.pt")


def test_regressors_that_start_apart_are_refused(body, assets, tmp_path, capsys):
    state = official_state("pymaf", made(SMALL["pymaf"], assets), assets)
    state["regressor.1.init_cam"] = torch.ones(1, 3)
    torch.save(state, tmp_path / "a.pt")
    assert run("pymaf", tmp_path / "a.pt", tmp_path / "b.pt", body) == 1
    assert "regressor.1.init_cam" in capsys.readouterr().err


def test_bgr_first_layer_gives_the_same_for_rgb(tmp_path):
    """The same picture: to the original as BGR with RGB's numbers, to ours as RGB."""
    from pipeline.data.augment import IMAGENET_MEAN, IMAGENET_STD

    network = made(SMALL["simple_baseline"], None)
    torch.save(network.state_dict(), tmp_path / "a.pth")
    arguments = ["--kind", "simple_baseline", "--checkpoint", str(tmp_path / "a.pth")]
    out = ["--out", str(tmp_path / "b.pt"), "--channels", "bgr"]
    assert main(["import-checkpoint", *arguments, *out]) == 0
    assert read_meta(tmp_path / "b.pt")["imported"]["channels"] == "bgr"
    ours, _ = load_network(tmp_path / "b.pt", None)
    rgb = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(v)[:, None, None] for v in (IMAGENET_MEAN, IMAGENET_STD))
    with torch.no_grad():
        theirs = network.bn1(network.conv1((rgb.flip(1) - mean) / std))
        got = ours.eval().bn1(ours.conv1((rgb - mean) / std))
        wrong = network.bn1(network.conv1((rgb - mean) / std))
    inside = (..., slice(2, -2), slice(2, -2))  # padding stands for another colour
    assert (theirs - got)[inside].abs().max() < 1e-4
    assert (theirs - wrong)[inside].abs().max() > 0.1


def test_a_container_can_be_named(tmp_path):
    trunk = filled(ResNet(18, 0.0625))
    best = {key: value + 1 for key, value in trunk.state_dict().items()}
    torch.save({"state_dict": trunk.state_dict(), "best_state_dict": best}, tmp_path / "a.pth")
    assert run("resnet", tmp_path / "a.pth", tmp_path / "b.pt", None,
               "--under", "best_state_dict") == 0  # fmt: skip
    weights = load_weights(tmp_path / "b.pt")
    assert torch.equal(weights["conv1.weight"], best["conv1.weight"])


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [1, 2], {"model": {"a": "text"}}])
def test_files_without_a_state_dict(content, tmp_path, capsys):
    torch.save(content, tmp_path / "a.pth")
    assert run("higher_hrnet", tmp_path / "a.pth", tmp_path / "b.pt") == 1
    assert "no state dict" in capsys.readouterr().err


@pytest.mark.parametrize("array", [np.array(["text"]), np.array([None, 1], dtype=object)])
def test_arrays_that_are_no_weights(array, tmp_path, capsys):
    torch.save({"conv1.weight": array}, tmp_path / "a.pth")
    assert run("higher_hrnet", tmp_path / "a.pth", tmp_path / "b.pt") == 1
    error = capsys.readouterr().err
    assert "a.pth" in error and error.count("\n") == 1


def test_weights_in_arrays_of_numpy(tmp_path):
    trunk = filled(ResNet(18, 0.0625))
    torch.save({k: v.numpy() for k, v in trunk.state_dict().items()}, tmp_path / "a.pth")
    assert run("resnet", tmp_path / "a.pth", tmp_path / "b.pt") == 0
    weights = load_weights(tmp_path / "b.pt")
    assert all(torch.equal(weights[key], value) for key, value in trunk.state_dict().items())


def test_the_body_is_asked_for(tmp_path, capsys):
    torch.save({"conv1.weight": torch.ones(1)}, tmp_path / "a.pt")
    arguments = ["--kind", "hmr", "--checkpoint", str(tmp_path / "a.pt")]
    assert main(["import-checkpoint", *arguments, "--out", str(tmp_path / "b.pt")]) == 1
    assert "--body" in capsys.readouterr().err
