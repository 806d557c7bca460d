"""The schema of every network's settings, by its `kind`."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pipeline.params.reader import Amount, Positive, Range, Refused, Share, Tagged

ImageSize = Annotated[int, Range(32)]


@dataclass(frozen=True)
class Backbone:
    """A ResNet; `width` multiplies its channels."""

    depth: Literal[18, 34, 50, 101]
    width: Annotated[float, Range(0.0625)]


@dataclass(frozen=True)
class MeanPose:
    """Predicts the mean body for every image."""

    kind: Literal["mean_pose"]
    image_size: ImageSize


@dataclass(frozen=True)
class MeanHand:
    """Predicts the mean hand for every image."""

    kind: Literal["mean_hand"]
    image_size: ImageSize


@dataclass(frozen=True)
class SimpleBaseline:
    """2D pose network: a backbone and deconvolutions to heatmaps, or to one silhouette."""

    kind: Literal["simple_baseline"]
    image_size: ImageSize
    backbone: Backbone
    deconv: list[Positive]
    joint_set: str
    output: Literal["heatmaps", "silhouette"] = "heatmaps"


@dataclass(frozen=True)
class HigherHRNet:
    """2D pose network with two heatmap resolutions."""

    kind: Literal["higher_hrnet"]
    image_size: ImageSize
    width: Positive = 32
    modules: list[Positive] = field(default_factory=lambda: [1, 4, 3])
    joint_set: str = "coco17"


@dataclass(frozen=True)
class Hmr:
    """Iterative regression of SMPL parameters from one image feature."""

    kind: Literal["hmr"]
    image_size: ImageSize
    backbone: Backbone
    hidden: Positive
    dropout: Share
    iterations: Positive
    supervise: Literal["last", "all"]


@dataclass(frozen=True)
class Pymaf:
    """Regression with features sampled at the projected mesh; `hidden` etc. as in hmr.

    What has a default is a choice of the released code that the paper leaves open or ablates.
    """

    kind: Literal["pymaf"]
    image_size: ImageSize
    backbone: Backbone
    hidden: Positive
    dropout: Share
    iterations: Positive
    supervise: Literal["last", "all"]
    deconv: list[Positive]
    feature_dims: list[Positive]
    feedback: Literal["mesh", "grid", "global"]
    pyramid: bool
    grid_size: Positive
    vertices: Positive
    auxiliary: Literal["iuv", "none", "parts"]
    input: Literal["feature", "auxiliary", "feature_x_mask"] = "feature"
    initial: Literal["grid", "mean_mesh"] | None = None
    skip: bool = True
    align_corners: bool = True
    annotation: bool = True


@dataclass(frozen=True)
class Heatmap:
    """Input maps of the mesh transformer: side and patch in px."""

    size: Positive
    patch: Positive
    joint_set: str
    grid_projection: Literal["linear", "mlp_gelu"]


@dataclass(frozen=True)
class MeshTransformer:
    """Joint and vertex queries that attend to heatmap tokens."""

    kind: Literal["mesh_transformer"]
    image_size: ImageSize
    heatmap: Heatmap
    hidden: list[Positive]
    token_dims: list[Positive]
    layers: Positive
    heads: Positive
    feedforward: Positive | Literal["2x", "4x"]
    dropout: Share
    vertices: Positive
    joints: Literal[14, 21]
    query: Literal["template", "pooled"]
    upsample: Literal["learned", "fixed"]
    camera: Literal["linear", "token"]
    mvm_max: Share
    mask_value: Amount
    input: Literal["heatmaps", "coordinates", "image_features", "silhouettes"] = "heatmaps"
    feature_channels: Positive | None = None
    positions: Literal["learned", "sine"] = "learned"
    part: Literal["body", "hand"] = "body"

    def __post_init__(self) -> None:
        if self.heatmap.size % self.heatmap.patch:
            saw = f"{self.heatmap.size} px maps"
            raise Refused("heatmap.patch", f"{self.heatmap.patch} with {saw}", "a divisor of it")
        if len(self.hidden) != len(self.token_dims):
            raise Refused("token_dims", self.token_dims, f"one for each hidden of {self.hidden}")


@dataclass(frozen=True)
class Mpt:
    """A 2D pose network whose maps feed a mesh transformer."""

    kind: Literal["mpt"]
    image_size: ImageSize
    pose_network: Annotated[
        object, Tagged({"simple_baseline": SimpleBaseline, "higher_hrnet": HigherHRNet})
    ]
    regressor: MeshTransformer
    input: Literal["pose_maps", "image_features", "coordinates", "silhouettes"]
    freeze_backbone: bool
    freeze_batchnorm: bool = False


NETWORKS = {
    "mean_pose": MeanPose,
    "mean_hand": MeanHand,
    "simple_baseline": SimpleBaseline,
    "higher_hrnet": HigherHRNet,
    "hmr": Hmr,
    "pymaf": Pymaf,
    "mesh_transformer": MeshTransformer,
    "mpt": Mpt,
}
Network = Annotated[object, Tagged(NETWORKS)]
