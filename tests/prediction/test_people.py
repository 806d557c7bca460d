"""Where predicted bodies stand in the whole picture, and how they are drawn and written."""

import numpy as np
import pytest
import torch
import trimesh

from pipeline.body.assets import load_assets
from pipeline.cameras import ndc_to_pixels, project_crop
from pipeline.models.parametric import FOCAL
from pipeline.prediction import outputs
from pipeline.prediction.people import Person, cut, default_focal, place
from pipeline.prediction.surfaces import surface_of
from pipeline.rendering.overlay import overlay_mesh
from pipeline.rotations import axis_angle_to_matrix
from tests.body_asset import body_asset

MIDDLE = (0.9, 0.0, 0.0)  # a camera that shows the body in the middle of its crop


@pytest.fixture(scope="module")
def assets(tmp_path_factory):
    return load_assets(body_asset(tmp_path_factory))


@pytest.fixture(scope="module")
def body(assets) -> np.ndarray:
    """The rest pose, upright before the camera."""
    vertices = assets.models["neutral"].v_template * [1, -1, -1]
    return (vertices - vertices.mean(0)).astype(np.float32)


def placed(body, assets, cams, centers, sides, size, focal=None, **more) -> list[Person]:
    prediction = {
        "vertices": torch.from_numpy(body).expand(len(cams), -1, -1),
        "cam": torch.tensor(cams, dtype=torch.float32),
        **more,
    }
    centers, sides = np.array(centers, float), np.array(sides, float)
    return place(prediction, centers, sides, size, focal, surface_of(6890, assets, "test"))


def in_picture(person: Person) -> np.ndarray:
    points = person.placed.astype(float) @ person.camera_matrix.T
    return points[:, :2] / points[:, 2:]


def in_crop(person: Person, body: np.ndarray) -> np.ndarray:
    """The crop camera's projection of the body, in pixels of the picture."""
    cam = torch.from_numpy(person.cam)[None]
    ndc = project_crop(torch.from_numpy(body)[None], cam, FOCAL, 224)
    return ndc_to_pixels(ndc[0], person.side).numpy() + person.center - person.side / 2


@pytest.mark.parametrize(
    "focal, center", [(None, (320, 240)), (1e6, (90, 400)), (1e6, (600, 100)), (1e9, (0, 0))]
)
def test_the_pictures_camera_sees_what_the_crops_sees(body, assets, focal, center):
    """Less than a pixel apart where the camera is nearly orthographic."""
    (person,) = placed(body, assets, [(0.9, 0.05, -0.1)], [center], [220], (640, 480), focal)
    assert np.ptp(in_crop(person, body)[:, 1]) > 150
    assert np.abs(in_picture(person) - in_crop(person, body)).max() < 1


def test_the_default_focal_length_goes_with_the_resolution(body, assets):
    (small,) = placed(body, assets, [MIDDLE], [(100, 80)], [90], (200, 150))
    (large,) = placed(body, assets, [MIDDLE], [(1000, 800)], [900], (2000, 1500))
    assert np.allclose(small.transl, large.transl)
    assert np.allclose(10 * in_picture(small), in_picture(large), atol=1e-2)
    assert default_focal(224, 100) == pytest.approx(5000)


def test_a_persons_size_gives_the_distance(body, assets):
    near, far = placed(body, assets, [MIDDLE] * 2, [(100, 100)] * 2, [200, 100], (200, 200))
    assert far.transl[2] == pytest.approx(2 * near.transl[2])


def test_the_crop_is_normalised_and_black_beside_the_picture():
    image = np.full((20, 20, 3), 255, np.uint8)
    crop = cut(image, np.array([0.0, 10.0]), 20, 16)
    assert crop.shape == (3, 16, 16) and crop.dtype == np.float32
    assert crop[0, 8, 12] == pytest.approx((1 - 0.485) / 0.229, abs=1e-5)
    assert crop[2, 8, 2] == pytest.approx(-0.406 / 0.225, abs=1e-5)


def test_the_nearest_is_drawn_last(body, assets):
    near, far = placed(body, assets, [MIDDLE] * 2, [(100, 100)] * 2, [190, 150], (200, 200))
    blank = np.full((200, 200, 3), 255, np.uint8)
    for order in ([near, far], [far, near]):
        pixel = outputs.overlay(blank, order, assets.faces)[100, 100].astype(float)
        alike = [np.corrcoef(pixel, outputs.colour(k))[0, 1] for k in (0, 1)]
        assert order[int(np.argmax(alike))] is near


def test_drawing_a_part_of_the_picture_is_drawing_the_picture(body, assets):
    (person,) = placed(body, assets, [(0.9, 0.1, 0)], [(40, 90)], [120], (160, 150))
    blank = np.full((150, 160, 3), 120, np.uint8)
    K, rgb = person.camera_matrix, outputs.colour(0)
    whole = overlay_mesh(blank, person.placed, assets.faces, K, rgb)
    part = outputs.overlay(blank, [person], assets.faces)
    assert (whole != 120).any(-1).mean() > 0.05
    assert (np.abs(whole.astype(int) - part) > 3).any(-1).mean() < 0.002


def test_people_beside_and_behind_leave_the_picture_as_it_is(body, assets):
    people = placed(
        body, assets, [MIDDLE, (-0.9, 0, 0)], [(-500, 50), (50, 50)], [60, 60], (100, 100)
    )
    blank = np.full((100, 100, 3), 120, np.uint8)
    assert (outputs.overlay(blank, people, assets.faces) == 120).all()


def test_large_pictures_are_shown_smaller(body, assets):
    image = np.zeros((1000, 3200, 3), np.uint8)
    (person,) = placed(body, assets, [MIDDLE], [(1600, 500)], [900], (3200, 1000))
    drawn = outputs.overlay(image, [person], assets.faces)
    assert drawn.shape == (500, 1600, 3)
    columns = np.flatnonzero(drawn.any((0, 2)))
    assert abs((columns[0] + columns[-1]) / 2 - 800) < 15


def test_parameters_and_what_they_mean(body, assets, tmp_path):
    pose = torch.tensor([[0.1, -0.2, 0.3]]).repeat(24, 1)
    (person,) = placed(
        body, assets, [MIDDLE], [(50, 40)], [70], (100, 80), 900.0,
        rotmats=axis_angle_to_matrix(pose)[None], betas=torch.arange(10.0)[None],
    )  # fmt: skip
    surface = surface_of(6890, assets, "test")
    outputs.write_parameters(tmp_path / "a.npz", person, surface, (100, 80))
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        held = dict(file)
    assert set(held) == set(outputs.KEYS)
    assert str(held["kind"]) == "parametric" and held["body_pose"].shape == (23, 3)
    assert np.allclose(held["global_orient"], [0.1, -0.2, 0.3], atol=1e-5)
    assert held["betas"].tolist() == list(range(10))
    assert np.allclose(held["vertices"] - held["transl"], body, atol=1e-4)
    assert held["joints"].shape == (17, 3) and "pelvis" in held["joint_names"][0]
    K = np.diag([held["focal_length"], held["focal_length"], 1])
    K[:2, 2] = held["principal_point"]
    assert np.allclose(K, person.camera_matrix)


def test_mesh_networks_have_no_parameters(body, assets, tmp_path):
    (person,) = placed(body, assets, [MIDDLE], [(50, 40)], [70], (100, 80))
    surface = surface_of(6890, assets, "test")
    outputs.write_parameters(tmp_path / "b.npz", person, surface, (100, 80))
    with np.load(tmp_path / "b.npz") as file:
        assert str(file["kind"]) == "mesh"
        assert set(outputs.KEYS) - set(file) == {"betas", "body_pose", "global_orient"}


@pytest.mark.parametrize("suffix", ["obj", "glb"])
def test_meshes_in_viewers_axes(body, assets, tmp_path, suffix):
    (person,) = placed(body, assets, [MIDDLE], [(50, 50)], [100], (100, 100))
    outputs.write_mesh(tmp_path / f"a.{suffix}", person, assets.faces)
    mesh = trimesh.load(tmp_path / f"a.{suffix}", force="mesh", process=False)
    upright = body * [1, -1, -1]
    assert len(mesh.faces) == len(assets.faces)
    assert np.allclose(mesh.bounds, [upright.min(0), upright.max(0)], atol=1e-5)
    assert mesh.volume > 0  # not turned inside out
    assert np.allclose(mesh.vertices, upright, atol=1e-5)


def test_the_side_view_shows_the_whole_body_from_its_left(body, assets):
    (person,) = placed(body, assets, [MIDDLE], [(50, 50)], [100], (100, 100))
    view = (outputs.side_view(person, assets.faces, outputs.colour(0)) != 255).any(-1)
    rows, size = np.flatnonzero(view.any(1)), len(view)
    assert 2 < rows[0] < 40 and 2 < size - rows[-1] < 40
    # the feet point the way the body faces: to the left edge or the right one, not half and half
    feet = np.flatnonzero(view[rows[-1] - 6 : rows[-1]].any(0))
    toes = body[:, 2].argmin()  # nearest to the camera
    assert body[toes, 2] < 0 and abs(feet.mean() - size / 2) > 3
