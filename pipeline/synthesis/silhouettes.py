"""Binary silhouettes of meshes, drawn when they are needed and never stored.

Source: MPT, Supp. G: the mask of "re-projecting the 3D mesh onto the 2D image plane". The paper
says neither how its edges look nor which network gives the masks of images; here a pixel is 1
where its centre is covered, and a network is trained on the outlines of rendered bodies.
"""

import numpy as np
import torch
from torch import Tensor

from pipeline.cameras import ndc_to_pixels
from pipeline.rendering.rasterizer import Rasterizer


def silhouettes(points: Tensor, faces: np.ndarray, size: int) -> Tensor:
    """Return which pixels a mesh covers.

    Args:
        points: (B, V, 2) projected vertices in [-1, 1] of a square crop.
        faces: (F, 3) int32 of a closed mesh.
        size: side of the maps in pixels.

    Returns:
        (B, 1, size, size) float32, 1 where the pixel's centre is covered, else 0, on the device
        of the points. It is drawn on the CPU.
    """
    pixels = ndc_to_pixels(points.float(), size).cpu().numpy()
    rasterizer = Rasterizer(size, size)
    depth = np.ones(pixels.shape[1], np.float32)  # all alike: who is in front does not matter
    maps = np.empty((len(pixels), 1, size, size), np.float32)
    for row, body in enumerate(pixels):
        px, py = np.ascontiguousarray(body.T)
        maps[row, 0] = rasterizer.draw_pixels(px, py, depth, faces).face_id >= 0
    return torch.from_numpy(maps).to(points.device)
