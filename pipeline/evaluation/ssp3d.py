"""Overlap of drawn and annotated silhouettes, and errors of the body shape, on SSP-3D."""

from pathlib import Path

import numpy as np

from pipeline.body.assets import BodyAssets
from pipeline.body.smpl import BodyModel
from pipeline.errors import InputError
from pipeline.evaluation.lsp import read_mask
from pipeline.evaluation.predictions import Measured, Task
from pipeline.evaluation.segmentation import Counts
from pipeline.evaluation.silhouettes import faces_seen
from pipeline.records import GENDERS, Records
from pipeline.rendering.rasterizer import Rasterizer

SIZE = 512  # pixels of every image


def measure(task: Task) -> Measured:
    """Intersection over union (percent) and PVE-T-SC (millimetres).

    Raises:
        InputError: if a silhouette is missing or damaged, or the network predicts no betas.
    """
    records, assets, protocol = task.records, task.assets, task.protocol
    canvas, counts, shape_errors = Rasterizer(SIZE, SIZE), Counts(2), []
    for piece, items, predicted in task.predictions():
        for k, row in enumerate(piece):
            truth = read_silhouette(task.truth / Path(records.name[row]).name)
            body = (predicted[key][k].double().numpy() for key in ("vertices", "cam"))
            seen = faces_seen(*body, items[k]["affine"], task.size, assets.faces, canvas)
            counts.add((seen >= 0).astype(np.uint8), truth)
        if "pve_t_sc" in protocol.metrics:
            shape_errors.append(_shape_errors(predicted, records, piece, assets, protocol))
    per_sample = {"miou_mean": 100 * np.array(counts.image_iou)}
    if shape_errors:
        per_sample["pve_t_sc"] = 1000 * np.concatenate(shape_errors)
    pooled = {"miou_pooled": 100 * counts.iou()["pooled"]}
    return Measured(task.rows, per_sample, pooled, {"miou_mean": "%", "miou_pooled": "%"})


def read_silhouette(path: Path) -> np.ndarray:
    """Return where the person is, (512, 512) uint8 of 0 and 1.

    Raises:
        InputError: if the file is missing, damaged or of another size.
    """
    mask = read_mask(path, "SSP-3D")
    if mask.shape != (SIZE, SIZE):
        saw = f"{mask.shape[1]} x {mask.shape[0]} pixels"
        raise InputError(path, "", saw, f"{SIZE} x {SIZE}, the size of the images")
    return (mask > 0).astype(np.uint8)


def _shape_errors(
    predicted: dict, records: Records, rows: np.ndarray, assets: BodyAssets, protocol
) -> np.ndarray:
    """Return PVE-T-SC (B,) in metres."""
    if "betas" not in predicted:
        raise InputError(protocol.name, "pve_t_sc", "a network that predicts vertices only",
                         "one that predicts betas, or ssp3d_silhouette")  # fmt: skip
    betas = predicted["betas"].double().numpy()
    pred = shaped(assets.models["neutral"], betas)
    errors = np.empty(len(rows))
    for k, row in enumerate(rows):
        gender = GENDERS[records.gender[row]]
        if gender not in assets.models:
            raise InputError("body models", gender, "no such model", f"SMPL_{gender.upper()}.pkl")
        truth = shaped(assets.models[gender], records.betas[row][None].astype(np.float64))
        errors[k] = scale_corrected_error(pred[k], truth[0])
    return errors


def shaped(model: BodyModel, betas: np.ndarray) -> np.ndarray:
    """Return bodies (B, V, 3) in the rest pose, metres, of betas (B, n)."""
    return model.v_template + np.einsum(
        "bn,vcn->bvc", betas, model.shapedirs[..., : betas.shape[1]]
    )


def scale_corrected_error(pred: np.ndarray, truth: np.ndarray) -> float:
    """Mean distance of vertices (V, 3) once `pred` has the mean and the spread of `truth`.

    Source: the metrics of SSP-3D (Sengupta et al. 2020).
    """
    centred, target = pred - pred.mean(0), truth - truth.mean(0)
    scale = np.sqrt((target**2).sum() / (centred**2).sum())
    return float(np.linalg.norm(scale * centred - target, axis=-1).mean())
