import numpy as np
import pytest

from pipeline.evaluation import mupots
from pipeline.evaluation.mupots import JOINTS, Frame


def _person(shift_px=0.0, seed=0):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(17, 3)) * 0.3
    pixels = 500 + 300 * points[:, :2] + shift_px
    return pixels, points + [0, 0, 4.0]


def _frame(people, predictions):
    gt_2d, gt_3d = map(np.stack, zip(*people, strict=True))
    if not predictions:
        return Frame(gt_2d, gt_3d, np.zeros((0, 17, 2)), np.zeros((0, 17, 3)))
    pred_2d, pred_3d = map(np.stack, zip(*predictions, strict=True))
    return Frame(gt_2d, gt_3d, pred_2d, pred_3d)


def test_a_perfect_prediction_scores_everything():
    frame = _frame([_person()], [_person()])
    out = mupots.evaluate({"TS1": [frame]})
    assert out["all"]["pck"] == {"TS1": 100.0, "mean": 100.0, "pooled": 100.0}
    # the threshold 0 counts nothing, the other 30 of 31 all
    assert out["all"]["auc"]["pooled"] == pytest.approx(100 * 30 / 31)


def test_an_unmatched_person_is_a_miss_in_mode_all_only():
    frame = _frame([_person(seed=1), _person(shift_px=5000, seed=2)], [_person(seed=1)])
    out = mupots.evaluate({"TS1": [frame]})
    assert out["all"]["pck"]["pooled"] == 50.0
    assert out["matched"]["pck"]["pooled"] == 100.0


def test_matching_takes_each_prediction_once_in_annotation_order():
    first, second = _person(seed=3), _person(seed=3, shift_px=10)
    chosen = mupots.match(np.stack([first[0], second[0]]), np.stack([second[0]]))
    assert chosen.tolist() == [0, -1]
    assert mupots.match(np.stack([first[0]]), np.zeros((0, 17, 2))).tolist() == [-1]


def test_a_joint_agrees_only_if_both_coordinates_are_within_40_pixels():
    gt, _ = _person(seed=4)
    far = gt + [39.0, 41.0]
    near = gt + [39.0, -39.0]
    assert mupots.match(gt[None], far[None]).tolist() == [-1]
    assert mupots.match(gt[None], near[None]).tolist() == [0]


def test_bones_take_the_length_of_the_ground_truth_and_keep_their_direction():
    _, gt = _person(seed=5)
    pelvis = gt[JOINTS.index("pelvis")]
    twice = pelvis + 2.0 * (gt - pelvis)
    np.testing.assert_allclose(mupots.rescale_bones(twice, gt), gt, atol=1e-12)


def test_rescaling_decides_whether_a_child_sized_prediction_counts():
    pixels, gt = _person(seed=6)
    pelvis = gt[JOINTS.index("pelvis")]
    frame = _frame([(pixels, gt)], [(pixels, pelvis + 0.2 * (gt - pelvis))])
    assert mupots.evaluate({"a": [frame]}, rescale=True)["all"]["pck"]["a"] == 100.0
    assert mupots.evaluate({"a": [frame]}, rescale=False)["all"]["pck"]["a"] < 50.0


def test_fourteen_joints_are_scored_and_one_bad_wrist_costs_a_fourteenth():
    pixels, gt = _person(seed=7)
    pred = gt.copy()
    pred[JOINTS.index("l_wrist")] += [0, 0, 0.2]
    pred[JOINTS.index("head_mpi")] += [0, 0, 9.0]  # not scored
    frame = _frame([(pixels, gt)], [(pixels, pred)])
    pck = mupots.evaluate({"a": [frame]}, rescale=False)["all"]["pck"]["a"]
    assert pck == pytest.approx(100 * 13 / 14)


def test_sequence_mean_and_pooled_value_differ_when_sequences_differ_in_length():
    good, bad = _frame([_person()], [_person()]), _frame([_person()], [])
    out = mupots.evaluate({"long": [good, good, good], "short": [bad]})["all"]["pck"]
    assert out["mean"] == 50.0 and out["pooled"] == 75.0


def test_a_shifted_person_is_right_relative_to_its_root_and_wrong_absolutely():
    pixels, gt = _person(seed=8)
    frame = _frame([(pixels, gt)], [(pixels, gt + [0, 0, 1.0])])
    assert mupots.evaluate({"a": [frame]})["all"]["pck"]["a"] == 100.0
    assert mupots.evaluate({"a": [frame]}, relative=False, rescale=False)["all"]["pck"]["a"] == 0.0


def test_the_tree_reaches_every_joint_from_the_pelvis():
    assert set(mupots.PARENT) | {"pelvis"} == set(JOINTS)
    seen = {"pelvis"}
    for child, parent in mupots.PARENT.items():
        assert parent in seen
        seen.add(child)
