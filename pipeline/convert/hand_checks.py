"""Gates for data sets of hands: units, sides and cameras, seen in the numbers."""

from collections.abc import Mapping

import numpy as np
import torch

from pipeline.body.hands import HandModel, right_hand
from pipeline.convert.common import Sample
from pipeline.errors import InputError
from pipeline.joints import index
from pipeline.metrics import similarity_align

PALM = (0.05, 0.15)  # metres from the wrist to the middle finger's first joint
IN_IMAGE = 0.5  # least share of the joints that the image shows, median
_WRIST, _KNUCKLE = index("freihand21", "wrist"), index("freihand21", "middle1")


def check_hands(samples: list[Sample], hands: Mapping[str, HandModel], where: object) -> None:
    """Check a spread of hands in metres of the camera frame.

    Raises:
        InputError: if most hands have no human size, are left ones, or are outside their image.
    """
    if not samples:
        return  # the writer refuses a file without rows
    joints = np.stack([sample.joints_3d[:, :3] for sample in samples])
    palm = float(np.median(np.linalg.norm(joints[:, _KNUCKLE] - joints[:, _WRIST], axis=-1)))
    if not PALM[0] < palm < PALM[1]:
        saw = f"wrist and middle knuckle {1000 * palm:.4g} mm apart"
        expected = f"{1000 * PALM[0]:g} to {1000 * PALM[1]:g}: coordinates in metres"
        raise InputError(where, "joints_3d", saw, expected)
    root = np.stack([sample.root_3d for sample in samples])
    if not (root[:, 2] > 0).mean() > 0.5:
        raise InputError(where, "root_3d", "hands behind the camera", "z pointing forwards")
    shown = [_share_shown(sample) for sample in samples if sample.size]
    if shown and np.median(shown) < IN_IMAGE:
        saw = f"{100 * np.median(shown):.0f} % of the joints in the image"
        raise InputError(where, "keypoints_2d", saw, f"{100 * IN_IMAGE:.0f} % or more")
    meshes = [s.extra["hand_vertices"] for s in samples if "hand_vertices" in s.extra]
    if meshes:
        check_right(np.stack(meshes), right_hand(hands), where)


def check_right(vertices: np.ndarray, hand: HandModel, where: object) -> None:
    """Check that meshes are right hands: the template fits them better than its mirror image.

    Args:
        vertices: (N, 778, 3).
        hand: the right hand.
        where: for errors.

    Raises:
        InputError: if most are left hands.
    """
    truth = torch.from_numpy(np.asarray(vertices, np.float64))
    apart = []
    for sign in (1.0, -1.0):
        template = torch.from_numpy(hand.model.v_template * [sign, 1, 1]).expand(truth.shape)
        apart.append((similarity_align(template, truth) - truth).norm(dim=-1).mean(1))
    share = float((apart[0] < apart[1]).double().mean())
    if share < 0.5:
        saw = f"right hands in {100 * share:.0f} % of the samples"
        raise InputError(where, "hand_vertices", saw, "right hands, left ones mirrored")


def _share_shown(sample: Sample) -> float:
    points = sample.keypoints_2d[:, :2]
    return float(((points >= 0) & (points <= sample.size)).all(1).mean())
