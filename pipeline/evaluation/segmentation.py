"""Silhouette and part-segmentation scores: accuracy, F1, IoU.

LSP: accuracy is correct over all pixels of all images; F1 is averaged over classes, background
included, each from counts pooled over all images. Ground-truth value 255 means "ignore": such
pixels do not enter the F1 counts, but count as background in the accuracy, as the SPIN-family
evaluation does. SSP-3D: intersection over union of the silhouettes.

Sources: PyMAF, Sec. 4.2 (Table 2) and Sup. Mat. (Table 7); the UP and SPIN evaluations.
"""

import numpy as np

IGNORE = 255
# six parts as SPIN's renderer numbers them, and as the tools of UP (Lassner et al. 2017) do
SPIN_TO_UP = {"background": (0, 0), "head": (3, 1), "torso": (6, 2), "right_arm": (2, 3),
              "left_arm": (1, 4), "right_leg": (5, 5), "left_leg": (4, 6)}  # fmt: skip


class Counts:
    """Pooled pixel counts of label images with `classes` classes (0 = background)."""

    def __init__(self, classes: int):
        self.true_positive = np.zeros(classes, np.int64)
        self.false_positive = np.zeros(classes, np.int64)
        self.false_negative = np.zeros(classes, np.int64)
        self.correct = 0
        self.pixels = 0
        self.image_iou: list[float] = []

    def add(self, predicted: np.ndarray, truth: np.ndarray) -> None:
        """Count one image.

        Args:
            predicted: (H, W) labels 0..classes-1.
            truth: (H, W) labels, or IGNORE.

        Raises:
            ValueError: if the shapes differ or a label is out of range.
        """
        classes = len(self.true_positive)
        if predicted.shape != truth.shape:
            raise ValueError(f"labels: saw shapes {predicted.shape} and {truth.shape}")
        if predicted.max(initial=0) >= classes:
            raise ValueError(f"labels: saw {predicted.max()}, expected below {classes}")
        known = truth != IGNORE
        if (truth[known] >= classes).any():
            raise ValueError(f"labels: saw {truth[known].max()}, expected below {classes}")
        self.correct += int((predicted == np.where(known, truth, 0)).sum())
        self.pixels += truth.size
        flat = truth[known].astype(np.int64) * classes + predicted[known]
        table = np.bincount(flat, minlength=classes**2).reshape(
            classes, classes
        )  # truth, predicted
        hit = np.diagonal(table)
        self.true_positive += hit
        self.false_positive += table.sum(axis=0) - hit
        self.false_negative += table.sum(axis=1) - hit
        union = table[1:, :].sum() + table[0, 1:].sum()
        self.image_iou.append(float(table[1:, 1:].sum() / union) if union else 1.0)

    def accuracy(self) -> float:
        """Share of correct pixels."""
        return self.correct / self.pixels

    def f1(self) -> float:
        """Mean over classes, background included, of 2 TP / (2 TP + FP + FN)."""
        total = 2 * self.true_positive + self.false_positive + self.false_negative
        with np.errstate(invalid="ignore"):
            return float(np.nanmean(2 * self.true_positive / total))

    def iou(self) -> dict[str, float]:
        """Foreground IoU: pooled over all images, and the mean of the images' own."""
        foreground = slice(1, None)
        hit = self.true_positive[foreground].sum()
        miss = self.false_positive[foreground].sum() + self.false_negative[foreground].sum()
        return {"pooled": float(hit / (hit + miss)), "mean": float(np.mean(self.image_iou))}


def to_up_parts(parts6: np.ndarray) -> np.ndarray:
    """Six-part labels in the numbering of UP's own tools."""
    table = np.zeros(7, np.uint8)
    for ours, theirs in SPIN_TO_UP.values():
        table[ours] = theirs
    return table[parts6]
