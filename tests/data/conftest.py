"""A mirror-symmetric body of a few vertices, and records whose labels agree exactly."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pipeline.body.smpl import BodyModel, SMPLLayer
from pipeline.data.crops import crop_affine
from pipeline.joints import JOINT_SETS, flip_permutation, parents_smpl24
from pipeline.records import RecordsWriter
from pipeline.rotations import axis_angle_to_matrix
from pipeline.seeding import rng

SWAP = flip_permutation("smpl24")


def symmetric_body() -> BodyModel:
    """Return a body whose vertices are its joints; mirrored joints mirror each other."""
    draw = rng(0, "body")
    joints, shapes = draw.normal(0, 0.3, (24, 3)), draw.normal(0, 0.02, (24, 3, 10))
    mirror = np.array([-1, 1, 1])
    joints = (joints + joints[SWAP] * mirror) / 2
    shapes = (shapes + shapes[SWAP] * mirror[:, None]) / 2
    for index, name in enumerate(JOINT_SETS["smpl24"]):
        joints[index, 0] += {"l_": 0.3, "r_": -0.3}.get(name[:2], 0)
    return BodyModel(
        joints, shapes, np.zeros((24, 3, 0)), np.eye(24), np.eye(24),
        np.array(parents_smpl24), np.zeros((1, 3), int),
    )  # fmt: skip


def joints_of(pose: np.ndarray, betas: np.ndarray) -> np.ndarray:
    """Return the joints (24, 3) of an axis-angle pose (24, 3)."""
    layer = SMPLLayer(symmetric_body())
    rotmats = axis_angle_to_matrix(torch.from_numpy(pose).float())
    return layer.joints(torch.from_numpy(betas).float()[None], rotmats[None])[0].numpy()


def weak_cameras(count: int) -> list[tuple[float, np.ndarray]]:
    """Return the scale (pixels a metre) and shift (pixels) of each sample's camera."""
    draw = rng(0, "camera")
    return [(draw.uniform(60, 90), draw.uniform(140, 180, 2)) for _ in range(count)]


def write_records(path: Path, count: int = 4, joint_set: str = "coco17") -> Path:
    """Write samples whose 2D, 3D and SMPL labels are one weak-perspective person.

    The image is smooth, so that warps can be compared. Row `count - 1` has no SMPL label.
    """
    order = [JOINT_SETS["smpl24"].index(name) if name in JOINT_SETS["smpl24"] else 15
             for name in JOINT_SETS[joint_set]]  # fmt: skip
    with RecordsWriter(path, "toy", "train", "all", joint_set, joint_set, "pelvis") as writer:
        for index, (scale, shift) in enumerate(weak_cameras(count)):
            draw = rng(1, "sample", index)
            pose, betas = draw.normal(0, 0.3, (24, 3)), draw.normal(size=10)
            joints = joints_of(pose, betas)
            points = (scale * joints[:, :2] + shift)[order]
            low, high = points.min(0), points.max(0)
            center, side = (low + high) / 2, 1.2 * (high - low).max()
            columns, rows = np.meshgrid(np.arange(144), np.arange(144))
            waves = [np.sin(columns / 9), np.cos(rows / 7), np.sin((rows + columns) / 11)]
            body = {"global_orient": pose[0], "body_pose": pose[1:], "betas": betas}
            writer.add(
                (127 + 100 * np.dstack(waves)).astype(np.uint8),
                affine=crop_affine(center, 1.8 * side, 144), name=f"{index}.jpg",
                original_size=(320, 320), center=center, side=side, person=index,
                keypoints_2d=np.column_stack([points, np.ones(len(order))]),
                joints_3d=np.column_stack([(joints - joints[0])[order], np.ones(len(order))]),
                **(body if index < count - 1 else {}),
            )  # fmt: skip
    return path


@pytest.fixture(scope="session")
def toy() -> SimpleNamespace:
    """Return the functions of this file."""
    return SimpleNamespace(
        joints_of=joints_of, symmetric_body=symmetric_body, weak_cameras=weak_cameras,
        write_records=write_records,
    )  # fmt: skip
