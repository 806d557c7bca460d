"""COCO person keypoints, with the SMPL pseudo labels of NeuralAnnot or EFT where they exist.

`annotations/person_keypoints_{train,val}{2014,2017}.json`, images in the folder of the same
name, `annotations/MSCOCO_{train,val}_SMPL_NeuralAnnot.json` (or EFT's file) by annotation id.
Left and right are the person's; the box is the annotated one. `id/person` of the records is the
annotation's id, `id/frame` the image's.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from pipeline.body.smpl import BodyModel
from pipeline.convert.common import Sample, Selection, numbers, square_box, take
from pipeline.convert.pseudo import Eft, NeuralAnnot, NoFits, open_fits
from pipeline.files import read_json
from pipeline.joints import indices

KEYPOINT_SET = "coco17"
JOINT_SET = ROOT = None
LIMBS = indices("coco17", [
    f"{side}_{joint}" for side in "lr"
    for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
])  # fmt: skip


def select(raw: Path, split: str, settings: Mapping, models: Mapping[str, BodyModel]) -> Selection:
    """Return the persons with enough labelled joints.

    Args:
        raw: root of the distribution.
        split: name of the split, for the rule.
        settings: folder, year, min_limb_joints (of the twelve limb joints; 12 is SPIN's rule),
            min_keypoints (of all), labels (NeuralAnnot, EFT with labels_file, or null),
            box_factor.
        models: unused; pseudo labels are in the camera frame already.
    """
    folder = settings["folder"]
    path = raw / "annotations" / f"person_keypoints_{folder}{settings['year']}.json"
    content = read_json(path)
    images = {take(image, "id", path): image for image in take(content, "images", path)}
    limbs, least = settings.get("min_limb_joints") or 0, settings.get("min_keypoints") or 1
    selection = Selection(
        f"{split}: not iscrowd, {least} joints or more, {limbs} of the 12 limb joints or more",
        sources=[path],
    )
    standard = f"annotations/MSCOCO_{folder}_SMPL_NeuralAnnot.json"
    fits = open_fits(raw, settings, standard, KEYPOINT_SET, selection)
    chosen = list(_chosen(take(content, "annotations", path), limbs, least, path, selection))
    selection.count = len(chosen)
    directory = f"{folder}{settings['year']}"
    selection.samples = (
        _sample(raw, directory, label, keypoints, images, fits, settings["box_factor"], path)
        for label, keypoints in chosen
    )
    return selection


def _chosen(
    labels: list[dict], limbs: int, least: int, path: Path, selection: Selection
) -> Iterator[tuple[dict, np.ndarray]]:
    """Yield the annotations that the rule takes, with their keypoints (17, 3)."""
    for label in labels:
        where = f"{path}: annotation {take(label, 'id', path)}"
        if take(label, "iscrowd", where):
            selection.skipped["iscrowd"] += 1
            continue
        flat = numbers(take(label, "keypoints", where), (51,), where, "keypoints")
        keypoints = flat.reshape(17, 3)
        keypoints[:, 2] = keypoints[:, 2] > 0  # 1 is occluded and 2 visible: both are labelled
        width, height = numbers(take(label, "bbox", where), (4,), where, "bbox")[2:]
        if keypoints[:, 2].sum() < least:
            selection.skipped["too few joints"] += 1
        elif keypoints[LIMBS, 2].sum() < limbs:
            selection.skipped["too few limb joints"] += 1
        elif min(width, height) <= 1:
            selection.skipped["empty box"] += 1
        else:
            yield label, keypoints


def _sample(
    raw: Path,
    directory: str,
    label: dict,
    keypoints: np.ndarray,
    images: dict,
    fits: NoFits | NeuralAnnot | Eft,
    box_factor: float,
    path: Path,
) -> Sample:
    where = f"{path}: annotation {label['id']}"
    image = take(images, take(label, "image_id", where), where)
    name = f"{directory}/{Path(take(image, 'file_name', where)).name}"
    x, y, width, height = label["bbox"]
    low, extent = np.array([x, y], float), np.array([width, height], float)
    center, side = square_box(low, low + extent, box_factor)
    smpl, K = fits.find(label["id"], name, keypoints)
    keypoints[keypoints[:, 2] == 0] = 0
    return Sample(
        image=raw / name, name=name, center=center, side=side, keypoints_2d=keypoints,
        person=int(label["id"]), frame=int(label["image_id"]), sequence="", K=K, smpl=smpl,
        source=str(label["id"]), size=(take(image, "width", where), take(image, "height", where)),
    )  # fmt: skip
