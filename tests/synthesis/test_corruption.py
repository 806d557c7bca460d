import math

import pytest
import torch

from pipeline.joints import JOINT_SETS
from pipeline.synthesis.corruption import (
    OKS_SPREAD,
    corrupt,
    detector_errors,
    jitter,
    mask_joints,
    pixel_noise,
)

SETTINGS = {
    "jitter": "isotropic",
    "jitter_px": 2.0,
    "mhm_max": 0.3,
    "noise_std": 0.05,
    "noise_probability": 0.5,
}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def people(count, seed=1):
    return torch.rand(count, 17, 2, generator=generator(seed)) * 100 + 60


def test_is_pure_in_the_generator():
    keypoints = people(8)
    for kind in ("none", "isotropic", "coco_synth"):
        settings = SETTINGS | {"jitter": kind}
        first, again = (corrupt(keypoints, settings, generator(4)) for _ in range(2))
        other = corrupt(keypoints, settings, generator(5))
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
        assert not torch.equal(first.amplitude, other.amplitude)


def test_leaves_its_input_alone():
    keypoints = people(8)
    before = keypoints.clone()
    corrupt(keypoints, SETTINGS | {"jitter": "coco_synth"}, generator())
    assert torch.equal(keypoints, before)


def test_none_and_zero_amounts_change_nothing():
    off = {"jitter": "none", "jitter_px": 0, "mhm_max": 0, "noise_std": 0, "noise_probability": 0}
    keypoints = people(8)
    clean = corrupt(keypoints, off, generator())
    assert torch.equal(clean.keypoints, keypoints)
    assert clean.amplitude.eq(1).all() and clean.noise_std.eq(0).all()


def test_masks_follow_the_rule():
    amplitude = mask_joints(20000, 17, 0.3, generator())
    hidden = (amplitude == 0).sum(1)
    assert set(hidden.tolist()) == set(range(6))  # floor(u * 0.3 * 17), u < 1
    for count in range(5):
        assert (hidden == count).float().mean() == pytest.approx(1 / 5.1, abs=0.015)
    shares = (amplitude == 0).float().mean(0)
    assert shares.std() < 0.1 * shares.mean()  # no joint is preferred


def test_jitter_is_isotropic_with_the_given_spread():
    keypoints = people(4000)
    moved = jitter(keypoints, 2.0, generator()) - keypoints
    assert moved.mean((0, 1)).abs().max() < 0.05
    assert torch.allclose(moved.std((0, 1)), torch.tensor(2.0), atol=0.05)


def test_noise_strikes_some_samples():
    std = pixel_noise(10000, 0.05, 0.5, generator())
    assert set(std.unique().tolist()) == {0.0, torch.tensor(0.05).item()}
    assert (std > 0).float().mean() == pytest.approx(0.5, abs=0.02)


def test_detector_errors_lie_in_their_oks_rings():
    names = JOINT_SETS["coco17"]
    keypoints = people(1).expand(30000, 17, 2).contiguous()
    moved = detector_errors(keypoints, keypoints, generator())
    extent = keypoints[0].amax(0) - keypoints[0].amin(0)
    area = float(extent.prod())
    for joint, name in enumerate(names):
        squares = (moved[:, joint] - keypoints[:, joint]).double().square().sum(-1)
        oks = torch.exp(-squares / (2 * area * (2 * OKS_SPREAD[joint]) ** 2))
        untouched = (oks == 1).float().mean()
        part = name.split("_")[-1]
        jittered = {"nose": 0.1, "knee": 0.1, "ankle": 0.1, "hip": 0.2}.get(part, 0.15)
        missed = {"nose": 0.02, "eye": 0.02, "ear": 0.02, "shoulder": 0.05, "ankle": 0.05}
        inverted = 0.01 if joint < 5 else 0.03 if joint < 11 else 0.06
        total = jittered + missed.get(part, 0.1) + inverted
        if part != "nose":  # its own partner, so an inversion may hardly move it
            assert untouched == pytest.approx(1 - total, abs=0.012), name
            ring = ((oks < 0.8501) & (oks > 0.4999)).float().mean()
            assert ring >= jittered - 0.012


def test_inversion_lands_on_the_other_side():
    names = JOINT_SETS["coco17"]
    keypoints = people(1).expand(20000, 17, 2).contiguous()
    left, right = names.index("l_ankle"), names.index("r_ankle")
    keypoints[:, left], keypoints[:, right] = (
        torch.tensor([0.0, 160.0]),
        torch.tensor([200.0, 0.0]),
    )
    moved = detector_errors(keypoints, keypoints, generator())
    extent = keypoints[0].amax(0) - keypoints[0].amin(0)
    reach = 2 * OKS_SPREAD[left] * math.sqrt(float(extent.prod()) * -2 * math.log(0.5))
    near = (moved[:, left] - keypoints[0, right]).norm(dim=-1) <= reach + 1e-3
    assert near.float().mean() == pytest.approx(0.06, abs=0.008)


def test_unknown_jitter_is_refused():
    with pytest.raises(ValueError, match="coco_synth"):
        corrupt(people(1), SETTINGS | {"jitter": "h36m"}, generator())
