"""Random changes of a sample: one affine map for 2D, and what it means in 3D.

Order: the content turns about the box centre and is scaled, then mirrored. In the camera frame
(x right, y down, z forward) turning the image by an angle turns 3D points about z by the same
angle, and mirroring negates x and swaps left with right.

Source: the draws are those shared by SPIN, PyMAF and PARE. Departure: their image, points and
targets go through three differently rounded maps; here it is one.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.joints import flip_permutation

# R -> M R M with M = diag(-1, 1, 1); of an axis-angle vector this negates y and z.
MIRROR = np.array([[1, -1, -1], [-1, 1, 1], [-1, 1, 1]], np.float32)
IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)
SMPL_FLIP = flip_permutation("smpl24")


@dataclass(frozen=True)
class Augmentation:
    """What one sample undergoes; the default changes nothing."""

    rotation: float = 0.0  # radians, clockwise to the eye
    scale: float = 1.0  # of the crop's side
    flip: bool = False
    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)  # of red, green and blue


def draw_similarity(
    settings: dict, generator: np.random.Generator, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw rotation, scale and flip of several samples.

    Args:
        settings: flip and rotation_zero (probabilities), rotation_deg (standard deviation,
            clipped at twice this), scale (standard deviation around 1, clipped at this).
        generator: source of the numbers.
        count: samples.

    Returns:
        rotation (count,) radians, scale (count,), flip (count,) bool.
    """
    deviation = np.radians(settings["rotation_deg"])
    rotation = np.clip(generator.normal(0, 1, count), -2, 2) * deviation
    rotation[generator.random(count) < settings["rotation_zero"]] = 0
    scale = 1 + np.clip(generator.normal(0, 1, count), -1, 1) * settings["scale"]
    return rotation, scale, generator.random(count) < settings["flip"]


def draw(settings: dict, generator: np.random.Generator) -> Augmentation:
    """Draw what one sample undergoes.

    Args:
        settings: those of `draw_similarity`, and gain: half-width of the colour gain.
        generator: source of the numbers.
    """
    rotation, scale, flip = draw_similarity(settings, generator, 1)
    gain = 1 + settings["gain"] * generator.uniform(-1, 1, 3)
    return Augmentation(float(rotation[0]), float(scale[0]), bool(flip[0]), tuple(gain))


def rotation_about_z(angle: np.ndarray | float) -> np.ndarray:
    """Return the matrices (..., 3, 3) float32 that turn x towards y."""
    cos, sin = np.cos(angle), np.sin(angle)
    zero, one = np.zeros_like(cos), np.ones_like(cos)
    rows = [[cos, -sin, zero], [sin, cos, zero], [zero, zero, one]]
    return np.moveaxis(np.array(rows, np.float32), (0, 1), (-2, -1))


def turn_points(points: np.ndarray, rotation: float, flip: bool, swap: np.ndarray) -> np.ndarray:
    """Return root-relative 3D points after the image has turned and been mirrored.

    Args:
        points: (J, 3 or 4) metres, camera frame; a fourth column is kept.
        rotation: radians.
        flip: whether the image is mirrored.
        swap: (J,) the joint set's flip permutation.
    """
    turned = points.copy()
    if rotation:
        turned[:, :3] = points[:, :3] @ rotation_about_z(rotation).T
    if flip:
        turned = turned[swap]
        turned[:, 0] *= -1
    return turned


def turn_pose(rotmats: np.ndarray, rotation: np.ndarray, flip: np.ndarray) -> np.ndarray:
    """Return SMPL poses after the image has turned and been mirrored.

    Args:
        rotmats: (B, 24, 3, 3), the first in the camera frame.
        rotation: (B,) radians.
        flip: (B,) bool.
    """
    turned = rotmats.copy()
    turned[:, 0] = rotation_about_z(rotation) @ rotmats[:, 0]
    turned[flip] = turned[flip][:, SMPL_FLIP] * MIRROR
    return turned


def colour_table(gain: tuple[float, float, float]) -> np.ndarray:
    """Return what each 8-bit value of red, green and blue becomes, (3, 256) float32.

    The gain is applied to 0..255 and clipped there; then the ImageNet mean and deviation.
    """
    values = np.arange(256, dtype=np.float32)[None] * np.array(gain, np.float32)[:, None]
    return (np.minimum(values, 255) / 255 - IMAGENET_MEAN[:, None]) / IMAGENET_STD[:, None]
