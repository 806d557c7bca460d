"""The network's answer for each person, placed in the camera of the whole picture."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.cameras import crop_cam_to_full
from pipeline.data.augment import IMAGENET_MEAN, IMAGENET_STD
from pipeline.data.crops import crop_affine, warp_image
from pipeline.models.parametric import FOCAL
from pipeline.prediction.surfaces import Surface
from pipeline.rotations import matrix_to_axis_angle

CROP_SIZE = 224  # px, side of the crop that FOCAL belongs to


@dataclass(frozen=True)
class Person:
    """One body, or hand, in one picture; metres, camera frame x right, y down, z forward.

    Attributes:
        vertices: (V, 3) about the body's own origin; add `transl` to place them.
        joints: (J, 3) of the surface's joint set, likewise.
        cam: (3,) s, tx, ty of the crop.
        transl: (3,) where the body's origin is in the camera of the whole picture.
        center: (2,) and
        side: of the crop in pixels of the picture.
        focal: length in pixels.
        principal_point: (2,) in pixels.
        pose: (24, 3) axis-angle, the global orientation first; None for mesh networks.
        betas: (10,); None for mesh networks.
    """

    vertices: np.ndarray
    joints: np.ndarray
    cam: np.ndarray
    transl: np.ndarray
    center: np.ndarray
    side: float
    focal: float
    principal_point: np.ndarray
    pose: np.ndarray | None = None
    betas: np.ndarray | None = None

    @property
    def camera_matrix(self) -> np.ndarray:
        """Intrinsics (3, 3) of the picture."""
        (x, y), f = self.principal_point, self.focal
        return np.array([[f, 0, x], [0, f, y], [0, 0, 1]])

    @property
    def placed(self) -> np.ndarray:
        """(V, 3) vertices in the camera of the whole picture."""
        return self.vertices + self.transl


def default_focal(width: int, height: int) -> float:
    """Focal length in pixels that keeps the picture as the networks see their crops.

    The crop camera of SPIN and PyMAF has 5000 px at 224 px: a picture that one crop fills gets
    the same angle of view. So projections agree with the crop's, whatever the resolution.
    """
    return FOCAL / CROP_SIZE * max(width, height)


def cut(image: np.ndarray, center: np.ndarray, side: float, size: int) -> np.ndarray:
    """Return the network's input (3, S, S) float32: the square, normalised as in training."""
    crop = warp_image(image, crop_affine(center, side, size), (size, size))
    normalised = (crop.astype(np.float32) / 255 - IMAGENET_MEAN) / IMAGENET_STD
    return np.ascontiguousarray(normalised.transpose(2, 0, 1))


@torch.no_grad()
def run_network(
    network: nn.Module, crops: Sequence[np.ndarray], batch_size: int, device: str
) -> dict[str, Tensor]:
    """Return `network.predict` of all crops, on the CPU in float32."""
    pieces = []
    for start in range(0, len(crops), batch_size):
        batch = torch.from_numpy(np.stack(crops[start : start + batch_size])).to(device)
        found = network.predict(batch)
        pieces.append({key: value.detach().float().cpu() for key, value in found.items()})
    return {key: torch.cat([piece[key] for piece in pieces]) for key in pieces[0]}


def place(
    prediction: dict[str, Tensor],
    centers: np.ndarray,
    sides: np.ndarray,
    size: tuple[int, int],
    focal: float | None,
    surface: Surface,
) -> list[Person]:
    """Return the people of one picture.

    Args:
        prediction: of the network for the n crops: vertices (n, V, 3), cam (n, 3), and for
            parametric networks rotmats (n, 24, 3, 3) and betas (n, 10).
        centers: (n, 2) of the crops, pixels.
        sides: (n,) of the crops, pixels.
        size: width and height of the picture.
        focal: length in pixels; None takes `default_focal`.
        surface: of the meshes.
    """
    focal = default_focal(*size) if focal is None else focal
    middle = torch.tensor([size], dtype=torch.float64) / 2
    cam = prediction["cam"].double()
    transl = crop_cam_to_full(
        cam, torch.from_numpy(centers), torch.from_numpy(sides),
        torch.full((len(cam),), focal, dtype=torch.float64), middle.expand(len(cam), 2),
    )  # fmt: skip
    vertices = prediction["vertices"]
    joints = surface.joints(vertices)
    pose = [None] * len(cam)
    if "rotmats" in prediction:
        pose = list(matrix_to_axis_angle(prediction["rotmats"]).numpy())
    betas = list(prediction["betas"].numpy()) if "betas" in prediction else [None] * len(cam)
    return [
        Person(
            vertices[k].numpy(), joints[k].numpy(), prediction["cam"][k].numpy(),
            transl[k].numpy(), centers[k], float(sides[k]), float(focal), middle[0].numpy(),
            pose[k], betas[k],
        )
        for k in range(len(cam))
    ]  # fmt: skip
