"""DensePose labels of records, brought into a training crop: part maps and surface points."""

import cv2
import numpy as np

from pipeline.body.parts import PARTS14, flip_parts14
from pipeline.data.crops import compose, transform_points, warp_image
from pipeline.errors import InputError
from pipeline.records import Records


class SurfaceLabels:
    """The parts and points of one records file.

    A mirrored sample keeps its part map, whose sides are swapped. Its points need charts and
    coordinates of the other side; where the records hold none, it has no points.
    """

    def __init__(self, records: Records) -> None:
        self.records = records
        self.flip = flip_parts14().astype(np.int64)

    def parts(
        self, index: int, affine: np.ndarray, crop_size: int, size: int, mirrored: bool = False
    ) -> tuple[np.ndarray, bool]:
        """Return the 14 coarse parts in a training crop.

        Args:
            index: the record.
            affine: (2, 3) from original image to training crop, pixels.
            crop_size: side of the crop, pixels.
            size: side of the map wanted.
            mirrored: whether `affine` mirrors.

        Returns:
            (size, size) int64, 0 background, -1 outside the annotated box, where nothing is
            known; and whether there is a label.

        Raises:
            InputError: if the stored map is damaged.
        """
        unknown = np.full((size, size), -1, np.int64)
        png = self.records.parts_png
        if png is None or not len(png[index]):
            return unknown, False
        stored = cv2.imdecode(png[index], cv2.IMREAD_GRAYSCALE)
        if stored is None or stored.max() >= len(PARTS14):
            raise InputError(self.records.path, f"parts_png {index}", "no map of parts", "a PNG")
        box = self.records.parts_box[index].astype(float)
        zoom = box[2:] / stored.shape[::-1]
        to_image = np.column_stack([np.diag(zoom), box[:2]])
        to_map = compose(np.eye(2, 3) * (size / crop_size), compose(affine, to_image))
        held = warp_image(stored + 1, to_map, (size, size), nearest=True).astype(np.int64) - 1
        return (np.where(held >= 0, self.flip[held], -1) if mirrored else held), True

    def points(self, index: int, affine: np.ndarray, mirrored: bool = False) -> np.ndarray:
        """Return the points (P, 5) of a record: x, y in crop pixels, chart 1..24, U, V.

        Args:
            index: the record.
            affine: (2, 3) from original image to training crop, pixels.
            mirrored: whether `affine` mirrors.
        """
        labels, other = self.records.surface_points, self.records.surface_mirrored
        if labels is None or (mirrored and other is None):
            return np.zeros((0, 5), np.float32)
        points = labels[index].copy()
        points[:, :2] = transform_points(points[:, :2], affine)
        if mirrored:
            points[:, 2:] = other[index]
        return points
