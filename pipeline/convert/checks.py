"""Gates that a conversion must pass: the traps of frames, units and sides, seen in the numbers.

Each looks at medians over a spread of the samples, so that single bad labels pass and a wrong
convention does not.
"""

import re
from collections.abc import Mapping

import numpy as np
import torch

from pipeline.body.smpl import BodyModel, SMPLLayer
from pipeline.cameras import estimate_translation
from pipeline.convert.common import Sample, project
from pipeline.errors import InputError
from pipeline.joints import JOINT_SETS, flip_permutation, indices
from pipeline.rotations import axis_angle_to_matrix

KEPT = 512  # samples looked at
REPROJECTION = 0.1  # largest median distance of model and label, in sides of the person box
PAIRED = 0.75  # largest share of the distance to others' labels that bodies keep to their own
FOCAL_PER_BOX = 5000 / 224  # of a camera that is not known (SPIN: 5000 px for a crop of 224 px)
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

    Left to right across the hips (shoulders) and hips to neck span a direction that must be
    the one in which the face lies; in sets without a jaw, the one in which the feet point or
    the knees bend.

    Raises:
        InputError: if most samples look backwards.
    """
    labelled = [sample.joints_3d for sample in samples if sample.joints_3d is not None]
    if not labelled:
        return
    front = _front(joint_set)
    needed = ("l_hip", "r_hip", "l_shoulder", "r_shoulder", "neck", *front)
    places = indices(joint_set, needed)
    joints = np.stack(labelled)[:, places]  # (N, len(needed), 4)
    joints = joints[(joints[..., 3] > 0).all(1), :, :3]
    if not len(joints):
        return
    at = dict(zip(needed, np.moveaxis(joints, 1, 0), strict=True))
    forwards = sum(weight * at[name] for name, weight in front.items())
    middle = (at["l_hip"] + at["r_hip"]) / 2
    for pair in ("hip", "shoulder"):
        ahead = np.cross(at[f"l_{pair}"] - at[f"r_{pair}"], at["neck"] - middle)
        agree = float(((ahead * forwards).sum(-1) > 0).mean())
        if agree < 0.5:
            share = f"{100 * agree:.0f} % of the samples"
            saw = f"{' and '.join(front)} say that the {pair}s face forwards in {share}"
            raise InputError(where, "joints_3d", saw, "most: left and right are swapped")


def _front(joint_set: str) -> dict[str, float]:
    """Return the joints whose weighted sum points to where a body of this set faces."""
    names = {re.sub("_(h36m|mpi)$", "", name) for name in JOINT_SETS[joint_set]}
    if "jaw" in names:
        return {"jaw": 1, "neck": -0.5, "head": -0.5}
    for foot in ("toe", "foot"):
        if f"l_{foot}" in names:
            return {f"{s}_{joint}": w for s in "lr" for joint, w in ((foot, 1), ("ankle", -1))}
    legs = (("knee", 1), ("hip", -0.5), ("ankle", -0.5))
    return {f"{side}_{joint}": weight for side in "lr" for joint, weight in legs}


def check_reprojection(
    samples: list[Sample], keypoint_set: str | None, models: Mapping[str, BodyModel], where: object
) -> float | None:
    """Check that SMPL labels, seen by their camera, fall on the 2D labels of the same side.

    A label without camera is placed where its joints explain the 2D labels best; as any body
    then comes near them, it must come nearer than the labels of other samples do.

    Returns:
        The median distance in sides of the person box, None without such labels.

    Raises:
        InputError: if it is larger than REPROJECTION, or the other side's labels are nearer, or
            labels without camera do not belong to their samples.
    """
    if keypoint_set is None:
        return None
    names = [name for name in LIMBS if name in JOINT_SETS[keypoint_set]]
    places = indices(keypoint_set, names)
    labelled = [s for s in samples if s.smpl is not None and s.keypoints_2d[places, 2].any()]
    if not labelled:
        return None
    bodies = np.stack([smpl_joints(s, models) for s in labelled])[:, indices("smpl24", names)]
    mirrored = flip_permutation(keypoint_set)[places]
    seen = _seen(labelled, bodies, places)
    own, other = (_distance(labelled, seen, at) for at in (places, mirrored))
    if not own <= REPROJECTION or own > other:
        saw = f"SMPL joints {own:.3f} boxes from their 2D labels ({other:.3f} from the other side)"
        raise InputError(where, "smpl", saw, f"at most {REPROJECTION}, nearer to their own side")
    _check_pairing(labelled, bodies, places, where)
    return own


def _seen(samples: list[Sample], bodies: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return the pixels (N, L, 2) of SMPL joints (N, L, 3), NaN where they cannot be placed."""
    seen = np.empty((*bodies.shape[:2], 2))
    unplaced = [k for k, sample in enumerate(samples) if not _has_camera(sample)]
    for k in set(range(len(samples))) - set(unplaced):
        seen[k] = project(bodies[k], samples[k].K)
    if unplaced:
        seen[unplaced] = _place([samples[k] for k in unplaced], bodies[unplaced], places)
    return seen


def _has_camera(sample: Sample) -> bool:
    return sample.K is not None and sample.smpl.transl is not None


def _place(samples: list[Sample], bodies: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return the pixels (N, L, 2) of joints (N, L, 3) moved to where they fit the labels best."""
    labels = np.stack([sample.keypoints_2d for sample in samples])[:, places]
    focal = FOCAL_PER_BOX * np.array([sample.side for sample in samples])
    center = np.stack([sample.center for sample in samples]).astype(float)
    arrays = (bodies, labels[..., :2], labels[..., 2], focal, center)
    moved = estimate_translation(*(torch.from_numpy(np.asarray(a, float)) for a in arrays))
    points = bodies + moved.numpy()[:, None]
    points[points[..., 2] <= 0] = [np.inf, np.inf, 1]  # behind a camera all is upside down
    return focal[:, None, None] * points[..., :2] / points[..., 2:] + center[:, None]


def _distance(samples: list[Sample], seen: np.ndarray, places: np.ndarray) -> float:
    """Return the median distance of pixels and labels, in sides of the person box."""
    labels = np.stack([sample.keypoints_2d for sample in samples])[:, places]
    side = np.array([sample.side for sample in samples])[:, None]
    apart = np.linalg.norm(seen - labels[..., :2], axis=-1) / side
    apart = apart[(labels[..., 2] > 0) & ~np.isnan(apart)]
    return float(np.median(apart)) if apart.size else 0.0  # of single joints: no place, no error


def _check_pairing(
    samples: list[Sample], bodies: np.ndarray, places: np.ndarray, where: object
) -> None:
    """Check that bodies without camera fit their own sample better than another one."""
    rows = [k for k, sample in enumerate(samples) if not _has_camera(sample)]
    if len(rows) < 2:
        return
    chosen = [samples[k] for k in rows]
    own, other = (
        _distance(chosen, _place(chosen, np.roll(bodies[rows], shift, 0), places), places)
        for shift in (0, len(rows) // 2)
    )
    if own > PAIRED * other:
        saw = f"bodies {own:.3f} boxes from their 2D labels, {other:.3f} from those of others"
        raise InputError(where, "smpl", saw, "labels in the order of the samples")


def smpl_joints(sample: Sample, models: Mapping[str, BodyModel]) -> np.ndarray:
    """Return the joints (24, 3) of a sample's SMPL label, metres.

    In the camera frame; about the model's origin where the label has no translation.
    """
    label = sample.smpl
    layer = SMPLLayer(models[label.gender], np.zeros(1, int))
    pose = np.concatenate([label.global_orient[None], label.body_pose])
    transl = np.zeros(3) if label.transl is None else label.transl
    arrays = (label.betas[None], pose[None], transl[None])
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
