"""The fourteen joints that mesh regressors predict and the protocols compare.

Limbs, neck and head in the definitions of Human3.6M: what the 17-joint regressor gives, and what
the datasets' 24-joint labels hold at slots 0-12 and 18.
"""

import numpy as np

from pipeline.joints import index, indices

_LIMBS = (
    *("r_ankle", "r_knee", "r_hip", "l_hip", "l_knee", "l_ankle"),
    *("r_wrist", "r_elbow", "r_shoulder", "l_shoulder", "l_elbow", "l_wrist"),
)
J14 = (*_LIMBS, "neck", "head")
J14_IN_H36M17 = indices("h36m17", (*_LIMBS, "neck_h36m", "head_h36m"))
J14_IN_SPIN24 = indices("spin24", (*_LIMBS, "neck_lsp", "head_h36m"))
PELVIS_IN_H36M17 = index("h36m17", "pelvis")


def rows_of_j14(regressor: np.ndarray) -> np.ndarray:
    """The rows of a (17, V) Human3.6M regressor that give the fourteen joints, (14, V)."""
    return regressor[J14_IN_H36M17]
