import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes
from scipy.spatial.distance import cdist

from pipeline.evaluation import hands


def test_alignment_equals_scipys_orthogonal_procrustes():
    rng = np.random.default_rng(0)
    pred, gt = rng.normal(size=(2, 21, 3))
    a, b = gt - gt.mean(0), pred - pred.mean(0)
    s1, s2 = np.linalg.norm(a), np.linalg.norm(b)
    rotation, scale = orthogonal_procrustes(a / s1, b / s2)
    expected = (b / s2) @ rotation.T * scale * s1 + gt.mean(0)
    np.testing.assert_allclose(hands.align(pred, gt), expected, atol=1e-12)


def test_similar_and_mirrored_hands_align_exactly():
    rng = np.random.default_rng(1)
    gt = rng.normal(size=(778, 3))
    for factor in ([1, 1, 1], [-1, 1, 1]):  # the script does not exclude reflections
        np.testing.assert_allclose(hands.align(0.3 * gt * factor + 2, gt), gt, atol=1e-9)


def test_f_score_equals_a_naive_distance_matrix():
    rng = np.random.default_rng(2)
    pred, gt = rng.normal(size=(2, 60, 3)) * 0.01
    distances = cdist(pred, gt)
    precision, recall = ((distances.min(axis=k) < 0.005).mean() for k in (1, 0))
    expected = 2 * precision * recall / (precision + recall)
    assert hands.f_score(pred, gt, 0.005) == pytest.approx(expected)
    assert hands.f_score(pred, gt + 1.0, 0.005) == 0.0


def test_errors_of_a_perfect_and_of_a_bent_hand():
    rng = np.random.default_rng(3)
    joints, vertices = rng.normal(size=(1, 21, 3)) * 0.05, rng.normal(size=(1, 778, 3)) * 0.05
    perfect = hands.errors(2 * joints + 1, 2 * vertices + 1, joints, vertices)
    assert perfect["pa_mpjpe"][0] < 1e-9 and perfect["f_5"][0] == 1.0 and perfect["f_15"][0] == 1.0
    bent = joints.copy()
    bent[0, 8] += 0.03
    worse = hands.errors(bent, vertices, joints, vertices)
    assert worse["pa_mpjpe"][0] > 5e-4 and worse["pa_mpvpe"][0] < 1e-9
