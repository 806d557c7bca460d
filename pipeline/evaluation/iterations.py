"""Errors after every update of an iterative regressor: M0 (the mean parameters), M1, M2, M3.

Source: PyMAF, Table 6.
"""

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from pipeline.body.assets import BodyAssets
from pipeline.errors import InputError
from pipeline.evaluation.measure import Evaluator, Measured, in_millimetres, labelled
from pipeline.evaluation.protocols import ITERATIONS, Protocol


@torch.no_grad()
def measure(
    network: nn.Module,
    records_path: str,
    protocol: Protocol,
    assets: BodyAssets,
    settings: dict,
    device: torch.device | str = "cpu",
) -> Measured:
    """Errors of every estimate of the network, see `measure.measure`.

    Args:
        network: has `predict_iterations(image)`, the meshes from the mean parameters on.
        records_path: the benchmark's records.
        protocol: its metrics are called `<metric>_m<number of updates>`.
        assets: body models and regressors.
        settings: image_size, batch_size.
        device: where the network is.

    Raises:
        InputError: if the network has no updates, or other than the protocol reports.
    """
    if not hasattr(network, "predict_iterations"):
        raise InputError(protocol.name, "network", type(network).__name__, "one that iterates")
    whole = dict.fromkeys(name.rpartition("_m")[0] for name in protocol.metrics)
    evaluator = Evaluator(replace(protocol, metrics=tuple(whole)), assets, device)
    was_training, rows, results = network.training, [], []
    network.eval()
    for piece, batch in labelled(records_path, protocol, settings):
        meshes = network.predict_iterations(batch["image"].to(device))
        if len(meshes) != len(ITERATIONS):
            expected = f"the mean and {len(ITERATIONS) - 1} updates"
            raise InputError(protocol.name, "network", f"{len(meshes)} estimates", expected)
        errors = [evaluator.errors(mesh, batch) for mesh in meshes]
        rows.append(piece)
        results.append(
            {f"{metric}_m{k}": errors[k][metric] for metric in whole for k in ITERATIONS}
        )
    network.train(was_training)
    return Measured(np.concatenate(rows), in_millimetres(results))
