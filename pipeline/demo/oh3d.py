"""Demo 3DOH50K: `{trainset,testset}/annots.json`, `images/*.jpg`, and masks of the training set.

The world's unit is about a seventh of a metre, another one in every image; SMPL is scaled into
it and placed by `trans`. Paths have the backslashes of the real files.
"""

import json
from pathlib import Path

import numpy as np

from pipeline.demo.frames import write_jpeg
from pipeline.demo.lsp import write_png
from pipeline.demo.portraits import photograph
from pipeline.demo.stage import Stage
from pipeline.joints import mapping
from pipeline.seeding import rng

FOLDERS = {"train": "trainset", "test": "testset"}
UNIT = (6.8, 7.3)  # of the world, per metre
DIGITS = 6


def plan(settings: dict) -> list[dict]:
    """Return one task per image.

    Args:
        settings: image_size (longer side of the largest image), train, test (images).
    """
    return [{"split": s, "number": number} for s in FOLDERS for number in range(settings[s])]


def produce(task: dict, stage: Stage) -> dict:
    """Write one image and its mask; return the annotation."""
    random = rng(stage.settings["seed"], "oh3d", task["split"], task["number"])
    portrait = photograph(random, stage)
    person, camera = portrait.people[0], portrait.camera
    folder, name = stage.root / FOLDERS[task["split"]], f"{task['number']:05d}"
    write_jpeg(folder / "images" / f"{name}.jpg", portrait.picture.image)
    order = mapping("spin24", "lsp14")
    lsp = stage.landmarks.of("spin24", person.joints[None], person.vertices[None])[0, order]
    lsp, joints, mesh = (
        camera.to_camera(points) for points in (lsp, person.joints, person.vertices)
    )
    outline = camera.project(mesh)
    unit = random.uniform(*UNIT)
    extrinsics = np.eye(4)
    extrinsics[:3, :3], extrinsics[:3, 3] = camera.R, camera.t * unit
    label = {
        "extri": extrinsics, "intri": camera.K, "bbox": [outline.min(0), outline.max(0)],
        "betas": person.betas[None], "pose": person.pose.reshape(1, 72),
        "trans": person.transl[None] * unit, "scale": [unit],
        "smpl_joints_2d": camera.project(joints), "smpl_joints_3d": joints * unit,
        "lsp_joints_2d": camera.project(lsp), "lsp_joints_3d": lsp * unit,
    }  # fmt: skip
    label = {key: np.round(value, DIGITS).tolist() for key, value in label.items()}
    label["img_path"] = f"images\\{name}.jpg"
    if task["split"] == "train":
        label["mask_path"] = f"masks\\{name}.png"
        write_png(folder / "masks" / f"{name}.png", 255 * (portrait.picture.owner == 0))
    return {"split": task["split"], "name": name, "label": label}


def finish(results: list[dict], settings: dict, root: Path) -> None:
    """Write the annotations of both sets."""
    for split, folder in FOLDERS.items():
        content = {r["name"]: r["label"] for r in results if r["split"] == split}
        (root / folder / "annots.json").write_text(json.dumps(content))
