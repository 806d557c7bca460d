"""Errors of predicted hands on FreiHAND's evaluation images."""

from dataclasses import replace
from typing import Protocol

import numpy as np
from torch import Tensor

from pipeline.body.hands import right_hand
from pipeline.errors import InputError
from pipeline.evaluation import hands
from pipeline.evaluation.predictions import Measured, Task
from pipeline.evaluation.turned_views import Averaged

MILLIMETRES = ("pa_mpjpe", "pa_mpvpe")


class HandNetwork(Protocol):
    """What a network of hands offers to the evaluation; it is an `nn.Module` otherwise."""

    def predict(self, image: Tensor) -> dict[str, Tensor]:
        """`vertices` (B, 778, 3) of a right hand, metres in any frame, of (B, 3, S, S) images."""


def measure(task: Task) -> Measured:
    """PA-MPJPE and PA-MPVPE in millimetres, F-scores from 0 to 1, per sample.

    Raises:
        InputError: if the records hold no meshes of hands, or the network predicts none.
    """
    records, protocol, found = task.records, task.protocol, []
    hand, vertices = right_hand(task.assets.hand_models), records.hand_vertices
    if vertices is None or records.joint_set != protocol.joint_set or np.isnan(vertices).any():
        raise InputError(records.path, "hand_vertices", "rows without a mesh",
                         "records of hands, converted with vertices: true")  # fmt: skip
    if protocol.test_time:
        task = replace(task, network=Averaged(task.network, task.settings["test_time"]))
    for piece, _, predicted in task.predictions():
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
    return Measured(task.rows, per_sample, units=units)
