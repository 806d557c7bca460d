"""Batches of (2D joints, body) pairs for training without images."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipeline.data.augment import draw_similarity, rotation_about_z, turn_pose
from pipeline.data.mixture import Passes
from pipeline.errors import InputError
from pipeline.hdf5 import mapped, open_hdf5
from pipeline.joints import flip_permutation
from pipeline.rotations import axis_angle_to_matrix
from pipeline.seeding import rng

TRAIN = 0  # in the file's `split`
COCO_FLIP = flip_permutation("coco17")
ARRAYS = {  # row shape of what is read
    "keypoints": (17, 2), "center": (2,), "side": (), "global_orient": (3,), "mesh_row": (),
    "split": (), "mesh/body_pose": (69,), "mesh/betas": (10,), "mesh/gender": (),
}  # fmt: skip


class PairSource:
    """Training pairs of the file that the verb `pairs` writes, shuffled and augmented.

    The batch of a step is a pure function of (seed, step, batch size), and every pass visits
    every pair once, see `pipeline.data.mixture`.
    """

    def __init__(self, pairs_path: Path | str, settings: Mapping, seed: int) -> None:
        """Open the file.

        Args:
            pairs_path: the HDF5 file.
            settings: augmentation, as in params, or None.
            seed: the run's seed.

        Raises:
            InputError: if the file is damaged, incomplete or without training pairs.
        """
        self.settings, self.seed = settings.get("augmentation"), seed
        with open_hdf5(pairs_path) as file:
            self._arrays = {name: mapped(file, name) for name in ARRAYS}
        for name, shape in ARRAYS.items():
            array = self._arrays[name]
            count = len(self._arrays["mesh/betas" if name.startswith("mesh/") else "keypoints"])
            if array.shape != (count, *shape):
                raise InputError(pairs_path, name, array.shape, f"shape {(count, *shape)}")
        self.train = np.flatnonzero(self._arrays["split"] == TRAIN)
        if not len(self.train):
            raise InputError(pairs_path, "split", "no training pair", "at least one")
        self.passes = Passes(len(self.train), seed, "pairs")

    def __len__(self) -> int:
        """Return the number of training pairs."""
        return len(self.train)

    def batch(self, step: int, batch_size: int, part: slice = slice(None)) -> dict[str, Tensor]:
        """Return the batch of a step.

        The 2D joints turn about the centre of their box, are scaled and mirrored; the body does
        the same in the camera frame.

        Args:
            step: which batch.
            batch_size: pairs in the whole batch.
            part: rows of it to make; they do not depend on the others.

        Returns:
            keypoints (b, 17, 2) coco17 in ndc of the square box; rotmats (b, 24, 3, 3), the
            first in the camera frame; betas (b, 10); gender (b,) of the model.
        """
        draws = np.arange(step * batch_size, (step + 1) * batch_size)[part]
        rows = self.train[self.passes.rows(draws)]
        arrays = self._arrays
        mesh = arrays["mesh_row"][rows]
        pose = np.concatenate([arrays["global_orient"][rows], arrays["mesh/body_pose"][mesh]], 1)
        rotmats = axis_angle_to_matrix(torch.from_numpy(pose).view(-1, 24, 3)).numpy()
        points = arrays["keypoints"][rows] - arrays["center"][rows, None]
        points *= 2 / arrays["side"][rows, None, None]
        if self.settings is not None:
            change = draw_similarity(self.settings, rng(self.seed, "turn", step), batch_size)
            rotation, scale, flip = (values[part] for values in change)
            points = turn_keypoints(points, rotation, scale, flip)
            rotmats = turn_pose(rotmats, rotation, flip)
        return {
            "keypoints": torch.from_numpy(points),
            "rotmats": torch.from_numpy(rotmats),
            "betas": torch.from_numpy(arrays["mesh/betas"][mesh]),
            "gender": torch.from_numpy(arrays["mesh/gender"][mesh].astype(np.int64)),
        }


def turn_keypoints(
    points: np.ndarray, rotation: np.ndarray, scale: np.ndarray, flip: np.ndarray
) -> np.ndarray:
    """Return points (B, K, 2), ndc, turned about the origin, scaled and (coco17) mirrored.

    Args:
        points: (B, K, 2) about the box centre.
        rotation: (B,) radians, from x to y.
        scale: (B,) of the box: above 1 makes the body smaller.
        flip: (B,) bool.
    """
    turn = rotation_about_z(rotation)[:, :2, :2] / scale[:, None, None].astype(np.float32)
    turned = points @ turn.swapaxes(1, 2)
    if flip.any():
        turned[flip] = turned[flip][:, COCO_FLIP] * np.array([-1, 1], np.float32)
    return turned
