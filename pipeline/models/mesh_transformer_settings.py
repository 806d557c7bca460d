"""Settings of the mesh transformer: the paper's numbers, and its open points as switches."""

import math
from dataclasses import dataclass, field

from pipeline.body.part_of import HAND_SET
from pipeline.body.topology import JOINTS
from pipeline.errors import InputError
from pipeline.joints import JOINT_SETS
from pipeline.models.resnet import STRIDE
from pipeline.models.settings import choice, read_settings


@dataclass(frozen=True)
class HeatmapSettings:
    """Side of the maps and of a patch in pixels, and how patches become tokens."""

    size: int = 224
    patch: int = 8
    joint_set: str = "coco17"
    grid_projection: str = choice("linear", "mlp_gelu")


@dataclass(frozen=True)
class MeshTransformerSettings:
    """Sizes and readings of the paper's open points; the defaults are the paper's numbers."""

    kind: str = "mesh_transformer"
    part: str = choice("body", "hand")
    image_size: int = 224
    heatmap: HeatmapSettings = field(default_factory=HeatmapSettings)
    input: str = choice("heatmaps", "coordinates", "image_features", "silhouettes")
    feature_channels: int | None = None  # of image features
    hidden: tuple[int, ...] = (1024, 256, 64)
    token_dims: tuple[int, ...] = (2051, 512, 128)
    layers: int = 4
    heads: int = 4
    feedforward: int | str = 3072  # or a multiple of the hidden width: "4x", "2x"
    dropout: float = 0.1
    vertices: int = 431
    joints: int = 14
    query: str = choice("template", "pooled")
    positions: str = choice("learned", "sine")  # of the evidence; those of queries are learned
    upsample: str = choice("learned", "fixed")
    camera: str = choice("linear", "token")
    mvm_max: float = 0.3
    mask_value: float = 0.01

    def grid_shape(self) -> tuple[int, int]:
        """Number of evidence tokens and of values in each before projection."""
        if self.input == "coordinates":
            return len(JOINT_SETS[self.heatmap.joint_set]), 3
        if self.input == "image_features":
            return math.ceil(self.image_size / STRIDE) ** 2, self.feature_channels
        side = self.heatmap.size // self.heatmap.patch
        channels = len(JOINT_SETS[self.heatmap.joint_set])
        if self.input == "silhouettes":
            channels = 1
        return side**2, channels * self.heatmap.patch**2

    def feedforward_width(self, hidden: int) -> int:
        """Inner width of the feed-forward layers of a block."""
        if isinstance(self.feedforward, int):
            return self.feedforward
        return hidden * int(self.feedforward.removesuffix("x"))


def read_mesh_transformer_settings(settings: dict, where: str) -> MeshTransformerSettings:
    """The settings, checked against each other.

    Raises:
        InputError: for unknown keys and values that do not fit together.
    """
    options = read_settings(MeshTransformerSettings, settings, where)
    heatmap, blocks = options.heatmap, len(options.hidden)
    if heatmap.joint_set not in JOINT_SETS:
        expected = f"one of {', '.join(JOINT_SETS)}"
        raise InputError(where, "heatmap.joint_set", heatmap.joint_set, expected)
    if heatmap.size % heatmap.patch:
        raise InputError(where, "heatmap.patch", heatmap.patch, f"a divisor of {heatmap.size}")
    if blocks < 2 or len(options.token_dims) != blocks:
        saw = f"{len(options.token_dims)} numbers for {blocks} blocks"
        raise InputError(where, "token_dims", saw, "one per block, two blocks at least")
    for width in options.hidden:
        if width % options.heads:
            raise InputError(where, "hidden", width, f"a multiple of heads, {options.heads}")
        if options.positions == "sine" and width % 4:
            raise InputError(where, "hidden", width, "a multiple of 4 for positions: sine")
    if options.positions == "sine" and options.input == "coordinates":
        raise InputError(where, "positions", "sine for coordinates", "learned: there is no grid")
    inner = options.feedforward
    if isinstance(inner, str) and not inner.removesuffix("x").isdigit():
        raise InputError(where, "feedforward", repr(inner), "a width, or a factor such as 4x")
    if options.joints != JOINTS[options.part]:
        expected = f"{JOINTS[options.part]} joint queries of a {options.part}"
        raise InputError(where, "joints", options.joints, expected)
    if (heatmap.joint_set == HAND_SET) != (options.part == "hand"):
        expected = f"the joints of a {options.part}"
        raise InputError(where, "heatmap.joint_set", heatmap.joint_set, expected)
    return options
