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
    relative to a root near the body's centre.
    """

    def __init__(self, matrices: list[csr_matrix]) -> None:
        """Keep the given matrices, coarsest first, each (finer, coarser)."""
        super().__init__()
        self.count = len(matrices)
        for number, matrix in enumerate(matrices):
            self._keep(f"rows{number}", csr_matrix(matrix))
            self._keep(f"columns{number}", csr_matrix(matrix.T))

    def _keep(self, name: str, matrix: csr_matrix) -> None:
        parts = {
            "index": matrix.indices.astype(np.int64),
            "start": matrix.indptr[:-1].astype(np.int64),
        }
        parts["weight"] = matrix.data.astype(np.float32)
        for part, array in parts.items():
            tensor = torch.from_numpy(array)
            self.register_buffer(f"{name}_{part}", tensor, persistent=False)

    def _kept(self, name: str) -> tuple[Tensor, Tensor, Tensor]:
        return tuple(getattr(self, f"{name}_{part}") for part in ("index", "start", "weight"))

    def forward(self, vertices: Tensor) -> list[Tensor]:
        """(B, n, 3) to the finer levels' (B, n', 3), in ascending order."""
        levels, batch = [], len(vertices)
        rows = vertices.float().transpose(0, 1).flatten(1)  # (n, B * 3): whole rows are gathered
        for number in range(self.count):
            forth, back = self._kept(f"rows{number}"), self._kept(f"columns{number}")
            rows = _Combine.apply(rows, forth, back)
            levels.append(rows.unflatten(1, (batch, 3)).transpose(0, 1))
        return levels


class _Combine(torch.autograd.Function):
    """Weighted sums of rows; the backward pass gathers, too, instead of scattering.

    A tenth of the time of indexing and its scattered gradient on a CPU, and deterministic.
    """

    @staticmethod
    def forward(ctx, rows: Tensor, forth: tuple[Tensor, ...], back: tuple[Tensor, ...]) -> Tensor:
        """(n, C) to (n', C) by the sparse rows `forth`; `back` is the transposed matrix."""
        ctx.back = back
        return _weighted_sums(rows, *forth)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        """(n', C) to (n, C)."""
        return _weighted_sums(gradient.contiguous(), *ctx.back), None, None


def _weighted_sums(rows: Tensor, index: Tensor, start: Tensor, weight: Tensor) -> Tensor:
    return F.embedding_bag(index, rows, start, mode="sum", per_sample_weights=weight)


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
