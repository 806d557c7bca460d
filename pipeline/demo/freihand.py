"""Demo FreiHAND: `{training,evaluation}/rgb/%08d.jpg` and one JSON list per kind of label.

Every training hand is there four times over other backgrounds, image i + versions * count; masks
exist for the first version alone. Poses are relative to the model's mean pose, lengths in metres
of the camera frame, and the last three numbers of a MANO label place the middle knuckle: its
pixel, and pixels per metre at its depth.
"""

import json
from pathlib import Path

import numpy as np

from pipeline.demo.frames import write_jpeg
from pipeline.demo.hands import KNUCKLE, Studio, blotches, draw_hand
from pipeline.demo.stage import Stage
from pipeline.seeding import rng

SIZE = 224
VERSIONS = 4  # green screen, and three ways to replace it
GREEN = (60, 190, 70)
FOLDERS = ("training", "evaluation")
KINDS = ("K", "mano", "xyz", "verts", "scale")
DIGITS = 8


def plan(settings: dict) -> list[dict]:
    """Return one task per hand.

    Args:
        settings: training, evaluation (hands of each part), turn_deg.
    """
    return [
        {"folder": folder, "number": number, "count": settings[folder]}
        for folder in FOLDERS
        for number in range(settings[folder])
    ]


def produce(task: dict, stage: Stage) -> dict:
    """Write the images of one hand and return its labels."""
    folder, number = task["folder"], task["number"]
    random = rng(stage.settings["seed"], "freihand", folder, number)
    model = stage.bodies.assets.hand_models["right"]
    focal = random.uniform(440, 520)
    K = np.array([[focal, 0, SIZE / 2], [0, focal, SIZE / 2], [0, 0, 1.0]])
    place = np.array([*random.uniform(-0.03, 0.03, 2), random.uniform(0.6, 0.9)])
    hand = draw_hand(random, model, place, stage.settings["turn_deg"])
    studio = Studio(random, model.model.faces)
    for version in range(VERSIONS if folder == "training" else 1):
        background = np.full((SIZE, SIZE, 3), GREEN, np.float32)
        if version or folder == "evaluation":
            background = blotches(random, SIZE, SIZE)
        picture, mask = studio.shoot(random, background, hand.vertices, K)
        name = f"{number + version * task['count']:08d}.jpg"
        write_jpeg(stage.root / folder / "rgb" / name, picture)
        if folder == "training" and version == 0:
            white = np.repeat(mask[..., None], 3, 2) * np.uint8(255)
            write_jpeg(stage.root / folder / "mask" / name, white)
    knuckle = hand.joints[KNUCKLE]
    pixels_per_metre = focal / knuckle[2]
    uv = knuckle[:2] * pixels_per_metre + SIZE / 2
    mano = [*hand.global_orient, *(hand.pose - model.mean), *hand.betas, *uv, pixels_per_metre]
    return {
        "folder": folder,
        "K": K,
        "mano": np.array([mano]),
        "xyz": hand.joints,
        "verts": hand.vertices,
        "scale": np.linalg.norm(hand.joints[KNUCKLE] - hand.joints[KNUCKLE + 1]),
    }


def finish(results: list[dict], settings: dict, root: Path) -> None:
    """Write the lists of labels."""
    for folder in FOLDERS:
        labels = [result for result in results if result["folder"] == folder]
        for kind in KINDS:
            content = [np.round(label[kind], DIGITS).tolist() for label in labels]
            (root / f"{folder}_{kind}.json").write_text(json.dumps(content))
