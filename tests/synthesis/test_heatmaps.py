import math

import pytest
import torch

from pipeline.synthesis.heatmaps import heatmaps, support_radius


def naive(keypoints, amplitude, height, width, sigma, convention):
    """Return the maps cell by cell, as the docstring defines them."""
    batch, joints = amplitude.shape
    scale = sigma**2 if convention == "mpt" else 2 * sigma**2
    maps = torch.zeros(batch, joints, height, width, dtype=torch.float64)
    for b in range(batch):
        for k in range(joints):
            for j in range(height):
                for i in range(width):
                    x, y = keypoints[b, k].tolist()
                    square = (i + 0.5 - x) ** 2 + (j + 0.5 - y) ** 2
                    maps[b, k, j, i] = amplitude[b, k] * math.exp(-square / scale)
    return maps


@pytest.fixture
def joints():
    random = torch.Generator().manual_seed(3)
    keypoints = torch.rand(2, 3, 2, generator=random) * 24 - 4  # some outside
    amplitude = torch.tensor([[1.0, 0.0, 0.7], [0.0, 1.0, 1.0]])
    return keypoints, amplitude


@pytest.mark.parametrize("convention", ["mpt", "gaussian"])
def test_equals_the_definition(joints, convention):
    keypoints, amplitude = joints
    maps = heatmaps(keypoints, amplitude, (12, 16), 2.0, convention)
    reference = naive(keypoints.double(), amplitude.double(), 12, 16, 2.0, convention)
    assert (maps - reference).abs().max() < 1e-6


def test_mpt_is_narrower_by_sqrt_two():
    point, one = torch.tensor([[[8.5, 8.5]]]), torch.ones(1, 1)
    mpt = heatmaps(point, one, 17, 3.0, "mpt")
    gaussian = heatmaps(point, one, 17, 3.0 / math.sqrt(2), "gaussian")
    assert torch.allclose(mpt, gaussian, atol=1e-6)
    assert mpt[0, 0, 8, 11].item() == pytest.approx(math.exp(-1), abs=1e-6)


def test_joint_at_a_cell_centre_peaks_there():
    maps = heatmaps(torch.tensor([[[5.5, 9.5]]]), torch.ones(1, 1), 16, 3.0)
    assert maps[0, 0, 9, 5] == 1.0
    assert maps[0, 0].argmax() == 9 * 16 + 5  # row y, column x


def test_argmax_is_within_half_a_pixel():
    keypoints = torch.rand(20, 5, 2, generator=torch.Generator().manual_seed(0)) * 30 + 1
    flat = heatmaps(keypoints, torch.ones(20, 5), 32, 3.0).flatten(2).argmax(-1)
    found = torch.stack([flat % 32, flat // 32], -1) + 0.5
    assert (found - keypoints).abs().max() <= 0.5 + 1e-5


def test_flip_of_joints_is_flip_of_maps(joints):
    keypoints, amplitude = joints
    mirrored = torch.stack([16 - keypoints[..., 0], keypoints[..., 1]], -1)
    maps = heatmaps(keypoints, amplitude, 16, 3.0)
    assert torch.allclose(heatmaps(mirrored, amplitude, 16, 3.0), maps.flip(-1), atol=1e-6)


def test_masked_joints_may_be_nan():
    keypoints = torch.full((1, 2, 2), torch.nan)
    keypoints[0, 1] = 4.0
    maps = heatmaps(keypoints, torch.tensor([[0.0, 1.0]]), 8, 2.0)
    assert not maps[0, 0].any()
    assert maps.isfinite().all()


def test_buffer_is_reused_and_sets_the_type(joints):
    keypoints, amplitude = joints
    out = torch.full((2, 3, 16, 16), torch.nan)
    maps = heatmaps(keypoints, amplitude, 16, 3.0, out=out)
    assert maps.data_ptr() == out.data_ptr()
    assert torch.equal(maps, heatmaps(keypoints, amplitude, 16, 3.0))
    half = heatmaps(keypoints, amplitude, 16, 3.0, out=torch.empty(2, 3, 16, 16).bfloat16())
    assert half.dtype == torch.bfloat16
    assert (half - maps).abs().max() < 1e-2


def test_values_beyond_the_support_are_lost_in_rounding():
    for convention in ("mpt", "gaussian"):
        radius = support_radius(3.0, convention, torch.float32)
        maps = heatmaps(torch.tensor([[[-radius, 0.5]]]), torch.ones(1, 1), 1, 3.0, convention)
        assert maps.item() < 2.0**-24


def test_no_value_is_subnormal():
    """Products with such numbers are a hundred times slower on most CPUs."""
    maps = heatmaps(torch.tensor([[[3.3, 5.7]]]), torch.ones(1, 1), 224, 3.0)
    assert maps[maps > 0].min() >= torch.finfo(torch.float32).tiny
    assert (maps == 0).any() and maps.max() > 0.9


def test_unknown_convention_and_sigma_are_refused():
    point, one = torch.zeros(1, 1, 2), torch.ones(1, 1)
    with pytest.raises(ValueError, match="convention"):
        heatmaps(point, one, 4, 3.0, "mmpose")
    with pytest.raises(ValueError, match="sigma"):
        heatmaps(point, one, 4, 0.0)


@pytest.mark.gpu
def test_gpu_equals_cpu(joints):
    keypoints, amplitude = joints
    maps = heatmaps(keypoints.cuda(), amplitude.cuda(), 64, 3.0)
    assert (maps.cpu() - heatmaps(keypoints, amplitude, 64, 3.0)).abs().max() < 1e-6
