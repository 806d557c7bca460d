"""MuPoTS-3D of a network that sees one person at a time: records grouped into frames.

Each annotated person is one record, cropped by its ground-truth box. The predicted mesh gives 17
joints; they are moved to the annotated root, in metres, and projected with the sequence's
intrinsics, which gives the 2D joints that the benchmark matches people by.
"""

from collections import defaultdict

import numpy as np

from pipeline.errors import InputError
from pipeline.evaluation import mupots
from pipeline.evaluation.mpi_inf_3dhp import MeshJoints, annotated
from pipeline.evaluation.mupots import SCORED, THRESHOLD, Frame
from pipeline.evaluation.pck_protocols import (
    MUPOTS_BONES,
    MUPOTS_MODES,
    MUPOTS_POOLS,
)
from pipeline.evaluation.predictions import Measured, Task
from pipeline.joints import convert
from pipeline.records import Records

Grouped = dict[str, dict[int, list[int]]]  # sequence -> frame -> rows of the records


def measure(task: Task) -> Measured:
    """3DPCK and AUC in percent, in all counting modes.

    Raises:
        InputError: if the records lack joints, their root's position or intrinsics.
    """
    joints_of = MeshJoints(task.assets, task.protocol.joint_set)
    joints = np.zeros((len(task.records), 17, 3))
    for piece, _, predicted in task.predictions():
        joints[piece] = joints_of(predicted).double().numpy()
    units = dict.fromkeys(task.protocol.metrics, "%")
    return Measured(task.rows, pooled=scores(task.records, joints), units=units)


def scores(records: Records, joints: np.ndarray) -> dict[str, float]:
    """Return every metric of the protocol that some joint counts for.

    Args:
        records: of the benchmark.
        joints: (N, 17, 3) predicted for each record, metres about the pelvis, camera axes.
    """
    groups, frames = group(records), frames_of(records, joints)
    found = {}
    for bones, rescale in MUPOTS_BONES.items():
        result = mupots.evaluate(frames, rescale=rescale)
        for mode in MUPOTS_MODES:
            for pool, key in MUPOTS_POOLS.items():
                for metric in ("pck", "auc"):
                    found[f"{metric}_{mode}{bones}{pool}"] = result[mode][metric][key]
    errors = np.empty((len(joints), 17))
    for sequence, numbered in groups.items():
        for frame, members in zip(frames[sequence], numbered.values(), strict=True):
            errors[members] = mupots.joint_errors(frame, rescale=True)
    visible = convert(records.keypoints_2d, records.keypoint_set, "mpi17")[..., 2] == 1
    for name, chosen in (("pck_visible", visible), ("pck_hidden", ~visible)):
        scored = errors[:, SCORED][chosen[:, SCORED]]
        found[name] = 100 * float((scored < THRESHOLD).mean()) if len(scored) else np.nan
    return {name: value for name, value in found.items() if np.isfinite(value)}


def group(records: Records) -> Grouped:
    """Return the rows of each frame of each sequence, in the records' order."""
    found: Grouped = defaultdict(lambda: defaultdict(list))
    names, numbers = records.sequence.tolist(), records.frame.tolist()
    for row, (sequence, frame) in enumerate(zip(names, numbers, strict=True)):
        found[sequence][frame].append(row)
    return found


def frames_of(records: Records, joints: np.ndarray) -> dict[str, list[Frame]]:
    """Return the frames of each sequence, predictions placed at the annotated roots.

    Raises:
        InputError: if the records lack joints, their root's position or intrinsics.
    """
    truth = annotated(records, "mpi17")[..., :3].astype(float)
    for key in ("root_3d", "K", "keypoints_2d"):
        value = getattr(records, key)
        if value is None or np.isnan(value).any():
            raise InputError(records.path, key, "rows without it", "a value in every row")
    pixels = convert(records.keypoints_2d, records.keypoint_set, "mpi17")[..., :2].astype(float)
    placed = joints + records.root_3d[:, None]
    seen = placed @ np.swapaxes(records.K, 1, 2)  # (N, 17, 3)
    seen = seen[..., :2] / seen[..., 2:]
    return {
        sequence: [Frame(pixels[m], truth[m], seen[m], placed[m]) for m in numbered.values()]
        for sequence, numbered in group(records).items()
    }
