"""Training and evaluation samples read from records."""

from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import torch

from pipeline.body.part_of import HAND_SET
from pipeline.data.augment import Augmentation, colour_table, draw, turn_points, turn_pose
from pipeline.data.crops import (
    compose,
    crop_affine,
    invert,
    transform_points,
    warp_image,
    zoom_affine,
)
from pipeline.data.hand_labels import HandLabels
from pipeline.data.iuv_maps import IuvMaps, empty_map
from pipeline.joints import convert, flip_permutation
from pipeline.records import Records
from pipeline.rotations import axis_angle_to_matrix

# Samples are made side by side by threads; OpenCV's own would only compete with them.
cv2.setNumThreads(1)

EYE = np.broadcast_to(np.eye(3, dtype=np.float32), (24, 3, 3))
SWAP = {name: flip_permutation(name) for name in ("spin24", "coco17")}


class RecordsDataset:
    """Samples of one records file, augmented when training."""

    def __init__(
        self, records_path: Path | str, iuv_path: Path | str | None, settings: dict, train: bool
    ) -> None:
        """Open the files.

        Args:
            records_path: records of one dataset and split.
            iuv_path: the matching IUV file, or None.
            settings: image_size (pixels); for IUV iuv_size (pixels) and iuv_flip (the tables
                of `IuvMaps`, None for an atlas that does not mirror onto itself); when
                training, augmentation, as in params.
            train: whether samples are augmented.
        """
        self.records = Records(records_path)
        self.settings, self.train = settings, train
        self.size, self.iuv_size = settings["image_size"], settings.get("iuv_size")
        self.hands = None
        if self.records.keypoint_set == HAND_SET:
            self.hands = HandLabels(self.records)
        self.iuv = None
        if iuv_path and self.iuv_size:
            self.iuv = IuvMaps(iuv_path, len(self.records), settings.get("iuv_flip"))

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.records)

    def item(self, index: int, generator: np.random.Generator | None = None) -> dict:
        """Return one sample as numpy arrays.

        Args:
            index: the record.
            generator: source of the augmentation; unused outside training.

        Returns:
            image (3, S, S) float32, ImageNet-normalised RGB; keypoints_2d (24, 3) spin24 and
            keypoints_coco (17, 3), ndc and confidence; joints_3d (24, 4) spin24, metres about
            the records' root and validity; rotmats (24, 3, 3), betas (10,), gender, has_smpl;
            affine (2, 3) from original image to crop; index. With settings.iuv_size also part
            (R, R) int64, uv (R, R, 2), has_iuv. Of hands the labels are those of `HandLabels`.
        """
        records = self.records
        change = Augmentation()
        if self.train:
            change = draw(self.settings["augmentation"], generator)
        affine = crop_affine(
            records.center[index], records.side[index], self.size,
            change.rotation, change.scale, change.flip,
        )  # fmt: skip
        from_stored = compose(affine, invert(records.affine[index]))
        sample = {
            "image": self._image(index, from_stored, change),
            "affine": affine.astype(np.float32),
            "index": np.int64(index),
        }
        if self.hands:
            return sample | self.hands.item(index, affine, self.size, change)
        sample |= {**self._keypoints(index, affine, change), **self._body(index, change)}
        if self.iuv_size:
            sample |= self._iuv(index, from_stored, change)
        return sample

    def _image(self, index: int, from_stored: np.ndarray, change: Augmentation) -> np.ndarray:
        """Return the normalised crop, (3, S, S)."""
        zoom = np.sqrt(abs(np.linalg.det(from_stored[:, :2])))
        shrink = next(n for n in (8, 4, 2, 1) if zoom * n <= 1 or n == 1)
        stored = self.records.image(index, shrink)
        crop = warp_image(
            stored, compose(from_stored, zoom_affine(shrink)), (self.size, self.size)
        )
        image = np.empty((3, self.size, self.size), np.float32)
        table = colour_table(change.gain)
        for channel, plane in enumerate(cv2.split(crop)):
            image[channel] = cv2.LUT(plane, table[channel : channel + 1])
        return image

    def _keypoints(self, index: int, affine: np.ndarray, change: Augmentation) -> dict:
        """Return the 2D points in both joint sets, ndc."""
        found = {}
        for key, joint_set in (("keypoints_2d", "spin24"), ("keypoints_coco", "coco17")):
            points = np.zeros((len(SWAP[joint_set]), 3), np.float32)
            if self.records.keypoints_2d is not None:
                labelled = self.records.keypoints_2d[index]
                points = convert(labelled, self.records.keypoint_set, joint_set)
                points[:, :2] = 2 * transform_points(points[:, :2], affine) / self.size - 1
                points[points[:, 2] <= 0] = 0
                if change.flip:
                    points = points[SWAP[joint_set]]
            found[key] = points
        return found

    def _body(self, index: int, change: Augmentation) -> dict:
        """Return the 3D labels, turned as the image is."""
        records = self.records
        joints, rotmats = np.zeros((24, 4), np.float32), EYE.copy()
        betas, gender, valid = np.zeros(10, np.float32), 0, False
        if records.joints_3d is not None:
            joints = convert(records.joints_3d[index], records.joint_set, "spin24")
            joints = turn_points(joints, change.rotation, change.flip, SWAP["spin24"])
        if records.smpl_valid is not None and records.smpl_valid[index]:
            betas, gender, valid = records.betas[index], records.gender[index], True
            turn = np.array([change.rotation]), np.array([change.flip])
            rotmats = turn_pose(self._rotmats[index : index + 1], *turn)[0]
        return {
            "joints_3d": joints,
            "rotmats": rotmats,
            "betas": betas,
            "gender": np.int64(gender),
            "has_smpl": np.bool_(valid),
        }

    @cached_property
    def _rotmats(self) -> np.ndarray:
        """All poses as matrices, (N, 24, 3, 3): one by one they cost more than a warp."""
        records = self.records
        pose = np.concatenate([records.global_orient[:, None], records.body_pose], 1)
        return axis_angle_to_matrix(torch.from_numpy(pose)).numpy()

    def _iuv(self, index: int, from_stored: np.ndarray, change: Augmentation) -> dict:
        """Return the IUV label; an empty one where there is none."""
        part, uv = empty_map(self.iuv_size)
        valid = False
        if self.iuv is not None:
            stored_size = self.records.image_size[index]
            part, uv, valid = self.iuv.crop(
                index, from_stored, stored_size, self.size, self.iuv_size, change.flip
            )
        return {"part": part, "uv": uv, "has_iuv": np.bool_(valid)}
