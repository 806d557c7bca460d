"""Demo COCO 2014: photographs of every shape, person keypoints, NeuralAnnot pseudo labels.

`{train,val}2014/COCO_*.jpg`, `annotations/person_keypoints_{train,val}2014.json` and
`annotations/MSCOCO_{train,val}_SMPL_NeuralAnnot.json` (by annotation id, camera frame, metres).
The main person of each image has all limb joints labelled; people beside them lack some, or are
marked as a crowd, so that the usual filters have something to do.
"""

import json
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from pipeline.demo.actors import Body, Direction, draw_betas, in_camera, perform
from pipeline.demo.frames import Frame, render, write_jpeg
from pipeline.demo.motions import MOTIONS
from pipeline.demo.people import Look, draw_look
from pipeline.demo.scenes import Camera, backdrop, look_at, make_scene
from pipeline.demo.stage import Stage
from pipeline.demo.stool import stool_for
from pipeline.joints import JOINT_SETS
from pipeline.seeding import rng

SPLITS = ("train", "val")
IMAGES_PER_TASK = 8
ASPECTS = ((1.0, 1.0), (1.0, 0.75), (1.0, 0.66), (0.75, 1.0), (0.66, 1.0))
FACE, LIMBS = slice(0, 5), slice(5, 17)
CAMERA_ARC = 0.35  # radians to either side of the front
BORDER = 0.03  # share of the image that the main person's joints keep from the edge
UNLABELLED, OCCLUDED, VISIBLE = 0, 1, 2
OFFICIAL = {"l": "left", "r": "right"}


class Person(NamedTuple):
    """One person of a picture, in the world frame."""

    pose: np.ndarray
    """(24, 3) axis-angle."""
    transl: np.ndarray
    betas: np.ndarray
    vertices: np.ndarray
    """(V, 3)."""
    keypoints: np.ndarray
    """(17, 3) metres."""
    look: Look
    sitting: bool


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
    split, settings = task["split"], stage.settings
    random = rng(settings["seed"], "coco", split, number)
    people = [_person(random, stage, (0.0, 0.0))]
    if random.random() < 0.3:
        side = random.choice([-1, 1]) * random.uniform(0.6, 1.1)
        people.append(_person(random, stage, (side, random.uniform(-0.1, 1.2))))
    camera = _frame(random, people[0], settings["image_size"])
    boxes = [stool_for(p.vertices[None, stage.landmarks.seat_ids]) for p in people if p.sitting]
    if random.random() < 0.15:
        boxes.append(_in_front(random, camera))
    scene = make_scene(random, boxes)
    seen = [(camera.to_camera(person.vertices), person.look) for person in people]
    place = backdrop(scene, camera)
    picture = render(place, scene, camera, seen, stage.bodies.faces, random)
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


def _person(random, stage: Stage, place: tuple[float, float]) -> Person:
    body = stage.bodies["neutral"]
    limit = np.radians(stage.settings["heading_deg"])
    motion = str(random.choice(list(MOTIONS)))
    betas = draw_betas(random)
    # the camera stays within CAMERA_ARC of the front, which the heading leaves room for
    room = limit - CAMERA_ARC
    direction = Direction(place, random.uniform(-room, room), room)
    actor = perform(body, motion, random, 1, 15, betas, "neutral", direction)
    vertices, joints = body.mesh(betas, actor.pose, actor.transl)
    keypoints = stage.landmarks.of("coco17", joints, vertices)[0]
    look = draw_look(random, body.canvas)
    return Person(
        actor.pose[0], actor.transl[0], betas, vertices[0], keypoints, look, motion == "sit"
    )


def _frame(random, main: Person, longest: int) -> Camera:
    """Return a camera whose picture holds all of the main person's joints."""
    share = random.uniform(0.75, 1.0)
    aspect = ASPECTS[random.choice(len(ASPECTS), p=[0.2, 0.3, 0.15, 0.2, 0.15])]
    width, height = (int(longest * share * side) for side in aspect)
    angle, distance = random.uniform(-CAMERA_ARC, CAMERA_ARC), random.uniform(2.8, 6.5)
    centre = main.keypoints.mean(0)
    eye = centre + [distance * np.sin(angle), -distance * np.cos(angle), random.uniform(-0.3, 0.9)]
    eye[2] = max(eye[2], 0.4)
    R, t = look_at(eye, centre, roll=random.normal() * 0.04)
    points = main.keypoints @ R.T + t
    rays = points[:, :2] / points[:, 2:]
    low, high = rays.min(0), rays.max(0)
    size = np.array([width, height], float)
    fill = random.uniform(0.55, 1 - 2 * BORDER)
    focal = (fill * size / (high - low)).min()
    slack = size * (1 - 2 * BORDER) - focal * (high - low)
    corner = BORDER * size + random.random(2) * slack
    cx, cy = corner - focal * low
    return Camera(np.array([[focal, 0, cx], [0, focal, cy], [0, 0, 1.0]]), R, t, width, height)


def _in_front(random, camera: Camera) -> np.ndarray:
    """Return a low box between the camera and the main person."""
    toward = camera.centre[:2] / np.linalg.norm(camera.centre[:2])
    x, y = toward * random.uniform(0.7, 1.0) + [random.normal() * 0.35, 0]
    half, top = random.uniform(0.1, 0.4), random.uniform(0.25, 0.75)
    return np.array([x - half, y - 0.15, 0.0, x + half, y + 0.15, top])


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
        "fit": None if crowd else _fit(body, person, camera),
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


def _fit(body: Body, person: Person, camera: Camera) -> dict:
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
        for photograph in (item for result in results for item in result):
            if photograph["split"] != split:
                continue
            images.append(photograph["image"])
            for annotation in photograph["annotations"]:
                ids = {"id": label_id, "image_id": photograph["image"]["id"]}
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
