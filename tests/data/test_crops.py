"""One affine map: round trips, and pixels that move exactly as points do."""

import cv2
import numpy as np
import pytest

from pipeline.data.crops import (
    compose,
    crop_affine,
    invert,
    transform_points,
    warp_image,
    zoom_affine,
)

CASES = [
    {"rotation": 0.0, "scale": 1.0, "flip": False},
    {"rotation": 0.5, "scale": 1.2, "flip": False},
    {"rotation": -0.4, "scale": 0.8, "flip": True},
]


def blob(point: np.ndarray, size: tuple[int, int], sigma: float) -> np.ndarray:
    """Return a picture of a round spot at a continuous pixel position."""
    x, y = np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5
    square = (x[None] - point[0]) ** 2 + (y[:, None] - point[1]) ** 2
    return (255 * np.exp(-square / (2 * sigma**2))).astype(np.float32)


def centroid(image: np.ndarray) -> np.ndarray:
    """Return the continuous position of a spot's centre."""
    rows, columns = np.indices(image.shape) + 0.5
    return np.array([(columns * image).sum(), (rows * image).sum()]) / image.sum()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("size", [37, 64, 150, 333])
def test_pixels_move_as_points_do(case: dict, size: int) -> None:
    """At every zoom, averaged or not, a spot lands where its position is mapped."""
    point = np.array([133.2, 96.7])
    affine = crop_affine([120, 100], 150, size, **case)
    crop = warp_image(blob(point, (240, 200), 6.0), affine, (size, size))
    np.testing.assert_allclose(centroid(crop), transform_points(point, affine), atol=0.03)


@pytest.mark.parametrize("case", CASES)
def test_inverse_and_composition(case: dict) -> None:
    affine, other = crop_affine([3, 7], 20, 64, **case), crop_affine([30, 33], 50, 8)
    points = np.random.default_rng(0).uniform(0, 64, (9, 2))
    back = transform_points(transform_points(points, affine), invert(affine))
    np.testing.assert_allclose(back, points, atol=1e-9)
    both = transform_points(transform_points(points, affine), other)
    np.testing.assert_allclose(transform_points(points, compose(other, affine)), both)


def test_box_edges_meet_crop_edges() -> None:
    affine = crop_affine([50, 60], 20, 64)
    corners = transform_points(np.array([[40, 50], [60, 70]]), affine)
    np.testing.assert_allclose(corners, [[0, 0], [64, 64]])
    mirrored = transform_points(np.array([40, 50]), crop_affine([50, 60], 20, 64, flip=True))
    np.testing.assert_allclose(mirrored, [64, 0])


def test_turning_is_clockwise_to_the_eye() -> None:
    """A point to the right of the centre goes down."""
    point = transform_points(np.array([60, 50]), crop_affine([50, 50], 100, 100, np.pi / 2))
    np.testing.assert_allclose(point, [50, 60])


def test_identity_flip_and_integer_shift_are_exact() -> None:
    image = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    np.testing.assert_array_equal(warp_image(image, zoom_affine(1), (40, 40)), image)
    mirror = crop_affine([20, 20], 40, 40, flip=True)
    np.testing.assert_array_equal(warp_image(image, mirror, (40, 40)), image[:, ::-1])
    shift = crop_affine([25, 20], 30, 30)
    np.testing.assert_array_equal(warp_image(image, shift, (30, 30)), image[5:35, 10:40])


def test_shrinking_averages() -> None:
    """A fine chequerboard becomes grey; skipping pixels would leave black or white."""
    image = (np.indices((120, 120)).sum(0) % 2 * 254).astype(np.uint8)
    crop = warp_image(image, crop_affine([60, 60], 120, 30), (30, 30))
    np.testing.assert_array_equal(crop, 127)
    assert np.array_equal(cv2.resize(image, (30, 30), interpolation=cv2.INTER_AREA), crop)


def test_labels_are_not_mixed() -> None:
    labels = np.where(np.indices((64, 64))[1] < 30, 3, 24).astype(np.uint8)
    crop = warp_image(labels, crop_affine([32, 32], 60, 20, 0.3), (20, 20), nearest=True)
    assert set(np.unique(crop)) <= {0, 3, 24}


def test_outside_is_the_border() -> None:
    image = np.full((20, 20, 3), 200, np.uint8)
    crop = warp_image(image, crop_affine([0, 0], 20, 20), (20, 20), border=9)
    assert (crop[:9, :9] == 9).all() and (crop[11:, 11:] == 200).all()
