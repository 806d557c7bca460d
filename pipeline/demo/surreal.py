"""Demo SURREAL: clips of 320 x 240 with their `_info.mat` and `_segm.mat`.

As in the real set the stored parameters are the mirror image of the body in the picture: joints
have the other side's name, poses are reflected, the world is seen through a matrix of
determinant -1. The second clip of a split has a single frame, whose arrays lose an axis, and
the training split has a clip of a subject that is known for monstrous shapes.
"""

from pathlib import Path

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from pipeline.demo.actors import Direction, Performance, draw_betas, in_camera, perform
from pipeline.demo.frames import render
from pipeline.demo.matlab import write_mat5
from pipeline.demo.motions import MOTIONS
from pipeline.demo.people import draw_look
from pipeline.demo.scenes import Camera, backdrop, look_at, make_scene, pinhole
from pipeline.demo.stage import Stage
from pipeline.demo.stool import stool_for
from pipeline.joints import flip_permutation
from pipeline.rendering.iuv import Atlas, render_iuv
from pipeline.seeding import rng

WIDTH, HEIGHT, FOCAL = 320, 240, 600
RATE_HZ, MARGIN = 30, 0.1
SEQUENCES = ("01_01", "02_03", "18_02", "35_11")
SWAP = flip_permutation("smpl24")
MIRROR = np.diag([-1.0, 1, 1])
AXES = np.array([[0.0, 0, -1], [0, 1, 0], [-1, 0, 0]])  # world to camera, a reflection
GENDERS = {"female": 0, "male": 1}


def plan(settings: dict) -> list[dict]:
    """Return one task per clip.

    Args:
        settings: train_clips, val_clips, test_clips (0 makes none), frames (of a clip), and
            those that `produce` reads.
    """
    return [
        {"split": split, "number": number, "frames": 1 if number == 1 else settings["frames"]}
        for split in ("train", "val", "test")
        for number in range(settings[f"{split}_clips"])
    ]


def produce(task: dict, stage: Stage) -> None:
    """Write one clip."""
    split, number, settings = task["split"], task["number"], stage.settings
    random = rng(settings["seed"], "surreal", split, number)
    gender = ("female", "male")[number % 2]
    body, motion = stage.bodies[gender], str(random.choice(list(MOTIONS)))
    limit = np.radians(settings["heading_deg"]) - MARGIN
    direction = Direction((0.0, 0.0), random.uniform(-limit, limit), limit)
    betas = draw_betas(random)
    actor = perform(body, motion, random, task["frames"], RATE_HZ, betas, gender, direction)
    vertices, joints = body.mesh(actor.betas, actor.pose, actor.transl)
    camera = _camera(random)
    sequence = SEQUENCES[number % len(SEQUENCES)]
    clip = f"{sequence}_c{1 + number // len(SEQUENCES):04d}"
    base = stage.root / "cmu" / split / f"run{number % 2}" / sequence / clip
    seat = [stool_for(vertices[:, stage.landmarks.seat_ids])] if motion == "sit" else []
    scene = make_scene(random, seat)
    shown = _film(base.with_name(f"{clip}.mp4"), camera, scene, vertices, gender, stage, random)
    write_mat5(base.with_name(f"{clip}_segm.mat"), {
        f"segm_{frame + 1}": image for frame, image in enumerate(shown)
    })  # fmt: skip
    write_mat5(base.with_name(f"{clip}_info.mat"), _info(actor, joints, camera, stage, random))


def _camera(random) -> Camera:
    """Return a camera that sees a whole person."""
    eye = [random.uniform(-0.5, 0.5), -random.uniform(6.2, 7.0), 1.0]
    R, t = look_at(np.array(eye), [0, 0, 0.9])
    return Camera(pinhole(FOCAL, WIDTH, HEIGHT), R, t, WIDTH, HEIGHT)


def _film(path: Path, camera: Camera, scene, vertices, gender: str, stage: Stage, random):
    """Write the video; return each frame's body segments 1..24 under the stored names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    look = draw_look(random, stage.bodies[gender].canvas)
    place, faces = backdrop(scene, camera), stage.bodies.faces
    stored = 1 + SWAP[stage.bodies.assets.parts24_smpl[faces[:, 0]]].astype(np.uint8)
    segments = Atlas(stored, np.zeros((len(faces), 3, 2), np.float32), faces)
    code = cv2.VideoWriter_fourcc(*"mp4v")
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, RATE_HZ, (WIDTH, HEIGHT))
    images = []
    for body in vertices:
        local = camera.to_camera(body)
        picture = render(place, scene, camera, [(local, look)], faces, random)
        writer.write(np.ascontiguousarray(picture.image[..., ::-1]))
        image, _ = render_iuv(local.astype(np.float32), camera.K, WIDTH, segments)
        images.append(image[:HEIGHT])
    writer.release()
    return images


def _info(actor: Performance, joints: np.ndarray, camera: Camera, stage: Stage, random) -> dict:
    """Return the variables of `_info.mat`."""
    count, distance = len(joints), random.uniform(6, 7)
    local = camera.to_camera(joints)
    pixels, centre = camera.project(local), np.array([distance, -1.0, 0.0])
    world = local @ AXES + centre
    zrot = random.uniform(-np.pi, np.pi)
    pose = np.stack([_stored(actor, k, zrot, camera, stage) for k in range(count)])
    column = np.ones((count, 1), np.float32)
    arrays = {
        "joints2D": pixels[:, SWAP].transpose(2, 1, 0),
        "joints3D": world[:, SWAP].transpose(2, 1, 0),
        "pose": pose.reshape(count, 72).T,
        "shape": np.tile(actor.betas[:, None], (1, count)),
    }
    if count == 1:  # MATLAB keeps no axis of length one beyond the second
        arrays |= {key: arrays[key][..., 0] for key in ("joints2D", "joints3D")}
    arrays = {key: np.float32(value) for key, value in arrays.items()}
    return arrays | {
        "gender": (GENDERS[actor.gender] * column).astype(np.uint8),
        "zrot": np.float32(zrot) * column,
        "camLoc": np.float32(centre[:, None]),
        "camDist": np.float32([[distance]]),
        "clipNo": np.uint16([[1]]),
        "stride": np.uint8([[50]]),
        "sequence": "01_01",
        "source": "cmu",
    }


def _stored(actor: Performance, frame: int, zrot: float, camera: Camera, stage: Stage):
    """Return the pose (24, 3) whose reflection is that of a frame."""
    still = actor._replace(pose=actor.pose[frame], transl=actor.transl[frame])
    seen, _ = in_camera(stage.bodies[actor.gender], still, camera)
    pose = seen[SWAP] * [1, -1, -1]
    root = AXES.T @ Rotation.from_rotvec(seen[0]).as_matrix() @ MIRROR
    upright = Rotation.from_euler("x", np.pi / 2) * Rotation.from_euler("z", zrot)
    pose[0] = (upright.inv() * Rotation.from_matrix(root)).as_rotvec()
    return pose


def finish(results: list, settings: dict, root: Path) -> None:
    """Everything is in the clips' own files."""
