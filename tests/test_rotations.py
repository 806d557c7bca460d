import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from pipeline import rotations

ANGLES = (0.0, 1e-12, 1e-7, 9e-5, 1.1e-4, 1e-2, 1.0, 3.0, np.pi - 1e-5, np.pi - 1e-9)


def random_axes(count=200):
    axes = np.random.default_rng(0).normal(size=(count, 3))
    return axes / np.linalg.norm(axes, axis=1, keepdims=True)


@pytest.mark.parametrize("angle", ANGLES)
def test_axis_angle_against_scipy(angle):
    vectors = random_axes() * angle
    rotmats = rotations.axis_angle_to_matrix(torch.from_numpy(vectors))
    expected = Rotation.from_rotvec(vectors).as_matrix()
    np.testing.assert_allclose(rotmats, expected, atol=1e-14)
    np.testing.assert_allclose(rotations.matrix_to_axis_angle(rotmats), vectors, atol=1e-14)


def test_half_turns_give_an_axis_that_rotates_the_same():
    vectors = torch.from_numpy(random_axes() * np.pi)
    rotmats = rotations.axis_angle_to_matrix(vectors)
    back = rotations.matrix_to_axis_angle(rotmats)
    np.testing.assert_allclose(back.norm(dim=-1), np.pi, atol=1e-12)
    np.testing.assert_allclose(rotations.axis_angle_to_matrix(back), rotmats, atol=1e-12)


def test_single_precision_loses_no_more_than_rounding():
    vectors = torch.from_numpy(random_axes() * 1e-3).float()
    back = rotations.matrix_to_axis_angle(rotations.axis_angle_to_matrix(vectors))
    np.testing.assert_allclose(back, vectors, atol=2e-7)


def test_gradients_are_finite_and_right_at_zero():
    vector = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    jacobian = torch.autograd.functional.jacobian(rotations.axis_angle_to_matrix, vector)
    expected = torch.zeros(3, 3, 3, dtype=torch.float64)
    for i, j, k, sign in ((2, 1, 0, 1), (0, 2, 1, 1), (1, 0, 2, 1)):
        expected[i, j, k], expected[j, i, k] = sign, -sign
    torch.testing.assert_close(jacobian, expected)
    back = torch.eye(3, dtype=torch.float64, requires_grad=True)
    rotations.matrix_to_axis_angle(back).sum().backward()
    assert back.grad.isfinite().all()


def test_quaternions_round_trip():
    values = np.random.default_rng(1).normal(size=(100, 4))
    quaternion = torch.nn.functional.normalize(torch.from_numpy(values), dim=1)
    rotmats = rotations.quaternion_to_matrix(quaternion)
    expected = Rotation.from_quat(quaternion[:, [1, 2, 3, 0]].numpy()).as_matrix()
    np.testing.assert_allclose(rotmats, expected, atol=1e-14)
    back = rotations.matrix_to_quaternion(rotmats)
    assert (back[:, 0] >= 0).all()
    np.testing.assert_allclose(back, quaternion * quaternion[:, :1].sign(), atol=1e-12)


def test_6d_columns_are_interleaved():
    rotation_6d = torch.tensor([2.0, 1.0, 0.0, 3.0, 0.0, 0.0])  # columns (2, 0, 0) and (1, 3, 0)
    torch.testing.assert_close(rotations.rotation_6d_to_matrix(rotation_6d), torch.eye(3))
    rotmats = torch.from_numpy(Rotation.random(48, random_state=0).as_matrix()).reshape(
        2, 24, 3, 3
    )
    packed = rotations.matrix_to_rotation_6d(rotmats)
    torch.testing.assert_close(packed[..., 0], rotmats[..., 0, 0])
    torch.testing.assert_close(packed[..., 1], rotmats[..., 0, 1])
    torch.testing.assert_close(packed[..., 2], rotmats[..., 1, 0])
    torch.testing.assert_close(rotations.rotation_6d_to_matrix(packed), rotmats)
    torch.testing.assert_close(rotations.rotation_6d_to_matrix(packed.flatten(1)), rotmats)


@pytest.mark.parametrize("axis", "xyz")
def test_rotate_about(axis):
    angle = torch.tensor([0.3, -2.0], dtype=torch.float64)
    expected = Rotation.from_euler(axis, angle.numpy()[:, None]).as_matrix()
    np.testing.assert_allclose(rotations.rotate_about(axis, angle), expected, atol=1e-14)
    with pytest.raises(ValueError, match="axis 'w'"):
        rotations.rotate_about("w", angle)


def test_mirror_is_conjugation_by_the_reflection():
    vectors = torch.from_numpy(random_axes() * 2.0)
    rotmats = rotations.axis_angle_to_matrix(vectors)
    reflect = torch.diag(torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64))
    mirrored = rotations.mirror_matrix(rotmats)
    torch.testing.assert_close(mirrored, reflect @ rotmats @ reflect)
    both = rotations.axis_angle_to_matrix(rotations.mirror_axis_angle(vectors))
    torch.testing.assert_close(both, mirrored)
