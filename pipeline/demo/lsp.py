"""Demo LSP: `lsp_dataset_original`, the smaller `lsp_dataset`, and UPi-S1h's masks of its tests.

Both folders hold all images, `images/im%04d.jpg`, and `joints.mat`, `joints` (3, 14, images)
with 1 in the third row where a joint is hidden; the second half is the test set. The masks of
`upi-s1h/data/lsp` are of the small images: more than 0 on the person, and parts 1 to 6 with 255
where the part is in doubt.
"""

from pathlib import Path

import cv2
import numpy as np

from pipeline.demo.frames import write_jpeg
from pipeline.demo.matlab import write_mat5
from pipeline.demo.portraits import Portrait, annotate, photograph
from pipeline.demo.stage import Stage
from pipeline.rendering.rasterizer import rasterize
from pipeline.seeding import rng

FULL, SMALL, MASKS = "lsp_dataset_original", "lsp_dataset", "upi-s1h/data/lsp"
LENGTH = 150  # px of a person in the small images
IGNORED = 255


def plan(settings: dict) -> list[dict]:
    """Return one task per image.

    Args:
        settings: image_size (longer side of the full images), images (of each half).
    """
    count = settings["images"]
    return [{"number": number, "test": number > count} for number in range(1, 2 * count + 1)]


def produce(task: dict, stage: Stage) -> tuple[np.ndarray, np.ndarray]:
    """Write one image in both sizes and its masks; return the joints (3, 14) in both."""
    random = rng(stage.settings["seed"], "lsp", task["number"])
    portrait = photograph(random, stage, alone=True)
    pixels, seen = annotate(portrait, stage, "lsp14")
    name, image = f"im{task['number']:04d}", portrait.picture.image
    write_jpeg(stage.root / FULL / "images" / f"{name}.jpg", image)
    zoom = LENGTH / np.ptp(pixels, axis=0).max()
    size = np.maximum(1, np.round(zoom * np.array(image.shape[1::-1]))).astype(int)
    small = cv2.resize(image, size.tolist(), interpolation=cv2.INTER_AREA)
    write_jpeg(stage.root / SMALL / "images" / f"{name}.jpg", small)
    ratio = size / np.array(image.shape[1::-1])
    if task["test"]:
        _write_masks(portrait, stage, ratio, size, stage.root / MASKS / name)
    return np.vstack([pixels.T, ~seen]), np.vstack([(pixels * ratio).T, ~seen])


def _write_masks(
    portrait: Portrait, stage: Stage, ratio: np.ndarray, size: np.ndarray, stem: Path
) -> None:
    """Write the silhouette and the parts of the main person in the small image."""
    camera, person = portrait.camera, portrait.people[0]
    K = np.diag([*ratio, 1]) @ camera.K
    vertices = camera.to_camera(person.vertices).astype(np.float32)
    face = rasterize(vertices, stage.bodies.faces, K, size[1], size[0]).face_id
    parts = np.append(stage.bodies.assets.parts6, 0).astype(np.uint8)[face]
    write_png(Path(f"{stem}_segmentation.png"), (parts > 0) * np.uint8(255))
    edge = cv2.morphologyEx(parts, cv2.MORPH_GRADIENT, np.ones((2, 2), np.uint8)) > 0
    inner = cv2.erode((parts > 0).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    write_png(Path(f"{stem}_part_segmentation.png"), np.where(edge & inner, IGNORED, parts))


def write_png(path: Path, image: np.ndarray) -> None:
    """Write an image (H, W) of numbers, or (H, W, 3) RGB."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = image if image.ndim == 2 else np.ascontiguousarray(image[..., ::-1])
    ok, data = cv2.imencode(".png", stored.astype(np.uint8))
    if not ok:
        raise OSError(f"{path}: the image could not be encoded")
    path.write_bytes(data)


def finish(results: list[tuple], settings: dict, root: Path) -> None:
    """Write the joints of both sizes."""
    for folder, joints in zip((FULL, SMALL), zip(*results, strict=True), strict=True):
        write_mat5(root / folder / "joints.mat", {"joints": np.stack(joints, -1).astype(float)})
