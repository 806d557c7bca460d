"""The MANO hand as data sets use it: whole rotations, 21 joints, finger tips on the mesh."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from pipeline.body.smpl import BodyModel, SMPLLayer
from pipeline.errors import InputError
from pipeline.joints import mapping
from pipeline.rotations import axis_angle_to_matrix

# Vertices that stand for the tips, thumb to pinky: every author picks others, up to a
# centimetre apart. FreiHAND's are those of its own ground truth, and the ones to evaluate with.
TIPS = {"freihand": (744, 320, 443, 555, 672), "handmesh": (744, 333, 444, 555, 672)}


@dataclass(frozen=True)
class HandModel:
    """A hand of one side and the pose that MANO files call the mean."""

    model: BodyModel
    mean: np.ndarray  # (45,) axis-angle of the fifteen finger joints

    def joints(self, vertices: np.ndarray, tips: str = "freihand") -> np.ndarray:
        """Return the joints regressed from meshes.

        Args:
            vertices: (..., 778, 3) in any frame.
            tips: key of TIPS.

        Returns:
            (..., 21, 3) in the order of `freihand21`.
        """
        chain = self.model.J_regressor @ vertices
        return with_tips(chain, vertices, tips)

    def regressor(self, tips: str = "freihand") -> np.ndarray:
        """Return the matrix (21, 778) that gives the joints of `joints`, each row of sum one."""
        return self.joints(np.eye(len(self.model.v_template)), tips)

    def pose(
        self, global_orient: np.ndarray, hand_pose: np.ndarray, betas: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return meshes and the joints of their kinematic chain, the wrist at its rest place.

        Args:
            global_orient: (N, 3) axis-angle.
            hand_pose: (N, 45) whole rotations: a pose relative to the mean gets `mean` added.
            betas: (N, 10).

        Returns:
            vertices (N, 778, 3) and joints (N, 21, 3) in the order of `freihand21`, metres.
        """
        pose = np.concatenate([global_orient, hand_pose], 1).reshape(len(betas), 16, 3)
        layer = SMPLLayer(self.model)
        with torch.no_grad():
            rotmats = axis_angle_to_matrix(torch.from_numpy(pose))
            vertices, chain = (
                tensor.double().numpy() for tensor in layer(torch.from_numpy(betas), rotmats)
            )
        return vertices, with_tips(chain, vertices, "freihand")


def with_tips(chain: np.ndarray, vertices: np.ndarray, tips: str) -> np.ndarray:
    """Return MANO's 16 joints (..., 16, 3) and five vertices as `freihand21`, (..., 21, 3)."""
    points = np.concatenate([chain, vertices[..., list(TIPS[tips]), :]], -2)
    return points[..., mapping("mano21", "freihand21"), :]


def right_hand(hands: Mapping[str, HandModel] | None) -> HandModel:
    """Return the hand that all hand data sets and networks are of.

    Raises:
        InputError: if the body asset has none.
    """
    if not hands or "right" not in hands:
        raise InputError("body asset", "hands", "no right hand", "MANO_RIGHT.pkl below mano/")
    return hands["right"]
