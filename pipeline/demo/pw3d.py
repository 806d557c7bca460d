"""Demo 3DPW: `sequenceFiles/<split>/<sequence>.pkl` and `imageFiles/<sequence>/image_%05d.jpg`.

A moving camera follows one or two people; parameters are in the world frame (z up, metres), 2D
points are noisy detections with gaps, and some frames have no valid camera pose.
"""

import pickle
from pathlib import Path

import numpy as np

from pipeline.demo.actors import Direction, Performance, draw_betas, perform
from pipeline.demo.choreography import wander
from pipeline.demo.frames import Frame, render, write_jpeg
from pipeline.demo.motions import MOTIONS
from pipeline.demo.people import draw_look
from pipeline.demo.scenes import Camera, backdrop, look_at, make_scene, pinhole
from pipeline.demo.stage import Bodies, Stage
from pipeline.demo.stool import stool_for
from pipeline.seeding import rng

RATE_HZ = 30  # images; the recorded motion has twice as many frames
SPLITS = ("train", "validation", "test")
PLACES = ("courtyard", "downtown", "flat", "office", "outdoors")
SWEEP = 0.3  # radians that the camera walks to either side
MARGIN = 0.12  # radians of heading left for people who stand off the centre
LOST = slice(4, 6)  # frames without a valid camera pose, in every third sequence


def plan(settings: dict) -> list[dict]:
    """Return one task per sequence, with as many valid person-frames as asked for.

    Args:
        settings: train_frames, validation_frames, test_frames (valid person-frames),
            frames_per_sequence, and those that `produce` reads.
    """
    length, tasks = settings["frames_per_sequence"], []
    for split in SPLITS:
        left, number = settings[f"{split}_frames"], 0
        motions = rng(settings["seed"], "pw3d", split).permutation(list(MOTIONS))
        while left > 0:
            lost = LOST.stop - LOST.start
            if number % 3 != 1 or min(length, left + lost) <= LOST.stop:
                lost = 0
            people = 2 if number % 3 == 2 and left >= 2 * length else 1
            frames = min(length, (left + lost) // people)
            left -= people * frames - lost
            tasks.append(
                dict(split=split, number=number, people=people, frames=frames, lost=lost,
                     motion=str(motions[number % len(motions)]))
            )  # fmt: skip
            number += 1
    return tasks


def _name(task: dict) -> str:
    place = PLACES[task["number"] % len(PLACES)]
    return f"{place}_{task['motion']}_{task['split'][:2]}{task['number']:02d}"


def _track(random, frames: int, settings: dict) -> list[Camera]:
    """Return a camera that walks around the people while looking at them."""
    size = settings["image_size"]
    sweep = SWEEP * wander(random, frames, RATE_HZ, period=1.0).clip(-1, 1)
    shake = wander(random, frames, RATE_HZ, period=0.3, columns=3)
    distance, height = random.uniform(3.8, 5.2), random.uniform(1.1, 1.9)
    K = pinhole(random.uniform(1.5, 1.9) * size, size, size)
    cameras = []
    for angle, (dx, dz, roll) in zip(sweep, shake, strict=True):
        eye = [distance * np.sin(angle), -distance * np.cos(angle), height + 0.03 * dz]
        R, t = look_at(np.array(eye), [0.05 * dx, 0, 0.85 + 0.03 * dz], roll=0.02 * roll)
        cameras.append(Camera(K, R, t, size, size))
    return cameras


def _cast(task: dict, stage: Stage, random) -> list[Performance]:
    """Return what each person does, at 60 Hz."""
    limit = np.radians(stage.settings["heading_deg"]) - SWEEP - MARGIN
    actors = []
    for person in range(task["people"]):
        motion = task["motion"] if person == 0 else str(random.choice(["idle", "talk", "wave"]))
        gender = ("male", "female")[random.integers(2)]
        place = (0.0, 0.0)
        if task["people"] == 2:
            side = 2 * person - 1
            place = (side * random.uniform(0.4, 0.6), side * random.uniform(-0.3, 0.3))
        direction = Direction(place, random.uniform(-limit, limit), limit)
        frames, betas = 2 * task["frames"], draw_betas(random)
        body = stage.bodies[gender]
        actors.append(perform(body, motion, random, frames, 2 * RATE_HZ, betas, gender, direction))
    return actors


def produce(task: dict, stage: Stage) -> None:
    """Write the pictures and the file of one sequence."""
    bodies, settings = stage.bodies, stage.settings
    random = rng(settings["seed"], "pw3d", task["split"], task["number"])
    actors = _cast(task, stage, random)
    meshes = [bodies[a.gender].mesh(a.betas, a.pose[::2], a.transl[::2]) for a in actors]
    cameras = _track(random, task["frames"], settings)
    points = _film(task, stage, actors, meshes, cameras, random)
    content = _content(task, actors, meshes, cameras, points, bodies)
    folder = stage.root / "sequenceFiles" / task["split"]
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{_name(task)}.pkl", "wb") as file:
        pickle.dump(content, file, protocol=2)


def _film(task: dict, stage: Stage, actors, meshes, cameras, random) -> np.ndarray:
    """Write the pictures; return the detected points (N, people, 3, 18)."""
    seat = meshes[0][0][:, stage.landmarks.seat_ids]
    scene = make_scene(random, [stool_for(seat)] if task["motion"] == "sit" else [])
    looks = [draw_look(random, stage.bodies[actor.gender].canvas) for actor in actors]
    world = [stage.landmarks.of("openpose18", joints, vertices) for vertices, joints in meshes]
    folder, points = stage.root / "imageFiles" / _name(task), []
    for frame, camera in enumerate(cameras):
        seen = [
            (camera.to_camera(vertices[frame]), look)
            for (vertices, _), look in zip(meshes, looks, strict=True)
        ]
        place = backdrop(scene, camera)
        picture = render(place, scene, camera, seen, stage.bodies.faces, random)
        write_jpeg(folder / f"image_{frame:05d}.jpg", picture.image)
        points.append(
            [_detect(joints[frame], camera, picture, k, random) for k, joints in enumerate(world)]
        )
    return np.array(points)


def _detect(joints: np.ndarray, camera: Camera, picture: Frame, person: int, random) -> np.ndarray:
    """Return (3, 18) pixels and confidence, zeros where a detector would find nothing."""
    pixels = camera.project(camera.to_camera(joints)) + random.normal(size=(18, 2)) * 0.4
    cells = np.floor(pixels).astype(int)
    size = picture.owner.shape[0]
    inside = ((cells >= 0) & (cells < size)).all(1)
    x, y = np.clip(cells, 0, size - 1).T
    owner = picture.owner[y, x]
    hidden = (owner >= 0) & (owner != person)  # behind the other person
    found = inside & ~hidden & (random.random(18) > 0.03)
    confidence = random.uniform(0.4, 0.95, 18)
    return (np.column_stack([pixels, confidence]) * found[:, None]).T


def _content(task, actors, meshes, cameras, points, bodies: Bodies) -> dict:
    """Return the dictionary of a sequence file, with the keys of the real ones."""
    frames = task["frames"]
    poses = np.tile(np.eye(4), (frames, 1, 1))
    poses[:, :3, :3] = [camera.R for camera in cameras]
    poses[:, :3, 3] = [camera.t for camera in cameras]
    valid = [np.ones(frames) for _ in actors]
    if task["lost"]:
        poses[LOST, :3, 3] += 0.5
        valid[0][LOST] = 0
    templates = [bodies[actor.gender].shaped(actor.betas) for actor in actors]
    return {
        "sequence": _name(task),
        "betas": [actor.betas for actor in actors],
        "poses": [actor.pose[::2].reshape(frames, 72) for actor in actors],
        "trans": [actor.transl[::2] for actor in actors],
        "poses_60Hz": [actor.pose.reshape(2 * frames, 72) for actor in actors],
        "trans_60Hz": [actor.transl for actor in actors],
        "betas_clothed": [actor.betas for actor in actors],
        "v_template_clothed": templates,
        "texture_maps": [],
        "genders": [actor.gender[0] for actor in actors],
        "poses2d": [points[:, person] for person in range(len(actors))],
        "jointPositions": [joints.reshape(frames, 72) for _, joints in meshes],
        "img_frame_ids": np.arange(frames),
        "cam_poses": poses,
        "campose_valid": valid,
        "cam_intrinsics": cameras[0].K,
    }


def finish(results: list, settings: dict, root: Path) -> None:
    """Everything is in the sequences' own files."""
