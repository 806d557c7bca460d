"""The open body and small networks for the tests of this folder."""

from pathlib import Path

import pytest
import torch

from pipeline.body import assets as body_assets
from pipeline.body import open_body

BACKBONE = {"depth": 18, "width": 0.25}
POSE = {
    "kind": "simple_baseline",
    "image_size": 64,
    "backbone": BACKBONE,
    "deconv": [32, 32],
}
TRANSFORMER = {
    "kind": "mesh_transformer",
    "image_size": 64,
    "heatmap": {"size": 64, "patch": 8},
    "hidden": [64, 32, 16],
    "token_dims": [67, 32, 16],
    "layers": 2,
    "feedforward": "2x",
    "vertices": 108,
    "upsample": "fixed",
}
HMR = {"kind": "hmr", "image_size": 64, "backbone": BACKBONE, "hidden": 64}
PYMAF = {
    **HMR,
    "kind": "pymaf",
    "deconv": [16, 16, 16],
    "feature_dims": [8, 5],
    "grid_size": 7,
    "vertices": 108,
}
MPT = {"kind": "mpt", "image_size": 64, "pose_network": POSE, "regressor": TRANSFORMER}
MEAN = {"kind": "mean_pose", "image_size": 64}


@pytest.fixture(scope="session")
def assets(tmp_path_factory: pytest.TempPathFactory) -> body_assets.BodyAssets:
    """The open body with levels of 1723, 431 and 108 vertices."""
    raw: Path = tmp_path_factory.mktemp("body_models")
    open_body.write_files(raw)
    return body_assets.collect(raw, levels=[1723, 431, 108], num_betas=10)


@pytest.fixture
def image() -> torch.Tensor:
    """Three small images."""
    return torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
