"""FreiHAND's measures: PA-MPJPE, PA-MPVPE and F-scores of the aligned mesh.

The benchmark aligns joints and vertices separately, each by scale, translation and an orthogonal
Procrustes rotation that may be a reflection, and counts F at 5 and 15 mm between aligned vertices.

Source: Zimmermann et al. 2019 (FreiHAND) and its evaluation script; MPT, Table 6.
"""

import numpy as np
from scipy.spatial import cKDTree

F_THRESHOLDS = (0.005, 0.015)  # metres


def align(pred: np.ndarray, gt: np.ndarray) -> np.ndarray:
    """`pred` (N, 3) moved onto `gt` as the FreiHAND script does.

    Both are centred and scaled to unit norm, the rotation is the orthogonal Procrustes solution
    (reflections are not excluded) and the scale is the ground truth's norm times the trace.
    """
    gt_mean, pred_mean = gt.mean(axis=0), pred.mean(axis=0)
    gt_centred, pred_centred = gt - gt_mean, pred - pred_mean
    gt_norm, pred_norm = np.linalg.norm(gt_centred), np.linalg.norm(pred_centred)
    u, singular, vt = np.linalg.svd((gt_centred / gt_norm).T @ (pred_centred / pred_norm))
    rotation = u @ vt  # (3, 3): gt ~ rotation @ pred
    return (pred_centred / pred_norm) @ rotation.T * singular.sum() * gt_norm + gt_mean


def f_score(pred: np.ndarray, gt: np.ndarray, threshold: float) -> float:
    """Harmonic mean of precision and recall of nearest-neighbour distances below `threshold`."""
    precision = float((cKDTree(gt).query(pred)[0] < threshold).mean())
    recall = float((cKDTree(pred).query(gt)[0] < threshold).mean())
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0


def errors(
    pred_joints: np.ndarray, pred_vertices: np.ndarray, joints: np.ndarray, vertices: np.ndarray
) -> dict[str, np.ndarray]:
    """Per-sample measures.

    Args:
        pred_joints: (B, 21, 3) metres in the order of `freihand21`.
        pred_vertices: (B, 778, 3) metres.
        joints: (B, 21, 3) likewise, ground truth.
        vertices: (B, 778, 3) likewise.

    Returns:
        pa_mpjpe and pa_mpvpe (B,) metres; f_5 and f_15 (B,) in [0, 1].
    """
    out: dict[str, list[float]] = {"pa_mpjpe": [], "pa_mpvpe": [], "f_5": [], "f_15": []}
    for pj, pv, gj, gv in zip(pred_joints, pred_vertices, joints, vertices, strict=True):
        aligned = align(pv, gv)
        out["pa_mpjpe"].append(np.linalg.norm(align(pj, gj) - gj, axis=-1).mean())
        out["pa_mpvpe"].append(np.linalg.norm(aligned - gv, axis=-1).mean())
        for name, threshold in zip(("f_5", "f_15"), F_THRESHOLDS, strict=True):
            out[name].append(f_score(aligned, gv, threshold))
    return {k: np.array(v) for k, v in out.items()}
