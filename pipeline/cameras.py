"""Cameras: weak perspective for crops, pinhole for full frames.

Camera frame: x right, y down, z forward, metres. Pixels are continuous: u = 0 is the image's
left edge, u = W its right one, and a crop of side S has ndc = 2 u / S - 1 in [-1, 1].
"""

import torch
from torch import Tensor


def pixels_to_ndc(points_px: Tensor, size: float) -> Tensor:
    """Return crop pixels (..., 2) as coordinates in [-1, 1] of a square crop of side `size`."""
    return points_px * (2 / size) - 1


def ndc_to_pixels(points_ndc: Tensor, size: float) -> Tensor:
    """Return coordinates in [-1, 1] (..., 2) as pixels of a square crop of side `size`."""
    return (points_ndc + 1) * (size / 2)


def project_weak(points: Tensor, cam: Tensor) -> Tensor:
    """Project points into a square crop with a scaled orthographic camera.

    Args:
        points: (B, N, 3) in metres, root-relative, camera axes.
        cam: (B, 3) as (s, tx, ty); s scales metres to half-crops, tx and ty are metres.

    Returns:
        (B, N, 2) in ndc; beyond [-1, 1] lies outside the crop.

    Raises:
        ValueError: if cam does not hold three numbers per sample.

    Source: HMR (Kanazawa et al. 2018), Sec. 3; the map written Pi in PyMAF, Sec. 3.1.
    Departure: PyMAF's released code uses `project_crop`; the two differ by the body's depth
    spread over the distance of some 50 m.
    """
    _check_cam(cam)
    return cam[:, None, :1] * (points[..., :2] + cam[:, None, 1:])


def project_crop(points: Tensor, cam: Tensor, focal: float, size: float) -> Tensor:
    """Project points into a square crop with a pinhole camera far away.

    Args:
        points: (B, N, 3) in metres, root-relative, camera axes.
        cam: (B, 3) as (s, tx, ty).
        focal: focal length in crop pixels, 5000 in SPIN and PyMAF.
        size: side of the crop in pixels.

    Returns:
        (B, N, 2) in ndc.

    Source: SPIN (Kolotouros et al. 2019), released code.
    """
    placed = points + cam_to_translation(cam, focal, size)[:, None]
    return placed[..., :2] / placed[..., 2:] * (2 * focal / size)


def project_pinhole(points_cam: Tensor, K: Tensor) -> Tensor:
    """Project points in front of a pinhole camera.

    Args:
        points_cam: (..., N, 3) in metres, camera frame, z > 0.
        K: (..., 3, 3) or (3, 3) in pixels.

    Returns:
        (..., N, 2) in pixels.
    """
    homogeneous = points_cam @ K.transpose(-1, -2)
    return homogeneous[..., :2] / homogeneous[..., 2:]


def cam_to_translation(cam: Tensor, focal: float, size: float) -> Tensor:
    """Return where the pinhole camera of `project_crop` sees the root.

    Args:
        cam: (B, 3) as (s, tx, ty).
        focal: focal length in crop pixels.
        size: side of the crop in pixels.

    Returns:
        (B, 3) in metres: (tx, ty, 2 focal / (size s)).
    """
    _check_cam(cam)
    depth = 2 * focal / (size * cam[:, 0] + 1e-9)  # SPIN's guard against s = 0
    return torch.stack([cam[:, 1], cam[:, 2], depth], -1)


def translation_to_cam(translation: Tensor, focal: float, size: float) -> Tensor:
    """Return the (s, tx, ty) whose `cam_to_translation` is the given one, (B, 3)."""
    scale = 2 * focal / (size * translation[:, 2])
    return torch.stack([scale, translation[:, 0], translation[:, 1]], -1)


def crop_cam_to_full(
    cam: Tensor, center: Tensor, side: Tensor, focal: Tensor, principal_point: Tensor
) -> Tensor:
    """Return the root's position in the full image's camera.

    Args:
        cam: (B, 3) as (s, tx, ty) in the crop.
        center: (B, 2) centre of the box in image pixels.
        side: (B,) side of the box in image pixels.
        focal: (B,) focal length in image pixels.
        principal_point: (B, 2) in image pixels.

    Returns:
        (B, 3) in metres, camera frame.

    Source: the conversion of HMR's released demo (Kanazawa et al. 2018).
    """
    _check_cam(cam)
    pixels_per_metre = cam[:, 0] * side / 2
    shift = (center - principal_point) / pixels_per_metre[:, None]
    return torch.cat([cam[:, 1:] + shift, (focal / pixels_per_metre)[:, None]], -1)


def estimate_translation(
    joints_3d: Tensor,
    keypoints_2d: Tensor,
    confidence: Tensor,
    focal: float | Tensor,
    center: float | Tensor,
) -> Tensor:
    """Return the translation that best explains 2D joints, by weighted linear least squares.

    Each joint asks that focal (X + tx) = (u - cx) (Z + tz), and likewise in y; its two equations
    count with its confidence.

    Args:
        joints_3d: (B, N, 3) in metres, root-relative, camera axes.
        keypoints_2d: (B, N, 2) in pixels.
        confidence: (B, N), 0 leaves a joint out.
        focal: focal length in pixels; a number, (B,) or (B, 2) for fx, fy.
        center: principal point in pixels; a number, or (B, 2).

    Returns:
        (B, 3) in metres; NaN where fewer than two joints count, for they do not fix a position.

    Source: SPIN (Kolotouros et al. 2019), released code; here all samples at once.
    """
    points, weight = joints_3d.double(), confidence.double()
    focal = torch.as_tensor(focal, dtype=torch.float64, device=points.device)
    if focal.ndim == 1:
        focal = focal[:, None]
    focal = focal.expand(len(points), 2)[:, None]  # (B, 1, 2)
    center = torch.as_tensor(center, dtype=torch.float64, device=points.device)
    offset = keypoints_2d.double() - center.expand(len(points), 2)[:, None]  # (B, N, 2)
    rows = torch.zeros(*offset.shape, 3, dtype=torch.float64, device=points.device)
    rows[..., 0, 0], rows[..., 1, 1], rows[..., 2] = focal[..., 0], focal[..., 1], -offset
    wanted = offset * points[..., 2:] - focal * points[..., :2]  # (B, N, 2)
    normal = torch.einsum("bn,bnci,bncj->bij", weight, rows, rows)
    right = torch.einsum("bn,bnci,bnc->bi", weight, rows, wanted)
    enough = (weight > 0).sum(1) >= 2
    eye = torch.eye(3, dtype=torch.float64, device=points.device)
    solution, failed = torch.linalg.solve_ex(
        torch.where(enough[:, None, None], normal, eye), right
    )
    solution = torch.where((enough & (failed == 0))[:, None], solution, torch.nan)
    return solution.to(joints_3d.dtype)


def to_camera(points: Tensor, R: Tensor, t: Tensor) -> Tensor:
    """Return world points in the camera frame, R X + t.

    Args:
        points: (..., N, 3) in metres, world frame.
        R: (..., 3, 3).
        t: (..., 3) in metres.
    """
    return points @ R.transpose(-1, -2) + t[..., None, :]


def to_world(points_cam: Tensor, R: Tensor, t: Tensor) -> Tensor:
    """Return camera points in the world frame: the inverse of `to_camera`."""
    return (points_cam - t[..., None, :]) @ R


def _check_cam(cam: Tensor) -> None:
    if cam.shape[-1] != 3:
        raise ValueError(f"cam holds (s, tx, ty) per sample, got shape {tuple(cam.shape)}")
