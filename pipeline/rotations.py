"""Rotations as axis-angle, 6D and matrices; every function takes any leading dimensions."""

import torch
import torch.nn.functional as F
from torch import Tensor

_SMALL = 1e-4  # rad; below it the series is exact to double precision


def axis_angle_to_matrix(axis_angle: Tensor) -> Tensor:
    """Return the matrices that rotate about the given axes by the vectors' lengths.

    Exact and differentiable at zero, where the closed form divides zero by zero.

    Args:
        axis_angle: (..., 3) in radians.

    Returns:
        (..., 3, 3).
    """
    square = axis_angle.square().sum(-1)
    small = square < _SMALL**2
    # Both branches are differentiated, so neither may see the other's bad argument.
    angle = torch.where(small, torch.ones_like(square), square).sqrt()
    sine = torch.where(small, 1 - square / 6, torch.sin(angle) / angle)
    half = torch.sin(angle / 2) / angle  # 1 - cos as a square: exact where the cosine rounds to 1
    cosine = torch.where(small, 0.5 - square / 24, 2 * half.square())
    cross = _cross_matrix(axis_angle)
    eye = torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
    return eye + sine[..., None, None] * cross + cosine[..., None, None] * (cross @ cross)


def matrix_to_axis_angle(rotmats: Tensor) -> Tensor:
    """Return the axis-angle vectors, lengths within [0, pi].

    Goes through the quaternion's largest component, so that it is accurate at zero and at pi.
    At exactly pi the axis and its opposite mean the same rotation; one of them is returned.

    Args:
        rotmats: (..., 3, 3) proper rotations.

    Returns:
        (..., 3) in radians.
    """
    quaternion = matrix_to_quaternion(rotmats)
    real, imaginary = quaternion[..., :1], quaternion[..., 1:]
    square = imaginary.square().sum(-1, keepdim=True)
    small = square < _SMALL**2
    length = torch.where(small, torch.ones_like(square), square).sqrt()
    factor = torch.where(small, 2 + square / 3, 2 * torch.atan2(length, real) / length)
    return factor * imaginary


def matrix_to_quaternion(rotmats: Tensor) -> Tensor:
    """Return unit quaternions (w, x, y, z) with w >= 0.

    Args:
        rotmats: (..., 3, 3) proper rotations.

    Returns:
        (..., 4).
    """
    m = [[rotmats[..., i, j] for j in range(3)] for i in range(3)]
    # Row k is 4 q_k (w, x, y, z): the same quaternion four times, of which the row with the
    # largest q_k is free of cancellation.
    rows = torch.stack(
        [
            _row(1 + m[0][0] + m[1][1] + m[2][2], m[2][1] - m[1][2], m[0][2] - m[2][0],
                 m[1][0] - m[0][1]),
            _row(m[2][1] - m[1][2], 1 + m[0][0] - m[1][1] - m[2][2], m[1][0] + m[0][1],
                 m[0][2] + m[2][0]),
            _row(m[0][2] - m[2][0], m[1][0] + m[0][1], 1 - m[0][0] + m[1][1] - m[2][2],
                 m[2][1] + m[1][2]),
            _row(m[1][0] - m[0][1], m[0][2] + m[2][0], m[2][1] + m[1][2],
                 1 - m[0][0] - m[1][1] + m[2][2]),
        ],
        dim=-2,
    )  # (..., 4, 4)  # fmt: skip
    largest = rows.diagonal(dim1=-2, dim2=-1).argmax(-1)
    index = largest[..., None, None].expand(*largest.shape, 1, 4)
    quaternion = F.normalize(rows.gather(-2, index).squeeze(-2), dim=-1)
    return torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)


def quaternion_to_matrix(quaternion: Tensor) -> Tensor:
    """Return the matrices of quaternions (w, x, y, z), which need not have unit length.

    Args:
        quaternion: (..., 4), not zero.

    Returns:
        (..., 3, 3).
    """
    quaternion = F.normalize(quaternion, dim=-1)
    cross = _cross_matrix(quaternion[..., 1:])
    eye = torch.eye(3, dtype=quaternion.dtype, device=quaternion.device)
    return eye + 2 * (quaternion[..., :1, None] * cross + cross @ cross)


def rotation_6d_to_matrix(rotation_6d: Tensor) -> Tensor:
    """Return the matrices whose first two columns the 6D vectors give, up to Gram-Schmidt.

    Packing of SPIN and PyMAF: the vector is a row-major (3, 2) matrix, so the two columns are
    interleaved. Other libraries store two rows of three one after the other.

    Args:
        rotation_6d: (..., 6), or (..., 144) for the 24 joints of SMPL.

    Returns:
        (..., 3, 3), or (..., 24, 3, 3).

    Source: Zhou et al. 2019, "On the Continuity of Rotation Representations", Eq. 15.
    """
    if rotation_6d.shape[-1] != 6:
        rotation_6d = rotation_6d.unflatten(-1, (-1, 6))
    columns = rotation_6d.unflatten(-1, (3, 2))  # (..., 3, 2)
    first = F.normalize(columns[..., 0], dim=-1)
    second = columns[..., 1]
    second = F.normalize(second - (first * second).sum(-1, keepdim=True) * first, dim=-1)
    return torch.stack([first, second, torch.linalg.cross(first, second)], dim=-1)


def matrix_to_rotation_6d(rotmats: Tensor) -> Tensor:
    """Return the first two columns, interleaved as `rotation_6d_to_matrix` reads them.

    Args:
        rotmats: (..., 3, 3).

    Returns:
        (..., 6).
    """
    return rotmats[..., :2].flatten(-2)


def rotate_about(axis: str, angle: Tensor) -> Tensor:
    """Return rotations about a coordinate axis.

    Args:
        axis: "x", "y" or "z".
        angle: (...) in radians, counter-clockwise when the axis points at the viewer.

    Returns:
        (..., 3, 3).

    Raises:
        ValueError: if the axis is none of the three.
    """
    if axis not in ("x", "y", "z"):
        raise ValueError(f"axis {axis!r} is none of x, y, z")
    k = "xyz".index(axis)
    cosine, sine = torch.cos(angle), torch.sin(angle)
    out = torch.zeros(*angle.shape, 3, 3, dtype=angle.dtype, device=angle.device)
    i, j = (k + 1) % 3, (k + 2) % 3
    out[..., k, k] = 1
    out[..., i, i], out[..., i, j] = cosine, -sine
    out[..., j, i], out[..., j, j] = sine, cosine
    return out


def mirror_axis_angle(axis_angle: Tensor) -> Tensor:
    """Return the rotations as seen in a mirror across the plane x = 0, (..., 3).

    A mirrored body also exchanges its left and right joints: `joints.flip_permutation`.
    """
    return axis_angle * axis_angle.new_tensor([1.0, -1.0, -1.0])


def mirror_matrix(rotmats: Tensor) -> Tensor:
    """Return the rotations as seen in a mirror across the plane x = 0, (..., 3, 3)."""
    sign = rotmats.new_tensor([-1.0, 1.0, 1.0])
    return rotmats * sign[:, None] * sign


def _cross_matrix(vector: Tensor) -> Tensor:
    """Return the matrices K with K p = vector x p, (..., 3, 3)."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))


def _row(*components: Tensor) -> Tensor:
    return torch.stack(components, dim=-1)
