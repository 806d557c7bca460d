"""Named motions of one person: everyday movements as joint angles over time.

Every generator sets the angles of a clip that starts as a relaxed stance, and returns what else
moves: "lift" above the floor and the way walked "forward". `generate` adds sway, keeps the joint
limits and turns angles into SMPL poses.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from pipeline.demo.choreography import (
    SIDES,
    Clip,
    arm,
    bend,
    bump,
    cycle,
    glide,
    keyframed,
    leg,
    noise,
    stand,
    sway,
    wave01,
)  # fmt: skip
from pipeline.demo.kinematics import clip as clip_angles
from pipeline.demo.kinematics import random_stance, rest_angles, to_pose


class Motion(NamedTuple):
    """A movement that faces +z, y up, before a heading is chosen."""

    pose: np.ndarray
    """(N, 24, 3) axis-angle."""
    lift: np.ndarray
    """(N,) metres between the lowest point of the body and the floor."""
    forward: np.ndarray
    """(N,) metres walked along the heading."""


def idle(clip: Clip) -> None:
    """Stand and look around."""
    stand(clip)


def talk(clip: Clip) -> None:
    """Stand and talk with both hands."""
    stand(clip)
    for side in SIDES:
        g = glide(clip, 5, 0.7)
        arm(
            clip,
            side,
            -0.9 * g[:, 0],
            0.2 * g[:, 1],
            -1.25 + 0.5 * g[:, 2],
            -0.5 + g[:, 3],
            0.8 + g[:, 4],
        )


def walk(clip: Clip) -> dict:
    """Walk straight ahead."""
    phase = cycle(clip, 0.75, 1.05)
    stride = clip.rng.uniform(0.85, 1.15)
    for side, shift in (("l", 0.0), ("r", np.pi)):
        p = phase + shift
        hip = 0.12 + 0.4 * stride * np.cos(p)
        knee = 0.07 + 0.22 * bump(p, 0.13, 5) + 1.0 * stride * bump(p, 0.72, 4)
        leg(clip, side, hip, 0.03, 0.06, knee)
        stance = bump(p, 0.25, 1.0)
        clip.angles[f"{side}_ankle"][:, 0] *= stance
        clip.angles[f"{side}_ankle"][:, 0] += 0.35 * bump(p, 0.6, 8) - 0.15 * bump(p, 0.95, 4)
        clip.angles[f"{side}_foot"][:, 0] = -0.4 * bump(p, 0.58, 6)
        arm(clip, side, 0.1 + 0.4 * np.cos(p), 0, -1.33, 0.1, 0.35 - 0.2 * np.cos(p))
    bend(clip, 0.05, -0.18 * np.cos(phase))
    speed = 1.35 * stride * (np.diff(phase[:2])[0] / np.diff(clip.time[:2])[0]) / (2 * np.pi)
    return {"forward": speed * clip.time}


def run(clip: Clip) -> dict:
    """Run straight ahead."""
    phase = cycle(clip, 1.2, 1.55)
    for side, shift in (("l", 0.0), ("r", np.pi)):
        p = phase + shift
        knee = 0.3 + 0.35 * bump(p, 0.13, 4) + 1.45 * bump(p, 0.68, 2.5)
        leg(clip, side, 0.3 + 0.7 * np.cos(p), 0.02, 0.04, knee)
        clip.angles[f"{side}_ankle"][:, 0] *= bump(p, 0.2, 1.5)
        clip.angles[f"{side}_ankle"][:, 0] += 0.5 * bump(p, 0.5, 4)
        arm(clip, side, 0.05 + 0.75 * np.cos(p), 0, -1.15, 0.35, 1.6)
    bend(clip, 0.22, -0.25 * np.cos(phase))
    speed = 2.3 * (np.diff(phase[:2])[0] / np.diff(clip.time[:2])[0]) / (2 * np.pi)
    return {"forward": speed * clip.time, "lift": 0.1 * np.clip(np.cos(2 * phase - 1.6), 0, 1)}


def wave(clip: Clip) -> None:
    """Wave with one hand: the upper arm out to the side, the forearm up and swinging."""
    stand(clip)
    side = clip.rng.choice(SIDES)
    swing = np.sin(cycle(clip, 1.2, 2.0))
    raised = clip.rng.uniform(-0.3, 0.4)
    arm(clip, side, 0, 0.3, raised, -1.45 + 0.1 * swing, 1.45 - raised + 0.4 * swing, 0.2)


def phone(clip: Clip) -> None:
    """Hold a telephone to one ear."""
    stand(clip)
    side = clip.rng.choice(SIDES)
    arm(clip, side, -0.55, 0.1, -0.75, -0.55, 2.35, 0.3)


def photo(clip: Clip) -> None:
    """Hold a camera in front of the face with both hands."""
    stand(clip)
    height = clip.rng.uniform(-1.3, -1.05)
    for side in SIDES:
        arm(clip, side, height, 0.1, -1.0, 0.4, 1.95, 0.2)
    bend(clip, 0.1 * glide(clip, 1, 1.5)[:, 0], 0.3 * (glide(clip, 1, 1.5)[:, 0] - 0.5))


def drink(clip: Clip) -> None:
    """Lift one hand to the mouth and lower it."""
    stand(clip)
    up = wave01(cycle(clip, 0.25, 0.45))
    side = clip.rng.choice(SIDES)
    arm(clip, side, -0.3 - 0.55 * up, 0.05, -1.1, 0.1 + 0.35 * up, 0.8 + 1.4 * up)


def point(clip: Clip) -> None:
    """Point with a straight arm into changing directions."""
    stand(clip)
    g = glide(clip, 3, 1.2)
    side = clip.rng.choice(SIDES)
    arm(clip, side, 0, 1.5 * g[:, 0], -0.5 + 1.0 * g[:, 1], 0, 0.08 + 0.2 * g[:, 2])
    bend(clip, 0, (0.3 - 0.4 * g[:, 0]) * (1 if side == "l" else -1))


def reach(clip: Clip) -> None:
    """Reach high and low with bending knees and back."""
    g = glide(clip, 4, 1.3)
    low = np.clip(1.4 * g[:, 0] - 0.4, 0, 1)
    for side in SIDES:
        leg(clip, side, 0.05 + 1.1 * low, 0.12, 0.15, 0.06 + 1.35 * low)
        hand = glide(clip, 3, 1.3)
        swing = -0.2 - (1.6 + 0.6 * (g[:, 1] > 0.6)) * hand[:, 0]
        arm(clip, side, swing, 0, -1.2 + 0.4 * hand[:, 1], 0, 0.15 + 0.7 * hand[:, 2])
    bend(clip, 0.05 + 0.8 * low, 0.7 * (g[:, 2] - 0.5), 0.2 * (g[:, 3] - 0.5))


def squat(clip: Clip) -> None:
    """Squat down and up with the arms forwards."""
    depth = wave01(cycle(clip, 0.25, 0.45)) * clip.rng.uniform(0.75, 1.0)
    for side in SIDES:
        leg(clip, side, 0.05 + 1.75 * depth, 0.1 + 0.3 * depth, 0.3, 0.06 + 2.0 * depth)
        arm(clip, side, -1.35 * depth, 0.1, -1.2, 0, 0.2 + 0.1 * depth)
    bend(clip, 0.5 * depth)
    clip.angles["neck"][:, 0] = -0.25 * depth


def crouch(clip: Clip) -> None:
    """Sit down low, hands between or on the knees, and get up half way."""
    depth = 0.65 + 0.35 * glide(clip, 1, 1.5)[:, 0]
    for side in SIDES:
        wide = clip.rng.uniform(0.15, 0.5)
        leg(clip, side, 1.95 * depth, wide, 0.25, 2.25 * depth)
        g = glide(clip, 3, 1.2)
        arm(clip, side, -0.8 - 0.4 * g[:, 0], 0, -1.15, 0.3, 0.2 + 0.7 * g[:, 1])
    bend(clip, 0.5 * depth, 0.3 * (glide(clip, 1, 1.5)[:, 0] - 0.5))


def jacks(clip: Clip) -> dict:
    """Jump with arms and legs apart and together."""
    phase = cycle(clip, 0.7, 1.1)
    wide = wave01(phase)
    for side in SIDES:
        leg(clip, side, 0.15, 0.02 + 0.42 * wide, 0.1, 0.25)
        arm(clip, side, 0, 0.05, -1.3 + 2.3 * wide, -0.4 * wide, 0.2)
    return {"lift": 0.12 * np.sin(phase) ** 2}


def kick(clip: Clip) -> None:
    """Kick forwards with one leg."""
    swing = np.clip(np.sin(cycle(clip, 0.4, 0.65)), -0.35, 1)
    side, other = clip.rng.permutation(SIDES)
    leg(clip, side, 0.1 + 1.15 * swing, 0.08, 0.1, np.clip(0.7 - 0.75 * swing, 0.08, 2))
    clip.angles[f"{side}_ankle"][:, 0] = 0.3
    leg(clip, other, 0.08, 0.06, 0.2, 0.16)
    arm(clip, other, -0.8 * swing, 0, -0.9 + 0.3 * swing, 0, 0.5)
    arm(clip, side, 0.5 * swing, 0, -0.9, 0, 0.5)
    bend(clip, -0.1 * swing, 0.2 * swing * (1 if side == "l" else -1))


def sit(clip: Clip) -> None:
    """Sit on a stool, hands in the lap or moving."""
    rng = clip.rng
    for side in SIDES:
        thigh, g = 1.45 + 0.08 * rng.normal(), glide(clip, 4, 1.2)
        leg(clip, side, thigh, rng.uniform(0.0, 0.3), rng.uniform(-0.1, 0.3), thigh)
        clip.angles[f"{side}_knee"] += rng.uniform(-0.25, 0.15)
        lap = rng.random() < 0.5
        move = 0.25 if lap else 1.0
        swing = -0.45 - 0.5 * move * g[:, 0]
        elbow = 0.75 + 0.9 * move * g[:, 1]
        arm(clip, side, swing, 0, -1.15 + 0.3 * move * g[:, 2], 0.25 - 0.4 * move * g[:, 3], elbow)
    bend(clip, rng.uniform(-0.05, 0.45), 0.4 * (glide(clip, 1, 1.8)[:, 0] - 0.5))
    clip.angles["head"][:, 1] = 0.6 * (glide(clip, 1, 1.4)[:, 0] - 0.5)


def throw(clip: Clip) -> None:
    """Wind up and throw with one arm, one foot in front."""
    through = wave01(cycle(clip, 0.5, 0.8))
    side, other = clip.rng.permutation(SIDES)
    sign = 1 if side == "l" else -1
    leg(clip, other, 0.45, 0.05, 0.05, 0.35)
    leg(clip, side, -0.15, 0.08, 0.3, 0.25)
    back = 1 - through
    arm(clip, side, 0, 1.3 * through, 0.5 * back - 0.15, 0.1 - 1.4 * back, 0.2 + 1.4 * back)
    arm(clip, other, -0.9 + 0.7 * through, 0.1, -1.0, 0, 0.4)
    bend(clip, 0.25 * through, sign * (0.4 - 0.8 * through))


def lunge(clip: Clip) -> None:
    """Step far forwards, lower the back knee, come up."""
    depth = 0.35 + 0.65 * wave01(cycle(clip, 0.3, 0.5))
    front, back = clip.rng.permutation(SIDES)
    leg(clip, front, 0.2 + 1.05 * depth, 0.06, 0.05, 0.1 + 1.25 * depth)
    leg(clip, back, -0.45 * depth, 0.06, 0.05, 0.2 + 1.2 * depth)
    clip.angles[f"{back}_ankle"][:, 0] = -0.45 + 0.2 * depth
    clip.angles[f"{back}_foot"][:, 0] = -0.5 * depth
    up = clip.rng.random() < 0.3
    for side in SIDES:
        arm(clip, side, -2.6 * depth if up else -0.1, 0, -1.2 if up else -0.85, 0.3, 0.4)


def dance(clip: Clip) -> dict:
    """Step from side to side with loose arms."""
    phase = cycle(clip, 0.6, 1.0)
    for side, sign in (("l", 1), ("r", -1)):
        beat = wave01(phase + (0 if sign > 0 else np.pi))
        leg(clip, side, 0.1 + 0.35 * beat, 0.12 + 0.1 * beat, 0.2, 0.15 + 0.6 * beat)
        g = noise(clip, 2, 1.5)
        swing = -0.5 - 0.4 * np.sin(phase + sign)
        up = -0.8 + 0.5 * np.sin(phase) * sign + 0.2 * g[:, 0]
        arm(clip, side, swing, 0.2, up, 0.3 * g[:, 1], 1.1 + 0.4 * np.cos(phase))
    bend(clip, 0.08, 0.3 * np.sin(phase), 0.2 * np.cos(phase))
    return {"lift": 0.02 * np.sin(phase) ** 2}


def stretch(clip: Clip) -> None:
    """Stretch both arms overhead and lean to the sides."""
    up = 0.55 + 0.45 * np.sin(cycle(clip, 0.15, 0.3))
    lean = np.sin(cycle(clip, 0.2, 0.35))
    stand(clip)
    for side in SIDES:
        arm(clip, side, 0, 0.2, -0.4 + 1.5 * up, -0.5 * up, 0.35)
        clip.angles[f"{side}_collar"][:, 1] = 0.25 * up
    bend(clip, -0.08, 0, 0.5 * lean)


def carry(clip: Clip) -> None:
    """Hold something in front with both arms and turn with it."""
    stand(clip)
    elbow, swing = clip.rng.uniform(1.1, 1.7), clip.rng.uniform(-0.5, -0.1)
    for side in SIDES:
        arm(clip, side, swing, 0, -1.2, 0.15, elbow)
    bend(clip, -0.05, 1.2 * (glide(clip, 1, 1.2)[:, 0] - 0.5))


def free(clip: Clip) -> None:
    """Move through random stances."""
    keyframed(clip, lambda: random_stance(clip.rng, 0.3, 0.15), 0.9)


# fmt: off
MOTIONS: dict[str, Callable[[Clip], dict | None]] = {
    make.__name__: make
    for make in (
        idle, talk, walk, run, wave, phone, photo, drink, point, reach, squat, crouch,
        jacks, kick, sit, throw, lunge, dance, stretch, carry, free,
    )
}
# fmt: on


def generate(
    name: str, rng: np.random.Generator, frames: int, rate_hz: float, keep: slice = slice(None)
) -> Motion:
    """Return one motion.

    Args:
        name: key of MOTIONS.
        rng: all that varies between two motions of the same name.
        frames: length of the whole motion, at least 2.
        rate_hz: frames per second.
        keep: frames to return.
    """
    clip = Clip(rng, np.arange(frames) / rate_hz, rest_angles(frames))
    extra = MOTIONS[name](clip) or {}
    sway(clip, 0.03)
    angles = clip_angles({joint: value[keep] for joint, value in clip.angles.items()})
    still = np.zeros(frames)
    return Motion(
        to_pose(angles), extra.get("lift", still)[keep], extra.get("forward", still)[keep]
    )
