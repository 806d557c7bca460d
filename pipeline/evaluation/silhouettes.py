"""Predicted meshes drawn into the original image, where masks are compared.

The z-buffer samples the original image's pixels directly: the map from the crop back to the
image is part of the camera, so nothing is resized and no label is blended with another.
"""

import numpy as np
import torch

from pipeline.cameras import cam_to_translation
from pipeline.data.crops import invert
from pipeline.rendering.rasterizer import Rasterizer, pixel_matrix

FOCAL = 5000.0  # crop pixels, as the networks project


def uncropped_camera(affine: np.ndarray, crop_size: int) -> np.ndarray:
    """Return the intrinsics (3, 3) of the original image that equal the crop's camera.

    Args:
        affine: (2, 3) from the original image to the crop, without rotation.
        crop_size: side of the crop, pixels.
    """
    crop = (FOCAL, FOCAL, crop_size / 2, crop_size / 2)
    return pixel_matrix(crop, invert(np.asarray(affine, np.float64)))


def faces_seen(
    vertices: np.ndarray,
    cam: np.ndarray,
    affine: np.ndarray,
    crop_size: int,
    faces: np.ndarray,
    canvas: Rasterizer,
) -> np.ndarray:
    """Return the face that each pixel of the original image shows.

    Args:
        vertices: (V, 3) metres, as `predict` gives them.
        cam: (3,) likewise.
        affine: (2, 3) from the original image to the crop.
        crop_size: side of the crop, pixels.
        faces: (F, 3).
        canvas: a rasterizer of the original image's size.

    Returns:
        (H, W) int32, -1 where nothing is seen; valid until the canvas draws again.
    """
    cam = torch.as_tensor(np.asarray(cam, np.float64))[None]
    placed = vertices + cam_to_translation(cam, FOCAL, crop_size).numpy()
    return canvas.draw(placed, faces, uncropped_camera(affine, crop_size)).face_id
