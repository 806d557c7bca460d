"""A performance in the making: joint angles over time, and the words to direct it.

The functions set arms, legs and spine of a `Clip` in radians; time curves are (N,) arrays.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.interpolate import CubicSpline

from pipeline.demo.kinematics import LIMITS, Angles, bounds

SIDES = ("l", "r")
Curve = float | np.ndarray


class Clip(NamedTuple):
    """What a generator works on."""

    rng: np.random.Generator
    time: np.ndarray
    """(N,) seconds."""
    angles: Angles

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.time)


def wander(
    rng: np.random.Generator,
    frames: int,
    rate_hz: float,
    period: float,
    columns: int | None = None,
) -> np.ndarray:
    """Return smooth unit noise (N,) or (N, columns) that changes over `period` seconds."""
    knots = max(4, int(frames / rate_hz / period) + 4)
    size = knots if columns is None else (knots, columns)
    spline = CubicSpline(np.linspace(0, 1, knots), rng.normal(size=size))
    return spline(np.linspace(0, 1, frames))


def noise(clip: Clip, columns: int, period: float) -> np.ndarray:
    """Return smooth unit noise (N, columns) over a clip."""
    return wander(clip.rng, clip.frames, 1 / (clip.time[1] - clip.time[0]), period, columns)


def sway(clip: Clip, amount: float) -> None:
    """Add slow small movements to every joint, as a share of its range."""
    columns = [value.shape[1] for value in clip.angles.values()]
    shares = np.split(noise(clip, sum(columns), 1.2), np.cumsum(columns)[:-1], axis=1)
    for (joint, value), share in zip(clip.angles.items(), shares, strict=True):
        low, high = bounds(joint)
        value += share * amount * (high - low) / 2


def arm(
    clip: Clip,
    side: str,
    swing: Curve = 0.0,
    forward: Curve = 0.0,
    up: Curve = -1.3,
    twist: Curve = 0.0,
    elbow: Curve = 0.3,
    forearm: Curve = 0.0,
) -> None:
    """Set one arm.

    Args:
        clip: what is directed.
        side: "l" or "r".
        swing: of the hanging arm, negative forwards.
        forward: of the raised arm, from sideways towards the front.
        up: from horizontal; -pi/2 hangs.
        twist: about the upper arm, negative turns the bent forearm up and out.
        elbow: positive when bent.
        forearm: twist of the forearm.
    """
    shoulder, elbow_angles = clip.angles[f"{side}_shoulder"], clip.angles[f"{side}_elbow"]
    for column, value in enumerate((swing, -np.asarray(forward), up, twist)):
        shoulder[:, column] = value
    elbow_angles[:, 0] = -np.asarray(elbow)
    elbow_angles[:, 1] = forearm


def leg(
    clip: Clip,
    side: str,
    lift: Curve = 0.0,
    out: Curve = 0.05,
    turn: Curve = 0.05,
    knee: Curve = 0.05,
) -> None:
    """Set one leg and keep its sole level; lift positive raises the thigh forwards."""
    hip = clip.angles[f"{side}_hip"]
    for column, value in enumerate((-np.asarray(lift), out, turn)):
        hip[:, column] = value
    clip.angles[f"{side}_knee"][:, 0] = knee
    clip.angles[f"{side}_ankle"][:, 0] = np.asarray(lift) - knee


def bend(clip: Clip, forward: Curve = 0.0, turn: Curve = 0.0, side: Curve = 0.0) -> None:
    """Bend the spine; the three joints share the angle."""
    for joint, share in (("spine1", 0.45), ("spine2", 0.35), ("spine3", 0.2)):
        for column, value in enumerate((forward, turn, side)):
            clip.angles[joint][:, column] = share * np.asarray(value)


def cycle(clip: Clip, low: float, high: float) -> np.ndarray:
    """Return a phase (N,) that turns with a random frequency in [low, high] Hz."""
    return 2 * np.pi * (clip.rng.uniform(low, high) * clip.time + clip.rng.random())


def wave01(phase: np.ndarray) -> np.ndarray:
    """Return a smooth 0..1 wave of a phase."""
    return 0.5 - 0.5 * np.cos(phase)


def bump(phase: np.ndarray, centre: float, sharpness: float) -> np.ndarray:
    """Return a periodic bump of height one around the share `centre` of the cycle."""
    return np.exp(sharpness * (np.cos(phase - 2 * np.pi * centre) - 1))


def _eased(values: np.ndarray, frames: int, rest_share: float) -> np.ndarray:
    """Return (N, k) that glides through the rows of values (knots, k), resting at each."""
    at = np.linspace(0, len(values) - 1, frames)
    knot = np.minimum(at.astype(int), len(values) - 2)
    part = np.clip(((at - knot) - rest_share / 2) / (1 - rest_share), 0, 1)
    part = (part * part * (3 - 2 * part))[:, None]
    return values[knot] * (1 - part) + values[knot + 1] * part


def keyframed(clip: Clip, make: Callable[[], dict], period: float) -> None:
    """Move through random stances, one about every `period` seconds, resting in each a little."""
    stances = [make() for _ in range(max(3, int(clip.time[-1] / period) + 2))]
    for joint in LIMITS:
        values = np.stack([stance[joint] for stance in stances])
        clip.angles[joint][:] = _eased(values, clip.frames, 0.2)


def glide(clip: Clip, columns: int, period: float) -> np.ndarray:
    """Return (N, columns) in 0..1 that holds random values and glides between them."""
    knots = max(3, int(clip.time[-1] / period) + 2)
    return _eased(clip.rng.random((knots, columns)), clip.frames, 0.35)


def stand(clip: Clip) -> None:
    """Rest the weight on one leg, the other knee a little bent; arms in one of four habits."""
    rng = clip.rng
    shift = rng.uniform(-1, 1)
    for side, sign in (("l", 1), ("r", -1)):
        bent = 0.25 * max(0.0, sign * shift)
        leg(clip, side, 0.6 * bent, 0.04 + 0.1 * rng.random(), rng.uniform(0, 0.3), bent + 0.04)
    bend(clip, rng.uniform(-0.03, 0.12), rng.normal() * 0.1, 0.08 * shift)
    clip.angles["head"][:, 1] = 0.7 * (glide(clip, 1, 1.5)[:, 0] - 0.5)
    clip.angles["neck"][:, 1] = clip.angles["head"][:, 1] * 0.7
    habit = rng.integers(4)
    for side in SIDES:
        if habit == 0:  # hanging
            arm(clip, side, rng.uniform(-0.2, 0.1), 0, rng.uniform(-1.38, -1.22), 0, 0.25)
        elif habit == 1:  # hand on the hip
            arm(clip, side, 0.35, 0.0, -0.8, 0.55, 1.45)
        elif habit == 2:  # arms crossed
            arm(clip, side, -0.45, 0.15, -1.15, 0.75, 1.75)
        else:  # hands together in front
            arm(clip, side, -0.25, 0.0, -1.15, 0.6, 0.8)
