"""The schema of a run, by its objective, and what of it can influence the outcome."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pipeline.params.networks import Network
from pipeline.params.reader import Amount, Count, Positive, Range, Share, Tagged, read
from pipeline.params.sections import Augmentation, Training

# Of training: change no result.
PASSIVE = ("threads", "workers", "checkpoint_every", "checkpoint_activations")
IUV_LOSSES = ("iuv_index", "iuv_annotation", "iuv_uv", "iuv_size")
IUV_SWITCHES = ("uv_pixels", "uv_mean", "annotation")
Init = dict[str, str | None]


@dataclass(frozen=True)
class Images:
    """Records that a run draws from, by probability, and those that it is validated on.

    `fraction` keeps a seeded share of the records of each dataset; a smaller share is part of a
    larger one. `protocol` is how a body is validated, freihand for hands.
    """

    mixture: dict[str, Share]
    validation: str | None = None
    fraction: Annotated[float, Range(1e-6, 1)] = 1.0
    protocol: str = "pw3d_rooted"


@dataclass(frozen=True)
class Meshes:
    """The pairs that a run draws from; `heading` keeps or replaces their headings."""

    pairs: str
    heading: Literal["keep", "random"] = "keep"


@dataclass(frozen=True)
class ParametricLoss:
    """Weights of the SMPL losses; iuv_size is the side of the dense target.

    The last seven are the preset's, unless they are given.
    """

    preset: Literal["official", "paper"]
    keypoints_2d: Amount
    keypoints_3d: Amount
    pose: Amount
    betas: Amount
    camera: Amount
    iuv_index: Amount | None = None
    iuv_annotation: Amount | None = None
    iuv_uv: Amount | None = None
    iuv_size: Positive | None = None
    mean_2d: Literal["slots", "labelled"] | None = None
    mean_3d: Literal["all", "labelled"] | None = None
    parameters: Literal["mean", "norm"] | None = None
    camera_term: Literal["prior", "supervised", "none"] | None = None
    uv_pixels: Literal["all", "foreground"] | None = None
    uv_mean: Literal["batch", "labelled"] | None = None
    annotation: bool | None = None


@dataclass(frozen=True)
class MeshLoss:
    """Weights of the mesh losses; level_weights share `vertices` between resolutions.

    The last three are FastMETRO's surface terms.
    """

    preset: Literal["paper", "metro", "fastmetro", "graphormer_l1", "metro_hand", "fastmetro_hand"]
    vertices: Amount
    joints: Amount
    regressed_joints: Amount
    projection: Amount
    level_weights: list[Amount]
    edge_gt: Amount | None = None
    edge_self: Amount | None = None
    normal: Amount | None = None


@dataclass(frozen=True)
class Pose2dLoss:
    """Spread of the target heatmaps in px of the output map."""

    sigma: Annotated[float, Range(0.1)]


@dataclass(frozen=True)
class Corruption:
    """What makes synthetic joints look detected."""

    sigma: Annotated[float, Range(0.1)]
    convention: Literal["mpt", "gaussian"]
    mhm_max: Share
    jitter: Literal["none", "isotropic", "coco_synth"]
    jitter_px: Amount
    noise_std: Amount
    noise_probability: Share


@dataclass(frozen=True)
class _Run:
    """What every run has."""

    objective: str
    network: Network
    training: Training
    seed: Count


@dataclass(frozen=True)
class Parametric(_Run):
    """SMPL parameters from images."""

    data: Images
    augmentation: Augmentation
    loss: ParametricLoss | None = None
    init: Init = field(default_factory=dict)


@dataclass(frozen=True)
class MeshFinetune(_Run):
    """A mesh from images."""

    data: Images
    augmentation: Augmentation
    loss: MeshLoss
    init: Init = field(default_factory=dict)


@dataclass(frozen=True)
class MeshPretrain(_Run):
    """A mesh from synthetic heatmaps."""

    data: Meshes
    augmentation: Augmentation  # the colour gain has nothing to act on
    corruption: Corruption
    loss: MeshLoss
    init: Init = field(default_factory=dict)


@dataclass(frozen=True)
class Pose2d(_Run):
    """2D joints from images."""

    data: Images
    augmentation: Augmentation
    loss: Pose2dLoss
    init: Init = field(default_factory=dict)


@dataclass(frozen=True)
class Silhouette(_Run):
    """Who is foreground, from images; the target is that of rendered IUV."""

    data: Images
    augmentation: Augmentation
    init: Init = field(default_factory=dict)


OBJECTIVES = {
    "parametric": Parametric,
    "mesh_finetune": MeshFinetune,
    "mesh_pretrain": MeshPretrain,
    "pose2d": Pose2d,
    "silhouette": Silhouette,
}
WHOLE = "network"  # the part of init that means all of a network
FEATURES = "features"  # all of a pose network but the layers that depend on its joints
INIT_PARTS = {
    "mean_pose": (),
    "mean_hand": (),
    "simple_baseline": ("backbone", FEATURES),
    "higher_hrnet": (FEATURES,),
    "hmr": ("backbone",),
    "pymaf": ("backbone",),
    "mesh_transformer": (),
    "mpt": ("pose_network", "backbone", "regressor"),
}


def read_run(settings: Any, path: str) -> object:
    """Return the typed run.

    Raises:
        Refused: at the first key or value that the run's objective does not have.
    """
    return read(Annotated[object, Tagged(OBJECTIVES, "objective")], settings, path)


def kinds(network: Any) -> list[str]:
    """Return the kinds of a network and of those inside it, sorted."""
    found = {network["kind"]} if "kind" in network else set()
    for value in network.values():
        if isinstance(value, dict):
            found.update(kinds(value))
    return sorted(found)


def influences(settings: dict) -> dict:
    """Return the part of a run's resolved settings that can change its outcome.

    An untrained run depends on its network, its seed and what it starts from. Operational keys of
    `training` change no result, and without auxiliary supervision no IUV loss is computed.
    """
    kept = {k: settings[k] for k in ("objective", "network", "init", "seed")}
    if not settings["training"]["steps"]:
        judged = {k: v for k, v in settings["data"].items() if k in ("validation", "protocol")}
        return {**kept, "data": {"validation": None, **judged}, "training": {"steps": 0}}
    training = {k: v for k, v in settings["training"].items() if k not in PASSIVE}
    loss = settings.get("loss") or {}
    if not has_iuv_loss(settings):
        loss = {k: v for k, v in loss.items() if k not in (*IUV_LOSSES, *IUV_SWITCHES)}
    rest = {k: settings[k] for k in ("data", "corruption", "augmentation") if k in settings}
    if "pairs" in settings["data"]:  # no image, nothing for the colour gain to act on
        rest["augmentation"] = {k: v for k, v in rest["augmentation"].items() if k != "gain"}
    return {**kept, **rest, "loss": loss, "training": training}


def has_iuv_loss(settings: dict) -> bool:
    """Return whether a run has an auxiliary head that learns from rendered IUV."""
    trained = settings["training"]["steps"] > 0
    return trained and settings["network"].get("auxiliary", "none") != "none"


def uses_iuv(settings: dict) -> bool:
    """Return whether a run learns from rendered IUV, or from the outline of it."""
    outline = settings["objective"] == "silhouette" and settings["training"]["steps"] > 0
    return outline or has_iuv_loss(settings)
