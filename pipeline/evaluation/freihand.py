"""Errors of predicted hands on FreiHAND's evaluation images."""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from pipeline.body.assets import BodyAssets
from pipeline.body.hands import right_hand
from pipeline.data.dataset import RecordsDataset
from pipeline.errors import InputError
from pipeline.evaluation import hands
from pipeline.evaluation.measure import Measured
from pipeline.evaluation.predictions import predictions
from pipeline.evaluation.shape_protocols import HandProtocol

MILLIMETRES = ("pa_mpjpe", "pa_mpvpe")


class HandNetwork(Protocol):
    """What a network of hands offers to the evaluation; it is an `nn.Module` otherwise."""

    def predict(self, image: Tensor) -> dict[str, Tensor]:
        """`vertices` (B, 778, 3) of a right hand, metres in any frame, of (B, 3, S, S) images."""


def measure(
    network: HandNetwork,
    records_path: str,
    protocol: HandProtocol,
    assets: BodyAssets,
    settings: dict,
    device: torch.device | str = "cpu",
) -> Measured:
    """PA-MPJPE and PA-MPVPE in millimetres, F-scores from 0 to 1, per sample.

    Args:
        network: has `predict(image)`.
        records_path: the benchmark's records, with meshes.
        protocol: what is measured.
        assets: the hand.
        settings: image_size, batch_size.
        device: where the network is.

    Raises:
        InputError: if the records hold no meshes of hands, or the network predicts none.
    """
    size = {"image_size": settings["image_size"]}
    dataset = RecordsDataset(records_path, None, size, train=False)
    records, hand = dataset.records, right_hand(assets.hand_models)
    vertices = records.hand_vertices
    if vertices is None or records.joint_set != protocol.joint_set or np.isnan(vertices).any():
        raise InputError(records_path, "hand_vertices", "rows without a mesh",
                         "records of hands, converted with vertices: true")  # fmt: skip
    rows, found = np.arange(len(dataset)), []
    for piece, _, predicted in predictions(
        network, dataset, rows, settings, device, f"evaluate {protocol.name}"
    ):
        mesh = predicted["vertices"].double().numpy()
        if mesh.shape[1:] != vertices.shape[1:]:
            saw = f"a network that predicts {mesh.shape[1]} vertices"
            raise InputError(protocol.name, "vertices", saw, "a network of hands, 778 vertices")
        truth = records.joints_3d[piece, :, :3].astype(np.float64)
        joints = hand.joints(mesh, protocol.tips)
        found.append(hands.errors(joints, mesh, truth, vertices[piece].astype(np.float64)))
    units = {metric: "" for metric in protocol.metrics if metric not in MILLIMETRES}
    per_sample = {
        metric: np.concatenate([part[metric] for part in found]) * (1 if metric in units else 1000)
        for metric in protocol.metrics
    }
    return Measured(rows, per_sample, units=units)
