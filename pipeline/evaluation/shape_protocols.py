"""Protocols of hands (FreiHAND) and of body shape (SSP-3D).

Sources: Zimmermann et al. 2019 (FreiHAND) and its evaluation script, MPT, Table 6; Sengupta et
al. 2020 (SSP-3D) and its metrics, PyMAF, Table 7 (which says neither how it averages the overlap
nor at which size: both means are reported, in the original images).
"""

from dataclasses import asdict, dataclass

from pipeline.evaluation.image_protocols import ImageProtocol


@dataclass(frozen=True)
class HandProtocol:
    """What exactly is measured of hands.

    Attributes:
        name: the key under which `params.yaml` and the tables ask for it.
        version: raised whenever a number measured under it could change.
        dataset: the benchmark whose records it reads.
        frames: the rule by which the records were selected, in words.
        joint_set: joints that are compared.
        regressor: where the predicted joints come from, in words.
        tips: whose finger tip vertices are used, key of `hands.TIPS`.
        alignment: how each sample is aligned, in words.
        metrics: what is reported, in this order.
        module: where its `measure` is.
        test_time: whether predictions of turned and scaled images are averaged, by the section
            `evaluation.test_time`.
    """

    name: str
    version: int
    dataset: str
    frames: str
    joint_set: str
    regressor: str
    tips: str
    alignment: str
    metrics: tuple[str, ...]
    module: str
    test_time: bool = False

    def describe(self) -> dict:
        """The object as plain values, for metrics files."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


_FREIHAND = {
    "version": 1,
    "dataset": "freihand",
    "frames": "evaluation, 3,960 images",
    "joint_set": "freihand21",
    "regressor": "MANO's from the predicted mesh, and five of its vertices",
    "tips": "freihand",
    "metrics": ("pa_mpvpe", "pa_mpjpe", "f_5", "f_15"),
    "module": "pipeline.evaluation.freihand",
}
_ALIGNED = (
    "joints and vertices separately: scale, translation and orthogonal Procrustes, "
    "reflections not excluded; "
)
_SSP3D = {
    "version": 1,
    "dataset": "ssp3d",
    "frames": "all, 311 images",
    "prediction": "silhouette of the predicted mesh in the original image of 512 px, focal length "
    "5000 of the crop; shape: T-pose of the predicted betas with the neutral model against the "
    "annotated ones with theirs, after scale and translation",
    "truth": "silhouettes",
    "module": "pipeline.evaluation.ssp3d",
}
OVERLAPS = ("miou_pooled", "miou_mean")

SHAPE_PROTOCOLS: dict[str, HandProtocol | ImageProtocol] = {
    p.name: p
    for p in (
        HandProtocol("freihand", alignment=_ALIGNED + "no test-time augmentation", **_FREIHAND),
        HandProtocol(
            "freihand_test_time",
            alignment=_ALIGNED + "meshes of turned and scaled images, aligned likewise to that "
            "of the image as it is, averaged before",
            test_time=True,
            **_FREIHAND,
        ),
        ImageProtocol("ssp3d", metrics=(*OVERLAPS, "pve_t_sc"), **_SSP3D),
        ImageProtocol("ssp3d_silhouette", metrics=OVERLAPS, **_SSP3D),
    )
}
