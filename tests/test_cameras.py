import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from pipeline import cameras

FOCAL, SIZE = 5000.0, 224.0


def random_body(batch=4, joints=24):
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(batch, joints, 3, generator=generator) * 0.3
    cam = torch.rand(batch, 3, generator=generator) * torch.tensor([0.5, 0.2, 0.2])
    return points, cam + torch.tensor([0.7, -0.1, -0.1])


def test_pixels_and_ndc():
    corners = torch.tensor([[0.0, 224.0], [112.0, 56.0]])
    ndc = cameras.pixels_to_ndc(corners, SIZE)
    assert ndc.tolist() == [[-1, 1], [0, -0.5]]
    assert cameras.ndc_to_pixels(ndc, SIZE).tolist() == corners.tolist()


def test_weak_projection_of_a_known_point():
    points = torch.tensor([[[0.5, -1.0, 9.0]]])
    cam = torch.tensor([[0.8, 0.25, 0.5]])
    torch.testing.assert_close(cameras.project_weak(points, cam), torch.tensor([[[0.6, -0.4]]]))
    with pytest.raises(ValueError, match="three|shape"):
        cameras.project_weak(points, cam[:, :2])


def test_the_far_pinhole_differs_from_weak_by_the_depth_spread():
    points, cam = random_body()
    weak = cameras.project_weak(points, cam)
    far = cameras.project_crop(points, cam, FOCAL, SIZE)
    depth = cameras.cam_to_translation(cam, FOCAL, SIZE)[:, None, 2:]
    bound = weak.abs() * (points[..., 2:].abs() / (depth - 2)) + 1e-5
    assert ((weak - far).abs() <= bound).all()


def test_cam_and_translation_are_inverse():
    _, cam = random_body()
    translation = cameras.cam_to_translation(cam, FOCAL, SIZE)
    torch.testing.assert_close(cameras.translation_to_cam(translation, FOCAL, SIZE), cam)


def test_crop_camera_in_the_full_image():
    points, cam = (tensor.double() for tensor in random_body())
    center = torch.tensor([[400.0, 300.0], [900.0, 500.0], [10.0, 20.0], [500.0, 500.0]]).double()
    side = torch.tensor([200.0, 350.0, 90.0, 600.0]).double()
    focal, middle = torch.full((4,), 1e9).double(), torch.tensor([[500.0, 400.0]]).double()
    translation = cameras.crop_cam_to_full(cam, center, side, focal, middle.expand(4, 2))
    K = torch.tensor([[1e9, 0, 500], [0, 1e9, 400], [0, 0, 1]]).double()
    full = cameras.project_pinhole(points + translation[:, None], K)
    # So far away that perspective vanishes: the crop's weak projection, put into the image.
    in_crop = cameras.project_weak(points, cam) * side[:, None, None] / 2 + center[:, None]
    torch.testing.assert_close(full, in_crop, atol=1e-3, rtol=0)


def test_estimated_translation_is_the_true_one():
    points, _ = random_body()
    truth = torch.tensor([[0.2, -0.1, 4.0], [1.0, 0.5, 7.0], [0, 0, 3.0], [-1.0, 1.0, 9.0]])
    focal = torch.tensor([[1145.0, 1143.0]]).expand(4, 2)
    center = torch.tensor([[512.0, 515.0]]).expand(4, 2)
    K = torch.tensor([[1145.0, 0, 512], [0, 1143, 515], [0, 0, 1]])
    keypoints = cameras.project_pinhole(points + truth[:, None], K)
    confidence = torch.ones(4, 24)
    keypoints[:, 3], confidence[:, 3] = 1e4, 0  # an outlier that does not count
    found = cameras.estimate_translation(points, keypoints, confidence, focal, center)
    torch.testing.assert_close(found, truth, atol=1e-3, rtol=1e-4)
    by_number = cameras.estimate_translation(points, keypoints, confidence, 1144.0, 512.0)
    assert (by_number - truth).norm(dim=1).max() < 0.1


def test_estimated_translation_is_the_weighted_least_squares_solution():
    rng = np.random.default_rng(0)
    points, keypoints = rng.normal(size=(1, 24, 3)), rng.normal(size=(1, 24, 2)) * 50
    confidence, focal = rng.uniform(size=(1, 24)), 900.0
    rows, wanted = [], []
    for (x, y, z), (u, v), weight in zip(points[0], keypoints[0], confidence[0], strict=True):
        for row, value in (
            ((focal, 0, -u), u * z - focal * x),
            ((0, focal, -v), v * z - focal * y),
        ):
            rows.append(np.sqrt(weight) * np.array(row))
            wanted.append(np.sqrt(weight) * value)
    expected = np.linalg.lstsq(np.array(rows), np.array(wanted), rcond=None)[0]
    inputs = (torch.from_numpy(array) for array in (points, keypoints, confidence))
    found = cameras.estimate_translation(*inputs, focal, 0.0)
    np.testing.assert_allclose(found[0], expected, rtol=1e-9)


def test_too_few_joints_fix_no_translation():
    points, _ = random_body(batch=2)
    confidence = torch.zeros(2, 24)
    confidence[0, 0] = 1
    confidence[1, :5] = 1
    found = cameras.estimate_translation(points, torch.rand(2, 24, 2), confidence, FOCAL, 0.0)
    assert found[0].isnan().all()
    assert found[1].isfinite().all()


def test_world_and_camera():
    R = torch.from_numpy(Rotation.random(2, random_state=1).as_matrix())
    rng = np.random.default_rng(0)
    t, points = (torch.from_numpy(rng.normal(size=size)) for size in ((2, 3), (2, 5, 3)))
    in_camera = cameras.to_camera(points, R, t)
    torch.testing.assert_close(in_camera[1, 2], R[1] @ points[1, 2] + t[1])
    torch.testing.assert_close(cameras.to_world(in_camera, R, t), points)
