"""A network that knows the answers: bodies given beforehand, in the order of the records."""

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.__main__ import main
from pipeline.body.assets import BodyAssets
from pipeline.body.smpl import SMPLLayer
from pipeline.cameras import estimate_translation, translation_to_cam
from pipeline.checkpoints import save_weights
from pipeline.data.crops import crop_affine, transform_points
from pipeline.models.build import build_network
from pipeline.records import Records
from pipeline.rotations import axis_angle_to_matrix

SIZE, FOCAL = 64, 5000.0


class KnownBodies(nn.Module):
    """Predicts bodies (N rows), whatever the images.

    Args:
        assets: the body.
        pose: (N, 24, 3) axis-angle, camera axes.
        betas: (N, 10).
        seen: (N, 24, 2) where SMPL's joints are in the original images.
        records: whose boxes the crops are of.
        mesh_only: leave the pose out of the prediction.
    """

    def __init__(
        self,
        assets: BodyAssets,
        pose: np.ndarray,
        betas: np.ndarray,
        seen: np.ndarray,
        records: Records,
        mesh_only: bool = False,
    ) -> None:
        super().__init__()
        self.rotmats = axis_angle_to_matrix(torch.from_numpy(np.asarray(pose, np.float32)))
        self.betas = torch.from_numpy(np.asarray(betas, np.float32))
        layer = SMPLLayer(assets.models["neutral"])
        self.vertices, joints = layer(self.betas, self.rotmats)
        crops = np.stack([
            transform_points(seen[i], crop_affine(records.center[i], records.side[i], SIZE))
            for i in range(len(records))
        ])  # fmt: skip
        arrays = (joints.double(), torch.from_numpy(crops), torch.ones(len(crops), 24))
        self.cam = translation_to_cam(estimate_translation(*arrays, FOCAL, SIZE / 2), FOCAL, SIZE)
        self.mesh_only, self.done = mesh_only, 0

    def predict(self, image: Tensor) -> dict[str, Tensor]:
        rows = slice(self.done, self.done + len(image))
        self.done += len(image)
        found = {"vertices": self.vertices[rows], "cam": self.cam[rows].float()}
        if self.mesh_only:
            return found
        return {**found, "rotmats": self.rotmats[rows], "betas": self.betas[rows]}


def evaluate_verb(
    tmp_path: Path, body: Path, assets: BodyAssets, records: Path, protocol: str, *more: str
) -> int:
    """Run the verb `evaluate` with the mean body; return its exit code."""
    network = {"kind": "mean_pose", "image_size": SIZE}
    save_weights(tmp_path / "model.pt", build_network(network, assets), {})
    settings = {"run": "mean", "seed": 0, "network": network, "protocol": protocol,
                "batch_size": 3, "bootstrap": 10}  # fmt: skip
    return main(["evaluate", "--settings", json.dumps(settings), "--records", str(records),
                 "--weights", str(tmp_path / "model.pt"), "--body", str(body),
                 "--out", str(tmp_path / "metrics.json"), *more])  # fmt: skip
