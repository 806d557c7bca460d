import numpy as np
import pytest
from scipy.spatial import ConvexHull

from pipeline.rendering.rasterizer import (
    Rasterizer,
    interpolate,
    pixel_matrix,
    rasterize,
    rasterize_pixels,
    vertex_normals,
)

K = (10.0, 10.0, 8.0, 8.0)


def soup(rng, faces):
    """Random triangles in front of the camera, every one with corners of its own."""
    vertices = rng.uniform([-1.5, -1.5, 2], [1.5, 1.5, 6], (3 * faces, 3)).astype(np.float32)
    return vertices, np.arange(3 * faces, dtype=np.int32).reshape(-1, 3)


def by_rays(vertices, faces, K, height, width, cull):
    """Nearest face and depth of each pixel by intersecting rays with planes, in float64."""
    fx, fy, cx, cy = K
    face_id, depth = np.full((height, width), -1), np.full((height, width), np.inf)
    for f, corners in enumerate(vertices.astype(np.float64)[faces]):
        if cull and np.linalg.det(corners) >= 0:  # the origin sees the back
            continue
        for j in range(height):
            for i in range(width):
                ray = np.array([(i + 0.5 - cx) / fx, (j + 0.5 - cy) / fy, 1.0])
                weights = np.linalg.solve(corners.T, ray)
                if (weights >= 0).all() and 1 / weights.sum() < depth[j, i]:
                    depth[j, i], face_id[j, i] = 1 / weights.sum(), f
    return face_id, depth


@pytest.mark.parametrize("cull", [True, False])
def test_equals_ray_casting(cull):
    vertices, faces = soup(np.random.default_rng(0), 20)
    raster = rasterize(vertices, faces, K, 16, 16, cull)
    face_id, depth = by_rays(vertices, faces, K, 16, 16, cull)
    assert (raster.face_id == face_id).all()
    hit = face_id >= 0
    assert hit.sum() > 40 and len(np.unique(face_id)) > 6
    np.testing.assert_allclose(1 / raster.inv_depth[hit], depth[hit], rtol=1e-5)
    assert (raster.inv_depth[~hit] == 0).all()


def test_barycentrics_give_back_the_point_on_the_ray():
    vertices, faces = soup(np.random.default_rng(1), 8)
    raster = rasterize(vertices, faces, K, 16, 16)
    points = np.zeros((16, 16, 3), np.float32)
    interpolate(raster.face_id, raster.bary, faces, vertices, points)
    j, i = np.nonzero(raster.face_id >= 0)
    x, y, z = points[j, i].T
    np.testing.assert_allclose(10 * x / z + 8, i + 0.5, atol=1e-3)
    np.testing.assert_allclose(10 * y / z + 8, j + 0.5, atol=1e-3)


def test_pixel_centres_decide():
    # a square from 1.5 to 4.5: its border runs through the centres of pixels 1 and 4
    px, py = np.float32([1.4, 4.4, 4.4, 1.4]), np.float32([1.6, 1.6, 4.6, 4.6])
    faces = np.int32([[0, 3, 1], [1, 3, 2]])
    raster = rasterize_pixels(px, py, np.ones(4, np.float32), faces, 6, 6)
    expected = np.full((6, 6), False)
    expected[2:5, 1:4] = True
    assert ((raster.face_id >= 0) == expected).all()


def test_no_pixel_falls_between_faces_that_share_an_edge():
    rng = np.random.default_rng(2)
    n = 12
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 33, n)] * 2), -1)
    grid[1:-1, 1:-1] += rng.uniform(-1, 1, (n - 2, n - 2, 2))
    # snap to pixel centres, so that edges and corners hit them exactly
    px, py = (np.round(grid * 2) / 2).reshape(-1, 2).T.astype(np.float32)
    at = np.arange(n * n).reshape(n, n)
    a, b, c, d = (x.ravel() for x in (at[:-1, :-1], at[:-1, 1:], at[1:, 1:], at[1:, :-1]))
    faces = np.concatenate([np.stack([a, d, b], 1), np.stack([b, d, c], 1)]).astype(np.int32)
    raster = rasterize_pixels(px, py, np.ones(n * n, np.float32), faces, 32, 32)
    assert (raster.face_id >= 0).all()


def test_mirrored_cameras_draw_the_mirror_image():
    vertices, faces = soup(np.random.default_rng(3), 20)
    straight = rasterize(vertices, faces, K, 16, 16)
    flip = pixel_matrix(K, np.array([[-1.0, 0, 16], [0, 1, 0]]))
    mirrored = rasterize(vertices, faces, flip, 16, 16)
    assert (straight.face_id >= 0).any()
    assert (mirrored.face_id == straight.face_id[:, ::-1]).all()


def test_faces_that_reach_behind_the_camera_are_left_out():
    vertices = np.float32([[-1, 1, 3], [1, 1, 3], [0, -1, -1], [0, -1, 3]])
    faces = np.int32([[0, 1, 2], [0, 1, 3]])
    assert set(np.unique(rasterize(vertices, faces, K, 16, 16, cull=False).face_id)) == {-1, 1}


def test_what_stands_in_front_hides_the_mesh():
    vertices = np.float32([[-9, 9, 3], [9, 9, 3], [0, -9, 3]])
    wall = np.zeros((16, 16), np.float32)
    wall[:, :8] = 1 / 2.0
    wall[:, 8:12] = 1 / 4.0
    raster = Rasterizer(16, 16).draw(vertices, [[0, 1, 2]], K, cull=False, behind=wall)
    assert (raster.face_id[:, :8] == -1).all()
    assert (raster.face_id[:, 8:] == 0).all()


def test_a_rasterizer_forgets_its_last_picture():
    first, second = (soup(np.random.default_rng(seed), 6) for seed in (4, 5))
    reused = Rasterizer(16, 16)
    reused.draw(*first, K)
    for seen, fresh in zip(reused.draw(*second, K), rasterize(*second, K, 16, 16), strict=True):
        np.testing.assert_array_equal(seen, fresh)


def test_normals_of_a_sphere_point_outwards():
    rng = np.random.default_rng(6)
    points = rng.normal(size=(300, 3))
    points = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    faces = ConvexHull(points).simplices
    outward = np.linalg.det(points[faces]) > 0
    faces = np.where(outward[:, None], faces, faces[:, ::-1]).astype(np.int32)
    normals = np.empty_like(points)
    vertex_normals(points, faces, normals)
    assert (normals * points).sum(1).min() > 0.95


def test_a_camera_that_is_none_is_refused():
    with pytest.raises(ValueError, match="K is"):
        pixel_matrix(np.eye(4))
