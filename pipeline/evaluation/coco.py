"""Keypoint AP on COCO: joints of the predicted mesh, projected into the original image.

The 17 joints are those of SPIN's 24 with COCO's names; their hips come from the dataset-like
regressor, not from SMPL's tree. The records name the annotation (`id/person`) and the image
(`id/frame`); the annotation file is the one of the folder that the images are in.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipeline.body.assets import BodyAssets
from pipeline.body.joints_from_body import JointsFromBody, regress
from pipeline.body.smpl import SMPLLayer
from pipeline.cameras import ndc_to_pixels, project_crop
from pipeline.data.crops import crop_affine, invert, transform_points
from pipeline.errors import InputError
from pipeline.evaluation.keypoint_ap import average_precision, detections
from pipeline.evaluation.predictions import Measured, Task
from pipeline.files import read_json
from pipeline.joints import mapping
from pipeline.records import Records

FOCAL = 5000.0  # crop pixels, as the networks project


def measure(task: Task) -> Measured:
    """AP in percent over the images of the records.

    Raises:
        InputError: if the annotation file is missing or is not the one of the records.
    """
    records, size, protocol = task.records, task.size, task.protocol
    annotations = annotation_file(records, task.truth)
    joints_of, keypoints = MeshJoints(task.assets), np.empty((len(records), 17, 2))
    for piece, _, predicted in task.predictions():
        joints = joints_of(predicted)
        pixels = ndc_to_pixels(project_crop(joints, predicted["cam"], FOCAL, size), size)
        for k, row in enumerate(piece):
            affine = crop_affine(records.center[row], records.side[row], size)
            keypoints[row] = transform_points(pixels[k].double().numpy(), invert(affine))
    found = average_precision(annotations, detections(keypoints, records.frame))
    units = dict.fromkeys(protocol.metrics, "%")
    pooled = {name: found[name] for name in protocol.metrics if name in found}
    return Measured(task.rows, pooled=pooled, units=units)


class MeshJoints:
    """COCO's 17 joints of predicted bodies.

    Args:
        assets: the body.
    """

    def __init__(self, assets: BodyAssets) -> None:
        neutral = assets.models["neutral"]
        self._spin24 = JointsFromBody(assets, "spin24")
        self._layer = SMPLLayer(neutral, np.zeros(1, int))
        self._regressor = torch.as_tensor(neutral.J_regressor).float()
        self._order = torch.as_tensor(mapping("spin24", "coco17"))

    def __call__(self, predicted: Mapping[str, Tensor]) -> Tensor:
        """Return (B, 17, 3) in the frame of the vertices.

        Args:
            predicted: vertices (B, V, 3); rotmats and betas where the network predicts a pose.
                Otherwise the joints of SMPL's tree are regressed from the mesh.
        """
        if "rotmats" in predicted:
            chain = self._layer.joints(predicted["betas"], predicted["rotmats"])
        else:
            chain = regress(self._regressor, predicted["vertices"])
        return self._spin24(chain, predicted["vertices"])[:, self._order]


def annotation_file(records: Records, folder: Path) -> Path:
    """Return the annotation file of the records' images.

    Args:
        records: of one folder of images, such as `val2014`.
        folder: that holds the annotation files.

    Raises:
        InputError: if a record's annotation is not in the file, or is of another image.
    """
    places = sorted({Path(name).parent.name for name in records.name})
    if len(places) != 1:
        raise InputError(records.path, "image/name", ", ".join(places), "images of one folder")
    path = folder / f"person_keypoints_{places[0]}.json"
    content = read_json(path)
    labels = content.get("annotations", []) if isinstance(content, Mapping) else []
    images = {label.get("id"): label.get("image_id") for label in labels}
    for person, image in zip(records.person.tolist(), records.frame.tolist(), strict=True):
        if images.get(person) != image:
            saw = f"annotation {person} of image {images.get(person)}"
            raise InputError(path, "annotations", saw, f"of image {image}, as in {records.path}")
    return path
