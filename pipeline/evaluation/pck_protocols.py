"""Protocols of MPI-INF-3DHP and MuPoTS-3D: the share of 3D joints within 150 mm.

Sources: Mehta et al. 2017 and 2018 and their evaluation kits; SPIN-family evaluation for the
17 joints and the root; the pre-training study (Choi et al. 2023), Sec. 4.1, for MuPoTS-3D.
"""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class PckProtocol:
    """What exactly is measured.

    Attributes:
        name: the key under which `params.yaml` and the tables ask for it.
        version: raised whenever a number measured under it could change.
        dataset: the benchmark whose records it reads.
        frames: the rule by which the records were selected, in words.
        joint_set: joints that the predicted mesh is regressed to.
        scored: joints that count, in words.
        regressor: how the predicted joints come from the mesh, in words.
        gt_joints: which of the dataset's own 3D joints are the truth.
        root: point that both sides are centred on.
        people: how predictions and annotated people are brought together, in words.
        threshold_mm: of PCK.
        auc_mm: first, last and step of the thresholds whose mean PCK is the AUC.
        metrics: what is reported, in this order.
        module: where its `measure` is.
    """

    name: str
    version: int
    dataset: str
    frames: str
    joint_set: str
    scored: str
    regressor: str
    gt_joints: str
    root: str
    people: str
    threshold_mm: float
    auc_mm: tuple[float, float, float]
    metrics: tuple[str, ...]
    module: str

    def describe(self) -> dict:
        """The object as plain values, for metrics files."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


_SHARED = {
    "version": 1,
    "regressor": "h36m, joints brought to MPI-INF-3DHP's by name: head top from Human3.6M's head, "
    "head from its jaw; the two sets mark hips, spine, neck and head slightly apart",
    "gt_joints": "univ_annot3 (scaled to the universal skeleton)",
    "root": "pelvis",
    "threshold_mm": 150.0,
    "auc_mm": (0.0, 150.0, 5.0),
}
_MPI = {
    **_SHARED,
    "dataset": "mpi_inf_3dhp",
    "frames": "TS1 to TS6, valid_frame",
    "people": "one",
    "metrics": ("pck", "auc", "mpjpe", "pa_pck", "pa_auc", "pa_mpjpe"),
    "module": "pipeline.evaluation.mpi_inf_3dhp",
}
MUPOTS_BONES = {"": True, "_own_bones": False}  # ending of the metric -> predicted bones rescaled
MUPOTS_POOLS = {"": "mean", "_pooled": "pooled"}
MUPOTS_MODES = ("all", "matched")
MUPOTS_METRICS = (
    *(
        f"{metric}_{mode}{bones}{pool}"
        for bones in MUPOTS_BONES
        for mode in MUPOTS_MODES
        for pool in MUPOTS_POOLS
        for metric in ("pck", "auc")
    ),
    "pck_visible",
    "pck_hidden",
)

PCK_PROTOCOLS: dict[str, PckProtocol] = {
    p.name: p
    for p in (
        PckProtocol("mpi_inf_3dhp", joint_set="mpi17", scored="all 17", **_MPI),
        PckProtocol(
            "mpi_inf_3dhp_14", joint_set="j14", scored="14: no pelvis, spine, head", **_MPI
        ),
        PckProtocol(
            "mupots",
            dataset="mupots",
            frames="TS1 to TS20, isValidFrame",
            joint_set="mpi17",
            scored="14: no pelvis, spine, head",
            people="ground-truth boxes; the mesh is moved to the annotated root, projected and "
            "matched to the annotation with most joints within 40 px; _all counts people without "
            "match as misses, _matched leaves them out; predicted bones take the lengths of the "
            "annotated ones, except in _own_bones; the mean over sequences, _pooled over all "
            "people, as are _visible and _hidden joints",
            metrics=MUPOTS_METRICS,
            module="pipeline.evaluation.mupots_records",
            **_SHARED,
        ),
    )
}  # fmt: skip
