"""Pairs: 2D and 3D change alike, and a batch depends on its step only."""

from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch

from pipeline.body.smpl import SMPLLayer
from pipeline.data.pairs import PairSource
from pipeline.errors import InputError
from pipeline.joints import JOINT_SETS, indices
from pipeline.rotations import axis_angle_to_matrix
from pipeline.seeding import rng

AUGMENTATION = {"flip": 0.5, "rotation_deg": 30, "rotation_zero": 0.2, "scale": 0.25, "gain": 0.4}
LIMBS = [name for name in JOINT_SETS["coco17"] if name in JOINT_SETS["smpl24"]]
MESHES, VIEWS = 9, 2


def pose_of(draw: np.random.Generator, count: int) -> torch.Tensor:
    return torch.from_numpy(draw.normal(0, 0.4, (count, 24, 3))).float()


@pytest.fixture
def path(toy: SimpleNamespace, tmp_path: Path) -> Path:
    """Write pairs seen by orthographic cameras, so that turning is exact in 2D and 3D."""
    draw = rng(0, "pairs")
    pose = pose_of(draw, MESHES * VIEWS)
    pose[:, 1:] = pose[::VIEWS, 1:].repeat_interleave(VIEWS, 0)
    betas = torch.from_numpy(draw.normal(size=(MESHES, 10))).float()
    layer = SMPLLayer(toy.symmetric_body())
    joints = layer.joints(betas.repeat_interleave(VIEWS, 0), axis_angle_to_matrix(pose))
    seen = torch.zeros(MESHES * VIEWS, 17, 2)
    seen[:, indices("coco17", LIMBS)] = 80 * joints[:, indices("smpl24", LIMBS), :2]
    seen[:, :5] = 80 * joints[:, 15:16, :2]  # the toy's face is its head
    low, high = seen.amin(1), seen.amax(1)
    with h5py.File(tmp_path / "pairs.h5", "w") as file:
        file["keypoints"] = seen.numpy() + 500
        file["center"] = ((low + high) / 2).numpy() + 500
        file["side"] = 1.2 * (high - low).amax(1).numpy()
        file["global_orient"] = pose[:, 0].numpy()
        file["mesh_row"] = np.repeat(np.arange(MESHES), VIEWS)
        file["split"] = np.repeat(np.arange(MESHES) == 4, VIEWS).astype(np.uint8)
        file["mesh/body_pose"] = pose[::VIEWS, 1:].reshape(MESHES, 69).numpy()
        file["mesh/betas"] = betas.numpy()
        file["mesh/gender"] = np.arange(MESHES, dtype=np.uint8) % 3
    return tmp_path / "pairs.h5"


def source(path: Path, seed: int = 0, augmentation: dict | None = AUGMENTATION) -> PairSource:
    return PairSource(path, {"augmentation": augmentation}, seed)


def misfit(toy: SimpleNamespace, batch: dict[str, torch.Tensor]) -> float:
    """Return how far keypoints are from the posed joints, up to scale and shift."""
    layer = SMPLLayer(toy.symmetric_body())
    joints = layer.joints(batch["betas"], batch["rotmats"])[:, indices("smpl24", LIMBS), :2]
    seen = batch["keypoints"][:, indices("coco17", LIMBS)]
    joints, seen = joints - joints.mean(1, keepdim=True), seen - seen.mean(1, keepdim=True)
    scale = (joints * seen).sum((1, 2)) / joints.square().sum((1, 2))
    assert (scale > 0).all()
    return float((scale[:, None, None] * joints - seen).abs().max())


@pytest.mark.parametrize("augmentation", [None, AUGMENTATION])
def test_body_and_joints_turn_together(
    toy: SimpleNamespace, path: Path, augmentation: dict | None
) -> None:
    batch = source(path, augmentation=augmentation).batch(3, 64)
    assert misfit(toy, batch) < 1e-4
    assert batch["keypoints"].dtype == torch.float32 and batch["gender"].dtype == torch.int64
    assert torch.linalg.det(batch["rotmats"]).sub(1).abs().max() < 1e-4


def test_box_fills_the_frame(path: Path) -> None:
    points = source(path, augmentation=None).batch(0, 16)["keypoints"]
    span = points.amax(1) - points.amin(1)
    torch.testing.assert_close(span.amax(1), torch.full((16,), 2 / 1.2))
    assert (points.amax(1) + points.amin(1)).abs().max() < 1e-4


def test_a_pass_takes_every_training_pair_once(path: Path) -> None:
    pairs = source(path, augmentation=None)
    assert len(pairs) == 16
    points = torch.cat([pairs.batch(step, 4)["keypoints"] for step in range(4)]).flatten(1)
    held = torch.from_numpy(pairs._arrays["keypoints"][pairs.train]).flatten(1)
    assert len(np.unique(points.numpy().round(5), axis=0)) == 16
    assert len(held) == 16


def test_batches_depend_on_seed_and_step_only(path: Path) -> None:
    first, again = source(path), source(path)
    later = again.batch(5, 8)
    for step in range(4, 7):
        batch = first.batch(step, 8)
        half = first.batch(step, 8, slice(4, 8))
        assert all(torch.equal(batch[key][4:], half[key]) for key in batch)
        same = [torch.equal(batch[key], later[key]) for key in batch]
        assert all(same) if step == 5 else not all(same)
    assert not torch.equal(source(path, seed=1).batch(5, 8)["keypoints"], later["keypoints"])


@pytest.mark.parametrize("name", ["keypoints", "mesh_row", "mesh/betas", "split"])
def test_damage_is_one_line(path: Path, name: str) -> None:
    with h5py.File(path, "r+") as file:
        values = file[name][:]
        del file[name]
    with pytest.raises(InputError, match=name):
        source(path)
    with h5py.File(path, "r+") as file:
        file[name] = values[..., None]
    with pytest.raises(InputError, match=name):
        source(path)


def test_no_training_pair(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["split"][:] = 1
    with pytest.raises(InputError, match="split"):
        source(path)
