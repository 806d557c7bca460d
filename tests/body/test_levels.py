"""Decimation keeps what it must, and the way back up is the closest point of the same limb."""

import numpy as np
import pytest

from pipeline.body import open_asset
from pipeline.body.build.cleaning import is_closed, is_symmetric
from pipeline.body.levels import build_levels, closest_barycentric, upsample_matrix
from pipeline.body.open_body import ASSET
from pipeline.body.quadric import collapse

TARGETS = [1723, 431, 108, 54]


def sheet(rows: int, columns: int, z: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """A flat rectangle of unit squares, (V, 3) and (F, 3)."""
    y, x = np.mgrid[:rows, :columns]
    points = np.stack([x.ravel(), y.ravel(), np.full(x.size, z)], 1).astype(float)
    number = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]
    faces = [np.stack([a, b, c], -1), np.stack([a, c, d], -1)]
    return points, np.concatenate([f.reshape(-1, 3) for f in faces])


@pytest.fixture(scope="module")
def body():
    return open_asset.load(ASSET)


@pytest.fixture(scope="module")
def levels(body):
    return build_levels(body.v_template["neutral"], body.faces, TARGETS, body.mirror)


def test_levels_have_the_sizes_and_stay_closed_and_symmetric(body, levels):
    mirror = body.mirror
    for level, target in zip(levels, TARGETS, strict=True):
        assert len(level.ids) == target
        assert len(level.faces) == 2 * target - 4  # closed, no handles
        assert is_closed(level.faces)
        assert set(mirror[level.ids]) == set(level.ids)
        mirror = np.searchsorted(level.ids, mirror[level.ids])
        assert is_symmetric(level.faces, mirror)


def test_upsampling_is_barycentric(levels):
    for level in levels:
        up = level.upsample
        assert up.shape[1] == len(level.ids)
        assert np.diff(up.indptr).max() <= 3
        assert up.data.min() > 0
        np.testing.assert_allclose(up.sum(1), 1, atol=1e-12)
        kept = up[level.ids].toarray()
        np.testing.assert_allclose(kept, np.eye(len(level.ids)), atol=1e-9)


def test_upsampling_comes_back_close(body, levels):
    points = body.v_template["neutral"]
    for level, limit in zip(levels, (0.003, 0.005, 0.015, 0.03), strict=True):
        back = level.upsample @ points[level.ids]
        assert np.linalg.norm(back - points, axis=1).mean() < limit
        points = points[level.ids]


def test_shipped_levels_are_what_build_levels_gives(body, levels):
    for (ids, faces), level in zip(body.levels, levels, strict=False):
        np.testing.assert_array_equal(ids, level.ids)
        np.testing.assert_array_equal(faces, level.faces)


def test_coarse_meshes_keep_the_hands(body, levels):
    ids = np.arange(6890)
    reach = body.v_template["neutral"][:, 0].max()
    for level in levels:
        ids = ids[level.ids]
        assert body.v_template["neutral"][ids, 0].max() > 0.85 * reach


def test_a_plane_is_reproduced_exactly():
    points, faces = sheet(9, 12)
    (level,) = build_levels(points, faces, [20])
    np.testing.assert_allclose(level.upsample @ points[level.ids], points, atol=1e-9)


def test_upsampling_stays_on_its_own_sheet():
    # Two sheets much closer to each other than their vertices are.
    one, faces = sheet(7, 7)
    two, _ = sheet(7, 7, z=0.01)
    points, faces = np.concatenate([one, two]), np.concatenate([faces, faces + len(one)])
    ids, coarse = collapse(points, faces, 16)
    up = upsample_matrix(points, faces, ids, coarse)
    rows, columns = up.nonzero()
    np.testing.assert_array_equal(rows < len(one), ids[columns] < len(one))


def test_protected_vertices_stay():
    points, faces = sheet(8, 8)
    protect = np.zeros(len(points), bool)
    protect[[9, 27, 44]] = True
    ids, _ = collapse(points, faces, 12, protect=protect)
    assert protect[ids].sum() == 3


def test_closest_barycentric_beats_every_sampled_point():
    rng = np.random.default_rng(0)
    corners, points = rng.normal(size=(200, 3, 3)), 2 * rng.normal(size=(200, 3))
    weights = closest_barycentric(points, corners)
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(1), 1)
    found = np.linalg.norm(np.einsum("nk,nkc->nc", weights, corners) - points, axis=1)
    tries = rng.dirichlet(np.ones(3) * 0.5, size=500)
    sampled = np.linalg.norm(np.einsum("sk,nkc->nsc", tries, corners) - points[:, None], axis=-1)
    assert (found <= sampled.min(1) + 1e-9).all()


def test_counts_must_decrease():
    points, faces = sheet(4, 4)
    with pytest.raises(ValueError, match=r"must decrease, got \[16, 8, 8\]"):
        build_levels(points, faces, [8, 8])


def test_too_small_a_target_is_named():
    tetrahedron = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]])
    faces = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]])
    with pytest.raises(ValueError, match="stopped at 4 vertices, wanted 3"):
        collapse(tetrahedron, faces, 3)
