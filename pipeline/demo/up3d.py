"""Demo UP-3D: one folder, `%05d_*` files of each image, lists of the splits.

The fits are of a part of the image, enlarged twice; `fit_crop_info.txt` says which. Bodies are
in the camera frame already (`rt` and `trans` are zero), as in the official fits.
"""

import pickle
from pathlib import Path

import numpy as np

from pipeline.demo.actors import in_camera
from pipeline.demo.lsp import write_png
from pipeline.demo.portraits import Portrait, annotate, photograph
from pipeline.demo.stage import Stage
from pipeline.rendering.overlay import overlay_mesh
from pipeline.seeding import rng

ZOOM = 2  # of the fitted part
ORIGINS = ("lsp", "lsp_extended", "mpii", "fashionpose")


def plan(settings: dict) -> list[dict]:
    """Return one task per image.

    Args:
        settings: image_size (longer side), train_images, val_images, test_images.
    """
    splits = [s for s in ("train", "val", "test") for _ in range(settings[f"{s}_images"])]
    return [{"number": 7 * k + 20, "split": split} for k, split in enumerate(splits)]


def produce(task: dict, stage: Stage) -> dict:
    """Write the files of one image."""
    number = task["number"]
    random = rng(stage.settings["seed"], "up3d", number)
    portrait = photograph(random, stage, alone=True, snap=True)
    stem, camera, person = stage.root / f"{number:05d}", portrait.camera, portrait.people[0]
    pixels, seen = annotate(portrait, stage, "lsp14")
    write_png(Path(f"{stem}_image.png"), portrait.picture.image)
    np.save(f"{stem}_joints.npy", np.vstack([pixels.T, seen]))
    white = np.full_like(portrait.picture.image, 255)
    mesh = camera.to_camera(person.vertices)
    write_png(
        Path(f"{stem}_render_light.png"), overlay_mesh(white, mesh, stage.bodies.faces, camera.K)
    )
    low, high = _fitted_part(portrait)
    height, width = ZOOM * (high - low)[::-1]
    crop = (height, width, low[1], high[1], low[0], high[0])
    Path(f"{stem}_fit_crop_info.txt").write_text(" ".join(f"{v:.0f}" for v in crop) + "\n")
    origin = ORIGINS[random.integers(len(ORIGINS))]
    Path(f"{stem}_dataset_info.txt").write_text(f"{origin} {random.integers(1, 900)}\n")
    pose, transl = in_camera(stage.bodies["neutral"], person, camera)
    content = {
        "j2d": (pixels - low) * ZOOM, "pose": pose.ravel(), "betas": person.betas,
        "trans": np.zeros(3), "rt": np.zeros(3), "t": transl, "f": ZOOM * camera.K[0, 0],
    }  # fmt: skip
    with open(f"{stem}_body.pkl", "wb") as file:
        pickle.dump(content, file, protocol=2)
    return task


def _fitted_part(portrait: Portrait) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners of the largest part of the image about the principal point."""
    camera = portrait.camera
    middle, size = camera.K[:2, 2], np.array([camera.width, camera.height])
    reach = np.minimum(middle, size - middle)
    reach = np.floor(reach - middle % 1) + middle % 1  # corners are whole pixels
    return middle - reach, middle + reach


def finish(results: list[dict], settings: dict, root: Path) -> None:
    """Write the lists."""
    lists = {"train": ["train"], "val": ["val"], "trainval": ["train", "val"], "test": ["test"]}
    for name, splits in lists.items():
        lines = [f"/{t['number']:05d}_image.png\n" for t in results if t["split"] in splits]
        (root / f"{name}.txt").write_text("".join(lines))
