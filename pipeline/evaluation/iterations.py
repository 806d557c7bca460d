"""Errors after every update of an iterative regressor: M0 (the mean parameters), M1, M2, M3.

Source: PyMAF, Table 6.
"""

from dataclasses import replace

import numpy as np
import torch

from pipeline.errors import InputError
from pipeline.evaluation.measure import Evaluator, in_millimetres, labelled
from pipeline.evaluation.predictions import Measured, Task
from pipeline.evaluation.protocols import ITERATIONS


@torch.no_grad()
def measure(task: Task) -> Measured:
    """Errors of every estimate of the network, see `measure.measure`.

    Raises:
        InputError: if the network has no updates, or other than the protocol reports.
    """
    network, protocol = task.network, task.protocol
    if not hasattr(network, "predict_iterations"):
        raise InputError(protocol.name, "network", type(network).__name__, "one that iterates")
    whole = dict.fromkeys(name.rpartition("_m")[0] for name in protocol.metrics)
    evaluator = Evaluator(replace(protocol, metrics=tuple(whole)), task.assets, task.device)
    rows, results = [], []
    for piece, batch in labelled(task):
        meshes = network.predict_iterations(batch["image"])
        if len(meshes) != len(ITERATIONS):
            expected = f"the mean and {len(ITERATIONS) - 1} updates"
            raise InputError(protocol.name, "network", f"{len(meshes)} estimates", expected)
        errors = [evaluator.errors(mesh, batch) for mesh in meshes]
        rows.append(piece)
        results.append(
            {f"{metric}_m{k}": errors[k][metric] for metric in whole for k in ITERATIONS}
        )
    return Measured(np.concatenate(rows), in_millimetres(results))
