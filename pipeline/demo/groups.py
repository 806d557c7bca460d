"""Several people who stand side by side in front of one camera, sometimes hiding each other."""

from typing import NamedTuple

import numpy as np

from pipeline.demo.actors import Direction, Performance, draw_betas, perform
from pipeline.demo.people import Look, draw_look
from pipeline.demo.scenes import Camera, look_at, pinhole
from pipeline.demo.stage import Stage

MOTIONS = ("idle", "talk", "wave", "point", "phone", "photo", "reach", "walk")
SPACING = 0.75  # metres between neighbours
DISTANCE = 5.2  # metres from the camera to the middle of the group
ROOM = 0.35  # radians of heading left for those who stand off the camera's axis


class Member(NamedTuple):
    """One person over N frames, world frame."""

    actor: Performance
    vertices: np.ndarray
    """(N, V, 3) metres."""
    joints: np.ndarray
    """(N, 24, 3) metres."""
    look: Look


def gather(random, stage: Stage, people: int, frames: int, rate_hz: float) -> list[Member]:
    """Return people of the neutral body in a row, some nearer to the camera than others."""
    body, limit = stage.bodies["neutral"], np.radians(stage.settings["heading_deg"]) - ROOM
    members = []
    for person in range(people):
        x = SPACING * (person - (people - 1) / 2) + random.uniform(-0.1, 0.1)
        place = Direction((x, random.uniform(-0.6, 0.6)), random.uniform(-limit, limit), limit)
        motion = str(random.choice(MOTIONS))
        actor = perform(
            body, motion, random, frames, rate_hz, draw_betas(random), "neutral", place
        )
        mesh = body.mesh(actor.betas, actor.pose, actor.transl)
        members.append(Member(actor, *mesh, draw_look(random, body.canvas)))
    return members


def camera_for(random, width: int, height: int) -> Camera:
    """Return a camera that sees the whole group."""
    eye = [random.uniform(-0.5, 0.5), -DISTANCE, random.uniform(1.1, 1.6)]
    R, t = look_at(np.array(eye), [0, 0, 0.85], roll=random.normal() * 0.01)
    focal = 1.45 * height
    return Camera(pinhole(focal, width, height, random.normal(size=2) * 3), R, t, width, height)


def hidden(pixels: np.ndarray, owner: np.ndarray, person: int) -> np.ndarray:
    """Return which points (J, 2) of a person lie behind another one, (J,) bool.

    Args:
        pixels: continuous pixels of the points.
        owner: (H, W) number of the person seen in each pixel, -1 for none.
        person: number of this one.
    """
    height, width = owner.shape
    x, y = np.floor(np.clip(pixels, 0, [width - 1, height - 1])).astype(int).T
    return (owner[y, x] >= 0) & (owner[y, x] != person)
