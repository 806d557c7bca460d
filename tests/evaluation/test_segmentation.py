import numpy as np
import pytest

from pipeline.evaluation.segmentation import IGNORE, Counts, to_up_parts


def test_counts_of_a_hand_made_image():
    counts = Counts(2)
    counts.add(np.array([[1, 1, 0, 0]]), np.array([[1, 0, 1, 0]]))
    assert counts.accuracy() == 0.5
    assert counts.f1() == 0.5  # TP 1, FP 1, FN 1 for both classes
    assert counts.iou() == {"pooled": pytest.approx(1 / 3), "mean": pytest.approx(1 / 3)}


def test_ignored_pixels_leave_f1_and_count_as_background_in_accuracy():
    counts = Counts(2)
    counts.add(np.array([[1, 0, 1]]), np.array([[1, IGNORE, IGNORE]]))
    assert counts.f1() == 1.0  # only class 1 was seen; an unseen class does not drag the mean
    assert counts.accuracy() == pytest.approx(2 / 3)


def test_f1_pools_over_images_and_equals_a_naive_loop():
    rng = np.random.default_rng(0)
    images = [(rng.integers(0, 7, (20, 30)), rng.integers(0, 7, (20, 30))) for _ in range(5)]
    counts = Counts(7)
    for predicted, truth in images:
        counts.add(predicted, truth)
    predicted, truth = (np.concatenate([i[k].ravel() for i in images]) for k in (0, 1))
    scores = []
    for c in range(7):
        tp = ((predicted == c) & (truth == c)).sum()
        fp = ((predicted == c) & (truth != c)).sum()
        fn = ((predicted != c) & (truth == c)).sum()
        scores.append(2 * tp / (2 * tp + fp + fn))
    assert counts.f1() == pytest.approx(np.mean(scores))
    assert counts.accuracy() == pytest.approx((predicted == truth).mean())


def test_iou_of_an_empty_pair_is_one_and_of_disjoint_masks_zero():
    counts = Counts(2)
    counts.add(np.zeros((2, 2), int), np.zeros((2, 2), int))
    assert counts.image_iou == [1.0]
    counts.add(np.array([[1, 0]]), np.array([[0, 1]]))
    assert counts.image_iou[1] == 0.0 and counts.iou()["mean"] == 0.5


def test_sides_survive_the_change_of_numbering():
    # rendered: 1 left arm, 2 right arm, 3 head, 4 left leg, 5 right leg, 6 torso
    assert to_up_parts(np.arange(7)).tolist() == [0, 4, 3, 1, 6, 5, 2]


@pytest.mark.parametrize(("predicted", "truth"), [([[2]], [[0]]), ([[0]], [[2]])])
def test_labels_out_of_range_are_refused(predicted, truth):
    with pytest.raises(ValueError, match="expected below 2"):
        Counts(2).add(np.array(predicted), np.array(truth))
