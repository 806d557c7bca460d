"""The meshes that networks predict, told apart by their number of vertices."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipeline.body.assets import BodyAssets
from pipeline.body.hands import right_hand
from pipeline.body.joints_from_body import regress
from pipeline.errors import InputError


@dataclass(frozen=True)
class Surface:
    """What is known of a mesh besides its vertices."""

    faces: np.ndarray  # (F, 3)
    joint_set: str  # of `joints`
    joints: Callable[[Tensor], Tensor]  # (n, V, 3) meshes to (n, J, 3)


def surface_of(vertices: int, assets: BodyAssets, where: object) -> Surface:
    """Return the body's surface, or the right hand's.

    Args:
        vertices: how many a predicted mesh has.
        assets: the body.
        where: the network's file, for messages.

    Raises:
        InputError: if nothing in the assets has so many.
    """
    body = assets.models["neutral"]
    if vertices == len(body.v_template):
        regressor = torch.as_tensor(assets.J_regressor_h36m).float()
        return Surface(body.faces, "h36m17", lambda meshes: regress(regressor, meshes))
    if "right" in assets.hands and vertices == len(assets.hands["right"].v_template):
        hand = right_hand(assets.hand_models)
        return Surface(
            hand.model.faces,
            "freihand21",
            lambda meshes: torch.from_numpy(hand.joints(meshes.double().numpy())).float(),
        )
    raise InputError(where, "network", f"meshes of {vertices} vertices", "a body, or a hand")
