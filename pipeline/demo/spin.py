"""Demo of SPIN's own files: annotations `dataset_extras/*.npz` and fits, row by row.

`coco_2014_train.npz` has 2D labels only, its fits are `static_fits/coco_fits.npy` (N, 82) and
`final_fits/coco.npz`, in which one row is not valid and one has a broken shape;
`h36m_train.npz` has 3D joints and some bodies of its own. Images are below `images/`.
"""

from pathlib import Path

import numpy as np

from pipeline.demo.actors import in_camera
from pipeline.demo.frames import write_jpeg
from pipeline.demo.portraits import annotate, photograph
from pipeline.demo.stage import Stage
from pipeline.joints import indices
from pipeline.seeding import rng

FILES = {"coco": "coco_2014_train", "h36m": "h36m_train"}
BOX_FACTOR = 1.2
BROKEN = 4.5  # a beta that SPIN's own training resets
LABELLED_2D = {  # name of the fits -> annotation file; the demo's hold the same people
    "coco": "coco_2014_train",
    "mpii": "mpii_train",
    "lspet": "hr-lspet_train",
    "lsp": "lsp_dataset_original_train",
}


def plan(settings: dict) -> list[dict]:
    """Return one task per image.

    Args:
        settings: image_size (longer side), coco_images, h36m_images.
    """
    return [
        {"file": file, "number": number}
        for file in FILES for number in range(settings[f"{file}_images"])
    ]  # fmt: skip


def produce(task: dict, stage: Stage) -> dict:
    """Write one image; return its row."""
    random = rng(stage.settings["seed"], "spin", task["file"], task["number"])
    portrait = photograph(random, stage, alone=True)
    person, camera, body = portrait.people[0], portrait.camera, stage.bodies["neutral"]
    name = f"{task['file']}/{task['number']:06d}.jpg"
    write_jpeg(stage.root / "images" / name, portrait.picture.image)
    pixels, _ = annotate(portrait, stage, "spin24")
    detected, _ = annotate(portrait, stage, "coco17")
    openpose = np.zeros((25, 3))
    limbs = [f"{s}_{j}" for s in "lr" for j in ("shoulder", "elbow", "wrist", "knee", "ankle")]
    confidence = random.uniform(0.4, 0.9, len(limbs))
    openpose[indices("openpose25", limbs)] = np.column_stack(
        [detected[indices("coco17", limbs)], confidence]
    )
    world = stage.landmarks.of("spin24", person.joints[None], person.vertices[None])[0]
    joints = camera.to_camera(world)
    pose, _ = in_camera(body, person, camera)
    return {
        "file": task["file"], "imgname": name, "pose": pose.ravel(), "shape": person.betas,
        "center": (pixels.min(0) + pixels.max(0)) / 2,
        "scale": BOX_FACTOR * np.ptp(pixels, axis=0).max() / 200,
        "part": np.column_stack([pixels, np.ones(24)]), "openpose": openpose,
        "S": np.column_stack([joints - joints[indices("spin24", ["pelvis"])], np.ones(24)]),
    }  # fmt: skip


def finish(results: list[dict], settings: dict, root: Path) -> None:
    """Write the annotation files and the fits."""
    rows = {file: [row for row in results if row["file"] == file] for file in FILES}
    for folder in ("dataset_extras", "static_fits", "final_fits"):
        (root / folder).mkdir()
    plain = ("imgname", "center", "scale", "part", "openpose")
    for file in LABELLED_2D.values():
        _write(root / f"dataset_extras/{file}.npz", rows["coco"], plain)
    pose, betas = (np.stack([row[key] for row in rows["coco"]]) for key in ("pose", "shape"))
    np.save(root / "static_fits/coco_fits.npy", np.hstack([pose, betas]))
    valid = np.ones(len(pose), bool)
    valid[1:2] = False
    broken = betas.copy()
    broken[-1, 0] = BROKEN
    for name in LABELLED_2D:
        np.savez(root / f"final_fits/{name}.npz", pose=pose, betas=broken, valid_fit=valid)
    own = (*plain[:4], "S", "pose", "shape")
    extra = {"has_smpl": np.arange(len(rows["h36m"])) % 3 != 1}
    _write(root / "dataset_extras/h36m_train.npz", rows["h36m"], own, extra)


def _write(path: Path, rows: list[dict], keys: tuple[str, ...], extra: dict | None = None) -> None:
    arrays = {key: np.array([row[key] for row in rows]) for key in keys}
    np.savez(path, **arrays, **(extra or {}))
