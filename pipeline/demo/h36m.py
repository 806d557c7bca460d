"""Demo Human3.6M in the layout of the json redistribution: four cameras, 50 frames a second.

`annotations/Human36M_subject{S}_{data,camera,joint_3d,SMPL_NeuralAnnot}.json` list every frame;
`images/s_.._act_.._subact_.._ca_../` hold the frames that the 10 Hz rule keeps. World frame:
z up, millimetres, X_cam = R X + t; SMPL parameters in the world frame, metres.
"""

import json
from pathlib import Path

import numpy as np

from pipeline.demo.actors import Direction, Performance, draw_betas, perform
from pipeline.demo.frames import render, write_jpeg
from pipeline.demo.people import draw_look
from pipeline.demo.scenes import Camera, backdrop, look_at, make_scene, pinhole
from pipeline.demo.stage import Stage
from pipeline.demo.stool import stool_for
from pipeline.seeding import rng

RATE_HZ, STEP = 50, 5  # every STEP-th frame has an image
MARGIN = 0.1  # radians of heading left for people who stand off the centre
ACTIONS = {
    2: ("Directions", "point"),
    3: ("Discussion", "talk"),
    4: ("Eating", "sit"),
    5: ("Greeting", "wave"),
    6: ("Phoning", "phone"),
    7: ("Posing", "free"),
    8: ("Purchases", "reach"),
    9: ("Sitting", "sit"),
    10: ("SittingDown", "crouch"),
    11: ("Smoking", "drink"),
    12: ("Photo", "photo"),
    13: ("Waiting", "idle"),
    14: ("Walking", "walk"),
    15: ("WalkDog", "walk"),
    16: ("WalkTogether", "walk"),
}
SECOND_TAKE = {2: "free", 3: "stretch", 6: "free", 7: "dance", 8: "carry", 10: "squat",
               12: "throw", 13: "free", 14: "run", 15: "lunge", 16: "jacks"}  # fmt: skip
"""Motions of the second sub-action, for variety."""


def plan(settings: dict) -> list[dict]:
    """Return one task per recorded sequence.

    Args:
        settings: subjects_train, subjects_test, train_frames and test_frames (images of each
            subject and camera), frames_per_sequence, and those that `produce` reads.
    """
    takes = [(action, sub) for sub in (1, 2) for action in ACTIONS]
    tasks = []
    for role in ("train", "test"):
        for subject in settings[f"subjects_{role}"]:
            left, kept = settings[f"{role}_frames"], settings["frames_per_sequence"]
            count = -(-left // kept)
            chosen = np.linspace(0, len(takes) - 1, count).round().astype(int)
            for take in chosen:
                action, sub = takes[take]
                tasks.append(dict(subject=subject, action=action, sub=sub, kept=min(kept, left)))
                left -= kept
    return tasks


def cameras(subject: int, settings: dict) -> list[Camera]:
    """Return the four cameras of a subject, on an arc in front of the stage."""
    random, size = rng(settings["seed"], "h36m", "cameras", subject), settings["image_size"]
    half = np.radians(settings["camera_arc_deg"]) / 2
    result = []
    for angle in np.linspace(-half, half, 4) + random.normal(size=4) * 0.03:
        distance, height = random.uniform(4.6, 5.2), random.uniform(1.2, 1.7)
        eye = np.array([distance * np.sin(angle), -distance * np.cos(angle), height])
        R, t = look_at(eye, [0, 0, 0.88], roll=random.normal() * 0.01)
        K = pinhole(1.9 * size * random.uniform(0.99, 1.01), size, size, random.normal(size=2) * 2)
        result.append(Camera(K, R, t, size, size))
    return result


def _folder(task: dict, camera: int) -> str:
    subject, action, sub = (task[key] for key in ("subject", "action", "sub"))
    return f"s_{subject:02d}_act_{action:02d}_subact_{sub:02d}_ca_{camera:02d}"


def _direct(task: dict, stage: Stage, random) -> tuple[Performance, str]:
    """Return what the subject does in a sequence."""
    settings = stage.settings
    shape = draw_betas(rng(settings["seed"], "h36m", "shape", task["subject"]))
    limit = np.radians(settings["heading_deg"] - settings["camera_arc_deg"] / 2) - MARGIN
    motion = ACTIONS[task["action"]][1]
    if task["sub"] == 2:
        motion = SECOND_TAKE.get(task["action"], motion)
    place = random.uniform(-0.35, 0.35, 2)
    direction = Direction(tuple(place), random.uniform(-limit, limit), limit)
    frames = STEP * task["kept"]
    actor = perform(
        stage.bodies["neutral"], motion, random, frames, RATE_HZ, shape, "neutral", direction
    )
    return actor, motion


def produce(task: dict, stage: Stage) -> dict:
    """Write the images of one sequence and return its annotations."""
    settings = stage.settings
    random = rng(settings["seed"], "h36m", task["subject"], task["action"], task["sub"])
    actor, motion = _direct(task, stage, random)
    body = stage.bodies["neutral"]
    vertices, joints = body.mesh(actor.betas, actor.pose, actor.transl)
    world = stage.landmarks.of("h36m17", joints, vertices)
    seat = [stool_for(vertices[:, stage.landmarks.seat_ids])] if motion == "sit" else []
    scene, look = make_scene(random, seat), draw_look(random, body.canvas)
    views = []
    for number, camera in enumerate(cameras(task["subject"], settings), 1):
        place = backdrop(scene, camera)
        for frame in range(0, len(vertices), STEP):
            seen = [(camera.to_camera(vertices[frame]), look)]
            picture = render(place, scene, camera, seen, stage.bodies.faces, random)
            folder = _folder(task, number)
            write_jpeg(
                stage.root / "images" / folder / f"{folder}_{frame + 1:06d}.jpg", picture.image
            )
        views.append(_view(task, number, camera, world))
    return {"task": task, "views": views, "joints": np.round(world * 1000, 3).tolist(),
            "smpl": _smpl(actor)}  # fmt: skip


def _view(task: dict, number: int, camera: Camera, world: np.ndarray) -> dict:
    """Return names and boxes of one camera's frames; boxes are joints x 1.2, (x, y, w, h)."""
    pixels = camera.project(camera.to_camera(world))
    low, high = pixels.min(1), pixels.max(1)
    centre, size = (low + high) / 2, (high - low) * 1.2
    folder = _folder(task, number)
    return {
        "camera": number,
        "size": (camera.width, camera.height),
        "names": [f"{folder}/{folder}_{frame + 1:06d}.jpg" for frame in range(len(world))],
        "boxes": np.round(np.concatenate([centre - size / 2, size], 1), 3).tolist(),
    }


def _smpl(actor: Performance) -> dict:
    """Return frame -> SMPL parameters in the world frame."""
    return {
        str(frame): {
            "pose": np.round(actor.pose[frame].ravel(), 6).tolist(),
            "shape": np.round(actor.betas, 6).tolist(),
            "trans": np.round(actor.transl[frame], 6).tolist(),
        }
        for frame in range(len(actor.pose))
    }


def finish(results: list[dict], settings: dict, root: Path) -> None:
    """Write the annotation files of all subjects."""
    folder = root / "annotations"
    folder.mkdir(parents=True, exist_ok=True)
    image_id = 0
    for subject in settings["subjects_train"] + settings["subjects_test"]:
        own = [result for result in results if result["task"]["subject"] == subject]
        data = {"images": [], "annotations": []}
        joints, smpl = {}, {}
        for result in own:
            task = result["task"]
            action, sub = str(task["action"]), str(task["sub"])
            frames = {str(k): joint for k, joint in enumerate(result["joints"])}
            joints.setdefault(action, {})[sub] = frames
            smpl.setdefault(action, {})[sub] = result["smpl"]
            for view in result["views"]:
                image_id = _list_view(data, task, view, image_id)
        stem = f"Human36M_subject{subject}"
        shots = {
            str(number): {
                "R": camera.R.tolist(),
                "t": (camera.t * 1000).tolist(),
                "f": [camera.K[0, 0], camera.K[1, 1]],
                "c": [camera.K[0, 2], camera.K[1, 2]],
            }
            for number, camera in enumerate(cameras(subject, settings), 1)
        }
        contents = {"data": data, "camera": shots, "joint_3d": joints, "SMPL_NeuralAnnot": smpl}
        for name, content in contents.items():
            (folder / f"{stem}_{name}.json").write_text(json.dumps(content))


def _list_view(data: dict, task: dict, view: dict, image_id: int) -> int:
    """Append one camera's frames to the COCO-style lists; return the next free id."""
    width, height = view["size"]
    for frame, (name, box) in enumerate(zip(view["names"], view["boxes"], strict=True)):
        data["images"].append({
            "id": image_id, "file_name": name, "width": width, "height": height,
            "subject": task["subject"], "action_name": ACTIONS[task["action"]][0],
            "action_idx": task["action"], "subaction_idx": task["sub"],
            "cam_idx": view["camera"], "frame_idx": frame,
        })  # fmt: skip
        data["annotations"].append({
            "id": image_id, "image_id": image_id, "keypoints_vis": [True] * 17, "bbox": box,
        })  # fmt: skip
        image_id += 1
    return image_id
