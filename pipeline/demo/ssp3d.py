"""Demo SSP-3D: `images/`, `silhouettes/` of the same names, and `labels.npz`.

People of both genders, far away in front of a camera of 5,000 px focal length; boxes are the
silhouettes' own, their centres (row, column).
"""

from pathlib import Path

import numpy as np

from pipeline.demo.actors import Direction, draw_betas, in_camera, perform
from pipeline.demo.frames import develop
from pipeline.demo.lsp import write_png
from pipeline.demo.motions import MOTIONS
from pipeline.demo.painter import paint
from pipeline.demo.people import draw_look, dress
from pipeline.demo.scenes import Camera, backdrop, look_at, make_scene, pinhole
from pipeline.demo.stage import Stage
from pipeline.joints import mapping
from pipeline.rendering.rasterizer import rasterize
from pipeline.seeding import rng

SIZE, FOCAL = 512, 5000.0
FILL = (0.55, 0.8)  # of the image that a person takes
NEAR = 4.0  # metres from which the place behind is seen
CAMERA_ARC = 0.3  # radians to either side of the front


def plan(settings: dict) -> list[dict]:
    """Return one task per image.

    Args:
        settings: images.
    """
    return [{"number": number} for number in range(settings["images"])]


def produce(task: dict, stage: Stage) -> dict:
    """Write one image and its silhouette; return the labels."""
    random = rng(stage.settings["seed"], "ssp3d", task["number"])
    gender = ("male", "female")[task["number"] % 2]
    body = stage.bodies[gender]
    limit = np.radians(stage.settings["heading_deg"])
    facing = Direction((0.0, 0.0), random.uniform(-0.5, 0.5) * limit, limit)
    motion, betas = str(random.choice(list(MOTIONS))), draw_betas(random)
    actor = perform(body, motion, random, 1, 15, betas, gender, facing)
    actor = actor._replace(pose=actor.pose[0], transl=actor.transl[0])
    meshes, joints = body.mesh(betas, actor.pose[None], actor.transl[None])
    camera, scene = _far(random, meshes[0]), make_scene(random)
    mesh = camera.to_camera(meshes[0]).astype(np.float32)
    look = draw_look(random, body.canvas)
    image = backdrop(scene, _near(camera, meshes[0].mean(0))).image.copy()
    paint(image, dress(mesh, stage.bodies.faces, look), camera.K, scene.light(camera))
    mask = rasterize(mesh, stage.bodies.faces, camera.K, SIZE, SIZE).face_id >= 0
    name = f"{task['number']:05d}.png"
    write_png(stage.root / "images" / name, develop(image, random))
    write_png(stage.root / "silhouettes" / name, 255 * mask)
    pose, transl = in_camera(body, actor, camera)
    points = stage.landmarks.of("spin24", joints, meshes)[0, mapping("spin24", "coco17")]
    pixels = camera.project(camera.to_camera(points)) + random.normal(size=(17, 2)) * 0.5
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    low, high = np.array([rows[0], columns[0]]), np.array([rows[-1], columns[-1]]) + 1
    return {
        "fnames": name, "shapes": betas, "poses": pose.ravel(), "cam_trans": transl,
        "joints2D": np.column_stack([pixels, random.uniform(0.7, 1, 17)]),
        "bbox_centres": (low + high) / 2, "bbox_whs": float((high - low).max()),
        "genders": gender[0],
    }  # fmt: skip


def _far(random: np.random.Generator, vertices: np.ndarray) -> Camera:
    """Return the camera of the labels, in whose image the person fills its share."""
    low, high = vertices.min(0), vertices.max(0)
    extent = float((high - low).max())
    distance = FOCAL * extent / (random.uniform(*FILL) * SIZE)
    angle = random.uniform(-CAMERA_ARC, CAMERA_ARC)
    centre = (low + high) / 2 + random.uniform(-0.1, 0.1, 3) * extent
    eye = centre + distance * np.array([np.sin(angle), -np.cos(angle), 0.1])
    R, t = look_at(eye, centre)
    return Camera(pinhole(FOCAL, SIZE, SIZE), R, t, SIZE, SIZE)


def _near(camera: Camera, centre: np.ndarray) -> Camera:
    """Return a camera inside the place, with the view and the zoom of the far one."""
    away = np.linalg.norm(camera.centre - centre)
    eye = centre + (camera.centre - centre) * NEAR / away
    return Camera(pinhole(FOCAL * NEAR / away, SIZE, SIZE), camera.R, -camera.R @ eye, SIZE, SIZE)


def finish(results: list[dict], settings: dict, root: Path) -> None:
    """Write the labels."""
    arrays = {key: np.array([label[key] for label in results]) for key in results[0]}
    with open(root / "labels.npz", "wb") as file:
        np.savez(file, **arrays)
