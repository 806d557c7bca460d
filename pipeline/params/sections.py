"""The schema of params.yaml: one dataclass a section, outside the runs."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pipeline.params.reader import Amount, Count, Positive, Range, Refused, Share

Vector3 = tuple[float, float, float]
Pair = tuple[float, float]


@dataclass(frozen=True)
class Body:
    """Body model: shape coefficients, and mesh resolutions below the full one."""

    num_betas: Annotated[int, Range(1, 10)]
    levels: list[Positive]

    def __post_init__(self) -> None:
        if sorted(set(self.levels), reverse=True) != self.levels:
            raise Refused("body.levels", self.levels, "ever fewer vertices")


@dataclass(frozen=True)
class Crop:
    """The stored square: side in px, margin around the person box, JPEG quality."""

    size: Positive
    margin: Annotated[float, Range(1)]
    jpeg_quality: Annotated[int, Range(1, 100)]


@dataclass(frozen=True)
class Dataset:
    """How one raw distribution becomes records; `splits` maps a split to what it takes."""

    converter: str
    box_factor: Annotated[float, Range(0.1)]
    splits: dict[str, dict[str, Any]]
    frame_step: Positive | None = None
    labels: Literal["NeuralAnnot", "SMPLify-X", "EFT", "MoSh", "SMPL"] | None = None
    labels_file: str | None = None
    box: Literal["ground_truth_bb", "ground_truth_bs", "segmentation", "keypoints"] | None = None
    folder: str | None = None
    images: str | None = None
    year: Literal[2014, 2017] | None = None
    skip_sequences: list[str] | None = None
    min_limb_joints: Annotated[int, Range(0, 12)] | None = None
    min_keypoints: Annotated[int, Range(1, 17)] | None = None
    hidden_joints: Literal["keep", "drop"] | None = None
    hourglass_box: bool | None = None
    skip_origins: list[str] | None = None
    correct_s9: bool | None = None
    symmetry_file: str | None = None
    resolution: Literal[720, 2160] | None = None
    form: Literal["light", "neuralannot"] | None = None
    every: Positive | None = None
    crop: Crop | None = None


@dataclass(frozen=True)
class Data:
    """Conversion of every dataset."""

    crop: Crop
    max_bad_share: Share
    count_tolerance: Share
    datasets: dict[str, Dataset]


@dataclass(frozen=True)
class Mocap:
    """Sampling of motion capture."""

    count: Positive
    rate_hz: Annotated[float, Range(0.1)]
    trim: Annotated[float, Range(0, 0.49)]
    min_frames: Positive
    hold_out: list[str]
    datasets: list[str]


@dataclass(frozen=True)
class Camera:
    """A virtual camera of known intrinsics and pose; lengths in millimetres and pixels."""

    id: str
    quaternion: tuple[float, float, float, float]
    centre: Vector3
    focal: Pair
    principal: Pair
    resolution: tuple[Positive, Positive]
    distortion: tuple[float, float, float, float, float] | None = None


@dataclass(frozen=True)
class Pairs:
    """One named set of (2D joints, mesh) pairs."""

    views: Literal[1, 2, 4, 8]
    views_per_mesh: Literal["random", "all"]
    placement: Literal["h36m_extrinsics", "pose2mesh"]
    distort: bool
    gender: Literal["recorded", "neutral"]
    heading_deg: Annotated[float, Range(0, 180)] | None
    box_factor: Annotated[float, Range(0.1)]
    percent: Annotated[float, Range(0, 100)]


@dataclass(frozen=True)
class HandPairs:
    """One named set of (2D joints, mesh) pairs of hands.

    `records` are where meshes and cameras come from. The first view of a mesh is the recorded
    one, in the others it is turned at random: by at most turn_deg, or null for any rotation.
    """

    records: list[str]
    views: Positive
    turn_deg: Annotated[float, Range(0, 180)] | None
    box_factor: Annotated[float, Range(0.1)]


@dataclass(frozen=True)
class Synthesis:
    """Virtual views of motion capture and of labelled hands."""

    cameras: list[Camera]
    pairs: dict[str, Pairs]
    hand_pairs: dict[str, HandPairs]


@dataclass(frozen=True)
class Iuv:
    """Rendered part and surface coordinates, of the stored crop."""

    resolution: Positive
    engine: Literal["zbuffer", "pyrender"]


@dataclass(frozen=True)
class Augmentation:
    """Random changes of a training image."""

    flip: Share
    rotation_deg: Annotated[float, Range(0, 90)]
    rotation_zero: Share
    scale: Annotated[float, Range(0, 0.9)]
    gain: Annotated[float, Range(0, 1)]


@dataclass(frozen=True)
class Training:
    """How a run is trained; `steps` is each run's own."""

    batch_size: Positive
    optimizer: Literal["adam", "adamw"]
    lr: Amount
    weight_decay: Amount
    warmup: Share
    decay: Literal["constant", "linear", "cosine"]
    clip_norm: Amount | None
    precision: Literal["auto", "32", "bf16-mixed", "16-mixed"]
    channels_last: bool
    compile: bool
    accumulate: Positive
    devices: Positive
    strategy: Literal["auto", "ddp", "deepspeed", "deepspeed_stage_1", "deepspeed_stage_2"]
    threads: Positive
    workers: Count
    checkpoint_every: Positive
    checkpoint_activations: bool
    validate_every: Count
    selection: Literal["last", "validation", "paper"]
    steps: Count | None = None


@dataclass(frozen=True)
class TestTime:
    """Turns and scales of an image over which the protocols that say so average meshes."""

    scales: list[Annotated[float, Range(0.1)]]
    rotations_deg: list[Annotated[float, Range(-180, 180)]]


@dataclass(frozen=True)
class Evaluation:
    """Which records each protocol reads, how they are gone through, the seeds of all tables."""

    batch_size: Positive
    bootstrap: Positive
    seeds: list[Count]
    test_time: TestTime
    protocols: dict[str, str]


@dataclass(frozen=True)
class Column:
    """Columns of a table: one protocol, some of its metrics.

    `where` narrows every row's reference to the paper's row that has these metrics, where the
    paper gives each metric a row.
    """

    protocol: str
    metrics: list[str]
    where: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reference:
    """One row of a paper's table: the table's file and the columns that pick the row."""

    table: str
    where: dict[str, str]


@dataclass(frozen=True)
class Row:
    """One row of a table: a run with changes to its settings.

    A row whose `run` is null shows what its reference reports, and nothing of ours. `group` is
    the part of the table that it stands in.
    """

    method: str
    run: str | None
    set: dict[str, Any] = field(default_factory=dict)
    reference: Reference | None = None
    group: str | None = None


@dataclass(frozen=True)
class Quoted:
    """Rows of a paper's table that no row of ours refers to; `label` is their column of names."""

    table: str
    where: dict[str, str] = field(default_factory=dict)
    label: str = "method"


@dataclass(frozen=True)
class Claim:
    """That one row of a table beats another; both are given by their method."""

    claim: str
    better: str
    worse: str


@dataclass(frozen=True)
class Table:
    """One table: rows are variants of runs, columns are metrics under a protocol.

    Without `seeds` of its own it has those of the section evaluation. The rows of `quoted` stand
    before its own.
    """

    title: str
    columns: list[Column]
    rows: list[Row]
    seeds: list[Count] | None = None
    quoted: Quoted | None = None
    claims: list[Claim] = field(default_factory=list)


@dataclass(frozen=True)
class Overlays:
    """Predictions drawn over images."""

    runs: list[str]
    protocol: str
    count: Positive


@dataclass(frozen=True)
class Figures:
    """What is drawn; `finetuning` names the table whose runs its picture shows."""

    curves: list[str]
    finetuning: str
    overlays: Overlays
    contact_sheets: list[str]
