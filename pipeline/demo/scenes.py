"""Places and cameras: rooms and streets made of boxes, lit by one lamp, seen by a pinhole.

World frame: z up, metres; people stand near the origin, cameras are on the side of negative y.
"""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from pipeline.demo import raycast
from pipeline.demo.painter import Light


@dataclass(frozen=True)
class Camera:
    """A pinhole camera without distortion; X_cam = R X + t."""

    K: np.ndarray
    """(3, 3) intrinsics, pixels."""
    R: np.ndarray
    """(3, 3) world to camera."""
    t: np.ndarray
    """(3,) metres."""
    width: int
    height: int

    def to_camera(self, points: np.ndarray) -> np.ndarray:
        """Return world points (..., 3) in the camera frame."""
        return points @ self.R.T + self.t

    def project(self, points_cam: np.ndarray) -> np.ndarray:
        """Return pixels (..., 2) of points (..., 3) in the camera frame."""
        rays = points_cam @ self.K.T
        return rays[..., :2] / rays[..., 2:]

    @property
    def centre(self) -> np.ndarray:
        """Return the camera's place in the world, (3,)."""
        return -self.R.T @ self.t


def look_at(eye: np.ndarray, target: np.ndarray, roll: float = 0.0):
    """Return (R, t) of a camera at `eye` that looks at `target`, z up in the world."""
    forward = np.asarray(target, float) - eye
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    c, s = np.cos(roll), np.sin(roll)
    R = np.stack([c * right + s * down, c * down - s * right, forward])
    return R, -R @ np.asarray(eye, float)


def pinhole(focal: float, width: int, height: int, centre=(0.0, 0.0)) -> np.ndarray:
    """Return intrinsics; `centre` moves the principal point off the middle, pixels."""
    return np.array(
        [[focal, 0, width / 2 + centre[0]], [0, focal, height / 2 + centre[1]], [0, 0, 1.0]]
    )


class Scene(NamedTuple):
    """A place: boxes with patterns, and its light."""

    boxes: np.ndarray
    """(n, 6) low and high corners; the first is the surroundings."""
    colours: np.ndarray
    """(n + 1, 2, 3), the floor last."""
    patterns: np.ndarray
    """(n + 1,) of `raycast`."""
    scales: np.ndarray
    """(n + 1,) metres."""
    toward: np.ndarray
    """(3,) unit vector towards the lamp."""
    lamp: np.ndarray
    """(3,) direct light as RGB factors."""
    sky: np.ndarray
    ground: np.ndarray
    blur: float
    """Pixels by which the background is out of focus."""

    def light(self, camera: Camera) -> Light:
        """Return the light in a camera's frame."""
        return Light(camera.R @ self.toward, camera.R[:, 2], self.lamp, self.sky, self.ground)


class Backdrop(NamedTuple):
    """A scene without people, seen by one camera."""

    image: np.ndarray
    """(H, W, 3) float32, 0..255."""
    hidden_by: np.ndarray
    """(H, W) float32 1/z of furniture and walls, 0 on the floor: feet must not sink in."""
    is_floor: np.ndarray
    """(H, W) float32."""


def _colour(rng, grey: float, low: float, high: float) -> np.ndarray:
    """Return an RGB colour, the more alike its channels the larger `grey` is."""
    colour = rng.uniform(low, high, 3)
    return colour * (1 - grey) + colour.mean() * grey


def _furniture(rng, count: int, spread: float) -> list[np.ndarray]:
    """Return boxes behind and beside the people."""
    boxes = []
    for _ in range(count):
        angle, distance = rng.uniform(-0.1, np.pi + 0.1), rng.uniform(1.9, spread)
        size = rng.uniform([0.2, 0.2, 0.3], [0.7, 0.4, 1.9])
        if rng.random() < 0.3:
            size = rng.uniform([0.6, 0.3, 0.35], [1.1, 0.5, 0.85])  # tables and benches
        x, y = distance * np.cos(angle), distance * np.sin(angle) + 0.5
        boxes.append(np.array([x - size[0], y - size[1], 0, x + size[0], y + size[1], size[2]]))
    return boxes


def make_scene(rng: np.random.Generator, extra: list[np.ndarray] = ()) -> Scene:
    """Return a random place.

    Args:
        rng: all of the choice.
        extra: boxes (6,) that must be there, such as a stool or something in front.
    """
    indoor = rng.random() < 0.6
    if indoor:
        around = [-rng.uniform(3, 5), -12, 0, rng.uniform(3, 5), rng.uniform(2.6, 5), 3.2]
        wall = rng.choice([raycast.PLAIN, raycast.BRICKS, raycast.STRIPES, raycast.TILES],
                          p=[0.55, 0.15, 0.15, 0.15])  # fmt: skip
        floor = rng.choice([raycast.PLANKS, raycast.TILES, raycast.PLAIN])
        boxes = _furniture(rng, rng.integers(1, 6), 3.6)
        tint = _colour(rng, 0.6, 90, 250)
    else:
        around = [-40, -40, 0, 40, rng.uniform(12, 40), 60]
        wall = rng.choice([raycast.PLAIN, raycast.WINDOWS, raycast.BRICKS], p=[0.5, 0.35, 0.15])
        floor = rng.choice([raycast.PLAIN, raycast.TILES])
        boxes = _furniture(rng, rng.integers(1, 5), 9.0)
        tint = rng.choice([[150, 190, 230], [90, 120, 80], [190, 190, 190]]) * rng.uniform(
            0.7, 1.1
        )
    boxes = [np.array(around), *boxes, *extra]
    count = len(boxes)
    colours = np.stack([_colour(rng, rng.uniform(0, 0.9), 25, 235) for _ in range(2 * count + 2)])
    colours = colours.reshape(count + 1, 2, 3)
    colours[0, 0] = tint
    colours[0, 1] = tint * rng.uniform(0.6, 0.95)
    colours[-1, 0] = _colour(rng, rng.uniform(0.55, 0.95), 60, 215)
    colours[-1, 1] = colours[-1, 0] * rng.uniform(0.5, 0.9)
    patterns = np.array([wall, *rng.choice([0, 0, 1, 5, 6], count - 1), floor])
    scales = np.r_[rng.uniform(0.4, 1.2), rng.uniform(0.15, 0.6, count - 1), rng.uniform(0.4, 1.0)]
    if not indoor:
        scales[0] *= 4
    return Scene(np.stack(boxes), colours, patterns, scales, *_lighting(rng, indoor))


def _lighting(rng, indoor: bool) -> tuple:
    """Return (toward, lamp, sky, ground, blur)."""
    toward = np.array([rng.normal() * 0.6, -abs(rng.normal() * 0.6), rng.uniform(0.6, 1.4)])
    toward /= np.linalg.norm(toward)
    warmth = rng.uniform(-0.08, 0.14)
    lamp = rng.uniform(0.25, 0.75) * np.array([1 + warmth, 1, 1 - warmth])
    ambient = rng.uniform(0.48, 0.74)
    sky = ambient * np.array([1 - 0.4 * warmth, 1, 1 + 0.4 * warmth])
    ground = ambient * rng.uniform(0.45, 0.7) * np.array([1.04, 1, 0.94])
    return toward, lamp, sky, ground, rng.uniform(0.5, 1.1 if indoor else 1.8)


def backdrop(scene: Scene, camera: Camera) -> Backdrop:
    """Return what the camera sees of the scene without people."""
    shape = camera.height, camera.width
    image = np.empty((*shape, 3), np.float32)
    inv_depth, is_floor = np.empty(shape, np.float32), np.empty(shape, np.float32)
    raycast.cast(
        camera.K,
        camera.R,
        camera.centre,
        scene.boxes,
        scene.colours,
        scene.patterns,
        scene.scales,
        scene.toward,
        raycast.NOISE,
        image,
        inv_depth,
        is_floor,
    )
    image *= (scene.sky + 0.55 * scene.lamp).astype(np.float32) * np.float32(1.15)
    image = cv2.GaussianBlur(image, (0, 0), scene.blur * camera.height / 256)
    return Backdrop(image, inv_depth * (1 - is_floor), is_floor)
