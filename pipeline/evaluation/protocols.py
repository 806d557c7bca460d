"""Evaluation protocols as named, versioned objects.

Most disagreements between published numbers come from what a protocol leaves unsaid: the gender of
the ground truth, the regressor, the root, which frames. Here each of these is a field, and every
metrics file carries the whole object beside its numbers.

Sources: PyMAF, Sec. 4.1 and the SPIN-family evaluation scripts; MPT, Sec. 4.1, which follows the
METRO family.
"""

from dataclasses import asdict, dataclass

from pipeline.errors import InputError
from pipeline.evaluation.image_protocols import IMAGE_PROTOCOLS, ImageProtocol
from pipeline.evaluation.pck_protocols import PCK_PROTOCOLS, PckProtocol
from pipeline.evaluation.shape_protocols import SHAPE_PROTOCOLS, HandProtocol


@dataclass(frozen=True)
class Protocol:
    """What exactly is measured.

    Attributes:
        name: the key under which `params.yaml` and the tables ask for it.
        version: raised whenever a number measured under it could change.
        dataset: the benchmark whose records it reads.
        frames: the rule by which the records were selected, in words.
        camera: only records of this camera count; None takes all.
        frame_step: the records' frames are multiples of this; None: any.
        joint_set: joints that are compared.
        regressor: regressor of the predicted joints, from the predicted mesh.
        gt_joints: "mesh" regresses them from the ground-truth mesh with the same regressor,
            "annotated" takes the dataset's own 3D joints, "spin24" regresses them from the
            ground-truth mesh with another set: joints of SMPL's tree, hips, neck and head of
            the extra regressor.
        gt_gender: "annotated" poses the ground truth with each subject's gendered model,
            "neutral" with the neutral one.
        root: point that both sides are centred on for MPJPE: "pelvis" or "mid_hip".
        pve_root: the same for the mesh; "none" compares both in the body model's own frame.
        metrics: what is reported, in this order.
        module: where its `measure` is, whose keyword arguments are those of `measure.measure`.
    """

    name: str
    version: int
    dataset: str
    frames: str
    camera: str | None
    frame_step: int | None
    joint_set: str
    regressor: str
    gt_joints: str
    gt_gender: str
    root: str
    pve_root: str
    metrics: tuple[str, ...]
    module: str = "pipeline.evaluation.measure"

    def describe(self) -> dict:
        """The object as plain values, for metrics files."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


_PW3D = {
    "version": 1,
    "dataset": "pw3d",
    "frames": "test sequences, frames with a valid camera pose",
    "camera": None,
    "frame_step": None,
    "joint_set": "j14",
    "regressor": "h36m",
    "metrics": ("mpjpe", "pa_mpjpe", "pve"),
}
_SAME = {**_PW3D, "gt_joints": "mesh", "root": "pelvis"}  # one regressor for both sides
_H36M = {
    "version": 1,
    "dataset": "h36m",
    "joint_set": "j14",
    "regressor": "h36m",
    "gt_joints": "annotated",
    "gt_gender": "neutral",
    "pve_root": "none",
    "metrics": ("mpjpe", "pa_mpjpe"),
}
H36M_FRONTAL_CAMERA = "60457274"
_STEP_5 = {**_H36M, "frames": "S9 and S11, every 5th frame of 50 fps", "frame_step": 5}
_STEP_64 = {**_H36M, "frames": "S9 and S11, every 64th frame of 50 fps", "frame_step": 64}
# Annotated are LSP joints: their head top is not the H36M head, so 13 of the 14 joints count.
# They have no pelvis to trust, and their unit is a choice of the conversion; the mesh's is not.
_OH3D = {
    "version": 1,
    "dataset": "oh3d",
    "frames": "testset, 1,290 images",
    "camera": None,
    "frame_step": None,
    "joint_set": "j14",
    "regressor": "h36m",
    "gt_gender": "neutral",
    "metrics": ("pve", "mpjpe"),
}

ITERATIONS = range(4)  # the mean parameters, and three updates
ITERATION_METRICS = tuple(f"{m}_m{k}" for m in ("mpjpe", "pa_mpjpe") for k in ITERATIONS)
_AFTER_EACH = {**_STEP_5, "metrics": ITERATION_METRICS}

AnyProtocol = Protocol | ImageProtocol | PckProtocol | HandProtocol
PROTOCOLS: dict[str, AnyProtocol] = {
    p.name: p
    for p in (
        Protocol("pw3d_spin", gt_gender="annotated", pve_root="none", **_SAME),
        Protocol("pw3d_rooted", gt_gender="annotated", pve_root="pelvis", **_SAME),
        Protocol("pw3d_neutral", gt_gender="neutral", pve_root="pelvis", **_SAME),
        Protocol("pw3d_metro", gt_gender="neutral", pve_root="pelvis", gt_joints="spin24",
                 root="mid_hip", **_PW3D),
        Protocol("h36m_p1", camera=None, root="pelvis", **_STEP_5),
        Protocol("h36m_p2", camera=H36M_FRONTAL_CAMERA, root="pelvis", **_STEP_5),
        Protocol("h36m_p2_iterations", camera=H36M_FRONTAL_CAMERA, root="pelvis",
                 module="pipeline.evaluation.iterations", **_AFTER_EACH),
        Protocol("h36m_p2_metro", camera=H36M_FRONTAL_CAMERA, root="mid_hip", **_STEP_5),
        Protocol("h36m_p2_64", camera=H36M_FRONTAL_CAMERA, root="pelvis", **_STEP_64),
        Protocol("oh3d", gt_joints="annotated", root="mid_hip", pve_root="none", **_OH3D),
        Protocol("oh3d_rooted", gt_joints="mesh", root="pelvis", pve_root="pelvis", **_OH3D),
    )
}  # fmt: skip
PROTOCOLS |= IMAGE_PROTOCOLS | PCK_PROTOCOLS | SHAPE_PROTOCOLS


def get_protocol(name: str) -> AnyProtocol:
    """The protocol of this name.

    Raises:
        InputError: if there is none.
    """
    if name not in PROTOCOLS:
        raise InputError("params.yaml", "protocol", repr(name), "one of " + ", ".join(PROTOCOLS))
    return PROTOCOLS[name]
