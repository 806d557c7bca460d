from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pipeline.demo.actors import Direction, draw_betas, in_camera, perform
from pipeline.demo.kinematics import INDEX
from pipeline.demo.people import draw_look, dress
from pipeline.demo.scenes import Camera, backdrop, look_at, make_scene, pinhole
from pipeline.demo.stage import Bodies

RATE = 30


@pytest.fixture(scope="module")
def bodies(assets):
    return Bodies(assets)


def act(bodies, name, seed=0, frames=20, gender="neutral", **direction):
    rng = np.random.default_rng(seed)
    body, betas = bodies[gender], draw_betas(rng)
    return perform(body, name, rng, frames, RATE, betas, gender, Direction(**direction))


@pytest.mark.parametrize("name", ["walk", "squat", "sit", "free", "lunge", "crouch"])
def test_feet_are_on_the_floor_and_nothing_is_below(bodies, name):
    actor = act(bodies, name, gender="female")
    vertices, _ = bodies["female"].mesh(actor.betas, actor.pose, actor.transl)
    lowest = vertices[..., 2].min(1)
    # the contact is found on 1,723 vertices, the mesh has 6,890
    assert np.abs(lowest).max() < 0.006


@pytest.mark.parametrize("facing", [-1.0, 0.4, 5.0])
def test_headings_keep_the_limit(bodies, facing):
    limit = 0.7
    actor = act(bodies, "walk", facing=facing, limit=limit)
    front = Rotation.from_rotvec(actor.pose[:, 0]).apply([0, 0, 1])
    angle = np.arctan2(front[:, 0], -front[:, 1])
    assert (np.abs(angle) < limit + 0.05).all()  # the pelvis sways a little
    up = Rotation.from_rotvec(actor.pose[:, 0]).apply([0, 1, 0])
    assert (up[:, 2] > 0.95).all()


def test_walkers_go_where_they_look_and_pass_their_place(bodies):
    actor = act(bodies, "walk", place=(0.4, -0.2), facing=0.6)
    _, joints = bodies["neutral"].mesh(actor.betas, actor.pose, actor.transl)
    pelvis = joints[:, 0]
    assert np.linalg.norm(pelvis[10, :2] - [0.4, -0.2]) < 0.1
    way = pelvis[-1, :2] - pelvis[0, :2]
    front = Rotation.from_rotvec(actor.pose[10, 0]).apply([0, 0, 1])[:2]
    assert np.linalg.norm(way) > 0.3
    assert way @ front / np.linalg.norm(way) / np.linalg.norm(front) > 0.95


def test_left_is_the_person_s_left(bodies):
    _, joints = bodies["male"].mesh(*_fields(act(bodies, "idle", gender="male")))
    left = joints[:, INDEX["l_hip"], 0] - joints[:, INDEX["r_hip"], 0]
    assert (left > 0.05).all()  # facing -y in a z-up world, left is +x


def _fields(actor):
    return actor.betas, actor.pose, actor.transl


def test_camera_frame_parameters_give_the_same_body(bodies):
    actor = act(bodies, "free", frames=1, facing=0.3)
    R, t = look_at(np.array([1.0, -4, 1.5]), [0, 0, 1], roll=0.1)
    camera = Camera(pinhole(300, 200, 100), R, t, 200, 100)
    person = SimpleNamespace(pose=actor.pose[0], transl=actor.transl[0], betas=actor.betas)
    pose, transl = in_camera(bodies["neutral"], person, camera)
    world, _ = bodies["neutral"].mesh(*_fields(actor))
    seen, _ = bodies["neutral"].mesh(actor.betas, pose[None], transl[None])
    np.testing.assert_allclose(seen, camera.to_camera(world), atol=1e-5)


def test_cameras_look_where_they_are_told():
    eye, target = np.array([1.0, -3, 1.2]), np.array([0.2, 0.1, 0.9])
    R, t = look_at(eye, target)
    camera = Camera(pinhole(100, 64, 48), R, t, 64, 48)
    np.testing.assert_allclose(camera.project(camera.to_camera(target)), [32, 24])
    np.testing.assert_allclose(camera.centre, eye)
    above = camera.project(camera.to_camera(target + [0, 0, 0.1]))
    assert above[1] < 24 and np.linalg.det(R) > 0


def test_backdrops_know_the_depth_of_what_they_show():
    box = np.array([-0.5, 0.5, 0, 0.5, 1.5, 1.0])
    scene = make_scene(np.random.default_rng(0), [box])._replace(blur=0.5)
    only = np.stack([scene.boxes[0], box])
    scene = scene._replace(
        boxes=only, colours=scene.colours[:3], patterns=scene.patterns[:3], scales=scene.scales[:3]
    )
    R, t = look_at(np.array([0.0, -3, 1.5]), [0, 0.5, 0.5])
    camera = Camera(pinhole(100, 64, 64), R, t, 64, 64)
    seen = backdrop(scene, camera)
    front = np.array([[0.1, 0.5, 0.3], [-0.2, 0.5, 0.7]])
    floor = np.array([[0.0, -0.5, 0.0], [0.9, 0.2, 0.0]])
    for points, is_floor in ((front, False), (floor, True)):
        points = camera.to_camera(points)
        i, j = np.floor(camera.project(points)).astype(int).T
        assert (seen.is_floor[j, i] == is_floor).all()
        if not is_floor:
            np.testing.assert_allclose(1 / seen.hidden_by[j, i], points[:, 2], rtol=0.02)
    assert (seen.hidden_by[seen.is_floor > 0] == 0).all()


def test_looks_differ_and_clothes_lie_over_the_skin(bodies):
    canvas = bodies["male"].canvas
    looks = [draw_look(np.random.default_rng(seed), canvas) for seed in range(6)]
    again = draw_look(np.random.default_rng(0), canvas)
    np.testing.assert_array_equal(again.colours, looks[0].colours)
    for k, look in enumerate(looks):
        assert look.colours.min() >= 0 and look.colours.max() <= 255
        assert (look.thickness > -0.002).all() and look.thickness.max() < 0.06
        assert (look.thickness[canvas.hands] == 0).all()
        assert all(np.abs(look.colours - other.colours).mean() > 5 for other in looks[:k])
    vertices = bodies["male"].model.v_template.astype(np.float32)
    mesh = dress(vertices, bodies.faces, looks[0])
    assert np.linalg.norm(mesh.vertices - vertices, axis=1).max() < 0.08
    bare = (looks[0].thickness == 0) & (looks[0].drape[:, 0] == 0)
    np.testing.assert_allclose(mesh.vertices[bare], vertices[bare], atol=1e-6)


def test_neutral_people_have_their_betas_within_two_sigma():
    betas = np.stack([draw_betas(np.random.default_rng(seed)) for seed in range(50)])
    assert np.abs(betas).max() <= 2 and betas.std() > 0.7
