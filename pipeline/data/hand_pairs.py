"""Batches of (2D joints, mesh) pairs of hands for training without images."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipeline.data.augment import draw_similarity, rotation_about_z
from pipeline.data.hand_labels import refuse_flip
from pipeline.data.mixture import Passes
from pipeline.data.pairs import turn_keypoints
from pipeline.errors import InputError
from pipeline.hdf5 import mapped, open_hdf5
from pipeline.rotations import axis_angle_to_matrix
from pipeline.seeding import rng

ARRAYS = {  # row shape of what is read
    "keypoints": (21, 2), "center": (2,), "side": (), "rotation": (3,), "mesh_row": (),
    "mesh/vertices": (778, 3),
}  # fmt: skip


class HandPairSource:
    """Pairs of the file that the verb `hand-pairs` writes, shuffled and augmented.

    As `PairSource`, whose batches it matches; right hands are never mirrored.
    """

    def __init__(self, pairs_path: Path | str, settings: Mapping, seed: int) -> None:
        """Open the file.

        Args:
            pairs_path: the HDF5 file.
            settings: augmentation, as in params, or None.
            seed: the run's seed.

        Raises:
            InputError: if the file is damaged or incomplete, or hands would be mirrored.
        """
        self.settings, self.seed = settings.get("augmentation"), seed
        refuse_flip(self.settings)
        with open_hdf5(pairs_path) as file:
            self._arrays = {name: mapped(file, name) for name in ARRAYS}
        for name, shape in ARRAYS.items():
            array = self._arrays[name]
            count = len(array) if name.startswith("mesh/") else len(self._arrays["keypoints"])
            if array.shape != (count, *shape):
                raise InputError(pairs_path, name, array.shape, f"shape {(count, *shape)}")
        self.passes = Passes(len(self), seed, "pairs")

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self._arrays["keypoints"])

    def batch(self, step: int, batch_size: int, part: slice = slice(None)) -> dict[str, Tensor]:
        """Return the batch of a step.

        The 2D joints turn about the centre of their box and are scaled; the hand does the same
        in the camera frame.

        Args:
            step: which batch.
            batch_size: pairs in the whole batch.
            part: rows of it to make; they do not depend on the others.

        Returns:
            keypoints (b, 21, 2) freihand21 in ndc of the square box; hand_vertices (b, 778, 3)
            metres, camera frame.
        """
        rows = self.passes.rows(np.arange(step * batch_size, (step + 1) * batch_size)[part])
        arrays = self._arrays
        turn = axis_angle_to_matrix(torch.from_numpy(arrays["rotation"][rows])).numpy()
        points = arrays["keypoints"][rows] - arrays["center"][rows, None]
        points *= 2 / arrays["side"][rows, None, None]
        if self.settings is not None:
            change = draw_similarity(self.settings, rng(self.seed, "turn", step), batch_size)
            rotation, scale, flip = (values[part] for values in change)
            points = turn_keypoints(points, rotation, scale, flip)
            turn = rotation_about_z(rotation) @ turn
        vertices = arrays["mesh/vertices"][arrays["mesh_row"][rows]] @ turn.swapaxes(1, 2)
        return {
            "keypoints": torch.from_numpy(points),
            "hand_vertices": torch.from_numpy(vertices),
        }
