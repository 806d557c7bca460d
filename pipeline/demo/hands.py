"""Right hands in front of a camera: random grips, skin, light and backgrounds."""

from typing import NamedTuple

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from pipeline.body.hands import HandModel
from pipeline.demo.frames import develop
from pipeline.demo.painter import Light, Mesh, paint
from pipeline.demo.people import SKIN
from pipeline.joints import index

WRIST = index("freihand21", "wrist")
KNUCKLE = index("freihand21", "middle1")  # the middle of a hand
PALM_SIDES = index("freihand21", "index1"), index("freihand21", "pinky1")
GRIP = (0.0, 2.0)  # of each finger, as a multiple of the mean pose's bend
SPREAD = 0.08  # radians, of every finger joint


class Hand(NamedTuple):
    """One right hand in the camera frame, metres and radians."""

    global_orient: np.ndarray
    """(3,)."""
    pose: np.ndarray
    """(45,) whole rotations."""
    betas: np.ndarray
    """(10,)."""
    vertices: np.ndarray
    """(778, 3)."""
    joints: np.ndarray
    """(21, 3) of the kinematic chain, in the order of `freihand21`."""


def upright(model: HandModel) -> Rotation:
    """Return the turn of a hand at rest whose fingers point up, its palm to the camera."""
    joints = model.joints(model.model.v_template)
    fingers = joints[KNUCKLE] - joints[WRIST]
    first, last = PALM_SIDES
    palm = np.cross(fingers, joints[last] - joints[first])  # out of the palm of a right hand
    turn, _ = Rotation.align_vectors([[0, -1, 0], [0, 0, -1]], [fingers, palm], [np.inf, 1])
    return turn


def draw_orientation(random: np.random.Generator, model: HandModel, turn_deg: float) -> np.ndarray:
    """Return an axis-angle rotation (3,) at most `turn_deg` from the upright hand's.

    Axes are uniform on the sphere, angles uniform up to the limit.
    """
    axis = random.normal(size=3)
    angle = np.radians(random.uniform(0, turn_deg))
    turn = Rotation.from_rotvec(axis / np.linalg.norm(axis) * angle)
    return (turn * upright(model)).as_rotvec()


def draw_hand(
    random: np.random.Generator, model: HandModel, place: np.ndarray, turn_deg: float
) -> Hand:
    """Return a random hand.

    Args:
        random: all of the choice.
        model: the right hand.
        place: (3,) of the middle knuckle, camera frame.
        turn_deg: largest angle to the upright hand, see `draw_orientation`.
    """
    orient = draw_orientation(random, model, turn_deg)
    bend = np.repeat(random.uniform(*GRIP, 5), 9)  # three joints of three numbers a finger
    pose = model.mean * bend + random.normal(size=45) * SPREAD
    betas = np.clip(random.normal(size=model.model.shapedirs.shape[2]), -2, 2)
    vertices, joints = (part[0] for part in model.pose(orient[None], pose[None], betas[None]))
    shift = place - joints[KNUCKLE]
    return Hand(orient, pose, betas, vertices + shift, joints + shift)


def blotches(random: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Return a background (H, W, 3) float32, 0..255: large soft shapes and small ones."""
    picture = np.zeros((height, width, 3), np.float32)
    for cells, strength in ((4, 0.7), (17, 0.3)):
        noise = random.uniform(0, 255, (cells, cells, 3)).astype(np.float32)
        picture += strength * cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(picture, 0, 255)


class Studio:
    """One hand's skin and light, to paint it over several backgrounds.

    Args:
        random: all of the choice.
        faces: (F, 3) of the hand.
    """

    def __init__(self, random: np.random.Generator, faces: np.ndarray) -> None:
        self._faces = np.ascontiguousarray(faces, np.int32)
        at = random.uniform(0, len(SKIN) - 1)
        low = min(int(at), len(SKIN) - 2)
        self._skin = SKIN[low] + (at - low) * (SKIN[low + 1] - SKIN[low])
        toward = random.normal(size=3) * [0.6, 0.6, 0.3] + [0, -0.5, -1.0]
        lamp = random.uniform(0.5, 0.9, 3) * random.uniform(0.8, 1.0)
        sky = np.full(3, random.uniform(0.4, 0.6))
        unit = toward / np.linalg.norm(toward)
        self._light = Light(unit, np.array([0, -1.0, 0]), lamp, sky, 0.6 * sky)

    def shoot(
        self,
        random: np.random.Generator,
        background: np.ndarray,
        vertices: np.ndarray,
        K: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return a picture (H, W, 3) uint8 and where the hand is seen, (H, W) bool.

        Args:
            random: exposure and noise.
            background: (H, W, 3) float32, 0..255.
            vertices: (778, 3) camera frame, metres.
            K: (3, 3).
        """
        image = background.copy()
        colours = np.tile(self._skin, (len(vertices), 1)).astype(np.float32)
        gloss = np.full(len(vertices), 0.15, np.float32)
        mesh = Mesh(vertices.astype(np.float32), self._faces, colours, gloss)
        seen = paint(image, mesh, K, self._light)
        return develop(image, random), seen >= 0
