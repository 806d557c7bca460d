"""A batch worked through in pieces, by several processes or one after the other, as if whole."""

from collections.abc import Callable

import torch
from lightning_fabric import Fabric
from torch import Tensor

Batch = dict[str, Tensor]


def split(batch: Batch, count: int) -> list[Batch]:
    """Return `count` consecutive pieces of equal size."""
    parts: list[Batch] = [{} for _ in range(count)]
    for key, value in batch.items():
        for part, rows in zip(parts, value.chunk(count), strict=True):
            part[key] = rows
    return parts


def label_shares(
    counts_of: Callable[[Batch], dict[str, Tensor]], parts: list[Batch], fabric: Fabric
) -> list[dict[str, Tensor]]:
    """Return each piece's labels relative to the mean over all pieces of all processes.

    A mean over the labels of a piece, times this, averages over the pieces to the mean over the
    labels of the whole batch.

    Args:
        counts_of: batch -> number of labels that each term averages over; terms that average
            over all samples are absent.
        parts: this process's pieces.
        fabric: knows the other processes.

    Returns:
        term -> factor, for each piece; empty where there is only one piece.
    """
    if len(parts) * fabric.world_size == 1:
        return [{}]
    counts = [counts_of(part) for part in parts]
    names = list(counts[0])
    if not names:
        return counts
    table = torch.stack([torch.stack([c[name].float() for name in names]) for c in counts])
    mean = table.mean(0)  # (terms,)
    if fabric.world_size > 1:
        mean = fabric.all_reduce(mean, reduce_op="mean")
    shares = table / mean.clamp(min=torch.finfo(mean.dtype).tiny)
    return [dict(zip(names, row, strict=True)) for row in shares]
