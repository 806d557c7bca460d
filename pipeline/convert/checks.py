"""Gates that a conversion must pass: the traps of frames, units and sides, seen in the numbers.

Each looks at medians over a spread of the samples, so that single bad labels pass and a wrong
convention does not.
"""

from collections.abc import Mapping

import numpy as np
import torch

from pipeline.body.smpl import BodyModel, SMPLLayer
from pipeline.convert.common import Sample, project
from pipeline.errors import InputError
from pipeline.joints import JOINT_SETS, flip_permutation, index, indices
from pipeline.rotations import axis_angle_to_matrix

KEPT = 512  # samples looked at
REPROJECTION = 0.1  # largest median distance of model and label, in sides of the person box
LIMBS = tuple(
    f"{side}_{joint}" for side in "lr" for joint in ("shoulder", "elbow", "wrist", "knee", "ankle")
)  # marked at the same place by every annotation practice


class Spread:
    """Keeps at most KEPT samples, evenly spread over a stream of unknown length."""

    def __init__(self) -> None:
        """Start empty."""
        self.samples: list[Sample] = []
        self._stride, self._seen = 1, 0

    def add(self, sample: Sample) -> None:
        """Look at one sample."""
        if self._seen % self._stride == 0:
            self.samples.append(sample)
            if len(self.samples) > KEPT:
                self.samples, self._stride = self.samples[::2], 2 * self._stride
        self._seen += 1


def check_sides(samples: list[Sample], joint_set: str, where: object) -> None:
    """Check that left and right are the person's, for the legs and for the arms.

    Left to right across the hips (shoulders) and pelvis to neck span a direction that must be
    the one in which the face lies.

    Raises:
        InputError: if most samples look backwards.
    """
    labelled = [sample.joints_3d for sample in samples if sample.joints_3d is not None]
    if not labelled:
        return
    joints = np.stack(labelled)[..., :3]  # (N, J, 3)
    at = {name: joints[:, index(joint_set, name)] for name in (
        "l_hip", "r_hip", "l_shoulder", "r_shoulder", "pelvis", "neck", "jaw", "head",
    )}  # fmt: skip
    face = at["jaw"] - (at["neck"] + at["head"]) / 2
    for pair in ("hip", "shoulder"):
        ahead = np.cross(at[f"l_{pair}"] - at[f"r_{pair}"], at["neck"] - at["pelvis"])
        agree = float(((ahead * face).sum(-1) > 0).mean())
        if agree < 0.5:
            saw = f"faces ahead of the {pair}s in {100 * agree:.0f} % of the samples"
            raise InputError(where, "joints_3d", saw, "most: left and right are swapped")


def check_reprojection(
    samples: list[Sample], keypoint_set: str, models: Mapping[str, BodyModel], where: object
) -> float | None:
    """Check that SMPL labels, seen by their camera, fall on the 2D labels of the same side.

    Returns:
        The median distance in sides of the person box, None without such labels.

    Raises:
        InputError: if it is larger than REPROJECTION, or the other side's labels are nearer.
    """
    labelled = [s for s in samples if s.smpl is not None and s.K is not None]
    if not labelled:
        return None
    names = [name for name in LIMBS if name in JOINT_SETS[keypoint_set]]
    seen = np.stack([project(smpl_joints(s, models), s.K) for s in labelled])
    seen = seen[:, indices("smpl24", names)]
    labels = np.stack([sample.keypoints_2d for sample in labelled])
    side = np.array([sample.side for sample in labelled])[:, None]
    places = indices(keypoint_set, names)
    mirrored = flip_permutation(keypoint_set)[places]
    own, other = (
        float(np.median((np.linalg.norm(seen - labels[:, at, :2], axis=-1) / side)[
            labels[:, at, 2] > 0]))
        for at in (places, mirrored)
    )  # fmt: skip
    if not own <= REPROJECTION or own > other:
        saw = f"SMPL joints {own:.3f} boxes from their 2D labels ({other:.3f} from the other side)"
        raise InputError(where, "smpl", saw, f"at most {REPROJECTION}, nearer to their own side")
    return own


def smpl_joints(sample: Sample, models: Mapping[str, BodyModel]) -> np.ndarray:
    """Return the joints (24, 3) of a sample's SMPL label, camera frame, metres."""
    label = sample.smpl
    layer = SMPLLayer(models[label.gender], np.zeros(1, int))
    pose = np.concatenate([label.global_orient[None], label.body_pose])
    arrays = (label.betas[None], pose[None], label.transl[None])
    betas, pose, transl = (torch.from_numpy(array).float() for array in arrays)
    return layer.joints(betas, axis_angle_to_matrix(pose), transl)[0].double().numpy()


def check_count(count: int, expected: int | None, tolerance: float, where: object) -> None:
    """Compare the number of samples with the published one.

    Raises:
        InputError: if it differs by more than the tolerated share.
    """
    if expected is not None and abs(count - expected) > tolerance * expected:
        allowed = f"{expected} +- {100 * tolerance:g} % (--allow-partial takes what there is)"
        raise InputError(where, "count", count, allowed)
