"""From the coarse predicted vertices back to the full mesh, level by level."""

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from pipeline.models.precision import full_precision


class FixedUpsampling(nn.Module):
    """Each vertex as a fixed combination of its (three) neighbours on the coarser level.

    The rows of the public matrices do not sum to one exactly, so this is meant for vertices
    relative to a root near the body's centre. Gathering is several times faster than a sparse
    product at this size and has a deterministic forward pass.
    """

    def __init__(self, matrices: list[csr_matrix]) -> None:
        """Keep the given matrices, coarsest first, each (finer, coarser)."""
        super().__init__()
        self.count = len(matrices)
        for number, matrix in enumerate(matrices):
            index, weight = neighbours(matrix)
            self.register_buffer(f"index{number}", torch.from_numpy(index), persistent=False)
            self.register_buffer(f"weight{number}", torch.from_numpy(weight), persistent=False)

    def forward(self, vertices: Tensor) -> list[Tensor]:
        """(B, n, 3) to the finer levels' (B, n', 3), in ascending order."""
        levels = []
        for number in range(self.count):
            index, weight = getattr(self, f"index{number}"), getattr(self, f"weight{number}")
            near = vertices[:, index.flatten()].unflatten(1, index.shape)  # (B, n', 3 near, 3)
            vertices = (near * weight[..., None]).sum(2)
            levels.append(vertices)
        return levels


class LearnedUpsampling(nn.Module):
    """One dense linear layer per level, shared by the three coordinates. Source: METRO."""

    def __init__(self, sizes: list[int]) -> None:
        """Map between consecutive sizes, coarsest first."""
        super().__init__()
        self.steps = nn.ModuleList(
            nn.Linear(coarse, fine) for coarse, fine in zip(sizes, sizes[1:], strict=False)
        )

    def forward(self, vertices: Tensor) -> list[Tensor]:
        """(B, n, 3) to the finer levels' (B, n', 3), in ascending order."""
        levels, coordinates = [], vertices.transpose(1, 2)  # (B, 3, n)
        with full_precision(vertices):
            for step in self.steps:
                coordinates = F.linear(coordinates, step.weight, step.bias)
                levels.append(coordinates.transpose(1, 2))
        return levels


def neighbours(matrix: csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Indices (rows, k) int64 and weights (rows, k) float32 of a sparse matrix's rows.

    k is the largest number of entries of a row; shorter rows are padded with zero weights.
    """
    matrix = csr_matrix(matrix)
    counts = np.diff(matrix.indptr)
    rows = np.repeat(np.arange(matrix.shape[0]), counts)
    slots = np.arange(matrix.nnz) - np.repeat(matrix.indptr[:-1], counts)
    index = np.zeros((matrix.shape[0], counts.max()), dtype=np.int64)
    weight = np.zeros(index.shape, dtype=np.float32)
    index[rows, slots] = matrix.indices
    weight[rows, slots] = matrix.data
    return index, weight
