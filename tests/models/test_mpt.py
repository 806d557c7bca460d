import pytest
import torch
from torch import Tensor, nn

from pipeline.errors import InputError
from pipeline.models.build import build_network
from pipeline.models.mpt import decode
from pipeline.synthesis.heatmaps import heatmaps
from tests.models.conftest import HMR, MPT, POSE, PYMAF, TRANSFORMER
from tests.models.test_parametric import total

HIGHER = {"kind": "higher_hrnet", "image_size": 64, "width": 8, "modules": [1, 1, 1]}


@pytest.mark.parametrize(
    "settings",
    [
        MPT,
        {**MPT, "input": "image_features"},
        {**MPT, "pose_network": HIGHER, "regressor": {**TRANSFORMER, "vertices": 431}},
        {**MPT, "pose_network": {**POSE, "output": "silhouette"}, "input": "silhouettes"},
    ],
    ids=["pose_maps", "image_features", "higher_hrnet", "silhouettes"],
)
def test_all_that_is_used_learns(settings: dict, assets, image: Tensor) -> None:
    network = build_network(settings, assets).train()
    output = network(image)
    total(output).backward()
    # HigherHRNet's tags are the only output that MPT discards; they share a layer with heatmaps.
    assert [k for k, p in network.named_parameters() if p.grad is None] == []
    predicted = network.eval().predict(image)
    assert predicted["vertices"].shape == (3, 6890, 3)
    assert predicted["cam"].shape == (3, 3)


@pytest.mark.parametrize("change", [{"freeze_backbone": True}, {"input": "coordinates"}])
def test_frozen_pose_network_stays(change: dict, assets, image: Tensor) -> None:
    network = build_network({**MPT, **change}, assets).train()
    before = {k: v.clone() for k, v in network.pose_network.state_dict().items()}
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], 1e-2)
    total(network(image)).backward()
    optimizer.step()
    after = network.pose_network.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert not network.pose_network.training
    assert network.regressor.training


def test_frozen_statistics_leave_the_weights_to_learn(assets, image: Tensor) -> None:
    network = build_network({**MPT, "freeze_batchnorm": True}, assets).train()
    total(network(image)).backward()
    state = network.pose_network.state_dict()
    assert (state["bn1.running_mean"] == 0).all() and network.pose_network.bn1.weight.grad.any()
    assert network.pose_network.conv1.weight.grad.any() and network.pose_network.training


def test_maps_and_input_have_to_agree(assets) -> None:
    segmentation = {**POSE, "output": "silhouette"}
    with pytest.raises(InputError, match="1 maps.*17 for pose_maps"):
        build_network({**MPT, "pose_network": segmentation}, assets)
    with pytest.raises(InputError, match="17 maps.*1 for silhouettes"):
        build_network({**MPT, "input": "silhouettes"}, assets)


def test_parts_take_pretrained_weights(assets) -> None:
    network = build_network(MPT, assets)
    network.pose_network.load_state_dict(build_network(POSE, None).state_dict())
    network.regressor.load_state_dict(build_network(TRANSFORMER, assets).state_dict())


def test_pose_maps_sizes() -> None:
    image = torch.zeros(1, 3, 64, 64)
    network = build_network(POSE, None).eval()
    assert network.pose_maps(image, 64).shape == (1, 17, 64, 64)
    assert network.pose_maps(image).shape == (1, 17, 8, 8)
    network = build_network(HIGHER, None).eval()
    assert network.pose_maps(image, 64).shape == (1, 17, 64, 64)
    assert network.pose_maps(image).shape == (1, 17, 32, 32)
    assert [m.shape[1] for m in network(image)["maps"]] == [34, 17]


@pytest.mark.parametrize("size", [16, 64])
def test_decoding_gaussians_is_exact(size: int) -> None:
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(4, 17, 2, generator=generator) * (size - 4) + 2
    amplitude = torch.rand(4, 17, generator=generator) * 0.8 + 0.2
    amplitude[0, 3] = 0.0
    decoded = decode(heatmaps(points, amplitude, size, 2.0, "gaussian"))
    assert decoded[0, 3, 2] == 0
    found = amplitude > 0
    assert (decoded[..., 2] == found).all()
    pixels = (decoded[..., :2] + 1) * size / 2
    torch.testing.assert_close(pixels[found], points[found], atol=2e-3, rtol=0)


def test_decoding_at_the_border_stays_inside() -> None:
    points = torch.tensor([[[0.1, 15.9], [-3.0, 8.2]]])
    decoded = decode(heatmaps(points, torch.ones(1, 2), 16, 2.0, "gaussian"))
    assert decoded[..., :2].abs().max() <= 1


@pytest.mark.parametrize("settings", [HMR, PYMAF, MPT], ids=lambda s: s["kind"])
def test_an_image_can_be_learnt(settings: dict, assets, image: Tensor) -> None:
    """A few steps on one batch lower the distance to a target camera and joints."""
    torch.manual_seed(0)
    network: nn.Module = build_network(settings, assets).train()
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    losses = []
    for _ in range(6):
        output = network(image)
        body = output["iterations"][-1] if "iterations" in output else output
        joints, cam = body["joints"], body["cam"]
        loss = (joints[:, :14] - 0.3).square().mean() + (cam - 0.5).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
