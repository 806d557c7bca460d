"""Demo AGORA: crowds of 1280 x 720 pixels, pickled data frames, one SMPL fit for every scan.

`{train,validation}_SMPL/SMPL/{train,validation}_0_withjv.pkl`, `images/**/*_1280x720.png`,
`smpl_gt/**/*.pkl`. Image names go through the kinds of cameras: a close-up, a scene's camera
that looks down, one whose yaw only the frame tells. Of every group one person is not valid and
one is a kid, with one shape number more.
"""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from pipeline.demo.actors import in_camera
from pipeline.demo.frames import render
from pipeline.demo.groups import DISTANCE, Member, gather
from pipeline.demo.pandas_pickle import write_frame, write_tensors
from pipeline.demo.scenes import Camera, backdrop, look_at, make_scene
from pipeline.demo.stage import Stage
from pipeline.seeding import rng

SIZE, LARGE = (1280, 720), 3840
SENSOR = 36  # mm
RATE_HZ = 30


class Kind(NamedTuple):
    """A kind of camera, which the image's name tells."""

    name: str
    focal: float
    """Focal length in mm."""
    pitch: float
    """Degrees downwards."""
    yaw: float
    """Degrees."""
    place: tuple[float, float, float]
    """Centimetres: ahead, to the right, up."""
    told: bool
    """Whether the data frame has to say yaw and place."""


KINDS = (
    Kind("hdri_50mm", 50, 0.0, 0.0, (0, 0, 170), False),
    Kind("archviz_5_10_cam02", 18, 30.0, -45.0, (-490, 170, 265), False),
    Kind("construction", 28, 0.0, 62.0, (35, -80, 20), True),
    Kind("flowers_ag2", 28, 15.0, 0.0, (0, 0, 170), False),
)
GROUND = 1.7  # metres that the places told by the data frame lie below the camera
NOT_VALID, KID = 1, 2  # numbers of the persons who are


def plan(settings: dict) -> list[dict]:
    """Return one task per image.

    Args:
        settings: train_images, validation_images, people (in each image), and those that
            `produce` reads.
    """
    return [
        {"part": part, "number": number}
        for part in ("train", "validation")
        for number in range(settings[f"{part}_images"])
    ]


def produce(task: dict, stage: Stage) -> dict:
    """Write one image and the fits of its people; return its row of the data frame."""
    part, number, settings = task["part"], task["number"], stage.settings
    random = rng(settings["seed"], "agora", part, number)
    kind = KINDS[number % len(KINDS)]
    camera = _camera(kind.focal, kind.pitch)
    members = gather(random, stage, settings["people"], 2, RATE_HZ)
    scene = make_scene(random)
    people = [(camera.to_camera(m.vertices[0]), m.look) for m in members]
    picture = render(backdrop(scene, camera), scene, camera, people, stage.bodies.faces, random)
    name = f"ag_{part}set_demo_{kind.name}_{number:05d}"
    folder = f"{part}_0" if part == "train" else part
    path = stage.root / "images" / folder / f"{name}_1280x720.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", picture.image[..., ::-1])[1].tobytes())
    told = (*kind.place, kind.yaw) if kind.told else (0.0,) * 4
    row = {"imgPath": f"{name}.png"} | dict(
        zip(("camX", "camY", "camZ", "camYaw"), map(float, told), strict=True)
    )
    columns = [_person(random, m, k, kind, camera, name, stage) for k, m in enumerate(members)]
    return {"part": part, "row": row | {key: [c[key] for c in columns] for key in columns[0]}}


def _camera(focal: float, pitch: float) -> Camera:
    """Return a camera of a focal length in mm that looks at the group, `pitch` degrees down."""
    width, rows = SIZE
    pixels, drop = focal / SENSOR * width, np.tan(np.radians(pitch))
    away = DISTANCE * focal / 20 * np.cos(np.radians(pitch))
    eye = np.array([0.0, -away, 1.0 + drop * away])
    R, t = look_at(eye, eye + [0, 1, -drop])
    K = np.array([[pixels, 0, width / 2], [0, pixels, rows / 2], [0, 0, 1]])
    return Camera(K, R, t, width, rows)


def _person(
    random, member: Member, k: int, kind: Kind, camera: Camera, name: str, stage: Stage
) -> dict:
    """Write a scan's fit; return the person's entries of the data frame.

    A point v of the scan is seen at Rx(pitch) Ry(-camera's yaw) (Ry(yaw - 90) F v + t - c): F is
    half a turn about x, t the person's and c the camera's place.
    """
    body, yaw = stage.bodies["neutral"], random.uniform(-180, 180)
    still = member.actor._replace(pose=member.actor.pose[0], transl=member.actor.transl[0])
    pose, transl = in_camera(body, still, camera)
    world = Rotation.from_euler("yx", [-kind.yaw, kind.pitch], degrees=True)
    scan = Rotation.from_euler("y", yaw - 90, degrees=True) * Rotation.from_euler("x", np.pi)
    root = ((world * scan).inv() * Rotation.from_rotvec(pose[0])).as_rotvec()
    pelvis, own = body.pelvis(member.actor.betas), random.normal(size=3) * 0.01
    ahead, right, up = np.array(kind.place) / 100
    centre = np.array([right, -up - GROUND * kind.told, ahead])
    place = world.inv().apply(pelvis + transl) - scan.apply(pelvis + own) + centre
    path = f"smpl_gt/demo_adults/{name}_{k}_0.obj"
    betas = np.r_[member.actor.betas, 0.7] if k == KID else member.actor.betas
    write_tensors((stage.root / path).with_suffix(".pkl"), {
        "root_pose": root.reshape(1, 1, 3), "body_pose": pose[1:].reshape(1, 23, 3),
        "betas": betas[None], "translation": own[None],
    })  # fmt: skip
    joints = stage.landmarks.of("smplx45", member.joints[:1], member.vertices[:1])
    local = camera.to_camera(joints[0])
    return {
        "X": 100 * place[2], "Y": 100 * place[0], "Z": -100 * place[1], "Yaw": yaw,
        "gender": str(random.choice(["male", "female"])), "kid": k == KID,
        "occlusion": float(random.uniform(0, 60)), "isValid": k != NOT_VALID,
        "age": "31-50", "ethnicity": "demo",
        "gt_path_smpl": path, "gt_path_smplx": path.replace("smpl", "smplx"),
        "gt_joints_2d": camera.project(local) * (LARGE / SIZE[0]),
        "gt_joints_3d": local,
        "gt_verts": np.float32(camera.to_camera(member.vertices[0])),
    }  # fmt: skip


def finish(results: list[dict], settings: dict, root: Path) -> None:
    """Write the data frames."""
    for part in ("train", "validation"):
        rows = [result["row"] for result in results if result["part"] == part]
        if rows:
            columns = {key: [row[key] for row in rows] for key in rows[0]}
            write_frame(root / f"{part}_SMPL" / "SMPL" / f"{part}_0_withjv.pkl", columns)
