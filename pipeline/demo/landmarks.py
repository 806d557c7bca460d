"""Where the named joints of the data sets are on a demo body."""

from functools import cached_property

import numpy as np
import scipy.sparse as sp

from pipeline.body.joints_from_body import joint_matrix


class Landmarks:
    """Joint sets from the 24 body joints and the mesh, in double precision."""

    def __init__(self, assets):
        self._assets = assets
        self._matrices: dict[str, sp.csr_matrix] = {}

    def of(self, set_name: str, joints: np.ndarray, vertices: np.ndarray) -> np.ndarray:
        """Return the joints of a set.

        Args:
            set_name: key of `joints.JOINT_SETS`.
            joints: (N, 24, 3) of the body.
            vertices: (N, V, 3) in the same frame.

        Returns:
            (N, J, 3) in that frame; summed relative to the pelvis, for regressors whose rows do
            not add up to exactly one.
        """
        if set_name not in self._matrices:
            self._matrices[set_name] = joint_matrix(self._assets, set_name)
        matrix = self._matrices[set_name]
        root = joints[:, :1]
        points = np.concatenate([joints, vertices], 1) - root
        return np.stack([matrix @ frame for frame in points]) + root

    @cached_property
    def seat_ids(self) -> np.ndarray:
        """Vertices that rest on a seat: those that follow the pelvis most."""
        return np.flatnonzero(self._assets.parts24_smpl == 0)
