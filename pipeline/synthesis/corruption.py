"""What makes synthetic joints look like a detector's: jitter, misses, masks, pixel noise.

Every function is pure in the generator it is given. Joints are COCO's 17, in continuous pixels.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.joints import JOINT_SETS, flip_permutation

# Spread of COCO annotators per joint, in units of 2 sqrt(area) (COCO key point evaluation).
OKS_SPREAD = (
    0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062,
    0.107, 0.107, 0.087, 0.087, 0.089, 0.089,
)  # fmt: skip
# Probabilities of the error kinds for people with more than ten visible joints.
JITTER = {"nose": 0.10, "knee": 0.10, "ankle": 0.10, "hip": 0.20}
JITTER_ELSE = 0.15
MISS = {"nose": 0.02, "eye": 0.02, "ear": 0.02, "shoulder": 0.05, "ankle": 0.05}
MISS_ELSE = 0.10
INVERSION = {"nose": 0.01, "eye": 0.01, "ear": 0.01, "hip": 0.06, "knee": 0.06, "ankle": 0.06}
INVERSION_ELSE = 0.03


class Corrupted(NamedTuple):
    """Joints as a detector might give them.

    Attributes:
        keypoints: (B, K, 2) in pixels.
        amplitude: (B, K) peak of each heatmap; 0 where the joint is masked.
        noise_std: (B,) standard deviation of the pixel noise; 0 where there is none.
    """

    keypoints: Tensor
    amplitude: Tensor
    noise_std: Tensor


def corrupt(keypoints: Tensor, settings: Mapping, generator: torch.Generator) -> Corrupted:
    """Return jittered joints, the amplitudes of their maps and each sample's pixel noise.

    Args:
        keypoints: (B, K, 2) in pixels of the map.
        settings: a run's `corruption` section: jitter (none, isotropic or coco_synth), jitter_px,
            mhm_max, noise_std, noise_probability.
        generator: on the joints' device.

    Raises:
        ValueError: if the kind of jitter is unknown.

    Source: MPT, Sec. 3.1.2; the paper gives no amounts, `params.yaml` does.
    """
    kind = settings["jitter"]
    if kind not in ("none", "isotropic", "coco_synth"):
        raise ValueError(f"jitter is {kind!r}, expected none, isotropic or coco_synth")
    moved = keypoints
    if kind != "none":
        moved = jitter(keypoints, settings["jitter_px"], generator)
    if kind == "coco_synth":
        moved = detector_errors(keypoints, moved, generator)
    batch, joints = keypoints.shape[:2]
    return Corrupted(
        moved,
        mask_joints(batch, joints, settings["mhm_max"], generator).to(keypoints.dtype),
        pixel_noise(batch, settings["noise_std"], settings["noise_probability"], generator),
    )


def jitter(keypoints: Tensor, std: float, generator: torch.Generator) -> Tensor:
    """Return joints moved by isotropic normal noise of `std` pixels a coordinate."""
    noise = torch.randn(
        keypoints.shape, generator=generator, device=keypoints.device, dtype=keypoints.dtype
    )
    return keypoints + std * noise


def mask_joints(batch: int, joints: int, mhm_max: float, generator: torch.Generator) -> Tensor:
    """Return amplitudes (B, K): masked heatmap modelling hides some joints of each sample.

    The rule is METRO's for queries: u ~ U(0, 1) per sample, floor(u * mhm_max * K) joints hidden.
    """
    device = generator.device
    share = torch.rand(batch, 1, generator=generator, device=device)
    count = torch.floor(share * mhm_max * joints)
    scores = torch.rand(batch, joints, generator=generator, device=device)
    rank = scores.argsort(dim=1).argsort(dim=1)
    return (rank >= count).float()


def pixel_noise(batch: int, std: float, probability: float, generator: torch.Generator) -> Tensor:
    """Return (B,) standard deviations of independent pixel noise: `std` or none."""
    chosen = torch.rand(batch, generator=generator, device=generator.device) < probability
    return chosen.float() * std


def detector_errors(keypoints: Tensor, fallback: Tensor, generator: torch.Generator) -> Tensor:
    """Return COCO joints with the errors of a detector: jitter, miss, left/right inversion.

    Each joint has at most one error. Jitter moves it to where its OKS is 0.85 to 0.5, a miss to
    0.5 to 0.1, an inversion to within 0.5 of its left/right partner, at a uniform angle and a
    uniform distance.

    Args:
        keypoints: (B, 17, 2) in pixels, the true joints.
        fallback: (B, 17, 2) where joints without an error go.
        generator: on the joints' device.

    Source: the synthesis of Pose2Mesh (Choi et al. 2020) for people with more than ten joints.
    Departures: the person's area is the tight box of the joints; no swaps between people, and no
    rejection of places nearer to another joint.
    """
    device, dtype = keypoints.device, keypoints.dtype
    jitter_p, miss_p, inversion_p, spread, partner = _coco_tables(device, dtype)
    draw = torch.rand(3, *keypoints.shape[:2], generator=generator, device=device, dtype=dtype)
    kind, share, turn = draw
    inverted = kind < inversion_p
    missed = ~inverted & (kind < inversion_p + miss_p)
    jittered = ~inverted & ~missed & (kind < inversion_p + miss_p + jitter_p)

    extent = keypoints.amax(1) - keypoints.amin(1)  # (B, 2)
    unit = 2.0 * spread * (extent[:, :1] * extent[:, 1:]).sqrt()  # (B, 17) px
    far, middle, near = (unit * _oks_distance(oks) for oks in (0.10, 0.50, 0.85))
    low = torch.where(inverted, 0.0, torch.where(missed, middle, near))
    high = torch.where(missed, far, middle)
    distance = low + share * (high - low)
    angle = 2.0 * torch.pi * turn
    offset = distance[..., None] * torch.stack([angle.cos(), angle.sin()], -1)
    source = torch.where(inverted[..., None], keypoints[:, partner], keypoints)
    wrong = inverted | missed | jittered
    return torch.where(wrong[..., None], source + offset, fallback)


def _oks_distance(oks: float) -> float:
    """Return the distance, in units of 2 spread sqrt(area), at which a joint's OKS is `oks`."""
    return math.sqrt(-2.0 * math.log(oks))


def _coco_tables(device: torch.device, dtype: torch.dtype) -> tuple[Tensor, ...]:
    """Return (17,) jitter, miss and inversion probabilities, spreads and partner indices."""
    parts = [name.split("_")[-1] for name in JOINT_SETS["coco17"]]
    rows = (
        [JITTER.get(part, JITTER_ELSE) for part in parts],
        [MISS.get(part, MISS_ELSE) for part in parts],
        [INVERSION.get(part, INVERSION_ELSE) for part in parts],
        OKS_SPREAD,
    )
    partner = torch.as_tensor(flip_permutation("coco17"), device=device)
    return *(torch.tensor(row, device=device, dtype=dtype) for row in rows), partner
