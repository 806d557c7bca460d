import pytest
import torch
from torch.nn import functional

from pipeline.synthesis.corruption import Corrupted, jitter, mask_joints
from pipeline.synthesis.heatmap_tokens import dense_tokens, noisy_tokens, patch_tokens, patches
from pipeline.synthesis.heatmaps import heatmaps

BATCH, JOINTS, WIDTH = 4, 5, 12


def layer(patch, dtype=torch.float32, seed=0):
    random = torch.Generator().manual_seed(seed)
    columns = JOINTS * patch**2
    weight = torch.randn(WIDTH, columns, generator=random, dtype=dtype) / columns**0.5
    return weight.requires_grad_(), torch.randn(
        WIDTH, generator=random, dtype=dtype
    ).requires_grad_()


def joints(size, seed, spread=1.6, dtype=torch.float32):
    """Return joints inside, at the border and far outside, some of them masked."""
    random = torch.Generator().manual_seed(seed)
    keypoints = torch.rand(BATCH, JOINTS, 2, generator=random, dtype=dtype)
    keypoints = ((keypoints - 0.5) * spread + 0.5) * size
    keypoints[0, 0], keypoints[1, 1], keypoints[2, 2] = 0.0, size, 1e6
    amplitude = torch.rand(BATCH, JOINTS, generator=random, dtype=dtype)
    return keypoints, torch.where(amplitude < 0.3, 0.0, amplitude)


def test_patches_are_in_the_weights_layout():
    maps = torch.arange(2 * 3 * 4 * 6, dtype=torch.float32).view(2, 3, 4, 6)
    cut = patches(maps, 2)
    assert cut.shape == (2, 6, 12)
    assert torch.equal(cut[1, 4].view(3, 2, 2), maps[1, :, 2:4, 2:4])  # (k, u row, v column)
    assert torch.equal(cut, functional.unfold(maps, 2, stride=2).mT)


def test_dense_equals_a_convolution():
    weight, bias = layer(4)
    maps = torch.randn(BATCH, JOINTS, 16, 16)
    kernel = weight.view(WIDTH, JOINTS, 4, 4)
    convolved = functional.conv2d(maps, kernel, bias, stride=4).flatten(2).mT
    assert torch.allclose(dense_tokens(maps, weight, bias, 4), convolved, atol=1e-5)


@pytest.mark.parametrize("convention", ["mpt", "gaussian"])
@pytest.mark.parametrize(("size", "patch", "sigma"), [(64, 8, 3.0), (32, 16, 2.0), (40, 4, 0.6)])
@pytest.mark.parametrize("seed", range(5))
def test_fused_equals_dense(size, patch, sigma, convention, seed):
    weight, bias = layer(patch)
    keypoints, amplitude = joints(size, seed)
    maps = heatmaps(keypoints, amplitude, size, sigma, convention)
    dense = dense_tokens(maps, weight, bias, patch)
    fused = patch_tokens(keypoints, amplitude, weight, bias, size, patch, sigma, convention)
    assert (fused - dense).abs().max() < 1e-6
    sign = torch.linspace(-1, 1, dense.numel()).view_as(dense)
    expected = torch.autograd.grad((dense * sign).sum(), (weight, bias))
    found = torch.autograd.grad((fused * sign).sum(), (weight, bias))
    for mine, theirs in zip(found, expected, strict=True):
        assert (mine - theirs).norm() < 1e-6 * theirs.norm()


def crop(points, size, random):
    """Return points seen by a random crop: turned, scaled, shifted and half of them mirrored."""
    angle = (torch.rand(len(points), 1, 1, generator=random) - 0.5) * 2
    scale = 0.75 + torch.rand(len(points), 1, 1, generator=random) / 2
    shift = torch.randn(len(points), 1, 2, generator=random) * size / 8
    x, y = (points - size / 2).split(1, -1)
    turned = torch.cat([x * angle.cos() - y * angle.sin(), x * angle.sin() + y * angle.cos()], -1)
    seen = turned * scale + size / 2 + shift
    mirror = torch.rand(len(points), 1, generator=random) < 0.5
    return torch.stack([torch.where(mirror, size - seen[..., 0], seen[..., 0]), seen[..., 1]], -1)


@pytest.mark.parametrize("convention", ["mpt", "gaussian"])
@pytest.mark.parametrize("seed", range(8))
def test_equal_under_crops_jitter_masks_and_amplitudes(seed, convention):
    weight, bias = layer(8)
    random = torch.Generator().manual_seed(seed)
    keypoints, amplitude = joints(64, seed)
    points = jitter(crop(keypoints, 64, random), 2.0, random)
    amplitude = amplitude * mask_joints(BATCH, JOINTS, 0.5, random)
    dense = dense_tokens(heatmaps(points, amplitude, 64, 3.0, convention), weight, bias, 8)
    fused = patch_tokens(points, amplitude, weight, bias, 64, 8, 3.0, convention)
    assert (fused - dense).abs().max() < 1e-6
    assert (fused - bias).abs().max() > 1e-3  # some joint is seen


def test_double_precision_widens_the_window():
    weight, bias = layer(8, torch.float64)
    keypoints, amplitude = joints(128, 2, dtype=torch.float64)
    dense = dense_tokens(heatmaps(keypoints, amplitude, 128, 3.0), weight, bias, 8)
    fused = patch_tokens(keypoints, amplitude, weight, bias, 128, 8, 3.0)
    assert (fused - dense).abs().max() < 1e-14


def test_masked_joints_may_be_nan_and_bias_absent():
    weight, _ = layer(8)
    keypoints, amplitude = joints(64, 3)
    amplitude[:, 1] = 0.0
    clean = patch_tokens(keypoints, amplitude, weight, None, 64, 8, 3.0)
    keypoints[:, 1] = torch.nan
    assert torch.equal(patch_tokens(keypoints, amplitude, weight, None, 64, 8, 3.0), clean)


def test_noise_is_a_sum_with_the_dense_projection_of_the_noise():
    weight, bias = layer(8)
    keypoints, amplitude = joints(64, 4)
    std = torch.tensor([0.0, 0.1, 0.0, 0.3])
    corrupted = Corrupted(keypoints, amplitude, std)
    tokens = noisy_tokens(
        corrupted, weight, bias, 64, 8, 3.0, generator=torch.Generator().manual_seed(5)
    )
    clean = patch_tokens(keypoints, amplitude, weight, bias, 64, 8, 3.0)
    noise = torch.zeros(BATCH, 64, weight.shape[1])
    noise[[1, 3]] = torch.randn(2, 64, weight.shape[1], generator=torch.Generator().manual_seed(5))
    expected = patches(heatmaps(keypoints, amplitude, 64, 3.0), 8) + std[:, None, None] * noise
    assert torch.allclose(tokens, functional.linear(expected, weight, bias), atol=1e-5)
    assert torch.equal(tokens[[0, 2]], clean[[0, 2]])
    dense = functional.linear(expected, weight, bias)
    for mine, theirs in zip(
        torch.autograd.grad(tokens.square().sum(), (weight, bias)),
        torch.autograd.grad(dense.square().sum(), (weight, bias)),
        strict=True,
    ):
        assert (mine - theirs).norm() < 1e-5 * theirs.norm()


def test_no_noise_leaves_the_generator_alone():
    weight, bias = layer(8)
    generator = torch.Generator().manual_seed(5)
    before = generator.get_state()
    corrupted = Corrupted(*joints(64, 4), torch.zeros(BATCH))
    noisy_tokens(corrupted, weight, bias, 64, 8, 3.0, generator=generator)
    assert torch.equal(generator.get_state(), before)


def test_autocast_gives_rounded_tokens():
    weight, bias = layer(8)
    keypoints, amplitude = joints(64, 6)
    with torch.autocast("cpu", torch.bfloat16):
        half = patch_tokens(keypoints, amplitude, weight, bias, 64, 8, 3.0)
    full = patch_tokens(keypoints, amplitude, weight, bias, 64, 8, 3.0)
    assert half.dtype == torch.bfloat16
    assert (half - full).abs().max() < 0.05


def test_wrong_sizes_are_refused():
    weight, bias = layer(8)
    keypoints, amplitude = joints(64, 0)
    with pytest.raises(ValueError, match="does not divide"):
        patch_tokens(keypoints, amplitude, weight, bias, 60, 8, 3.0)
    with pytest.raises(ValueError, match="columns"):
        patch_tokens(keypoints[:, 1:], amplitude[:, 1:], weight, bias, 64, 8, 3.0)


@pytest.mark.gpu
def test_gpu_equals_cpu():
    weight, bias = layer(8)
    keypoints, amplitude = joints(64, 0)
    torch.backends.cuda.matmul.allow_tf32 = False
    arguments = [value.cuda() for value in (keypoints, amplitude, weight, bias)]
    fused = patch_tokens(*arguments, 64, 8, 3.0).cpu()
    assert (
        fused - patch_tokens(keypoints, amplitude, weight, bias, 64, 8, 3.0)
    ).abs().max() < 1e-5
