"""Photographs of somebody: one main person in full view, at times a second one beside them.

Each is a picture of its own place, light and camera, as in the sets of single images (COCO, LSP,
MPII, UP-3D). The camera stays near the person's front and frames all of their joints.
"""

from typing import NamedTuple

import numpy as np

from pipeline.demo.actors import Direction, draw_betas, perform
from pipeline.demo.frames import Frame, render
from pipeline.demo.motions import MOTIONS
from pipeline.demo.people import Look, draw_look
from pipeline.demo.scenes import Camera, backdrop, look_at, make_scene
from pipeline.demo.stage import Stage
from pipeline.demo.stool import stool_for
from pipeline.joints import joint_names, mapping

ASPECTS = ((1.0, 1.0), (1.0, 0.75), (1.0, 0.66), (0.75, 1.0), (0.66, 1.0))
CAMERA_ARC = 0.35  # radians to either side of the front
BORDER = 0.06  # share of the image that the main person's joints keep from the edge


class Person(NamedTuple):
    """One person of a picture, in the world frame."""

    pose: np.ndarray
    """(24, 3) axis-angle."""
    transl: np.ndarray
    betas: np.ndarray
    vertices: np.ndarray
    """(V, 3)."""
    joints: np.ndarray
    """(24, 3) of the body."""
    keypoints: np.ndarray
    """(17, 3) of COCO, metres."""
    look: Look
    sitting: bool


class Portrait(NamedTuple):
    """A photograph and who is in it, the main person first."""

    people: list[Person]
    camera: Camera
    picture: Frame


def photograph(
    random: np.random.Generator, stage: Stage, alone: bool = False, snap: bool = False
) -> Portrait:
    """Return a photograph of a person of the neutral body.

    Args:
        random: all of the choice.
        stage: settings.image_size is the longer side of the largest picture.
        alone: nobody beside and nothing in front of them.
        snap: put the camera's principal point on a whole or half pixel.
    """
    people = [_person(random, stage, (0.0, 0.0))]
    if not alone and random.random() < 0.3:
        side = random.choice([-1, 1]) * random.uniform(0.6, 1.1)
        people.append(_person(random, stage, (side, random.uniform(-0.1, 1.2))))
    camera = _frame(random, people[0], stage.settings["image_size"])
    if snap:
        camera.K[:2, 2] = np.round(2 * camera.K[:2, 2]) / 2
    boxes = [stool_for(p.vertices[None, stage.landmarks.seat_ids]) for p in people if p.sitting]
    if not alone and random.random() < 0.15:
        boxes.append(_in_front(random, camera))
    scene = make_scene(random, boxes)
    seen = [(camera.to_camera(person.vertices), person.look) for person in people]
    place = backdrop(scene, camera)
    picture = render(place, scene, camera, seen, stage.bodies.faces, random)
    return Portrait(people, camera, picture)


def annotate(
    portrait: Portrait, stage: Stage, joint_set: str, number: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return where annotators would put the joints of a person, and which of them they see.

    Args:
        portrait: the photograph.
        stage: where the joints are on the body.
        joint_set: a set of joints that are all among those of `spin24`.
        number: of the person.

    Returns:
        (J, 2) continuous pixels; (J,) bool, False outside the picture and behind others.
    """
    person, camera = portrait.people[number], portrait.camera
    order = mapping("spin24", joint_set)
    if (order < 0).any():
        raise ValueError(f"spin24 lacks joints of {joint_set}: {joint_names(joint_set)}")
    points = stage.landmarks.of("spin24", person.joints[None], person.vertices[None])[0, order]
    pixels = camera.project(camera.to_camera(points))
    cells = np.floor(pixels).astype(int)
    inside = ((cells >= 0) & (cells < [camera.width, camera.height])).all(1)
    x, y = np.clip(cells, 0, [camera.width - 1, camera.height - 1]).T
    return pixels, inside & (portrait.picture.owner[y, x] == number)


def _person(random, stage: Stage, place: tuple[float, float]) -> Person:
    body = stage.bodies["neutral"]
    limit = np.radians(stage.settings["heading_deg"])
    motion = str(random.choice(list(MOTIONS)))
    betas = draw_betas(random)
    # the camera stays within CAMERA_ARC of the front, which the heading leaves room for
    room = limit - CAMERA_ARC
    direction = Direction(place, random.uniform(-room, room), room)
    actor = perform(body, motion, random, 1, 15, betas, "neutral", direction)
    vertices, joints = body.mesh(betas, actor.pose, actor.transl)
    keypoints = stage.landmarks.of("coco17", joints, vertices)[0]
    look = draw_look(random, body.canvas)
    return Person(
        actor.pose[0], actor.transl[0], betas, vertices[0], joints[0], keypoints, look,
        motion == "sit",
    )  # fmt: skip


def _frame(random, main: Person, longest: int) -> Camera:
    """Return a camera whose picture holds all of the main person's joints."""
    share = random.uniform(0.75, 1.0)
    aspect = ASPECTS[random.choice(len(ASPECTS), p=[0.2, 0.3, 0.15, 0.2, 0.15])]
    width, height = (int(longest * share * side) for side in aspect)
    angle, distance = random.uniform(-CAMERA_ARC, CAMERA_ARC), random.uniform(2.8, 6.5)
    centre = main.keypoints.mean(0)
    eye = centre + [distance * np.sin(angle), -distance * np.cos(angle), random.uniform(-0.3, 0.9)]
    eye[2] = max(eye[2], 0.4)
    R, t = look_at(eye, centre, roll=random.normal() * 0.04)
    points = main.keypoints @ R.T + t
    rays = points[:, :2] / points[:, 2:]
    low, high = rays.min(0), rays.max(0)
    size = np.array([width, height], float)
    fill = random.uniform(0.55, 1 - 2 * BORDER)
    focal = (fill * size / (high - low)).min()
    slack = size * (1 - 2 * BORDER) - focal * (high - low)
    corner = BORDER * size + random.random(2) * slack
    cx, cy = corner - focal * low
    return Camera(np.array([[focal, 0, cx], [0, focal, cy], [0, 0, 1.0]]), R, t, width, height)


def _in_front(random, camera: Camera) -> np.ndarray:
    """Return a low box between the camera and the main person."""
    toward = camera.centre[:2] / np.linalg.norm(camera.centre[:2])
    x, y = toward * random.uniform(0.7, 1.0) + [random.normal() * 0.35, 0]
    half, top = random.uniform(0.1, 0.4), random.uniform(0.25, 0.75)
    return np.array([x - half, y - 0.15, 0.0, x + half, y + 0.15, top])
