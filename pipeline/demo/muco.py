"""Demo MuCo-3DHP in the json redistribution: `augmented_set/`, `unaugmented_set/`, two files.

`MuCo-3DHP.json` lists images with their intrinsics and persons with 21 joints, millimetres in
the camera frame and pixels; `smpl_param.json` the SMPL fits by annotation, camera frame, metres.
Some persons have no fit, and some fits are bad: the joint error tells.
"""

import json
from pathlib import Path

import numpy as np

from pipeline.demo.actors import in_camera
from pipeline.demo.frames import render, write_jpeg
from pipeline.demo.groups import Member, camera_for, gather
from pipeline.demo.mpi_joints import mpi_joints
from pipeline.demo.scenes import Camera, backdrop, make_scene
from pipeline.demo.stage import Stage
from pipeline.seeding import rng

SETS = ("unaugmented_set", "augmented_set")
NO_FIT, BAD_FIT = 5, 7  # every so many annotations


def plan(settings: dict) -> list[dict]:
    """Return one task per image.

    Args:
        settings: image_size, images (of both sets together), and those that `produce` reads.
    """
    return [{"image": number} for number in range(settings["images"])]


def produce(task: dict, stage: Stage) -> dict:
    """Write one image; return its entry and its persons."""
    settings, number = stage.settings, task["image"]
    random = rng(settings["seed"], "muco", number)
    size = settings["image_size"]
    camera = camera_for(random, size, size)
    people = gather(random, stage, 2 + number % 3, 1, 25)
    scene = make_scene(random)
    seen = [(camera.to_camera(member.vertices[0]), member.look) for member in people]
    picture = render(backdrop(scene, camera), scene, camera, seen, stage.bodies.faces, random)
    name = f"{SETS[number % 2]}/{number // 2:06d}.jpg"
    write_jpeg(stage.root / name, picture.image)
    image = {
        "file_name": name,
        "width": size,
        "height": size,
        "f": [camera.K[0, 0], camera.K[1, 1]],
        "c": [camera.K[0, 2], camera.K[1, 2]],
    }
    return {"image": image, "people": [_person(member, camera, stage) for member in people]}


def _person(member: Member, camera: Camera, stage: Stage) -> dict:
    points = camera.to_camera(
        mpi_joints(stage.landmarks, "muco21", member.joints, member.vertices)[0]
    )
    pixels = camera.project(points)
    low, high = pixels.min(0), pixels.max(0)
    frame = member.actor._replace(pose=member.actor.pose[0], transl=member.actor.transl[0])
    pose, transl = in_camera(stage.bodies["neutral"], frame, camera)
    return {
        "label": {
            "keypoints_cam": np.round(1000 * points, 4).tolist(),
            "keypoints_img": np.round(pixels, 4).tolist(),
            "bbox": np.round([*low, *(high - low)], 4).tolist(),
        },
        "fit": {
            "pose": np.round(pose.ravel(), 6).tolist(),
            "shape": np.round(member.actor.betas, 6).tolist(),
            "trans": np.round(transl, 6).tolist(),
        },
    }


def finish(results: list[dict], settings: dict, root: Path) -> None:
    """Write both annotation files; annotation ids count from 500."""
    images, annotations, fits = [], [], {}
    for result in results:
        images.append({"id": len(images), **result["image"]})
        for person in result["people"]:
            key = 500 + len(annotations)
            ids = {"id": key, "image_id": images[-1]["id"]}
            annotations.append({**ids, "category_id": 1, "iscrowd": 0, **person["label"]})
            if key % NO_FIT:
                fits[str(key)] = person["fit"]
            if key % BAD_FIT == 0:  # both knees raised
                fits[str(key)] = person["fit"] | {"pose": _bent(person["fit"]["pose"])}
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1}]}
    (root / "MuCo-3DHP.json").write_text(json.dumps(content))
    (root / "smpl_param.json").write_text(json.dumps(fits))


def _bent(pose: list[float]) -> list[float]:
    turned = np.reshape(pose, (24, 3)).copy()
    turned[1:3, 0] -= 0.6
    return turned.ravel().tolist()
