"""Crops as affine maps of continuous pixel coordinates.

Pixel (i, j) covers [i, i+1) x [j, j+1): u = 0 is the image's left edge, u = width the right one.
One (2, 3) map describes a crop for the image, its 2D points and its IUV map alike; only
`warp_image` knows that OpenCV puts a pixel's centre at the integer.
"""

import cv2
import numpy as np

IDENTITY = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def crop_affine(
    center: np.ndarray,
    side: float,
    size: float,
    rotation: float = 0.0,
    scale: float = 1.0,
    flip: bool = False,
) -> np.ndarray:
    """Return the map from image to crop.

    The square of `side * scale` around the centre fills the crop. The content turns by
    `rotation` and is mirrored last.

    Args:
        center: (2,) in image pixels.
        side: of the square box, image pixels.
        size: of the square crop, pixels.
        rotation: radians, from x (right) to y (down): clockwise to the eye. Rotating 3D points
            of the camera frame about z by the same angle moves them alike.
        scale: above 1 shows more of the surroundings.
        flip: mirror the crop left to right, u -> size - u.

    Returns:
        (2, 3) float64.
    """
    zoom = size / (side * scale)
    cos, sin = zoom * np.cos(rotation), zoom * np.sin(rotation)
    linear = np.array([[cos, -sin], [sin, cos]])
    if flip:
        linear[0] *= -1
    shift = size / 2 - linear @ np.asarray(center, float)
    return np.column_stack([linear, shift])


def transform_points(points: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Return points (..., 2) mapped by a (2, 3) affine."""
    return points @ affine[:, :2].T + affine[:, 2]


def compose(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """Return the map that applies `inner` first, then `outer`."""
    linear = outer[:, :2] @ inner
    linear[:, 2] += outer[:, 2]
    return linear


def invert(affine: np.ndarray) -> np.ndarray:
    """Return the inverse map."""
    (a, b, x), (c, d, y) = affine.tolist()  # LAPACK takes ten times as long for so few numbers
    scale = a * d - b * c
    inverse = [[d, -b, b * y - d * x], [-c, a, c * x - a * y]]
    return np.array(inverse) / scale


def zoom_affine(ratio: float | tuple[float, float]) -> np.ndarray:
    """Return the map that scales an image about its top left corner."""
    return IDENTITY * np.reshape(np.broadcast_to(ratio, 2), (2, 1))


def warp_image(
    image: np.ndarray,
    affine: np.ndarray,
    size: tuple[int, int],
    border: float = 0,
    nearest: bool = False,
) -> np.ndarray:
    """Return the image seen through an affine map.

    Where the map shrinks by two or more, the part of the image that is seen is averaged down
    by a whole number first: bilinear sampling alone would skip pixels.

    Args:
        image: (H, W[, C]).
        affine: (2, 3) from image to output, continuous pixels.
        size: (width, height) of the output.
        border: value outside the image.
        nearest: take the nearest pixel, for labels; nothing is averaged.

    Returns:
        (height, width[, C]) of the image's type.
    """
    shrink = int(1 / np.sqrt(abs(np.linalg.det(affine[:, :2]))) + 1e-6)
    if shrink >= 2 and not nearest:
        image, affine = _averaged(image, affine, size, shrink)
    centres = affine.copy()  # of pixels, which OpenCV counts from 0 and we from 0.5
    centres[:, 2] += affine[:, :2].sum(1) / 2 - 0.5
    return cv2.warpAffine(
        image,
        centres,
        size,
        flags=cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(border,) * 4,
    )


def _averaged(
    image: np.ndarray, affine: np.ndarray, size: tuple[int, int], shrink: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the region that the output shows, reduced, and the map from there.

    The region is padded outwards to multiples of `shrink`, where the image allows it, so that
    every output pixel is the mean of whole input pixels.
    """
    height, width = image.shape[:2]
    corners = np.array([[0, 0], [size[0], 0], [0, size[1]], size], float)
    seen = transform_points(corners, invert(affine))
    low = np.floor(seen.min(0)).astype(int) - shrink
    high = np.ceil(seen.max(0)).astype(int) + shrink
    x0, y0 = np.clip(low, 0, [width - 1, height - 1])
    x1, y1 = np.clip(high, [x0 + 1, y0 + 1], [width, height])
    columns, rows = max(1, round((x1 - x0) / shrink)), max(1, round((y1 - y0) / shrink))
    x1, y1 = min(width, x0 + columns * shrink), min(height, y0 + rows * shrink)
    small = cv2.resize(image[y0:y1, x0:x1], (columns, rows), interpolation=cv2.INTER_AREA)
    ratio = (columns / (x1 - x0), rows / (y1 - y0))
    place = compose(zoom_affine(ratio), np.array([[1, 0, -x0], [0, 1, -y0]], float))
    return small, compose(affine, invert(place))
