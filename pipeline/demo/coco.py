"""Demo COCO 2014: photographs of every shape, person keypoints, NeuralAnnot pseudo labels.

`{train,val}2014/COCO_*.jpg`, `annotations/person_keypoints_{train,val}2014.json` and
`annotations/MSCOCO_{train,val}_SMPL_NeuralAnnot.json` (by annotation id, camera frame, metres).
The main person of each image has all limb joints labelled; people beside them lack some, or are
marked as a crowd, so that the usual filters have something to do.
"""

import json
from pathlib import Path

import cv2
import numpy as np

from pipeline.demo.actors import Body, in_camera
from pipeline.demo.frames import Frame, write_jpeg
from pipeline.demo.portraits import Person, photograph
from pipeline.demo.scenes import Camera
from pipeline.demo.stage import Stage
from pipeline.joints import JOINT_SETS
from pipeline.seeding import rng

SPLITS = ("train", "val")
IMAGES_PER_TASK = 8
FACE, LIMBS = slice(0, 5), slice(5, 17)
UNLABELLED, OCCLUDED, VISIBLE = 0, 1, 2
OFFICIAL = {"l": "left", "r": "right"}


def plan(settings: dict) -> list[dict]:
    """Return one task per handful of images.

    Args:
        settings: image_size (longer side), train_people and val_people (with all limb joints
            labelled, one per image), and those that `produce` reads.
    """
    tasks = []
    for split in SPLITS:
        count = settings[f"{split}_people"]
        for first in range(0, count, IMAGES_PER_TASK):
            tasks.append(
                dict(split=split, images=list(range(first, min(first + IMAGES_PER_TASK, count))))
            )
    return tasks


def produce(task: dict, stage: Stage) -> list[dict]:
    """Write a few images and return their annotations."""
    return [_photograph(task, number, stage) for number in task["images"]]


def _photograph(task: dict, number: int, stage: Stage) -> dict:
    """Write one image; return its entry and its annotations."""
    split = task["split"]
    random = rng(stage.settings["seed"], "coco", split, number)
    people, camera, picture = photograph(random, stage)
    image_id = 7 * number + (30 if split == "train" else 400042)
    name = f"COCO_{split}2014_{image_id:012d}.jpg"
    write_jpeg(stage.root / f"{split}2014" / name, picture.image)
    body = stage.bodies["neutral"]
    annotations = [_annotate(random, people, k, body, camera, picture) for k in range(len(people))]
    size = {"width": camera.width, "height": camera.height}
    return {
        "split": split,
        "image": {"id": image_id, "file_name": name, **size},
        "annotations": [annotation for annotation in annotations if annotation],
    }


def _annotate(
    random, people: list[Person], k: int, body: Body, camera: Camera, picture: Frame
) -> dict | None:
    """Return the annotation of person k, None when none of them is seen."""
    mask = picture.owner == k
    if not mask.any():
        return None
    person = people[k]
    keypoints, flags = _keypoints(person, k, camera, picture)
    crowd = k > 0 and random.random() < 0.3
    if crowd:
        flags[:] = UNLABELLED
    elif k > 0:  # the filter on limb joints must drop people at the side
        flags[random.choice(np.arange(17)[LIMBS], random.integers(1, 7), replace=False)] = 0
    keypoints[flags == UNLABELLED] = 0
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    left, top = int(columns[0]), int(rows[0])
    box = [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top]
    table = np.column_stack([np.round(keypoints, 2), flags])
    return {
        "label": {
            "category_id": 1,
            "iscrowd": int(crowd),
            "area": float(mask.sum()),
            "bbox": [float(value) for value in box],
            "num_keypoints": int((flags > 0).sum()),
            "keypoints": table.ravel().tolist(),
            "segmentation": _outline(mask, crowd),
        },
        "fit": None if crowd else neural_annot(body, person, camera),
    }


def _keypoints(person: Person, k: int, camera: Camera, picture: Frame):
    """Return (17, 2) pixels and (17,) flags of COCO."""
    points = camera.to_camera(person.keypoints)
    pixels = camera.project(points)
    cells = np.floor(pixels).astype(int)
    inside = ((cells >= 0) & (cells < [camera.width, camera.height])).all(1)
    x, y = np.clip(cells, 0, [camera.width - 1, camera.height - 1]).T
    flags = np.where(picture.owner[y, x] == k, VISIBLE, OCCLUDED)
    flags[~inside] = UNLABELLED
    head = points[FACE].mean(0)
    # annotators do not mark the eye and the ear on the far side of the head
    away = ((points[FACE] - head) * head).sum(1) > 0.05 * np.linalg.norm(head)
    flags[FACE][away] = UNLABELLED
    return pixels, flags


def _outline(mask: np.ndarray, crowd: bool):
    """Return polygons, or the uncompressed run lengths that COCO has for crowds."""
    if crowd:
        flat = mask.T.ravel().astype(np.int8)
        starts = np.flatnonzero(np.diff(flat, prepend=0))
        counts = np.diff(np.r_[0, starts, flat.size]).tolist()
        return {"counts": counts, "size": list(mask.shape)}
    contours, _ = cv2.findContours(
        mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_TC89_L1
    )
    return [c.reshape(-1).astype(float).tolist() for c in contours if len(c) >= 3]


def neural_annot(body: Body, person: Person, camera: Camera) -> dict:
    """Return the SMPL parameters in the camera frame, in NeuralAnnot's form."""
    pose, transl = in_camera(body, person, camera)
    return {
        "smpl_param": {
            "pose": np.round(pose.ravel(), 6).tolist(),
            "shape": np.round(person.betas, 6).tolist(),
            "trans": np.round(transl, 6).tolist(),
        },
        "cam_param": {
            "focal": [camera.K[0, 0], camera.K[1, 1]],
            "princpt": [camera.K[0, 2], camera.K[1, 2]],
        },
    }


def finish(results: list[list[dict]], settings: dict, root: Path) -> None:
    """Write keypoints and pseudo labels of both splits; annotation ids count from 1000."""
    folder = root / "annotations"
    folder.mkdir(parents=True, exist_ok=True)
    label_id = 1000
    for split in SPLITS:
        images, labels, fits = [], [], {}
        for image in (item for result in results for item in result):
            if image["split"] != split:
                continue
            images.append(image["image"])
            for annotation in image["annotations"]:
                ids = {"id": label_id, "image_id": image["image"]["id"]}
                labels.append(annotation["label"] | ids)
                if annotation["fit"]:
                    fits[str(label_id)] = annotation["fit"]
                label_id += 3
        content = {
            "info": {"description": "demo people in COCO's format", "year": 2014},
            "licenses": [],
            "images": images,
            "annotations": labels,
            "categories": [_category()],
        }
        (folder / f"person_keypoints_{split}2014.json").write_text(json.dumps(content))
        (folder / f"MSCOCO_{split}_SMPL_NeuralAnnot.json").write_text(json.dumps(fits))


def _category() -> dict:
    """Return COCO's person category; joints are written `left_eye` there, `l_eye` here."""
    names = [
        f"{OFFICIAL[name[0]]}_{name[2:]}" if name[1] == "_" else name
        for name in (joint.removesuffix("_coco") for joint in JOINT_SETS["coco17"])
    ]
    return {
        "id": 1, "name": "person", "supercategory": "person", "keypoints": names, "skeleton": [],
    }  # fmt: skip
