import pytest
import torch
from torch import Tensor, nn

from pipeline.body.joints_from_body import JointsFromBody
from pipeline.body.smpl import SMPLLayer
from pipeline.cameras import project_crop
from pipeline.models.build import build_network
from pipeline.models.maf import PointFeatures, auxiliary_evidence, foreground, uniform_grid
from pipeline.models.resnet import ResNet
from pipeline.rotations import rotation_6d_to_matrix
from tests.models.conftest import HMR, MEAN, PYMAF

VARIANTS = {
    "hmr": HMR,
    "hmr supervised throughout": {**HMR, "supervise": "all"},
    "pymaf": PYMAF,
    "last only": {**PYMAF, "supervise": "last"},
    "grid": {**PYMAF, "feedback": "grid"},
    "global": {**PYMAF, "feedback": "global", "pyramid": False, "auxiliary": "none"},
    "global, auxiliary": {**PYMAF, "feedback": "global", "pyramid": False},
    "one map": {**PYMAF, "pyramid": False},
    "one map, grid": {**PYMAF, "pyramid": False, "feedback": "grid"},
    "no auxiliary": {**PYMAF, "auxiliary": "none"},
    "parts": {**PYMAF, "auxiliary": "parts"},
    "input iuv": {**PYMAF, "input": "auxiliary"},
    "input parts": {**PYMAF, "auxiliary": "parts", "input": "auxiliary"},
    "masked features": {**PYMAF, "auxiliary": "parts", "input": "feature_x_mask"},
    "from the mean mesh": {**PYMAF, "initial": "mean_mesh"},
    "paper's MLP": {**PYMAF, "skip": False, "align_corners": False, "annotation": False},
}


def total(output: object) -> Tensor:
    """Some scalar that depends on all of a network's output."""
    if isinstance(output, Tensor):
        return output.float().square().mean()
    parts = output.values() if isinstance(output, dict) else output
    return sum(total(part) for part in parts)


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("depth", "expected"),
    [(18, 11_176_512), (34, 21_284_672), (50, 23_508_032), (101, 42_500_160)],
)
def test_trunk_sizes(depth: int, expected: int) -> None:
    assert count(ResNet(depth)) == expected


def test_network_sizes(assets) -> None:
    assert count(build_network({"kind": "hmr"}, assets)) == 26_977_501
    assert count(build_network({"kind": "pymaf"}, assets)) == 45_168_512
    without = {"kind": "pymaf", "auxiliary": "none"}
    assert count(build_network(without, assets)) == 45_168_512 - 207_450
    assert count(build_network(MEAN, assets)) == 0


@pytest.mark.parametrize("name", VARIANTS)
def test_every_parameter_learns(name: str, assets, image: Tensor) -> None:
    network = build_network(VARIANTS[name], assets).train()
    total(network(image)).backward()
    assert [k for k, p in network.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("name", VARIANTS)
@torch.no_grad()
def test_output_and_prediction_agree(name: str, assets, image: Tensor) -> None:
    settings = VARIANTS[name]
    network = build_network(settings, assets).eval()
    output = network(image)
    assert "iuv" not in output
    supervise = settings.get("supervise", "last" if settings["kind"] == "hmr" else "all")
    assert len(output["iterations"]) == (3 if supervise == "all" else 1)
    final, predicted = output["iterations"][-1], network.predict(image)
    for key in ("rotmats", "betas", "cam"):
        torch.testing.assert_close(final[key], predicted[key])
    assert predicted["vertices"].shape == (3, 6890, 3)
    meshes = network.predict_iterations(image)
    assert len(meshes) == 4
    torch.testing.assert_close(meshes[-1]["vertices"], predicted["vertices"])
    mean = build_network(MEAN, assets).predict(image)
    torch.testing.assert_close(meshes[0]["vertices"], mean["vertices"])


@torch.no_grad()
def test_body_of_an_estimate(assets, image: Tensor) -> None:
    """Joints, sampled vertices and projections equal those of the whole mesh."""
    network = build_network(PYMAF, assets).eval()
    estimate = network.estimates(image)[-1]
    body = network.body(estimate)
    rotmats = rotation_6d_to_matrix(estimate.pose)
    vertices, chain = SMPLLayer(assets.models["neutral"])(estimate.betas, rotmats)
    joints = JointsFromBody(assets, "spin24")(chain, vertices)
    torch.testing.assert_close(body["joints"], joints, atol=1e-6, rtol=0)
    sampled = vertices[:, assets.levels[3]]
    torch.testing.assert_close(body["vertices_subset"], sampled, atol=1e-6, rtol=0)
    projected = project_crop(joints, estimate.cam, 5000.0, 64)
    torch.testing.assert_close(body["keypoints_2d"], projected, atol=1e-5, rtol=0)


def test_auxiliary_maps_in_training(assets, image: Tensor) -> None:
    shapes = {k: tuple(v.shape) for k, v in build(assets, PYMAF).train()(image)["iuv"].items()}
    assert shapes == {
        **{name: (3, 25, 16, 16) for name in ("index", "u", "v")},
        "annotation": (3, 15, 16, 16),
    }
    assert list(build(assets, VARIANTS["parts"]).train()(image)["iuv"]) == ["index"]
    assert "iuv" not in build(assets, VARIANTS["no auxiliary"]).train()(image)


def build(assets, settings: dict) -> nn.Module:
    torch.manual_seed(0)
    return build_network(settings, assets)


def test_updates_are_detached_where_all_are_supervised(assets, image: Tensor) -> None:
    for supervise, reaches in (("all", False), ("last", True)):
        network = build(assets, {**PYMAF, "supervise": supervise, "dropout": 0.0})
        total(network(image)["iterations"][-1]).backward()
        assert (network.regressors[0].fc1.weight.grad is not None) == reaches
        assert network.pyramid[0][0].weight.grad is not None


@pytest.mark.parametrize("level", range(3))
def test_a_level_teaches_its_own_regressor_and_the_maps_below(
    level: int, assets, image: Tensor
) -> None:
    """Losses of update t reach extractor and regressor t and the maps up to t, nothing else."""
    network = build(assets, {**PYMAF, "auxiliary": "none", "dropout": 0.0})
    total(network(image)["iterations"][level]).backward()
    for modules, reached in ((network.regressors, {level}), (network.extractors, {level}),
                             (network.pyramid, set(range(level + 1)))):  # fmt: skip
        learnt = {
            number
            for number, module in enumerate(modules)
            if any(p.grad is not None for p in module.parameters())
        }
        assert learnt == reached
    assert network.backbone.conv1.weight.grad is not None


def test_positions_carry_no_gradient(assets, image: Tensor) -> None:
    network = build(assets, PYMAF).train()
    seen = []
    network.extractors[1].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1]))
    network(image)
    assert not seen[0].requires_grad
    assert seen[0].shape == (3, 108, 2)


def test_uniform_grid_varies_x_slowest() -> None:
    grid = uniform_grid(3)
    assert grid.tolist()[:4] == [[-1, -1], [-1, 0], [-1, 1], [0, -1]]


def test_point_features_are_channel_major_and_zero_outside() -> None:
    layer = PointFeatures(2, (3,), skip=True)
    maps = torch.arange(8.0).reshape(1, 2, 2, 2)
    points = torch.tensor([[[-1.0, -1.0], [1.0, 1.0], [0.0, 0.0], [9.0, 9.0]]])
    sampled = torch.tensor([[0.0, 3.0, 1.5, 0.0], [4.0, 7.0, 5.5, 0.0]])
    with torch.no_grad():
        expected = torch.relu(layer.layers[0](sampled[None])).flatten(1)  # 3 channels x 4 points
        torch.testing.assert_close(layer(maps, points), expected)


def test_foreground_and_evidence() -> None:
    index = torch.zeros(1, 25, 2, 2)
    index[0, 3, 0, 0] = 50.0
    index[0, 0, 0, 1] = index[0, 0, 1, 0] = index[0, 0, 1, 1] = 50.0
    prediction = {"index": index, "u": torch.full((1, 25, 2, 2), 0.5), "v": torch.ones_like(index)}
    assert foreground(prediction, 2).flatten().tolist() == [1, 0, 0, 0]
    assert foreground(prediction, 1).item() == 0.25
    assert foreground(prediction, 4)[0, 0, :2, :2].min() == 1
    evidence = auxiliary_evidence(prediction)
    assert evidence.shape == (1, 75, 2, 2)
    torch.testing.assert_close(evidence[0, [3, 28, 53], 0, 0], torch.tensor([1.0, 0.5, 1.0]))


@pytest.mark.parametrize("settings", [HMR, PYMAF, MEAN], ids=lambda s: s["kind"])
def test_checkpoint_holds_no_body_data(settings: dict, assets) -> None:
    """Only weights and running statistics; rebuilt from the user's files otherwise."""
    network = build_network(settings, assets)
    keys = set(network.state_dict())
    learned = {name for name, _ in network.named_parameters()}
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    assert all(key.endswith(statistics) for key in keys - learned)
    assert learned <= keys


@torch.no_grad()
def test_bfloat16_leaves_geometry_exact(assets, image: Tensor) -> None:
    """The mesh under autocast is the mesh of the estimate, to float32 precision."""
    network = build(assets, PYMAF).eval()
    with torch.autocast("cpu", torch.bfloat16):
        estimate = network.estimates(image)[-1]
        mixed = network.body.mesh(estimate)["vertices"]
    exact = network.body.mesh(estimate)["vertices"]
    assert estimate.pose.dtype == mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, exact, atol=1e-6, rtol=0)
