"""COCO keypoint AP of projected mesh joints, through pycocotools.

PyMAF evaluates val2014 persons in their ground-truth boxes: every detection has score 1, there is
no suppression and no flip test. With all scores equal AP depends on the order of the detections;
the order of the records is kept.

Source: PyMAF, Sec. 4.2 (Table 3); object keypoint similarity as defined by the COCO benchmark.
"""

import contextlib
import io
from pathlib import Path

import numpy as np

from pipeline.errors import InputError

NAMES = ("ap", "ap50", "ap75", "ap_m", "ap_l", "ar", "ar50", "ar75", "ar_m", "ar_l")


def detections(
    keypoints: np.ndarray, image_ids: np.ndarray, scores: np.ndarray | None = None
) -> list[dict]:
    """Results in COCO's format.

    Args:
        keypoints: (N, 17, 2) pixels of the original images, in the order of `coco17`.
        image_ids: (N,) COCO image ids.
        scores: (N,) or None for 1.
    """
    scores = np.ones(len(keypoints)) if scores is None else scores
    visible = np.ones((*keypoints.shape[:2], 1))
    rows = np.concatenate([keypoints, visible], axis=-1).reshape(len(keypoints), -1)
    return [{"image_id": int(i), "category_id": 1, "keypoints": row.tolist(), "score": float(s)}
            for i, row, s in zip(image_ids, rows, scores, strict=True)]  # fmt: skip


def average_precision(annotations: Path, results: list[dict]) -> dict[str, float]:
    """AP and AR in percent, over the images that have a result.

    A measure over sizes of which there is no person is left out: it is not defined.

    Args:
        annotations: person_keypoints_*.json.
        results: what `detections` returns.

    Raises:
        InputError: if there are no results or an image id is not annotated.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    if not results:
        raise InputError(annotations, "results", "none", "one detection or more")
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints as it goes
        truth = COCO(str(annotations))
        unknown = {r["image_id"] for r in results} - set(truth.getImgIds())
        if unknown:
            raise InputError(annotations, "image_id", min(unknown), "an annotated image")
        evaluation = COCOeval(truth, truth.loadRes(results), "keypoints")
        evaluation.params.imgIds = sorted({r["image_id"] for r in results})
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    found = zip(NAMES, evaluation.stats, strict=True)
    return {name: 100 * float(value) for name, value in found if value >= 0}
