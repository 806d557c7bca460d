import numpy as np
import pytest
import torch

from pipeline import metrics


def _random_rotation(rng: np.random.Generator) -> np.ndarray:
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    q[:, 0] *= np.linalg.det(q)
    return q


def _points(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(14, 3))


def _naive_align(pred: np.ndarray, gt: np.ndarray) -> np.ndarray:
    """One sample by the textbook: K = X1 X2^T, R = V Z U^T, scale = tr(R K) / |X1|^2."""
    mu1, mu2 = pred.mean(0), gt.mean(0)
    x1, x2 = (pred - mu1).T, (gt - mu2).T
    k = x1 @ x2.T
    u, _, vh = np.linalg.svd(k)
    z = np.eye(3)
    z[-1, -1] = np.sign(np.linalg.det(u @ vh))
    r = vh.T @ z @ u.T
    s = np.trace(r @ k) / (x1**2).sum()
    return (s * r @ x1).T + mu2


def test_mpjpe_of_a_hand_made_case():
    gt = torch.zeros(1, 2, 3)
    pred = torch.tensor([[[3.0, 4.0, 0.0], [0.0, 0.0, 1.0]]])
    assert metrics.mpjpe(pred, gt).item() == 3.0
    assert metrics.mpjpe(pred, gt, torch.tensor([[0, 1]])).item() == 1.0
    assert metrics.pve(pred, gt).item() == 3.0
    assert metrics.pck(pred, gt, 2.0).item() == 0.5


def test_alignment_equals_the_naive_loop():
    rng = np.random.default_rng(0)
    pred, gt = rng.normal(size=(2, 50, 14, 3))
    ours = metrics.similarity_align(torch.from_numpy(pred), torch.from_numpy(gt)).numpy()
    for k in range(50):
        np.testing.assert_allclose(ours[k], _naive_align(pred[k], gt[k]), atol=1e-12)


def test_pa_of_any_similarity_is_zero():
    rng = np.random.default_rng(1)
    for _ in range(20):
        gt = rng.normal(size=(14, 3))
        pred = rng.uniform(0.2, 3) * gt @ _random_rotation(rng) + rng.normal(size=3)
        error = metrics.pa_mpjpe(torch.from_numpy(pred)[None], torch.from_numpy(gt)[None])
        assert error.item() < 1e-12


def test_reflection_is_not_allowed():
    rng = np.random.default_rng(2)
    gt = torch.from_numpy(rng.normal(size=(1, 14, 3)))
    mirrored = gt * torch.tensor([-1.0, 1.0, 1.0])
    assert metrics.pa_mpjpe(mirrored, gt).item() > 0.1


def test_flat_points_align_without_losing_an_axis():
    rng = np.random.default_rng(3)
    gt = torch.from_numpy(rng.normal(size=(1, 14, 3)) * [1, 1, 0])
    pred = gt @ torch.from_numpy(_random_rotation(rng)) * 2.0
    assert metrics.pa_mpjpe(pred, gt).item() < 1e-12


def test_points_on_a_line_or_all_equal_have_a_best_alignment():
    rng = np.random.default_rng(6)
    line = torch.linspace(-1, 1, 14, dtype=torch.float64)[:, None]
    gt = torch.stack([line * torch.tensor([[0.0, 2.0, 0.0]]), torch.from_numpy(_points(rng))])
    pred = torch.stack([line * torch.tensor([[1.0, 1.0, 1.0]]), torch.ones(14, 3)])
    aligned = metrics.similarity_align(pred, gt)
    assert torch.allclose(aligned[0], gt[0], atol=1e-12)
    assert torch.allclose(aligned[1], gt[1].mean(0).expand(14, 3))


def test_alignment_keeps_its_precision_for_nearly_flat_points():
    rng = np.random.default_rng(7)
    for thickness in (1e-2, 1e-5, 1e-9):
        gt = torch.from_numpy(_points(rng) * [1, 1, thickness])[None]
        pred = 3 * gt @ torch.from_numpy(_random_rotation(rng)) + 5
        assert metrics.pa_mpjpe(pred, gt).item() < 1e-12
        noisy = pred + torch.from_numpy(0.1 * rng.normal(size=(1, 14, 3)))
        naive = _naive_align(noisy[0].numpy(), gt[0].numpy())
        ours = metrics.similarity_align(noisy, gt)[0].numpy()
        np.testing.assert_allclose(ours, naive, atol=1e-12)


def test_alignment_ignores_invalid_joints():
    rng = np.random.default_rng(4)
    gt = torch.from_numpy(rng.normal(size=(1, 14, 3)))
    pred = gt.clone() * 1.7
    pred[:, 5] += 100
    valid = torch.ones(1, 14)
    valid[:, 5] = 0
    assert metrics.pa_mpjpe(pred, gt, valid).item() < 1e-12


def test_shapes_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match="expected two"):
        metrics.mpjpe(torch.zeros(1, 14, 3), torch.zeros(1, 17, 3))


def test_bootstrap_interval_holds_the_mean_and_shrinks_with_the_sample():
    rng = np.random.default_rng(5)
    small, large = (torch.from_numpy(rng.normal(5, 1, n)) for n in (50, 5000))
    low, high = metrics.bootstrap_interval(small, 200)
    assert low < small.mean() < high
    low_large, high_large = metrics.bootstrap_interval(large, 200)
    assert high_large - low_large < (high - low) / 3
    assert metrics.bootstrap_interval(small, 200) == (low, high)
