import numpy as np
import pytest
import torch

from pipeline.body.atlas import flip_parts
from pipeline.body.parts import PARTS24
from pipeline.body.smpl import SMPLLayer
from pipeline.demo.kinematics import random_stance, to_pose
from pipeline.rendering.gl import gl_projection, why_unavailable
from pipeline.rendering.iuv import Atlas, render_iuv
from pipeline.rendering.rasterizer import rasterize
from pipeline.rotations import axis_angle_to_matrix

TO_CAMERA = np.array([1.0, -1.0, -1.0])  # y up facing +z -> y down facing the camera


@pytest.fixture(scope="session")
def atlas(assets):
    return Atlas.from_assets(assets)


@pytest.fixture(scope="session")
def bodies(assets):
    """Six posed bodies at 4 m, (6, V, 3)."""
    rng = np.random.default_rng(0)
    stances = [random_stance(rng, 0.3, 0.3) for _ in range(6)]
    pose = to_pose({joint: np.stack([s[joint] for s in stances]) for joint in stances[0]})
    rotmats = axis_angle_to_matrix(torch.from_numpy(pose).float())
    with torch.no_grad():
        vertices = SMPLLayer(assets.models["neutral"])(torch.zeros(6, 10), rotmats)[0].numpy()
    vertices -= (vertices.min(1, keepdims=True) + vertices.max(1, keepdims=True)) / 2
    return vertices * TO_CAMERA + [0, 0, 4]


def camera(size: int, shift: float = 0.0) -> np.ndarray:
    return np.array([[1.7 * size, 0, size / 2 + shift], [0, 1.7 * size, size / 2], [0, 0, 1]])


def test_left_is_left(bodies, atlas):
    part, _ = render_iuv(bodies[0], camera(224), 224, atlas)
    columns = {name: np.nonzero(part == k)[1] for k, name in enumerate(PARTS24)}
    lefts = [name for name in PARTS24 if "left" in name]
    pairs = [(columns[name], columns[name.replace("left", "right")]) for name in lefts]
    apart = [left.mean() - right.mean() for left, right in pairs if len(left) and len(right)]
    # seen from the front, the person's left is on the picture's right
    assert len(apart) >= 4 and np.mean(np.array(apart) > 0) > 0.8


def test_background_and_ranges(bodies, atlas):
    for body in bodies:
        part, uv = render_iuv(body, camera(56), 56, atlas)
        silhouette = rasterize(body, atlas.faces, camera(56), 56, 56).face_id >= 0
        assert ((part > 0) == silhouette).all()
        assert part.max() <= 24 and (uv[part == 0] == 0).all()
        assert uv.min() >= 0 and uv.max() <= 1 and uv[part > 0].std() > 0.1


def test_colours_are_those_of_the_nearest_face(bodies, atlas):
    part, uv = render_iuv(bodies[1], camera(56), 56, atlas)
    raster = rasterize(bodies[1], atlas.faces, camera(56), 56, 56)
    j, i = np.nonzero(raster.face_id >= 0)
    face, bary = raster.face_id[j, i], raster.bary[j, i]
    weights = np.column_stack([bary, 1 - bary.sum(1)])
    assert (part[j, i] == atlas.part[face]).all()
    expected = (weights[..., None] * atlas.uv[face]).sum(1)
    np.testing.assert_allclose(uv[j, i], expected, atol=1e-5)


def test_a_mirroring_map_flips_the_picture(bodies, atlas):
    flip = np.array([[-1.0, 0, 64], [0, 1, 0]])
    straight = render_iuv(bodies[2], camera(64), 64, atlas)
    mirrored = render_iuv(bodies[2], camera(64), 64, atlas, affine=flip)
    same = mirrored[0] == straight[0][:, ::-1]
    assert same.mean() > 0.999
    agree = np.abs(mirrored[1] - straight[1][:, ::-1])[same & (mirrored[0] > 0)]
    assert np.median(agree) < 1e-4


def test_a_map_of_the_image_is_a_map_of_the_camera(bodies, atlas):
    zoom = np.array([[0.5, 0, 3], [0, 0.5, -2]])
    K = camera(112)
    direct = zoom @ np.vstack([K[:2], [0, 0, 1]])
    a = render_iuv(bodies[3], K, 56, atlas, affine=zoom)
    b = render_iuv(bodies[3], np.vstack([direct, [0, 0, 1]]), 56, atlas)
    for left, right in zip(a, b, strict=True):
        np.testing.assert_array_equal(left, right)
    shifted = render_iuv(bodies[3], camera(56, shift=5), 56, atlas)[0]
    plain = render_iuv(bodies[3], camera(56), 56, atlas)[0]
    assert (shifted[:, 5:] == plain[:, :-5]).mean() > 0.999


def test_the_mirrored_body_shows_the_other_side_s_parts(assets, atlas):
    body = assets.models["neutral"].v_template * TO_CAMERA + [0, 0.2, 4]
    part, _ = render_iuv(body, camera(112), 112, atlas)
    assert (flip_parts()[part] == part[:, ::-1]).mean() > 0.99


def test_unknown_engines_are_refused(bodies, atlas):
    with pytest.raises(ValueError, match="engine"):
        render_iuv(bodies[0], camera(56), 56, atlas, engine="opengl")


@pytest.fixture(scope="session")
def gl():
    reason = why_unavailable()
    if reason:
        pytest.skip(f"OpenGL cannot start here: {reason}")


@pytest.mark.parametrize("size", [56, 224])
def test_engines_agree(bodies, atlas, gl, size):
    shares, edges = [], 0
    for body in bodies:
        part, uv = render_iuv(body, camera(size), size, atlas)
        part_gl, uv_gl = render_iuv(body, camera(size), size, atlas, "pyrender")
        shares.append((part == part_gl).mean())
        edges += ((part > 0) != (part_gl > 0)).sum()
        same = (part == part_gl) & (part > 0)
        assert np.abs(uv - uv_gl)[same].mean() < 0.005  # 8-bit colours
    assert np.mean(shares) >= 0.999
    assert edges / len(bodies) <= 0.001 * size * size


def test_engines_agree_under_a_rotating_and_mirroring_map(bodies, atlas, gl):
    angle = 0.5
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    for sign in (1, -1):
        linear = turn * [sign, 1]
        affine = np.column_stack([linear, 56 - linear @ [56, 56]])
        maps = [
            render_iuv(bodies[4], camera(112), 112, atlas, engine, affine)[0]
            for engine in ("zbuffer", "pyrender")
        ]
        assert (maps[0] == maps[1]).mean() >= 0.999
        assert (maps[0] > 0).mean() > 0.05


def test_gl_projection_is_the_pixel_camera():
    K, point = camera(100, shift=7), np.array([0.3, -0.2, 5.0])
    clip = gl_projection(K, 100) @ np.append(point * TO_CAMERA, 1)
    ndc = clip[:3] / clip[3]
    u, v = (K @ point)[:2] / point[2]
    np.testing.assert_allclose((ndc[:2] * [1, -1] + 1) * 50, [u, v])
    assert -1 < ndc[2] < 1
