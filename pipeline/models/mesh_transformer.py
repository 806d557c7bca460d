"""MPT's mesh transformer: joint and vertex queries attend to 2D evidence and become 3D points."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.body.assets import BodyAssets
from pipeline.body.topology import Topology, topology
from pipeline.errors import InputError
from pipeline.models.mesh_transformer_settings import (
    MeshTransformerSettings,
    read_mesh_transformer_settings,
)
from pipeline.models.precision import full_precision
from pipeline.models.transformer import Block, EncoderLayer, initialise, sine_positions
from pipeline.models.upsampling import FixedUpsampling, LearnedUpsampling
from pipeline.synthesis.heatmap_tokens import dense_tokens

CAMERA_HIDDEN = {"body": 250, "hand": 150}  # METRO's camera heads
MAPS = ("heatmaps", "silhouettes")  # inputs that are cut into patches
TokenMaker = Callable[[Tensor, Tensor], Tensor]  # (grid_weight, grid_bias) -> (B, T, D)


class MeshTransformer(nn.Module):
    """Queries (template positions) and evidence tokens to joints, mesh and camera.

    Token order: the joints (14, or 21 of a hand), the coarse vertices, the camera where it has a
    token, then the evidence. A query token is (template xyz, pooled evidence or zeros); METRO's
    2,051 numbers. The zeros are never multiplied out.

    Source: MPT, Sec. 3 and Supp. F; METRO where MPT says "same as the literature".
    """

    def __init__(self, options: MeshTransformerSettings, assets: BodyAssets) -> None:
        super().__init__()
        self.options = options
        part = topology(assets, options.part)
        level = _level(options, part)
        self.sizes = [len(ids) for ids in part.levels[: level + 1]][::-1]  # coarse to full
        template = _template(part, level)
        self.register_buffer("template", template, persistent=False)
        self.queries = len(template)
        self.grid_tokens, grid_width = options.grid_shape()
        width = options.token_dims[0]
        self.grid = nn.Linear(grid_width, width)
        self.grid_mlp = None
        if options.heatmap.grid_projection == "mlp_gelu":
            self.grid_mlp = nn.Sequential(nn.GELU(), nn.Linear(width, width))
        self.camera_token = None
        if options.camera == "token":
            self.camera_token = nn.Parameter(torch.randn(width) * 0.02)
        self.blocks = nn.ModuleList(self._blocks())
        self.apply(initialise)
        matrices = [part.upsample[k] for k in range(level)][::-1]
        fixed = options.upsample == "fixed"
        self.upsampling = FixedUpsampling(matrices) if fixed else LearnedUpsampling(self.sizes)
        self.camera = self._camera_head(torch.as_tensor(part.cam).float())

    @property
    def grid_weight(self) -> Tensor:
        """(D, K p p), flattened as (joint, row, column): heatmap patches to tokens."""
        return self.grid.weight

    @property
    def grid_bias(self) -> Tensor:
        """(D,)."""
        return self.grid.bias

    def _blocks(self) -> list[Block]:
        options = self.options
        tokens = self.queries + (self.camera_token is not None)
        sine = options.positions == "sine"
        blocks = []
        widths_out = (*options.token_dims[1:], 3)
        for widths in zip(options.token_dims, options.hidden, widths_out, strict=True):
            inner = options.feedforward_width(widths[1])
            layers = [
                EncoderLayer(widths[1], options.heads, inner, options.dropout)
                for _ in range(options.layers)
            ]
            if sine:
                fixed = sine_positions(round(self.grid_tokens**0.5), widths[1])
                blocks.append(Block(widths, tokens, layers, fixed))
            else:
                blocks.append(Block(widths, tokens + self.grid_tokens, layers))
        return blocks

    def _camera_head(self, mean_cam: Tensor) -> nn.Module:
        """Three linear layers over the coarse vertices, or one on the camera token.

        A hand's are over all of its queries, joints included, as METRO's. The bias starts at the
        mean camera so that the first projections fall inside the crop.
        """
        if self.camera_token is not None:
            head = nn.Linear(self.options.hidden[-1], 3)
        else:
            points = self.queries if self.options.part == "hand" else self.sizes[0]
            hidden = CAMERA_HIDDEN[self.options.part]
            head = nn.Sequential(
                nn.Linear(3, 1),
                nn.Flatten(1),
                nn.Linear(points, hidden),
                nn.Linear(hidden, 3),
            )
        last = head if self.camera_token is not None else head[-1]
        with torch.no_grad():
            last.bias.copy_(mean_cam)
        return head

    def forward(
        self, evidence: Tensor | TokenMaker, generator: torch.Generator | None = None
    ) -> dict:
        """Predict joints, mesh and camera.

        Args:
            evidence: by `input`: heatmaps (B, K, S, S), or their tokens (B, T, D) already
                projected with `grid_weight` and `grid_bias`, or a function that makes the tokens
                from these two; silhouettes (B, 1, S, S); coordinates (B, K, 3) as (x, y in
                [-1, 1], confidence); image features (B, C, h, w).
            generator: draws the masked queries of training mode; the default stream if absent.

        Returns:
            joints (B, 14, 3) and vertices {count: (B, count, 3)} from the coarse level to 6,890,
            metres, relative to the Human3.6M pelvis, x right, y down, z forward; cam (B, 3). Of
            a hand: 21 joints and 778 vertices, relative to the wrist.
        """
        grid = self._project_grid(evidence)
        masked = self._masked_queries(len(grid), generator, grid.device)
        first, *others, last = self.blocks
        hidden = first.encode(self._project_inputs(first.embed, grid, masked))
        x = first.out(hidden) + self._project_inputs(first.residual, grid, masked)
        for block in others:
            x = block.out(block.encode(block.embed(x))) + block.residual(x)
        return self._outputs(last.encode(last.embed(x)), x)

    def predict(self, evidence: Tensor) -> dict[str, Tensor]:
        """`vertices` (B, V, 3) of the full mesh and the `cam` (B, 3) that projects them."""
        output = self.forward(evidence)
        return {"vertices": output["vertices"][self.sizes[-1]], "cam": output["cam"]}

    def _project_grid(self, evidence: Tensor | TokenMaker) -> Tensor:
        """(B, T, D) evidence tokens."""
        if callable(evidence):
            tokens = evidence(self.grid_weight, self.grid_bias)
        elif self.options.input in MAPS and evidence.ndim == 4:
            patch = self.options.heatmap.patch
            tokens = dense_tokens(evidence, self.grid_weight, self.grid_bias, patch)
        elif self.options.input in MAPS:
            tokens = evidence
        elif self.options.input == "coordinates":
            weighted = evidence[..., :2] * evidence[..., 2:]  # a missing joint says nothing
            tokens = self.grid(torch.cat([weighted, evidence[..., 2:]], dim=-1))
        else:
            tokens = self.grid(evidence.flatten(2).transpose(1, 2))
        if tokens.shape[1] != self.grid_tokens:
            raise ValueError(f"{tokens.shape[1]} evidence tokens, expected {self.grid_tokens}")
        return tokens if self.grid_mlp is None else self.grid_mlp(tokens)

    def _project_inputs(self, linear: nn.Linear, grid: Tensor, masked: Tensor | None) -> Tensor:
        """`linear` of all input tokens (B, N, out), the queries' zeros left out of the product."""
        weight, bias = linear.weight, linear.bias
        with full_precision(grid):
            queries = F.linear(self.template, weight[:, :3], bias).expand(len(grid), -1, -1)
            if self.options.query == "pooled":
                pooled = grid.float().mean(1)[:, 3:]
                queries = queries + F.linear(pooled, weight[:, 3:])[:, None]
            if masked is not None:
                constant = self.options.mask_value * weight.sum(1) + bias
                queries = torch.where(masked[..., None], constant, queries)
        parts = [queries, linear(grid)]
        if self.camera_token is not None:
            parts.insert(1, linear(self.camera_token).expand(len(grid), 1, -1))
        return torch.cat(parts, dim=1)

    def _masked_queries(
        self, batch: int, generator: torch.Generator | None, device: torch.device
    ) -> Tensor | None:
        """(B, queries) True where masked vertex modelling hides a query; None outside training.

        Per sample up to a share `mvm_max` of the joints and, drawn apart, of the vertices.
        """
        if not self.training or self.options.mvm_max == 0:
            return None
        parts = []
        for count in (self.options.joints, self.queries - self.options.joints):
            draw = {"generator": generator, "device": generator.device if generator else device}
            share = torch.rand(batch, 1, **draw) * self.options.mvm_max
            rank = torch.rand(batch, count, **draw).argsort(1).argsort(1)
            parts.append(rank < (share * count).floor())
        return torch.cat(parts, dim=1).to(device)

    def _outputs(self, hidden: Tensor, inputs: Tensor) -> dict:
        """The last block's head in float32, up-sampling and camera."""
        last = self.blocks[-1]
        with full_precision(hidden):
            count = self.queries
            points = last.out(hidden[:, :count].float()) + last.residual(inputs[:, :count].float())
            joints, coarse = points.split([self.options.joints, self.sizes[0]], dim=1)
            if self.camera_token is not None:
                cam = self.camera(hidden[:, count].float())
            else:
                cam = self.camera(points if self.options.part == "hand" else coarse)
            finer = self.upsampling(coarse)
        vertices = dict(zip(self.sizes, [coarse, *finer], strict=True))
        return {"joints": joints, "vertices": vertices, "cam": cam}


def _level(options: MeshTransformerSettings, part: Topology) -> int:
    """Which of the part's mesh levels the vertex queries are."""
    sizes = [len(ids) for ids in part.levels]
    if options.vertices not in sizes:
        expected = f"a level of the {part.part}: {sizes}"
        raise InputError("network", "vertices", options.vertices, expected)
    return sizes.index(options.vertices)


def _template(part: Topology, level: int) -> Tensor:
    """(J + n, 3) joints and coarse vertices of the rest pose, facing the camera, from the root.

    The mean shape, turned by pi about x because the camera's y axis points down.
    """
    vertices = part.v_template * [1.0, -1.0, -1.0]
    vertices = vertices - vertices.mean(0)  # the regressor's rows sum to one only nearly
    joints = part.regressor @ vertices
    points = [joints[part.rows], vertices[part.levels[level]]]
    points = [points_of - joints[0] for points_of in points]
    return torch.cat([torch.as_tensor(points_of, dtype=torch.float32) for points_of in points])


def build(settings: dict, assets: BodyAssets, where: str = "network") -> MeshTransformer:
    """The network that `settings` describe."""
    return MeshTransformer(read_mesh_transformer_settings(settings, where), assets)
