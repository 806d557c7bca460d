"""What mesh networks and their losses need to know of a part: the body, or a hand.

The body's fourteen joints are limbs, neck and head in the definitions of Human3.6M: what the
17-joint regressor gives, and what the datasets' 24-joint labels hold at slots 0-12 and 18. The
hand's are the 21 of FreiHAND, regressed from the mesh with MANO's regressor and FreiHAND's tips.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from pipeline.body.asset_file import BodyAssets
from pipeline.body.hands import right_hand
from pipeline.body.part_of import HAND_SET, PARTS
from pipeline.errors import InputError
from pipeline.joints import JOINT_SETS, index, indices

_LIMBS = (
    *("r_ankle", "r_knee", "r_hip", "l_hip", "l_knee", "l_ankle"),
    *("r_wrist", "r_elbow", "r_shoulder", "l_shoulder", "l_elbow", "l_wrist"),
)
J14 = (*_LIMBS, "neck", "head")
J14_IN_H36M17 = indices("h36m17", (*_LIMBS, "neck_h36m", "head_h36m"))
J14_IN_SPIN24 = indices("spin24", (*_LIMBS, "neck_lsp", "head_h36m"))
PELVIS_IN_H36M17 = index("h36m17", "pelvis")
HIPS = (J14.index("r_hip"), J14.index("l_hip"))
WRIST = index(HAND_SET, "wrist")
JOINTS = {"body": len(J14), "hand": len(JOINT_SETS[HAND_SET])}  # joint queries
HAND_FILLED = 0.5  # of a crop, by an open hand's extent: where the predicted camera starts


@dataclass(frozen=True)
class Topology:
    """One part's meshes and joints. V vertices, R regressed joints, J of them predicted.

    Attributes:
        part: key of PARTS.
        joint_set: 2D joints that networks are shown.
        regressor: (R, V), the root's row first.
        rows: (J,) rows of the regressor that are predicted.
        label_rows: (J,) where a batch's labelled joints hold these.
        centre: of the J joints, those whose mean is the origin of joint errors.
        has_mesh: key of a batch that says which samples have a mesh.
        keypoints: (K, V) regressor of `joint_set`.
        v_template: (V, 3) metres, x right, y up, z towards the viewer.
        faces: (F, 3).
        levels: vertex ids of each resolution, finest first.
        level_faces: (f, 3) of each, into its own vertices.
        upsample: [k]: level k + 1 -> level k.
        surface_level: vertices of the mesh that FastMETRO's surface terms are taken on.
        cam: (3,) camera that predictions start from.
    """

    part: str
    joint_set: str
    regressor: np.ndarray
    rows: np.ndarray
    label_rows: np.ndarray
    centre: tuple[int, ...]
    has_mesh: str
    keypoints: np.ndarray
    v_template: np.ndarray
    faces: np.ndarray
    levels: list[np.ndarray]
    level_faces: list[np.ndarray]
    upsample: list[sp.csr_matrix]
    surface_level: int
    cam: np.ndarray


def topology(assets: BodyAssets, part: str = "body") -> Topology:
    """Return what the assets hold of a part.

    Raises:
        InputError: for an unknown part, or a hand that the assets lack.
    """
    if part not in PARTS:
        raise InputError("network", "part", repr(part), " or ".join(PARTS))
    return _hand(assets) if part == "hand" else _body(assets)


def _body(assets: BodyAssets) -> Topology:
    return Topology(
        part="body",
        joint_set="coco17",
        regressor=assets.J_regressor_h36m,
        rows=J14_IN_H36M17,
        label_rows=J14_IN_SPIN24,
        centre=HIPS,
        has_mesh="has_smpl",
        keypoints=assets.J_regressor_coco,
        v_template=assets.models["neutral"].v_template,
        faces=assets.models["neutral"].faces,
        levels=assets.levels,
        level_faces=assets.level_faces,
        upsample=assets.upsample,
        surface_level=1723,
        cam=assets.mean["cam"],
    )


def _hand(assets: BodyAssets) -> Topology:
    hand = right_hand(assets.hand_models)
    regressor, template = hand.regressor(), hand.model.v_template
    order = np.arange(len(regressor))
    extent = np.linalg.norm(template - regressor[WRIST] @ template, axis=1).max()
    return Topology(
        part="hand",
        joint_set=HAND_SET,
        regressor=regressor,
        rows=order,
        label_rows=order,
        centre=(WRIST,),
        has_mesh="has_hand",
        keypoints=regressor,
        v_template=template,
        faces=hand.model.faces,
        levels=assets.hand_levels,
        level_faces=assets.hand_level_faces,
        upsample=assets.hand_upsample,
        surface_level=len(template),
        cam=np.array([2 * HAND_FILLED / extent, 0, 0]),
    )
