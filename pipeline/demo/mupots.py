"""Demo MuPoTS-3D: `MultiPersonTestSet/TS*/` and the json redistribution of the same labels.

`annot.mat` holds a cell of frames by persons, each a struct of 17 joints: pixels (2, 17) and
millimetres in the camera frame (3, 17), as captured and scaled to the universal skeleton;
`occlusion.mat` the joints that are hidden; images `img_%06d.jpg` count from zero. TS1 to TS5 are
square, the others 16:9. No intrinsics are in these files; `MuPoTS-3D.json` has them.
"""

import json
from pathlib import Path

import numpy as np

from pipeline.demo.frames import render, write_jpeg
from pipeline.demo.groups import Member, camera_for, gather, hidden
from pipeline.demo.matlab import write_mat5
from pipeline.demo.mpi_joints import mpi_joints, universal
from pipeline.demo.scenes import Camera, backdrop, make_scene
from pipeline.demo.stage import Stage
from pipeline.seeding import rng

FOLDER, RATE_HZ = "MultiPersonTestSet", 30
SQUARE = 5  # the first sequences are indoors and square
JOINTS = "mpi17"


def plan(settings: dict) -> list[dict]:
    """Return one task per sequence.

    Args:
        settings: image_size (longer side), sequences (numbers), frames (of each), and those
            that `produce` reads.
    """
    return [{"sequence": number} for number in settings["sequences"]]


def produce(task: dict, stage: Stage) -> list[dict]:
    """Write the images and labels of one sequence; return its frames for the json."""
    settings, number = stage.settings, task["sequence"]
    random = rng(settings["seed"], "mupots", number)
    width = settings["image_size"]
    camera = camera_for(random, width, width if number <= SQUARE else width * 9 // 16)
    people = gather(random, stage, 2 + number % 2, settings["frames"], RATE_HZ)
    points = [
        camera.to_camera(mpi_joints(stage.landmarks, JOINTS, member.joints, member.vertices))
        for member in people
    ]  # of each person, (N, 17, 3)
    folder = stage.root / FOLDER / f"TS{number}"
    owners = _film(folder, camera, people, stage, random)
    labels = [
        [_label(points, camera, owner, frame, person) for person in range(len(people))]
        for frame, owner in enumerate(owners)
    ]
    write_mat5(folder / "annot.mat", {"annotations": _cell(labels, _struct)})
    write_mat5(folder / "occlusion.mat", {"occlusion_labels": _cell(
        labels, lambda label: label["hidden"][None].astype(np.uint8)
    )})  # fmt: skip
    return [_entry(number, frame, row, camera) for frame, row in enumerate(labels)]


def _film(folder: Path, camera: Camera, people: list[Member], stage: Stage, random) -> list:
    """Write the images; return who is seen where in each."""
    scene, owners = make_scene(random), []
    place = backdrop(scene, camera)
    for frame in range(len(people[0].vertices)):
        seen = [(camera.to_camera(member.vertices[frame]), member.look) for member in people]
        picture = render(place, scene, camera, seen, stage.bodies.faces, random)
        write_jpeg(folder / f"img_{frame:06d}.jpg", picture.image)
        owners.append(picture.owner)
    return owners


def _label(
    points: list[np.ndarray], camera: Camera, owner: np.ndarray, frame: int, person: int
) -> dict:
    """Return one person in one frame; the last person is not annotated in every third frame."""
    pixels = camera.project(points[person][frame])
    return {
        "pixels": pixels,
        "points": 1000 * points[person][frame],
        "universal": 1000 * universal(points[person], JOINTS)[frame],
        "valid": not (frame % 3 == 2 and person == len(points) - 1),
        "hidden": hidden(pixels, owner, person),
    }


def _cell(labels: list[list[dict]], make) -> np.ndarray:
    """Return (frames, persons) cells."""
    cell = np.empty((len(labels), len(labels[0])), object)
    for frame, row in enumerate(labels):
        for person, label in enumerate(row):
            cell[frame, person] = make(label)
    return cell


def _struct(label: dict) -> dict:
    return {
        "annot2": label["pixels"].T,
        "annot3": label["points"].T,
        "univ_annot3": label["universal"].T,
        "isValidFrame": np.uint8(label["valid"]),
    }


def _entry(sequence: int, frame: int, labels: list[dict], camera: Camera) -> dict:
    """Return an image of the json with its annotations, without ids."""
    K, people = camera.K, []
    for label in labels:
        low, high = label["pixels"].min(0), label["pixels"].max(0)
        people.append({
            "keypoints_img": np.round(label["pixels"], 4).tolist(),
            "keypoints_cam": np.round(label["points"], 4).tolist(),
            "keypoints_vis": (~label["hidden"]).astype(int).tolist(),
            "is_valid": int(label["valid"]),
            "bbox": np.round([*low, *(high - low)], 4).tolist(),
        })  # fmt: skip
    image = {
        "file_name": f"TS{sequence}/img_{frame:06d}.jpg",
        "width": camera.width,
        "height": camera.height,
        "intrinsic": [K[0, 0], K[1, 1], K[0, 2], K[1, 2]],
    }
    return {"image": image, "people": people}


def finish(results: list[list[dict]], settings: dict, root: Path) -> None:
    """Write `MuPoTS-3D.json`."""
    images, annotations = [], []
    for entry in (entry for result in results for entry in result):
        images.append({"id": len(images), **entry["image"]})
        for label in entry["people"]:
            ids = {"id": len(annotations), "image_id": images[-1]["id"]}
            annotations.append({**ids, "category_id": 1, "iscrowd": 0, **label})
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1}]}
    (root / "MuPoTS-3D.json").write_text(json.dumps(content))
