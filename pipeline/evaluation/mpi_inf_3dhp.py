"""PCK, AUC and MPJPE on MPI-INF-3DHP, with and without Procrustes alignment.

The predicted joints are regressed from the mesh as Human3.6M's, which have a counterpart for each
of the seventeen; MPI-INF-3DHP's own regressor, which some papers use, is not public.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from pipeline import metrics
from pipeline.body.assets import BodyAssets
from pipeline.errors import InputError
from pipeline.evaluation.measure import regress_centred
from pipeline.evaluation.pck_protocols import PckProtocol
from pipeline.evaluation.predictions import Measured, Task
from pipeline.joints import convert, index, mapping
from pipeline.records import Records

PERCENT = ("pck", "auc")


def measure(task: Task) -> Measured:
    """Errors of the network on every record.

    Raises:
        InputError: if the records lack joints of the protocol.
    """
    protocol, found = task.protocol, []
    truth = annotated(task.records, protocol.joint_set)
    joints_of = MeshJoints(task.assets, protocol.joint_set)
    for piece, _, predicted in task.predictions():
        gt = torch.from_numpy(truth[piece])
        found.append(joint_metrics(joints_of(predicted), gt[..., :3], gt[..., 3], protocol))
    values = {m: torch.cat([f[m] for f in found]).double().numpy() for m in protocol.metrics}
    percent = {m: "%" for m in protocol.metrics if m.removeprefix("pa_") in PERCENT}
    return Measured(task.rows, values, units=percent)


class MeshJoints:
    """Joints of predicted meshes about their pelvis, in a set that Human3.6M's joints fill.

    Args:
        assets: the body.
        joint_set: wanted.

    Raises:
        ValueError: if a joint of the set has no counterpart.
    """

    def __init__(self, assets: BodyAssets, joint_set: str) -> None:
        self._regressor = torch.as_tensor(assets.J_regressor_h36m).float()
        order = mapping("h36m17", joint_set)
        if (order < 0).any():
            raise ValueError(f"{joint_set} has joints that the Human3.6M regressor does not")
        self._order = torch.as_tensor(order)

    def __call__(self, predicted: Mapping[str, Tensor]) -> Tensor:
        """Return (B, J, 3) metres of `predict`'s vertices."""
        return regress_centred(self._regressor, predicted["vertices"].float())[0][:, self._order]


def annotated(records: Records, joint_set: str) -> np.ndarray:
    """Return the records' 3D joints about the pelvis, in a set, (N, J, 4) metres and validity.

    Raises:
        InputError: if rows have none, or a joint of the set is missing.
    """
    if records.joints_3d is None:
        raise InputError(records.path, "joints_3d", "none", "the dataset's own 3D joints")
    own, order = records.joint_set, mapping(records.joint_set, joint_set)
    if (order < 0).any() or mapping(own, "mpi17")[index("mpi17", "pelvis")] < 0:
        raise InputError(records.path, "joint_set", own, f"a set with the joints of {joint_set}")
    pelvis = convert(records.joints_3d, own, "mpi17")[:, index("mpi17", "pelvis")]
    joints = records.joints_3d[:, order].copy()
    joints[..., :3] -= pelvis[:, None, :3]
    empty = int((~(joints[..., 3] > 0).any(1)).sum())
    if empty:
        raise InputError(records.path, "joints_3d", f"{empty} rows without", "joints in each row")
    return joints


def joint_metrics(
    pred: Tensor, gt: Tensor, valid: Tensor, protocol: PckProtocol
) -> dict[str, Tensor]:
    """Return (B,) values of each metric: percent, and millimetres for the errors.

    Args:
        pred: (B, J, 3) metres about the root.
        gt: (B, J, 3) metres about the root.
        valid: (B, J).
        protocol: thresholds.
    """
    first, last, step = protocol.auc_mm
    steps = round((last - first) / step) + 1
    thresholds = torch.linspace(first / 1000, last / 1000, steps, dtype=torch.float64)
    found = {}
    for prefix, moved in (("", pred), ("pa_", metrics.similarity_align(pred, gt, valid))):
        share = [metrics.pck(moved, gt, float(t), valid) for t in thresholds]
        at = metrics.pck(moved, gt, protocol.threshold_mm / 1000, valid)
        found[f"{prefix}pck"] = 100 * at
        found[f"{prefix}auc"] = 100 * torch.stack(share).mean(0)
        found[f"{prefix}mpjpe"] = 1000 * metrics.mpjpe(moved, gt, valid)
    return found
