"""Every device computes what the CPU computes: kernels, losses, gradients, training.

Each test runs on the CPU too, where the other memory layout or bfloat16 takes the device's place.
"""

import copy

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor

from pipeline.body.smpl import SMPLLayer
from pipeline.errors import InputError
from pipeline.objectives.build import build_objective
from pipeline.objectives.sources import Sources
from pipeline.resume import CheckpointFolder
from pipeline.synthesis.heatmap_tokens import patch_tokens
from pipeline.synthesis.heatmaps import heatmaps
from pipeline.training import fit
from tests.objectives.settings import RUNS
from tests.tiny_training import SETTINGS, TinyObjective

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
SILENT = {"mhm_max": 0.0, "jitter": "none", "noise_std": 0.0}  # a device draws its own numbers
TRAINED = ("hmr", "pymaf", "mpt", "mesh", "pose2d")


@pytest.fixture(autouse=True)
def float32():
    """Matrix products of full precision: TF32 would hide a wrong result."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.set_float32_matmul_precision(before)


def far(found: Tensor, expected: Tensor) -> float:
    """Relative distance, of the whole tensor."""
    found, expected = found.detach().cpu().double(), expected.detach().cpu().double()
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("convention", ["mpt", "gaussian"])
def test_heatmaps_and_tokens(device, convention):
    random = torch.Generator().manual_seed(3)
    points = 80 * torch.rand(6, 17, 2, generator=random, dtype=torch.float64) - 8
    amplitude = torch.rand(6, 17, generator=random, dtype=torch.float64)
    weight = torch.randn(24, 17 * 64, generator=random, dtype=torch.float64)
    bias = torch.randn(24, generator=random, dtype=torch.float64)
    exact = heatmaps(points, amplitude, 64, 3.0, convention)
    tokens = patch_tokens(points, amplitude, weight, bias, 64, 8, 3.0, convention)
    points, amplitude, weight, bias = (
        t.float().to(device) for t in (points, amplitude, weight, bias)
    )
    assert far(heatmaps(points, amplitude, 64, 3.0, convention), exact) < 1e-5
    weight.requires_grad_()
    found = patch_tokens(points, amplitude, weight, bias, 64, 8, 3.0, convention)
    assert far(found, tokens) < 1e-5
    (gradient,) = torch.autograd.grad(found.sum(), weight)
    assert far(gradient[0], exact.unfold(2, 8, 8).unfold(3, 8, 8).sum((0, 2, 3)).flatten()) < 1e-5


@pytest.mark.parametrize("device", DEVICES)
def test_body(files, device):
    layer = SMPLLayer(files.assets.models["neutral"])
    random = torch.Generator().manual_seed(4)
    betas = torch.randn(5, 10, generator=random)
    rotmats = torch.linalg.qr(torch.randn(5, 24, 3, 3, generator=random))[0]
    exact = copy.deepcopy(layer).double()(betas.double(), rotmats.double())
    with torch.autocast(device, torch.bfloat16):  # which the layer keeps out
        found = layer.to(device)(betas.to(device), rotmats.to(device))
    for mine, theirs in zip(found, exact, strict=True):
        assert mine.dtype == torch.float32 and far(mine, theirs) < 1e-5


def objective_of(files, name: str):
    """The objective of a tiny run without chance, its first batch and its sources."""
    settings = copy.deepcopy(RUNS[name])
    for network in (settings["network"], settings["network"].get("regressor", {})):
        network.update({k: 0.0 for k in ("dropout", "mvm_max") if k in network})
    if "corruption" in settings:
        settings["corruption"].update(SILENT)
    images = {"toy_train": files.train} if "mixture" in settings["data"] else {}
    iuv = {"toy_train": files.iuv} if settings["network"].get("auxiliary") == "iuv" else {}
    pairs = None if images else files.pairs
    made = build_objective(settings, files.body, Sources(images, iuv, {}, pairs))
    return made, made.batch(0, slice(0, 4))


def step(objective, batch: dict[str, Tensor], device: str, low: bool = False):
    """Losses and gradients of one step, in channels-last layout but for the reference."""
    network = objective.network.train()
    network.zero_grad(set_to_none=True)
    torch.manual_seed(0)
    with torch.autocast(device, torch.bfloat16, enabled=low):
        terms = objective.losses(network, {k: v.to(device) for k, v in batch.items()}, 0)
    sum(terms.values()).backward()
    terms = {k: float(v.detach()) for k, v in terms.items()}
    gradients = [p.grad.flatten().cpu() for p in network.parameters() if p.grad is not None]
    return terms, torch.cat(gradients)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", TRAINED)
def test_losses_and_gradients(files, name, device):
    objective, batch = objective_of(files, name)
    expected, slope = step(objective, batch, "cpu")
    objective.network.to(device, memory_format=torch.channels_last)
    found, other = step(objective, batch, device)
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-5)
    assert far(other, slope) < 1e-2


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", TRAINED)
def test_bfloat16_is_near_float32(files, name, device):
    objective, batch = objective_of(files, name)
    objective.network.to(device)
    expected, _ = step(objective, batch, device)
    found, gradient = step(objective, batch, device, low=True)
    assert torch.isfinite(gradient).all()
    assert sum(found.values()) == pytest.approx(sum(expected.values()), rel=0.05)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_resumed_training_is_bit_identical(tmp_path, monkeypatch, device, precision):
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)

    def finish(folder, stop: int | None = None):
        objective = TinyObjective(SETTINGS)
        fabric = Fabric(accelerator=device, devices=1, precision=precision)
        fabric.launch()
        if stop:
            objective.broken_at = stop
        with CheckpointFolder(tmp_path / folder, "mark") as checkpoints:
            try:
                fit(objective, SETTINGS, 0, checkpoints, fabric)
            except InputError:
                assert stop
        return {k: v.cpu() for k, v in objective.network.state_dict().items()}

    whole = finish("whole")
    finish("broken", stop=7)
    resumed = finish("broken")
    for key, value in whole.items():
        assert torch.equal(value, resumed[key]), key
