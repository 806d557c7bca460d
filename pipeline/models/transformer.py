"""Encoder blocks of the mesh transformer: post-norm, learned positions, linear residual."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pipeline.models.precision import full_precision

NORM_EPS = 1e-12  # BERT's
# On CPUs the fused attention's bfloat16 backward pass is several times slower than its float32
# one for short sequences.
FUSED_BFLOAT16_TOKENS = 512


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward, each added to its input and then normalised.

    Source: the BERT layer that METRO uses. Departure: no dropout on attention probabilities, so
    that the fused attention kernels apply (the score matrices of 1,229 tokens are 24 MB a layer).
    """

    def __init__(self, width: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.attention = nn.Linear(width, width)
        self.attention_norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.expand = nn.Linear(width, feedforward)
        self.contract = nn.Linear(feedforward, width)
        self.feedforward_norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.dropout = nn.Dropout(dropout)
        self.recompute = False  # activations in the backward pass instead of keeping them

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, width) to the same shape."""
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(self._forward, x, use_reentrant=False)
        return self._forward(x)

    def _forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        split = (batch, tokens, 3, self.heads, width // self.heads)
        query, key, value = self.qkv(x).view(split).permute(2, 0, 3, 1, 4)  # (B, heads, N, d)
        mixed = attention(query, key, value)
        mixed = self.attention(mixed.transpose(1, 2).reshape(batch, tokens, width))
        x = self.attention_norm(x + self.dropout(mixed))
        mixed = self.contract(F.gelu(self.expand(x)))
        return self.feedforward_norm(x + self.dropout(mixed))


def recompute_activations(network: nn.Module) -> int:
    """Let all encoder layers of a network keep their inputs only; return how many there are.

    The backward pass computes a layer again before it needs it, with the same random numbers: the
    same gradients bit for bit, for a third more arithmetic and a fraction of the memory.
    """
    layers = [module for module in network.modules() if isinstance(module, EncoderLayer)]
    for layer in layers:
        layer.recompute = True
    return len(layers)


def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Softmax attention, (B, heads, N, d) each, by the fastest fused kernel."""
    if query.device.type == "cpu" and query.shape[2] < FUSED_BFLOAT16_TOKENS:
        with full_precision(query):
            return F.scaled_dot_product_attention(query.float(), key.float(), value.float())
    return F.scaled_dot_product_attention(query, key, value)


class Block(nn.Module):
    """Linear in plus positions, encoder layers, linear out plus a linear residual.

    `embed` and `residual` are applied by the caller, who may know a cheaper way to the same
    numbers (the first block's query tokens do not depend on the sample).
    """

    def __init__(
        self,
        widths: tuple[int, int, int],
        tokens: int,
        layers: list[EncoderLayer],
        fixed: Tensor | None = None,
    ) -> None:
        """Make the layers.

        Args:
            widths: of the tokens that come in, within, and of those that go out.
            tokens: that learn their position, the first ones.
            layers: the encoder layers, of the inner width.
            fixed: (T, width) positions of the tokens behind them.
        """
        super().__init__()
        width_in, width, width_out = widths
        self.embed = nn.Linear(width_in, width)
        self.position = nn.Parameter(torch.zeros(tokens, width))
        self.register_buffer("fixed_position", fixed, persistent=False)
        self.dropout = layers[0].dropout
        self.layers = nn.ModuleList(layers)
        self.out = nn.Linear(width, width_out)
        self.residual = nn.Linear(width_in, width_out)

    def encode(self, embedded: Tensor) -> Tensor:
        """(B, N, hidden) embedded tokens to (B, N, hidden), before `out`."""
        position = self.position
        if self.fixed_position is not None:
            position = torch.cat([position, self.fixed_position])
        x = self.dropout(embedded + position)
        for layer in self.layers:
            x = layer(x)
        return x


def sine_positions(side: int, width: int) -> Tensor:
    """Positions of a square grid's cells, row by row: sines and cosines of y, then of x.

    The grid spans one period of the slowest wave's 2 pi; wave lengths grow to 10,000 times that.

    Args:
        side: cells along an edge.
        width: of a token, a multiple of 4.

    Returns:
        (side * side, width).

    Source: the two-dimensional encoding of DETR (Carion et al. 2020), which FastMETRO uses.
    """
    quarter = width // 4
    rates = 10_000.0 ** (-torch.arange(quarter) / quarter)
    phase = 2 * math.pi * (torch.arange(side) + 0.5)[:, None] / side * rates  # (side, quarter)
    line = torch.cat([phase.sin(), phase.cos()], 1)
    rows, columns = line[:, None].expand(-1, side, -1), line[None].expand(side, -1, -1)
    return torch.cat([rows, columns], -1).flatten(0, 1)


def initialise(module: nn.Module) -> None:
    """Weights and positions normal with std 0.02, biases 0, norms identity, as in BERT."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
    elif isinstance(module, Block):
        nn.init.normal_(module.position, std=0.02)
