import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.models.build import build_network
from pipeline.models.transformer import EncoderLayer, recompute_activations, sine_positions
from pipeline.models.upsampling import FixedUpsampling
from pipeline.synthesis.heatmap_tokens import patch_tokens
from pipeline.synthesis.heatmaps import heatmaps
from tests.models.conftest import TRANSFORMER
from tests.models.test_parametric import count, total

PAPER = {"kind": "mesh_transformer"}
VARIANTS = {
    "default": TRANSFORMER,
    "pooled": {**TRANSFORMER, "query": "pooled"},
    "camera token": {**TRANSFORMER, "camera": "token"},
    "learned up-sampling": {**TRANSFORMER, "upsample": "learned"},
    "mlp": {**TRANSFORMER, "heatmap": {"size": 64, "patch": 8, "grid_projection": "mlp_gelu"}},
    "coordinates": {**TRANSFORMER, "input": "coordinates"},
    "features": {**TRANSFORMER, "input": "image_features", "feature_channels": 32},
    "silhouettes": {**TRANSFORMER, "input": "silhouettes"},
    "sine": {**TRANSFORMER, "positions": "sine"},
    "sine and camera token": {**TRANSFORMER, "positions": "sine", "camera": "token"},
}


def evidence_of(settings: dict, batch: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    shapes = {"coordinates": (17, 3), "image_features": (32, 2, 2), "silhouettes": (1, 64, 64)}
    shape = shapes.get(settings.get("input"), (17, 64, 64))
    return torch.randn(batch, *shape, generator=generator)


@pytest.fixture
def network(assets) -> nn.Module:
    torch.manual_seed(0)
    return build_network(TRANSFORMER, assets).eval()


def blocks_like_metro(hidden: tuple, dims: tuple, feedforward: list, positions: int) -> int:
    """Live parameters of METRO's three encoders, counted by hand.

    The public model with hidden 1024/256/64 and 512 positions has 55,610,246 of them (and 42.8 M
    never-used ones of its BERT embeddings).
    """
    total_count = 0
    for h, f, d, o in zip(hidden, feedforward, dims, (*dims[1:], 3), strict=True):
        attention = 4 * (h * h + h)
        mlp = h * f + f + f * h + h
        layer = attention + mlp + 2 * 2 * h
        total_count += 4 * layer + positions * h + (d * h + h) + (h * o + o) + (d * o + o)
    return total_count


@pytest.mark.parametrize(
    ("feedforward", "inner"),
    [(3072, [3072] * 3), ("2x", [2048, 512, 128]), ("4x", [4096, 1024, 256])],
)
def test_paper_size(feedforward: int | str, inner: list, assets) -> None:
    """Ours is METRO's live count with 1,229 positions, the heatmap projection and the heads."""
    hidden, dims = (1024, 256, 64), (2051, 512, 128)
    assert blocks_like_metro(hidden, dims, [3072] * 3, 512) == 55_610_246
    with torch.device("meta"):
        network = build_network({**PAPER, "feedforward": feedforward}, assets)
    parts = {name: count(part) for name, part in network.named_children()}
    assert parts == {
        "grid": 1088 * 2051 + 2051,
        "blocks": blocks_like_metro(hidden, dims, inner, 14 + 431 + 784),
        "upsampling": 744_336 + 11_878_360,  # dense 431 -> 1723 -> 6890
        "camera": 108_757,
    }
    if feedforward == 3072:
        assert parts["blocks"] == 56_573_894
        assert count(network) == 71_538_886


@pytest.mark.parametrize("size, tokens", [(224, 784), (112, 196)])
def test_sizes_of_the_maps(size: int, tokens: int, assets) -> None:
    """Table 10: maps of half the side keep the patches, so they are a quarter of the tokens."""
    with torch.device("meta"):
        network = build_network({**PAPER, "heatmap": {"size": size}}, assets)
    positions = (14 + 431 + tokens) * (1024 + 256 + 64)
    assert network.grid_tokens == tokens
    assert count(network.blocks) == blocks_like_metro(
        (1024, 256, 64), (2051, 512, 128), [3072] * 3, 0) + positions  # fmt: skip
    with torch.device("meta"):
        sine = build_network({**PAPER, "heatmap": {"size": size}, "positions": "sine"}, assets)
    assert count(network) - count(sine) == tokens * (1024 + 256 + 64)


def test_sine_positions_tell_every_cell_and_know_rows_from_columns() -> None:
    found = sine_positions(28, 16).view(28, 28, 16)
    assert len(found.flatten(0, 1).unique(dim=0)) == 28 * 28
    torch.testing.assert_close(found[3, 5, :8], found[5, 3, 8:])  # y is coded as x is
    slowest = 2 * math.pi * 3.5 / 28
    assert found[3, 0, 0] == pytest.approx(math.sin(slowest))
    assert found[3, 0, 4] == pytest.approx(math.cos(slowest))


@pytest.mark.parametrize("name", VARIANTS)
def test_every_parameter_learns(name: str, assets) -> None:
    network = build_network(VARIANTS[name], assets).train()
    output = network(evidence_of(VARIANTS[name]))
    assert output["joints"].shape == (2, 14, 3)
    assert {n: v.shape for n, v in output["vertices"].items()} == {
        n: (2, n, 3) for n in (108, 431, 1723, 6890)
    }
    assert output["cam"].shape == (2, 3)
    total(output).backward()
    assert [k for k, p in network.named_parameters() if p.grad is None] == []
    assert set(network.state_dict()) == {k for k, _ in network.named_parameters()}


@torch.no_grad()
def test_fused_tokens_equal_dense_maps(network: nn.Module) -> None:
    generator = torch.Generator().manual_seed(2)
    points = torch.rand(2, 17, 2, generator=generator) * 80 - 8  # some outside
    amplitude = (torch.rand(2, 17, generator=generator) > 0.2).float()
    dense = network(heatmaps(points, amplitude, 64, 3.0))
    weights = network.grid_weight, network.grid_bias
    tokens = patch_tokens(points, amplitude, *weights, size=64, patch=8, sigma=3.0)
    for evidence in (tokens, lambda w, b: patch_tokens(points, amplitude, w, b, 64, 8, 3.0)):
        fused = network(evidence)
        torch.testing.assert_close(fused["joints"], dense["joints"], atol=1e-5, rtol=0)
        torch.testing.assert_close(fused["cam"], dense["cam"], atol=1e-5, rtol=0)


@torch.no_grad()
def test_weight_layout_is_joint_row_column(network: nn.Module) -> None:
    maps = torch.zeros(1, 17, 64, 64)
    maps[0, 5, 8 * 3 + 2, 8 * 4 + 6] = 1.0  # patch row 3, column 4; cell row 2, column 6
    tokens = network._project_grid(maps)
    expected = network.grid_weight[:, 5 * 64 + 2 * 8 + 6] + network.grid_bias
    torch.testing.assert_close(tokens[0, 3 * 8 + 4], expected)


@pytest.mark.parametrize("query", ["template", "pooled"])
@torch.no_grad()
def test_query_shortcut_equals_padded_tokens(query: str, assets) -> None:
    """Zeros that are left out, and masked queries, against the tokens written out in full."""
    network = build_network({**TRANSFORMER, "query": query}, assets).eval()
    grid = torch.randn(2, 64, 67)
    masked = torch.zeros(2, 122, dtype=torch.bool)
    masked[0, 3] = masked[1, 50] = True
    rest = torch.zeros(2, 122, 64)
    if query == "pooled":
        rest = grid.mean(1)[:, None, 3:].expand(2, 122, 64)
    tokens = torch.cat([network.template.expand(2, -1, -1), rest], dim=-1)
    tokens[masked] = 0.01
    linear = network.blocks[0].embed
    expected = linear(torch.cat([tokens, grid], dim=1))
    torch.testing.assert_close(network._project_inputs(linear, grid, masked), expected)


@torch.no_grad()
def test_encoder_layer_equals_its_definition() -> None:
    layer = EncoderLayer(8, 2, 16, 0.1).eval()
    x = torch.randn(2, 5, 8)
    query, key, value = (
        part.reshape(2, 5, 2, 4).transpose(1, 2) for part in layer.qkv(x).chunk(3, dim=-1)
    )
    scores = (query @ key.transpose(-1, -2) / math.sqrt(4)).softmax(-1)
    mixed = layer.attention((scores @ value).transpose(1, 2).reshape(2, 5, 8))
    middle = layer.attention_norm(x + mixed)
    expected = layer.feedforward_norm(middle + layer.contract(F.gelu(layer.expand(middle))))
    torch.testing.assert_close(layer(x), expected)


def test_masked_queries_follow_the_generator(network: nn.Module) -> None:
    assert network._masked_queries(4, None, torch.device("cpu")) is None  # evaluation
    network.train()
    draws = [
        network._masked_queries(2000, torch.Generator().manual_seed(s), torch.device("cpu"))
        for s in (7, 7, 8)
    ]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    joints, vertices = draws[0][:, :14].sum(1), draws[0][:, 14:].sum(1)
    assert joints.max() == math.floor(0.3 * 14)
    assert vertices.max() == math.floor(0.3 * 108)
    assert vertices.float().mean() == pytest.approx(0.15 * 108 - 0.5, abs=0.7)
    assert torch.corrcoef(torch.stack([joints.float(), vertices.float()]))[0, 1].abs() < 0.1
    hidden = draws[0].float().mean(0)  # no query is preferred
    assert hidden[:14].std() < 0.02
    assert hidden[14:].std() < 0.02


def test_training_is_reproducible(network: nn.Module) -> None:
    network.train()
    for layer in network.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    maps = evidence_of(TRANSFORMER)
    joints = [network(maps, torch.Generator().manual_seed(s))["joints"] for s in (1, 1, 2)]
    assert torch.equal(joints[0], joints[1])
    assert not torch.equal(joints[0], joints[2])


def test_template_faces_the_camera(network: nn.Module, assets) -> None:
    """Camera axes: head up is y < 0, left is x > 0 mirrored to the image's right, z forward."""
    joints, vertices = network.template[:14], network.template[14:]
    r_ankle, r_wrist, l_wrist, head = joints[0], joints[6], joints[11], joints[13]
    assert head[1] < -0.4 < 0.4 < r_ankle[1]
    assert r_wrist[0] < -0.3 < 0.3 < l_wrist[0]
    toes = assets.face_vertices[5]  # big toe
    model = assets.models["neutral"].v_template
    assert model[toes, 2] > model[:, 2].mean()  # the model's +z is its front
    front = vertices[:, 2].min()
    assert front < vertices[:, 2].median()
    assert joints[[2, 3]].mean(0).abs().max() < 0.1  # hips around the pelvis


@torch.no_grad()
def test_fixed_upsampling_equals_the_sparse_product(assets) -> None:
    matrices = assets.upsample[::-1]
    vertices = torch.randn(2, 108, 3)
    levels = FixedUpsampling(matrices)(vertices)
    expected = vertices
    for matrix, level in zip(matrices, levels, strict=True):
        dense = torch.from_numpy(matrix.toarray()).float()
        expected = torch.einsum("vn,bnc->bvc", dense, expected)
        torch.testing.assert_close(level, expected, atol=1e-5, rtol=1e-5)


def test_gradient_of_fixed_upsampling(assets) -> None:
    matrix = assets.upsample[-1]
    vertices = torch.randn(2, 108, 3, requires_grad=True)
    weights = torch.randn(2, 431, 3)
    (FixedUpsampling([matrix])(vertices)[0] * weights).sum().backward()
    dense = torch.from_numpy(matrix.toarray()).float()
    expected = torch.einsum("vn,bvc->bnc", dense, weights)
    torch.testing.assert_close(vertices.grad, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_missing_coordinates_say_nothing(assets) -> None:
    network = build_network(VARIANTS["coordinates"], assets).eval()
    points = evidence_of(VARIANTS["coordinates"])
    points[:, 4, 2] = 0.0
    moved = points.clone()
    moved[:, 4, :2] += 1.0
    torch.testing.assert_close(network(points)["joints"], network(moved)["joints"])


def test_wrong_number_of_tokens_is_refused(network: nn.Module) -> None:
    with pytest.raises(ValueError, match="49 evidence tokens, expected 64"):
        network(torch.zeros(1, 49, 67))


def test_first_camera_is_the_mean_camera(network: nn.Module, assets) -> None:
    cam = network(evidence_of(TRANSFORMER))["cam"].mean(0)
    torch.testing.assert_close(cam, torch.tensor(assets.mean["cam"]).float(), atol=0.3, rtol=0)


@torch.no_grad()
def test_bfloat16_output_is_float32(network: nn.Module) -> None:
    maps = evidence_of(TRANSFORMER)
    exact = network(maps)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = network(maps)
    assert mixed["vertices"][6890].dtype == torch.float32
    torch.testing.assert_close(mixed["joints"], exact["joints"], atol=0.02, rtol=0)


def step_and_saved_bytes(network: nn.Module) -> tuple[dict[str, Tensor], int]:
    """Gradients of a training step, and the bytes that its graph kept for them."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    network.train().zero_grad()
    torch.manual_seed(3)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = network(evidence_of(TRANSFORMER), torch.Generator().manual_seed(4))
        loss = (
            output["vertices"][6890].square().sum() + output["joints"].sum() + output["cam"].sum()
        )
    loss.backward()
    gradients = {name: p.grad.clone() for name, p in network.named_parameters()}
    return {"loss": loss.detach(), **gradients}, sum(kept.values())


def test_recomputed_activations_give_the_same_bits_and_are_not_kept(assets):
    settings = {**TRANSFORMER, "dropout": 0.1, "layers": 4}
    torch.manual_seed(0)
    network = build_network(settings, assets)
    plain, bytes_plain = step_and_saved_bytes(network)
    assert recompute_activations(network) == 4 * len(settings["hidden"])
    again, bytes_again = step_and_saved_bytes(network)
    for name, value in plain.items():
        assert torch.equal(value, again[name]), name
    assert bytes_again < bytes_plain / 3
