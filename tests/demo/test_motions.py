import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from pipeline.body.smpl import SMPLLayer
from pipeline.demo.kinematics import INDEX, LIMITS, bounds, compose, random_stance, rest_angles
from pipeline.demo.motions import MOTIONS, generate
from pipeline.joints import flip_permutation
from pipeline.rotations import axis_angle_to_matrix

RATE = 30


@pytest.fixture(scope="module")
def skeleton(assets):
    layer = SMPLLayer(assets.models["neutral"], vertex_ids=np.array([0]))

    def joints(pose: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            rotmats = axis_angle_to_matrix(torch.from_numpy(pose).float())
            return layer.joints(torch.zeros(len(pose), 10), rotmats).numpy()

    return joints


def made(name: str, seed: int = 0, frames: int = 90):
    return generate(name, np.random.default_rng(seed), frames, RATE)


@pytest.mark.parametrize("name", MOTIONS)
def test_motions_are_smooth_and_upright(name):
    motion = made(name)
    assert motion.pose.shape == (90, 24, 3) and np.isfinite(motion.pose).all()
    turns = Rotation.from_rotvec(motion.pose.reshape(-1, 3)).as_matrix().reshape(90, 24, 3, 3)
    steps = turns[1:] @ turns[:-1].transpose(0, 1, 3, 2)
    speed = np.arccos(np.clip((np.trace(steps, axis1=2, axis2=3) - 1) / 2, -1, 1)) * RATE
    assert speed.max() < 25  # radians a second; a thrower's arm reaches more
    assert (motion.pose[:, 0] == 0).all()
    assert (motion.lift >= 0).all() and motion.lift.max() < 0.3
    assert (np.diff(motion.forward) >= 0).all()


@pytest.mark.parametrize("name", ["walk", "free", "sit"])
def test_equal_seeds_give_equal_motions_and_others_do_not(name):
    np.testing.assert_array_equal(made(name).pose, made(name).pose)
    assert np.abs(made(name).pose - made(name, seed=1).pose).max() > 0.1


def test_a_part_of_a_motion_is_cut_out():
    whole = made("talk")
    part = generate("talk", np.random.default_rng(0), 90, RATE, slice(20, 30))
    np.testing.assert_allclose(part.pose, whole.pose[20:30])


def test_right_joints_mirror_left_ones():
    rng = np.random.default_rng(0)
    for joint, (_, limits) in LIMITS.items():
        if joint.startswith("l_"):
            angles = rng.uniform(*bounds(joint), (5, len(limits)))
            mirrored = compose(joint, angles) * [1, -1, -1]
            np.testing.assert_allclose(compose("r_" + joint[2:], angles), mirrored)


def test_random_stances_keep_the_limits():
    rng = np.random.default_rng(0)
    for _ in range(50):
        for joint, value in random_stance(rng, 0.5, 0.3).items():
            low, high = bounds(joint)
            assert (value >= low).all() and (value <= high).all()
    assert set(rest_angles(2)) == set(LIMITS) <= set(INDEX)


def test_the_waving_hand_is_above_its_elbow_and_shoulder(skeleton):
    for seed in range(5):
        joints = skeleton(made("wave", seed).pose)
        heights = {name: joints[:, INDEX[name], 1] for name in INDEX}
        up = max(("l", "r"), key=lambda side: heights[f"{side}_wrist"].mean())
        assert (heights[f"{up}_wrist"] > heights[f"{up}_elbow"]).mean() > 0.9
        assert (heights[f"{up}_wrist"] > heights[f"{up}_shoulder"]).mean() > 0.9


def test_knees_bend_backwards_and_sitting_thighs_are_level(skeleton):
    joints = skeleton(made("sit").pose)
    for side in "lr":
        hip, knee, ankle = (joints[:, INDEX[f"{side}_{j}"]] for j in ("hip", "knee", "ankle"))
        assert (knee[:, 2] > hip[:, 2] + 0.25).all()  # forwards
        assert (np.abs(knee[:, 1] - hip[:, 1]) < 0.22).all()
        assert (ankle[:, 1] < knee[:, 1] - 0.2).all()


def test_walking_moves_opposite_arms_and_legs(skeleton):
    joints = skeleton(made("walk").pose)
    legs = joints[:, INDEX["l_ankle"], 2] - joints[:, INDEX["r_ankle"], 2]
    arms = joints[:, INDEX["l_wrist"], 2] - joints[:, INDEX["r_wrist"], 2]
    assert np.corrcoef(legs, arms)[0, 1] < -0.7


def test_flipping_a_pose_flips_the_skeleton(skeleton):
    pose = made("free").pose[:5]
    flip = flip_permutation("smpl24")
    mirrored = pose[:, flip] * [1, -1, -1]
    centred = [j - j[:, :1] for j in (skeleton(pose), skeleton(mirrored))]
    np.testing.assert_allclose(centred[1], (centred[0] * [-1, 1, 1])[:, flip], atol=2e-3)
