import cv2
import numpy as np
import pytest
import torch
from matplotlib.image import imread
from scipy import ndimage

from pipeline.errors import InputError
from pipeline.synthesis.views_plot import draw
from pipeline.synthesis.virtual_cameras import (
    choose_views,
    interpolate,
    place,
    project,
    read_cameras,
)

ORIGIN = torch.zeros(4, 1, 3, dtype=torch.float64)
EVERY = torch.arange(4)
# Pixels of the world point (0.3, -0.2, 0.9) m, worked from the published quaternions alone.
GOLDEN = [[367.9227, 439.2312], [611.8664, 419.4644], [568.3991, 366.7839], [643.9223, 377.3493]]


@pytest.fixture
def cameras(camera_table):
    return read_cameras(camera_table)


def test_pelvis_at_the_origin_is_where_human36m_has_it(cameras):
    pixels = project(ORIGIN, cameras, EVERY)[:, 0]
    known = torch.tensor([[440, 630], [561, 595], [617, 553], [528, 600]])
    assert (pixels - known).abs().max() < 0.6


def test_extrinsics_are_those_of_pose2mesh(cameras):
    known = [
        [-346.05, 546.98, 5474.48],
        [251.43, 420.94, 5588.20],
        [480.48, 253.83, 5704.21],
        [51.88, 378.42, 4406.15],
    ]
    assert np.abs(cameras.translation * 1000 - known).max() < 0.01
    assert np.abs(cameras.rotation @ cameras.rotation.transpose(0, 2, 1) - np.eye(3)).max() < 1e-6
    assert np.allclose(np.linalg.det(cameras.rotation), 1)
    assert np.abs(np.rad2deg(cameras.azimuth()) - [69.6, -70.9, 109.5, -115.7]).max() < 0.1


def test_a_point_worked_by_hand_from_the_published_numbers(cameras):
    point = torch.tensor([[[0.3, -0.2, 0.9]]], dtype=torch.float64).expand(4, 1, 3)
    known = torch.tensor(GOLDEN, dtype=torch.float64)
    assert (project(point, cameras, EVERY)[:, 0] - known).abs().max() < 1e-3


def test_projection_by_hand(cameras):
    point = np.array([0.3, -0.2, 0.9])
    row = 1
    local = cameras.rotation[row] @ (point - cameras.centre[row])
    by_hand = cameras.focal[row] * local[:2] / local[2] + cameras.principal[row]
    pixel = project(torch.tensor(point)[None, None], cameras, torch.tensor([row]))
    assert np.allclose(pixel[0, 0], by_hand)


def test_up_is_up_and_a_metre_is_as_tall_as_it_should_be(cameras):
    head = ORIGIN + torch.tensor([0.0, 0.0, 0.9])
    feet = ORIGIN - torch.tensor([0.0, 0.0, 0.8])
    tall = (project(feet, cameras, EVERY) - project(head, cameras, EVERY))[:, 0, 1]
    # Image y points down; the height of a person of 1.7 m, wherever his pelvis is.
    assert (tall / torch.tensor([340, 333, 329, 410]) - 1).abs().max() < 0.02


def test_distortion_is_opencvs(camera_table):
    bent = read_cameras(camera_table, distort=True)
    points = torch.rand(4, 6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    pixels = project(points - 0.5, bent, EVERY).numpy()
    for row in range(4):
        (fx, fy), (cx, cy) = bent.focal[row], bent.principal[row]
        k1, k2, k3, p1, p2 = bent.distortion[row]
        expected, _ = cv2.projectPoints(
            (points[row] - 0.5).numpy(),
            cv2.Rodrigues(bent.rotation[row])[0],
            bent.translation[row],
            np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]),
            np.array([k1, k2, p1, p2, k3]),
        )
        assert np.abs(pixels[row] - expected[:, 0]).max() < 1e-6


def test_midpoints_are_the_four_axis_views(cameras):
    between = interpolate(cameras)
    assert np.abs(np.rad2deg(between.azimuth()) - [-93.3, -0.6, 89.6, 176.9]).max() < 0.1
    distance = np.linalg.norm(between.centre, axis=1)
    assert np.abs(distance - [5.02, 5.56, 5.62, 5.08]).max() < 0.01
    elevation = np.rad2deg(np.arcsin(between.centre[:, 2] / distance))
    assert np.abs(elevation - [18.7, 16.6, 15.8, 18.0]).max() < 0.1
    assert np.allclose(np.linalg.det(between.rotation), 1)
    pixels = project(ORIGIN, between, EVERY)[:, 0].numpy()
    assert np.allclose(pixels, between.principal)  # they look at the origin
    up = project(ORIGIN + torch.tensor([0.0, 0.0, 1.0]), between, EVERY)[:, 0].numpy()
    assert np.allclose(up[:, 0], pixels[:, 0]) and (up[:, 1] < pixels[:, 1]).all()


def test_views_are_beginnings_of_the_table_or_ids(cameras):
    for count in (1, 2, 3, 4):
        assert choose_views(cameras, count).ids == cameras.ids[:count]
    eight = choose_views(cameras, 8)
    assert len(set(eight.ids)) == 8 and eight.ids[:4] == cameras.ids
    assert choose_views(cameras, ["60457274", eight.ids[5]]).ids == ("60457274", eight.ids[5])
    for wrong in (0, 5, [], ["60457275"]):
        with pytest.raises(InputError, match="views"):
            choose_views(cameras, wrong)


def test_pose2mesh_keeps_the_rotations_only(cameras):
    far = place(cameras, "pose2mesh")
    assert np.array_equal(far.rotation, cameras.rotation)
    assert np.allclose(far.translation, [0, 0, 10])
    assert np.allclose(project(ORIGIN, far, EVERY), 500)
    assert place(cameras, "h36m_extrinsics") is cameras
    with pytest.raises(InputError, match="placement"):
        place(cameras, "mpt")


def test_bad_tables_are_refused(camera_table):
    with pytest.raises(InputError, match="different ids"):
        read_cameras(camera_table[:1] * 2)
    with pytest.raises(InputError, match="unit length"):
        read_cameras([camera_table[0] | {"quaternion": [1, 1, 0, 0]}])


def test_plot_shows_four_cameras_and_four_between_them(camera_table, tmp_path):
    draw({"cameras": camera_table}, tmp_path / "views.png")
    picture = imread(tmp_path / "views.png")[..., :3]
    left = picture[:, : int(0.64 * picture.shape[1])]  # without the legend
    square = {"black": (0, 0, 0), "green": (0, 128 / 255, 0)}
    for colour, rgb in square.items():
        near = (np.abs(left - np.array(rgb)) < 0.02).all(-1)
        filled = ndimage.binary_erosion(near, np.ones((6, 6)))  # markers, no lines or letters
        assert ndimage.label(filled)[1] == 4, colour
