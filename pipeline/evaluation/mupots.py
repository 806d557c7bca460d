"""The MuPoTS-3D measure: 3DPCK of several people in a frame.

A Python port of what the benchmark's MATLAB kit measures: people are matched by their 2D joints,
the bones of each prediction are rescaled to the length of the ground truth's, and a joint counts
when it lies within 150 mm. Arrays are in the order of joint set `mpi17`.

Source: Mehta et al. 2018 (MuPoTS-3D) and its evaluation kit; the pre-training study, Sec. 4.1.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.joints import indices, joint_names

MATCH_PX = 40.0  # |dx| and |dy| below this: the two 2D joints agree
THRESHOLD = 0.150  # metres
AUC_THRESHOLDS = np.arange(0, 0.1501, 0.005)  # metres, 31 values

JOINTS = joint_names("mpi17")
# The kit's tree, from the pelvis outwards: child -> parent.
PARENT = {
    "spine": "pelvis", "neck": "spine", "head_top_mpi": "neck", "head_mpi": "neck",
    "r_shoulder": "neck", "r_elbow": "r_shoulder", "r_wrist": "r_elbow",
    "l_shoulder": "neck", "l_elbow": "l_shoulder", "l_wrist": "l_elbow",
    "r_hip": "pelvis", "r_knee": "r_hip", "r_ankle": "r_knee",
    "l_hip": "pelvis", "l_knee": "l_hip", "l_ankle": "l_knee",
}  # fmt: skip
_PELVIS = JOINTS.index("pelvis")
# Joints that count for the matching: neck to left ankle, no pelvis, spine or head joint.
_MATCHED = np.arange(JOINTS.index("neck"), JOINTS.index("l_ankle") + 1)
# Fourteen of seventeen are scored: the pelvis is the root, spine and head are not comparable.
SCORED = indices("mpi17", [n for n in JOINTS if n not in ("pelvis", "spine", "head_mpi")])


@dataclass(frozen=True)
class Frame:
    """People of one frame.

    Attributes:
        gt_2d: (P, 17, 2) pixels of the annotated people whose frame is valid.
        gt_3d: (P, 17, 3) metres, camera frame (universal skeleton, or metric).
        pred_2d: (Q, 17, 2) pixels.
        pred_3d: (Q, 17, 3) metres, camera frame.
    """

    gt_2d: np.ndarray
    gt_3d: np.ndarray
    pred_2d: np.ndarray
    pred_3d: np.ndarray


def match(gt_2d: np.ndarray, pred_2d: np.ndarray) -> np.ndarray:
    """For each annotated person the number of its prediction, -1 for none.

    In the order of annotation, each takes the unused prediction with most joints nearer than
    MATCH_PX in both directions; without a single such joint it stays unmatched.

    Returns:
        (P,) int64.
    """
    near = (np.abs(gt_2d[:, None] - pred_2d[None]) < MATCH_PX).all(axis=-1)  # (P, Q, 17)
    agreeing = near[..., _MATCHED].sum(axis=-1)
    chosen = np.full(len(gt_2d), -1, dtype=np.int64)
    for person in range(len(gt_2d)):
        if agreeing.shape[1] and agreeing[person].max() > 0:
            chosen[person] = agreeing[person].argmax()
            agreeing[:, chosen[person]] = 0
    return chosen


def rescale_bones(pred: np.ndarray, gt: np.ndarray) -> np.ndarray:
    """Give each bone of `pred` (17, 3) the length of the ground truth's, keeping its direction."""
    out = pred.astype(np.float64).copy()
    for child, parent in PARENT.items():  # parents come before their children
        c, p = JOINTS.index(child), JOINTS.index(parent)
        bone = pred[c] - pred[p]
        length = np.linalg.norm(bone)
        wanted = np.linalg.norm(gt[c] - gt[p])
        out[c] = out[p] + bone * (wanted / length if length > 0 else 0.0)
    return out


def joint_errors(frame: Frame, rescale: bool, relative: bool = True) -> np.ndarray:
    """Errors of one frame's people, (P, 17) metres; infinite for an unmatched person."""
    chosen = match(frame.gt_2d, frame.pred_2d)
    errors = np.full(frame.gt_3d.shape[:2], np.inf)
    for person, taken in enumerate(chosen):
        if taken < 0:
            continue
        gt, pred = frame.gt_3d[person], frame.pred_3d[taken]
        if relative:
            gt, pred = gt - gt[_PELVIS], pred - pred[_PELVIS]
        if rescale:
            pred = rescale_bones(pred, gt)
        errors[person] = np.linalg.norm(pred - gt, axis=-1)
    return errors


def pck_and_auc(errors: np.ndarray) -> tuple[float, float]:
    """PCK at THRESHOLD and the mean PCK over AUC_THRESHOLDS of (P, 17) errors, in percent."""
    scored = errors[:, SCORED].reshape(-1)
    if not len(scored):
        return float("nan"), float("nan")
    pck = 100 * float((scored < THRESHOLD).mean())
    auc = 100 * float((scored[:, None] < AUC_THRESHOLDS).mean())
    return pck, auc


def evaluate(
    sequences: dict[str, list[Frame]], rescale: bool = True, relative: bool = True
) -> dict:
    """3DPCK and AUC in both counting modes, per sequence and over all.

    Mode `all` counts unmatched annotated people as misses, `matched` leaves them out. The mean
    over sequences and the value pooled over all people differ, and papers report either: both
    are given.

    Args:
        sequences: name -> frames.
        rescale: rescale predicted bones as the kit does.
        relative: centre both on their pelvis; False compares absolute positions.

    Returns:
        {"all" | "matched": {"pck": {sequence..., "mean", "pooled"}, "auc": likewise}}, percent.
    """
    errors = {
        name: np.concatenate([joint_errors(f, rescale, relative) for f in frames])
        for name, frames in sequences.items()
    }
    out: dict = {}
    for mode in ("all", "matched"):
        kept = {
            n: e if mode == "all" else e[np.isfinite(e).all(axis=1)] for n, e in errors.items()
        }
        pairs = {name: pck_and_auc(e) for name, e in kept.items()}
        pooled = pck_and_auc(np.concatenate(list(kept.values())))
        for k, metric in enumerate(("pck", "auc")):
            values = {name: pair[k] for name, pair in pairs.items()}
            mean = float(np.nanmean(list(values.values())))
            out.setdefault(mode, {})[metric] = {**values, "mean": mean, "pooled": pooled[k]}
    return out
