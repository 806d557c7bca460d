"""Samples: what happens to the image happens to every label."""

from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch

from pipeline.body.smpl import SMPLLayer
from pipeline.data.augment import (
    MIRROR,
    Augmentation,
    colour_table,
    draw,
    turn_points,
    turn_pose,
)
from pipeline.data.crops import compose, crop_affine, invert, transform_points
from pipeline.data.dataset import RecordsDataset
from pipeline.errors import InputError
from pipeline.joints import JOINT_SETS, flip_permutation, index, mapping
from pipeline.records import RecordsWriter
from pipeline.rotations import axis_angle_to_matrix
from pipeline.seeding import rng

AUGMENTATION = {"flip": 0.5, "rotation_deg": 30, "rotation_zero": 0.3, "scale": 0.25, "gain": 0.4}
SETTINGS = {"image_size": 64, "augmentation": AUGMENTATION}


@pytest.fixture(scope="module")
def path(toy: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy.write_records(tmp_path_factory.mktemp("data") / "toy.h5")


@pytest.mark.parametrize("seed", range(8))
def test_pose_2d_and_3d_turn_together(toy: SimpleNamespace, path: Path, seed: int) -> None:
    """The augmented pose, seen by the augmented camera, falls on the augmented keypoints."""
    dataset = RecordsDataset(path, None, SETTINGS, train=True)
    row = seed % 3
    item = dataset.item(row, rng(0, "case", seed))
    change = draw(AUGMENTATION, rng(0, "case", seed))
    rotmats, betas = torch.from_numpy(item["rotmats"])[None], torch.from_numpy(item["betas"])
    body = SMPLLayer(toy.symmetric_body())
    joints = body.joints(betas[None], rotmats)[0].numpy()
    # The camera after the change: scale of the crop, shift of the pelvis.
    scale, shift = toy.weak_cameras(4)[row]
    zoom = 64 / (dataset.records.side[row] * change.scale)
    rest = toy.joints_of(np.zeros((24, 3)), item["betas"])[0]  # the pelvis stays there
    pelvis = transform_points(scale * rest[:2] + shift, item["affine"].astype(float))
    seen = zoom * scale * (joints - joints[0])[:, :2] + pelvis
    limbs = [name for name in JOINT_SETS["coco17"] if name in JOINT_SETS["smpl24"]]
    for name in limbs:
        expected = 2 * seen[index("smpl24", name)] / 64 - 1
        place = index("coco17", name)
        np.testing.assert_allclose(item["keypoints_coco"][place, :2], expected, atol=1e-4)
        spin = mapping("coco17", "spin24").tolist().index(place)
        np.testing.assert_allclose(item["keypoints_2d"][spin, :2], expected, atol=1e-4)
        np.testing.assert_allclose(
            item["joints_3d"][spin, :3], joints[index("smpl24", name)] - joints[0], atol=1e-5
        )


def test_left_stays_left(path: Path) -> None:
    """Mirroring moves the left shoulder's label to where the right one was mirrored to."""
    plain = RecordsDataset(path, None, SETTINGS, train=False).item(0)
    only_flip = {"flip": 1.0, "rotation_zero": 1.0, "scale": 0.0, "gain": 0.0}
    settings = SETTINGS | {"augmentation": AUGMENTATION | only_flip}
    mirrored = RecordsDataset(path, None, settings, train=True).item(0, rng(0))
    for joint_set, key in (("coco17", "keypoints_coco"), ("spin24", "keypoints_2d")):
        left, right = (index(joint_set, f"{side}_shoulder") for side in "lr")
        moved = plain[key][right] * [-1, 1, 1]
        np.testing.assert_allclose(mirrored[key][left], moved, atol=1e-6)
    difference = mirrored["image"][:, :, ::-1] - plain["image"]
    assert np.abs(difference).max() < 0.05
    left, right = index("smpl24", "l_elbow"), index("smpl24", "r_elbow")
    np.testing.assert_allclose(
        mirrored["rotmats"][left], plain["rotmats"][right] * MIRROR, atol=1e-6
    )


def test_mirrored_matrices_negate_y_and_z_of_the_axis() -> None:
    axis = torch.tensor([0.3, -0.8, 0.5])
    mirrored = axis_angle_to_matrix(axis * torch.tensor([1.0, -1, -1])).numpy()
    np.testing.assert_allclose(axis_angle_to_matrix(axis).numpy() * MIRROR, mirrored, atol=1e-6)


def test_flip_twice_and_turn_back_is_identity() -> None:
    draws = rng(0)
    points, swap = draws.normal(size=(24, 4)), flip_permutation("spin24")
    twice = turn_points(turn_points(points, 0, True, swap), 0, True, swap)
    np.testing.assert_allclose(twice, points)
    back = turn_points(turn_points(points, 0.7, False, swap), -0.7, False, swap)
    np.testing.assert_allclose(back, points, atol=1e-6)
    pose = axis_angle_to_matrix(torch.from_numpy(draws.normal(size=(1, 24, 3)))).numpy()
    flip, still = np.array([True]), np.array([0.0])
    np.testing.assert_allclose(turn_pose(turn_pose(pose, still, flip), still, flip), pose)


@pytest.mark.parametrize("size", [48, 96, 224])
def test_image_agrees_with_affine(path: Path, size: int) -> None:
    """Colours of the crop are the stored colours at the mapped positions, at every zoom."""
    settings = {"image_size": size, "augmentation": AUGMENTATION | {"gain": 0.0}}
    dataset = RecordsDataset(path, None, settings, train=True)
    item = dataset.item(1, rng(5))
    pixels = np.stack(np.meshgrid(np.arange(size), np.arange(size)), -1)[8:-8:4, 8:-8:4]
    pixels = pixels.reshape(-1, 2)
    stored = transform_points(pixels + 0.5, invert(item["affine"].astype(float)))
    x, y = transform_points(stored, dataset.records.affine[1]).T - 0.5  # as drawn by toy
    inside = (x > 4) & (x < 139) & (y > 4) & (y < 139)
    waves = 127 + 100 * np.stack([np.sin(x / 9), np.cos(y / 7), np.sin((x + y) / 11)])
    mean, deviation = (np.array(v)[:, None] for v in ((0.485, 0.456, 0.406),
                                                      (0.229, 0.224, 0.225)))  # fmt: skip
    seen = (item["image"][:, pixels[:, 1], pixels[:, 0]] * deviation + mean) * 255
    assert inside.sum() > 50
    assert np.abs(seen - waves)[:, inside].max() < 12  # of 200: JPEG and averaging
    assert np.abs((seen - waves)[:, inside].mean(1)).max() < 1


def test_missing_labels_say_so(path: Path) -> None:
    item = RecordsDataset(path, None, SETTINGS | {"iuv_size": 16}, train=False).item(3)
    assert not item["has_smpl"] and not item["has_iuv"]
    np.testing.assert_array_equal(item["rotmats"], np.broadcast_to(np.eye(3), (24, 3, 3)))
    assert item["part"].shape == (16, 16) and item["uv"].shape == (16, 16, 2)
    assert item["keypoints_2d"][index("spin24", "spine"), 2] == 0  # COCO has none


def test_gain_is_clipped_before_the_mean_is_removed() -> None:
    table = colour_table((2.0, 1.0, 0.5))
    np.testing.assert_allclose(table[0, 200], (1 - 0.485) / 0.229, rtol=1e-6)
    np.testing.assert_allclose(table[2, 255], (0.5 - 0.406) / 0.225, rtol=1e-5)


def test_draws_follow_their_settings() -> None:
    drawn = [draw(AUGMENTATION, rng(0, k)) for k in range(2000)]
    rotation = np.array([change.rotation for change in drawn])
    scale = np.array([change.scale for change in drawn])
    assert abs((rotation == 0).mean() - 0.3) < 0.04
    assert abs(np.degrees(rotation[rotation != 0].std()) - 28.1) < 2  # of a clipped normal
    assert np.degrees(np.abs(rotation)).max() <= 60.001
    assert scale.min() >= 0.75 and scale.max() <= 1.25
    assert abs(np.mean([change.flip for change in drawn]) - 0.5) < 0.04
    assert Augmentation() == draw(
        {"flip": 0, "rotation_deg": 0, "rotation_zero": 1, "scale": 0, "gain": 0}, rng(0)
    )


def write_iuv(path: Path, records: Path, resolution: int = 36) -> Path:
    """Write maps whose left half is part 7 and right half part 8, u rising to the right."""
    columns = np.broadcast_to(np.arange(resolution), (4, resolution, resolution))
    with h5py.File(path, "w") as file:
        file["part"] = np.where(columns < resolution // 2, 7, 8).astype(np.uint8)
        file["u"] = (255 * columns / (resolution - 1)).astype(np.uint8)
        file["v"] = np.full(columns.shape, 51, np.uint8)
        file["valid"] = np.array([1, 1, 0, 0], np.uint8)
    return path


def test_iuv_follows_the_crop(path: Path, tmp_path: Path) -> None:
    iuv = write_iuv(tmp_path / "iuv.h5", path)
    dataset = RecordsDataset(path, iuv, SETTINGS | {"iuv_size": 32}, train=False)
    item = dataset.item(0)
    assert item["has_iuv"] and not dataset.item(2)["has_iuv"]
    # The crop is the middle 1 / 1.8 of what is stored.
    assert (item["part"][:, :16] == 7).all() and (item["part"][:, 16:] == 8).all()
    assert abs(item["uv"][0, 0, 0] - 0.5 * (1 - 1 / 1.8)) < 0.03
    np.testing.assert_allclose(item["uv"][..., 1], 0.2, atol=1e-6)


def test_mirrored_iuv_without_a_table_is_no_label(path: Path, tmp_path: Path) -> None:
    iuv = write_iuv(tmp_path / "iuv.h5", path)
    flipping = SETTINGS["augmentation"] | {"flip": 1.0, "rotation_zero": 1.0, "scale": 0.0}
    settings = SETTINGS | {"iuv_size": 32, "augmentation": flipping, "iuv_flip": None}
    dataset = RecordsDataset(path, iuv, settings, train=True)
    assert not dataset.item(0, rng(0))["has_iuv"]
    swap, mirror_u = np.arange(25), np.zeros(25, bool)
    swap[[7, 8]], mirror_u[[7, 8]] = [8, 7], True
    dataset.iuv.flip = (swap, mirror_u)
    item = dataset.item(0, rng(0))
    plain = RecordsDataset(path, iuv, SETTINGS | {"iuv_size": 32}, train=False).item(0)
    np.testing.assert_array_equal(item["part"], plain["part"])  # 7 | 8 mirrored and renamed
    np.testing.assert_allclose(item["uv"][..., 0], 1 - plain["uv"][:, ::-1, 0], atol=1e-6)


NOSE, SPOT = 0, np.array([171.3, 148.8])  # of coco17; px of a 320 px image


@pytest.fixture(scope="module")
def spot(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One record: a bright spot at its only keypoint, a disc of part 7 there in its IUV."""
    folder = tmp_path_factory.mktemp("spot")
    affine = crop_affine(np.array([160.0, 160.0]), 216, 144)
    grid = np.stack(np.meshgrid(np.arange(144), np.arange(144)), -1) + 0.5
    far = ((grid - transform_points(SPOT, affine)) ** 2).sum(-1)
    keypoints = np.zeros((17, 3))
    keypoints[NOSE] = *SPOT, 1
    with RecordsWriter(folder / "a.h5", "toy", "train", "all", "coco17", "coco17", "x") as writer:
        writer.add(
            np.repeat((220 * np.exp(-far / 18)).astype(np.uint8)[..., None], 3, -1),
            affine=affine, name="a.jpg", original_size=(320, 320), center=np.array([160.0, 160]),
            side=120.0, person=0, keypoints_2d=keypoints, joints_3d=np.zeros((17, 4)),
        )  # fmt: skip
    with h5py.File(folder / "iuv.h5", "w") as file:
        file["part"] = 7 * (far < 12**2).astype(np.uint8)[None]
        file["u"] = (255 * (grid[..., 0] / 144)).astype(np.uint8)[None]
        file["v"] = (255 * (grid[..., 1] / 144)).astype(np.uint8)[None]
        file["valid"] = np.ones(1, np.uint8)
    return folder / "a.h5", folder / "iuv.h5"


@pytest.mark.parametrize("seed", range(12))
def test_image_points_and_iuv_go_through_one_affine(spot: tuple[Path, Path], seed: int) -> None:
    """Flipped, turned and scaled, the spot, the keypoint and the disc stay at one place."""
    size, cells = 96, 96
    settings = {"image_size": size, "augmentation": AUGMENTATION | {"gain": 0.0},
                "iuv_size": cells, "iuv_flip": (np.arange(25), np.zeros(25, bool))}  # fmt: skip
    item = RecordsDataset(*spot, settings, train=True).item(0, rng(0, "spot", seed))
    affine = item["affine"].astype(float)
    keypoint = (item["keypoints_coco"][NOSE, :2] + 1) * size / 2
    np.testing.assert_allclose(transform_points(keypoint, invert(affine)), SPOT, atol=1e-3)
    centres = np.stack(np.meshgrid(np.arange(size), np.arange(size)), -1) + 0.5
    bright = item["image"].sum(0)
    weight = np.maximum(bright - bright.min() - 0.2, 0)[..., None]
    np.testing.assert_allclose((centres * weight).sum((0, 1)) / weight.sum(), keypoint, atol=0.15)
    disc = centres[item["part"] == 7]
    np.testing.assert_allclose(disc.mean(0), keypoint, atol=0.3)  # of nearest cells
    # U and V tell from where in the stored crop a cell was taken: where the inverse map leads.
    stored = compose(crop_affine(np.array([160.0, 160.0]), 216, 144), invert(affine))
    expected = transform_points(disc, stored) / 144
    assert np.abs(item["uv"][item["part"] == 7] - expected).max() < 1 / 144 + 1 / 255


def test_iuv_of_other_records_is_refused(path: Path, tmp_path: Path) -> None:
    iuv = tmp_path / "iuv.h5"
    with h5py.File(iuv, "w") as file:
        for key in ("part", "u", "v", "valid"):
            file[key] = np.zeros(3, np.uint8)
    with pytest.raises(InputError, match="4 rows"):
        RecordsDataset(path, iuv, SETTINGS | {"iuv_size": 32}, train=False)


def test_native_affine(path: Path) -> None:
    dataset = RecordsDataset(path, None, SETTINGS, train=False)
    records = dataset.records
    expected = crop_affine(records.center[2], records.side[2], 64)
    np.testing.assert_allclose(dataset.item(2)["affine"], expected, rtol=1e-6)
