"""The open body, and miniature records of people posed with it."""

import json
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch

from pipeline.__main__ import main
from pipeline.body.assets import BodyAssets, load_assets
from pipeline.body.joints_from_body import JointsFromBody
from pipeline.body.smpl import SMPLLayer
from pipeline.data.crops import crop_affine
from pipeline.records import GENDERS, RecordsWriter
from pipeline.rotations import axis_angle_to_matrix
from pipeline.seeding import rng

CROP = 96  # px of the stored square
LABELLED = 6  # the rows beyond have no SMPL label


def posed(assets: BodyAssets, pose: np.ndarray, betas: np.ndarray, gender: str) -> dict:
    """Joints in metres of one body in the camera frame: coco17 and spin24."""
    layer = SMPLLayer(assets.models[gender])
    rotmats = axis_angle_to_matrix(torch.from_numpy(pose).float())[None]
    vertices, joints = layer(torch.from_numpy(betas).float()[None], rotmats)
    return {name: JointsFromBody(assets, name)(joints, vertices)[0].numpy()
            for name in ("coco17", "spin24")}  # fmt: skip


def write_records(path: Path, assets: BodyAssets, seed: int = 0, count: int = 8) -> Path:
    """People seen by weak-perspective cameras, with blobs at their joints as images."""
    with RecordsWriter(path, "toy", "train", "all", "coco17", "spin24", "pelvis") as writer:
        for index in range(count):
            draw = rng(seed, "person", index)
            pose, betas = draw.normal(0, 0.2, (24, 3)), draw.normal(size=10)
            pose[0] = [np.pi + draw.normal(0, 0.1), 0.1, 0.1]  # upright in a y-down camera
            gender = GENDERS[index % 3]
            joints = posed(assets, pose, betas, gender)
            points = 100 * joints["coco17"][:, :2] + 200
            low, high = points.min(0), points.max(0)
            center, side = (low + high) / 2, 1.2 * (high - low).max()
            affine = crop_affine(center, 1.6 * side, CROP)
            grid = np.stack(np.meshgrid(np.arange(CROP), np.arange(CROP)), -1) + 0.5
            stored = points @ affine[:, :2].T + affine[:, 2]
            near = np.exp(-((grid[:, :, None] - stored) ** 2).sum(-1) / 18)  # (CROP, CROP, 17)
            channels = slice(0, 5), slice(5, 11), slice(11, 17)  # head, arms, legs
            image = 255 * np.stack([near[:, :, part].max(-1) for part in channels], -1)
            spin = joints["spin24"] - joints["spin24"][14]  # slot of the MPII pelvis
            body = {"global_orient": pose[0], "body_pose": pose[1:], "betas": betas,
                    "gender": gender}  # fmt: skip
            writer.add(
                image.astype(np.uint8), affine=affine, name=f"{index}.jpg",
                original_size=(400, 400), center=center, side=side, person=index,
                keypoints_2d=np.column_stack([points, np.ones(17)]),
                joints_3d=np.column_stack([spin, np.ones(24)]),
                **(body if index < LABELLED else {}),
            )  # fmt: skip
    return path


def write_iuv(path: Path, count: int = 8, size: int = 32) -> Path:
    """Random surface labels in the middle of each crop."""
    draw = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        part = np.zeros((count, size, size), np.uint8)
        part[:, 8:24, 8:24] = draw.integers(1, 25, (count, 16, 16))
        file["part"], file["valid"] = part, np.arange(count) < LABELLED
        for name in "uv":
            file[name] = draw.integers(0, 256, part.shape).astype(np.uint8)
    return path


def write_pairs(path: Path, assets: BodyAssets, count: int = 12) -> Path:
    """Bodies in front of one pinhole camera, the last two held out."""
    draw = np.random.default_rng(0)
    pose = draw.normal(0, 0.2, (count, 24, 3)).astype(np.float32)
    pose[:, 0] = [np.pi, 0.1, 0.1]
    betas = draw.normal(size=(count, 10)).astype(np.float32)
    points = []
    for index in range(count):
        joints = posed(assets, pose[index], betas[index], "neutral")["coco17"]
        points.append(500 + 1150 * joints[:, :2] / (joints[:, 2:] + 5))
    points = np.array(points, np.float32)
    low, high = points.min(1), points.max(1)
    with h5py.File(path, "w") as file:
        arrays = {
            "keypoints": points, "center": (low + high) / 2, "side": 1.2 * (high - low).max(1),
            "global_orient": pose[:, 0], "mesh_row": np.arange(count),
            "split": (np.arange(count) >= count - 2).astype(np.uint8),
            "mesh/body_pose": pose[:, 1:].reshape(count, 69), "mesh/betas": betas,
            "mesh/gender": np.zeros(count, np.uint8),
        }  # fmt: skip
        for name, values in arrays.items():
            file[name] = values
    return path


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Paths of the body, two sets of records and their IUV, and the loaded body."""
    folder = tmp_path_factory.mktemp("objectives")
    assert main(["body-demo", "--out", str(folder / "raw")]) == 0
    settings = json.dumps({"levels": [1723, 431, 108], "num_betas": 10})
    body = folder / "smpl.npz"
    assert main(["body", "--raw", str(folder / "raw"), "--settings", settings,
                 "--out", str(body)]) == 0  # fmt: skip
    assets = load_assets(body)
    return SimpleNamespace(
        body=body, assets=assets,
        train=write_records(folder / "train.h5", assets),
        validation=write_records(folder / "validation.h5", assets, seed=1),
        iuv=write_iuv(folder / "iuv.h5"), pairs=write_pairs(folder / "pairs.h5", assets),
    )  # fmt: skip
