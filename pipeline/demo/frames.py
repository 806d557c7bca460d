"""One picture: people painted into a place, shadows, and what a camera adds."""

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from pipeline.demo.painter import cast_shadow, join, paint
from pipeline.demo.people import Look, dress
from pipeline.demo.scenes import Backdrop, Camera, Scene

JPEG_QUALITY = 92


class Frame(NamedTuple):
    """A picture and who is where in it."""

    image: np.ndarray
    """(H, W, 3) uint8 RGB."""
    owner: np.ndarray
    """(H, W) int32 number of the person seen, -1 elsewhere."""


@lru_cache(maxsize=1)
def _grain() -> np.ndarray:
    """Return (512, 512, 3) unit noise, sampled at random offsets: drawing it is slow."""
    return np.random.default_rng(1).normal(size=(512, 512, 3)).astype(np.float32)


def develop(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the 8-bit picture of a camera with its own exposure, contrast and noise.

    Args:
        image: (H, W, 3) float32, 0..255; sides up to 512 pixels get their own noise.
        rng: all of the choice.
    """
    height, width = image.shape[:2]
    gain = np.float32(rng.uniform(0.85, 1.2))
    contrast = np.float32(rng.uniform(0.85, 1.15))
    out = (image - 110) * (gain * contrast) + 110 * gain
    grain = _grain()
    y, x = rng.integers(0, 64, 2)
    tiles = -(-(height + 64) // 512), -(-(width + 64) // 512), 1
    grain = grain if max(height, width) <= 448 else np.tile(grain, tiles)
    out += np.float32(rng.uniform(0.5, 4.0)) * grain[y : y + height, x : x + width]
    return np.clip(out, 0, 255).astype(np.uint8)


def render(
    backdrop: Backdrop,
    scene: Scene,
    camera: Camera,
    people: list[tuple[np.ndarray, Look]],
    faces: np.ndarray,
    rng: np.random.Generator,
) -> Frame:
    """Return a picture.

    Args:
        backdrop: the place as this camera sees it.
        scene: the place.
        camera: the camera.
        people: (V, 3) vertices in the camera frame and look of each person.
        faces: (F, 3) int32 of the body.
        rng: exposure and noise.
    """
    image = backdrop.image.copy()
    mesh = join([dress(v.astype(np.float32), faces, look) for v, look in people])
    light = scene.light(camera)
    up = light.up
    floor = np.append(up, camera.centre[2])  # height above the floor of a point in camera frame
    cast_shadow(image, mesh, camera.K, floor, light.toward, backdrop.is_floor)
    seen = paint(image, mesh, camera.K, light, backdrop.hidden_by)
    owner = np.where(seen >= 0, seen // len(faces), -1)
    return Frame(develop(image, rng), owner)


def write_jpeg(path, image: np.ndarray) -> None:
    """Write an RGB picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ok, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not ok:
        raise OSError(f"{path}: the image could not be encoded")
    path.write_bytes(data)
