"""JPEG bytes to RGB arrays and back."""

import cv2
import numpy as np

from pipeline.errors import InputError

# sizes alone: joined with the flag for RGB they decode to colour
REDUCED = {1: cv2.IMREAD_GRAYSCALE, 2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
           4: cv2.IMREAD_REDUCED_GRAYSCALE_4, 8: cv2.IMREAD_REDUCED_GRAYSCALE_8}  # fmt: skip


def encode_jpeg(image: np.ndarray, quality: int = 95) -> bytes:
    """Return an RGB image (h, w, 3) uint8 as JPEG bytes."""
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality]
    return cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), flags)[1].tobytes()


def decode_jpeg(data: bytes, where: object, shrink: int = 1) -> np.ndarray:
    """Return the RGB image (h, w, 3) uint8 of JPEG or PNG bytes, EXIF orientation ignored.

    Raises:
        InputError: if the bytes are truncated or no image. A decoder alone would fill what is
            missing with grey.
    """
    image = None
    if any(end in data[-1024:] for end in (b"\xff\xd9", b"IEND")):
        try:
            flags = REDUCED[shrink] | cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
            image = cv2.imdecode(np.frombuffer(data, "u1"), flags)
        except cv2.error:
            image = None
    if image is None:
        raise InputError(where, "image", f"{len(data)} bytes, truncated or no image", "a JPEG")
    return image
