"""The baseline and PyMAF can learn sixteen images by heart: their pieces fit together."""

from pathlib import Path

import pytest
import torch
from torch import nn

from pipeline.body.assets import load_assets
from pipeline.convert.run import convert
from pipeline.data.dataset import RecordsDataset
from pipeline.data.mixture import collate
from pipeline.demo.generate import generate
from pipeline.evaluation.inside import iteration_lines
from pipeline.evaluation.measure import measure
from pipeline.evaluation.overlays import write_png
from pipeline.evaluation.predictions import Task
from pipeline.evaluation.protocols import get_protocol
from pipeline.losses import parametric_losses
from pipeline.models.build import build_network
from pipeline.rendering.overlay import sheet
from tests.body_asset import body_asset

SIZE, IMAGES, STEPS, RATE = 64, 16, 900, 1e-3
DEMO = {"image_size": 256, "subjects_train": [1], "subjects_test": [9], "camera_arc_deg": 60,
        "train_frames": 4, "test_frames": 4, "frames_per_sequence": 4, "seed": 0,
        "heading_deg": 75}  # fmt: skip
CONVERTER = {
    "converter": "h36m_json", "box_factor": 1.2, "frame_step": 5, "labels": "NeuralAnnot",
    "skip_sequences": [], "splits": {"train": {"subjects": [1]}},
    "crop": {"size": 144, "margin": 1.8, "jpeg_quality": 95}, "max_bad_share": 0.0,
    "count_tolerance": 0.0,
}  # fmt: skip
BASE = {"image_size": SIZE, "backbone": {"depth": 18, "width": 0.25}, "hidden": 256,
        "dropout": 0.0}  # fmt: skip
NETWORKS = {
    "hmr": {**BASE, "kind": "hmr"},
    "pymaf": {**BASE, "kind": "pymaf", "deconv": [32, 32, 32], "feature_dims": [16, 5],
              "grid_size": 9, "auxiliary": "none"},
}  # fmt: skip
WEIGHTS = {"keypoints_2d": 300.0, "keypoints_3d": 300.0, "pose": 60.0, "betas": 0.06}


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Sixteen rendered people, as Human3.6M delivers them; and the body.

    Not 3DPW's, whose 2D joints are of gendered bodies: a neutral one cannot meet them and the
    labelled parameters both, and stays 20 mm away.
    """
    folder, body = tmp_path_factory.mktemp("overfit"), body_asset(tmp_path_factory)
    generate("h36m", body, DEMO, folder / "raw", 1)
    assets = load_assets(body)
    convert("h36m", "train", folder / "raw", assets.models, CONVERTER, folder / "records.h5", 1,
            J_regressor=assets.J_regressor_h36m)  # fmt: skip
    return folder / "records.h5", body


def learn(network: nn.Module, batch: dict) -> None:
    """Train on one batch, to the same learning rate of zero as the runs."""
    optimizer = torch.optim.Adam(network.train().parameters(), RATE, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        optimizer.zero_grad()
        sum(parametric_losses(network(batch["image"]), batch, WEIGHTS).values()).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        schedule.step()


@pytest.mark.slow
@pytest.mark.parametrize("kind", NETWORKS)
def test_sixteen_images_are_learnt(kind: str, records: tuple[Path, Path], tmp_path: Path) -> None:
    """Writes overlays.png into the test's folder, for inspection."""
    path, body = records
    assets = load_assets(body)
    dataset = RecordsDataset(path, None, {"image_size": SIZE}, train=False)
    assert len(dataset) == IMAGES
    batch = collate([dataset.item(row) for row in range(IMAGES)])
    torch.manual_seed(0)
    network = build_network(NETWORKS[kind], assets)
    learn(network, batch)
    settings = {"image_size": SIZE, "batch_size": IMAGES}
    task = Task(network, str(path), get_protocol("h36m_p1"), assets, settings)
    measured = measure(task)
    error = measured.per_sample["mpjpe"].mean()
    print(f"{kind}: MPJPE {error:.1f} mm")
    shown = {key: value[:: IMAGES // 4] for key, value in batch.items()}
    with torch.no_grad():
        lines = iteration_lines(network.eval(), shown, assets)
    pictures, captions = zip(*(cell for line in lines for cell in line), strict=True)
    write_png(tmp_path / "overlays.png", sheet(pictures, len(lines[0]), captions))
    assert error < 20
