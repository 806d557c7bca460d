"""Demo MPI-INF-3DHP: `S*/Seq*/` with videos of several cameras, and the test set.

Training: `annot.mat` (cells of 14 cameras: 28 joints, pixels and millimetres of the camera's own
frame), `camera.calibration` (world to camera, millimetres) and `imageSequence/video_*.avi`; the
fits of NeuralAnnot are in the world frame, metres. Test: `TS*/annot_data.mat` (HDF5, 17 joints)
and `imageSequence/img_*.jpg`, numbered from one; TS5 and TS6 are 16:9, and some frames of every
sequence are not valid.
"""

import json
from pathlib import Path

import cv2
import numpy as np

from pipeline.demo.actors import Direction, Performance, draw_betas, perform
from pipeline.demo.frames import render, write_jpeg
from pipeline.demo.matlab import cells, write_mat5, write_mat73
from pipeline.demo.motions import MOTIONS
from pipeline.demo.mpi_joints import mpi_joints, universal
from pipeline.demo.people import draw_look
from pipeline.demo.scenes import Camera, backdrop, look_at, make_scene, pinhole
from pipeline.demo.stage import Stage
from pipeline.demo.stool import stool_for
from pipeline.seeding import rng

CAMERAS, RATE_HZ, ACTIVITIES = 14, 25, 7
MARGIN = 0.1  # radians of heading left for people who stand off the centre
INVALID = 4  # of the test frames, every INVALID-th is not valid
CODEC = "MJPG"
FITS = "MPI-INF-3DHP_SMPL_NeuralAnnot.json"


def plan(settings: dict) -> list[dict]:
    """Return one task per recorded sequence.

    Args:
        settings: image_size, camera_arc_deg, subjects, sequences and cameras (those with a
            video), train_frames (of each sequence), test_sequences, test_frames (of each), and
            those that `produce` reads.
    """
    train = [
        {"part": "train", "subject": subject, "sequence": sequence}
        for subject in settings["subjects"]
        for sequence in settings["sequences"]
    ]
    test = [{"part": "test", "sequence": sequence} for sequence in settings["test_sequences"]]
    return train + test


def produce(task: dict, stage: Stage) -> dict | None:
    """Write one sequence; return the SMPL parameters of a training sequence."""
    return _train(task, stage) if task["part"] == "train" else _test(task, stage)


def _cameras(random, count: int, settings: dict, size: tuple[int, int]) -> list[Camera]:
    """Return cameras on an arc in front of the stage."""
    half = np.radians(settings["camera_arc_deg"]) / 2
    width, height = size
    result = []
    for angle in np.linspace(-half, half, count) if count > 1 else [0.0]:
        distance = random.uniform(3.6, 4.4)
        eye = np.array([distance * np.sin(angle), -distance * np.cos(angle), 1.3])
        R, t = look_at(eye, [0, 0, 0.85], roll=random.normal() * 0.01)
        K = pinhole(1.35 * height, width, height, random.normal(size=2) * 0.01 * height)
        K[1, 1] *= 1.0004  # pixels that are not quite square, as the real ones
        result.append(Camera(K, R, t, width, height))
    return result


def _direct(random, stage: Stage, frames: int, arc: float) -> tuple[Performance, str]:
    settings = stage.settings
    motion = str(random.choice(list(MOTIONS)))
    limit = np.radians(settings["heading_deg"]) - arc - MARGIN
    direction = Direction(
        tuple(random.uniform(-0.2, 0.2, 2)), random.uniform(-limit, limit), limit
    )
    betas = draw_betas(random)
    body = stage.bodies["neutral"]
    return perform(body, motion, random, frames, RATE_HZ, betas, "neutral", direction), motion


def _train(task: dict, stage: Stage) -> dict:
    settings, size = stage.settings, stage.settings["image_size"]
    subject, sequence = task["subject"], task["sequence"]
    random = rng(settings["seed"], "mpi_inf_3dhp", subject, sequence)
    arc = np.radians(settings["camera_arc_deg"]) / 2
    actor, motion = _direct(random, stage, settings["train_frames"], arc)
    vertices, joints = stage.bodies["neutral"].mesh(actor.betas, actor.pose, actor.transl)
    world = mpi_joints(stage.landmarks, "mpi28", joints, vertices)
    cameras = _cameras(random, CAMERAS, settings, (size, size))
    folder = stage.root / f"S{subject}" / f"Seq{sequence}"
    views = [camera.to_camera(world) for camera in cameras]
    pixels = [camera.project(points) for camera, points in zip(cameras, views, strict=True)]
    write_mat5(folder / "annot.mat", {
        "annot2": cells([p.reshape(len(p), -1) for p in pixels]),
        "annot3": cells([1000 * p.reshape(len(p), -1) for p in views]),
        "univ_annot3": cells([1000 * universal(p, "mpi28").reshape(len(p), -1) for p in views]),
        "cameras": np.arange(CAMERAS, dtype=np.uint8)[None],
        "frames": np.arange(len(world), dtype=np.uint16)[:, None],
    })  # fmt: skip
    (folder / "camera.calibration").write_text(_calibration(cameras))
    _film(folder, cameras, vertices, motion, stage, random)
    return {"task": task, "smpl": _smpl(actor)}


def _film(folder: Path, cameras: list[Camera], vertices, motion: str, stage: Stage, random):
    """Write the videos of the cameras that the settings ask for."""
    seat = [stool_for(vertices[:, stage.landmarks.seat_ids])] if motion == "sit" else []
    scene = make_scene(random, seat)
    look = draw_look(random, stage.bodies["neutral"].canvas)
    (folder / "imageSequence").mkdir()
    for number in stage.settings["cameras"]:
        camera = cameras[number]
        place = backdrop(scene, camera)
        path = folder / "imageSequence" / f"video_{number}.avi"
        writer = cv2.VideoWriter(
            str(path), cv2.CAP_OPENCV_MJPEG, cv2.VideoWriter_fourcc(*CODEC), RATE_HZ,
            (camera.width, camera.height),
        )  # fmt: skip
        for body in vertices:
            seen = [(camera.to_camera(body), look)]
            picture = render(place, scene, camera, seen, stage.bodies.faces, random)
            writer.write(np.ascontiguousarray(picture.image[..., ::-1]))
        writer.release()


def _calibration(cameras: list[Camera]) -> str:
    """Return the text of `camera.calibration`: K and world to camera as 4 x 4, millimetres."""
    lines = ["Skeletool Camera Calibration File V1.0"]
    for number, camera in enumerate(cameras):
        intrinsic, extrinsic = np.eye(4), np.eye(4)
        intrinsic[:3, :3] = camera.K
        extrinsic[:3, :3], extrinsic[:3, 3] = camera.R, 1000 * camera.t
        lines += [
            f"name          {number}",
            "  sensor      10 10",
            f"  size        {camera.width} {camera.height}",
            "  animated    0",
            "  intrinsic   " + " ".join(f"{x:.9g}" for x in intrinsic.ravel()) + " ",
            "  extrinsic   " + " ".join(f"{x:.9g}" for x in extrinsic.ravel()) + " ",
            "  radial      0",
        ]
    return "\n".join(lines) + "\n"


def _smpl(actor: Performance) -> dict:
    """Return frame -> SMPL parameters in the world frame."""
    return {
        str(frame): {
            "pose": np.round(pose.ravel(), 6).tolist(),
            "shape": np.round(actor.betas, 6).tolist(),
            "trans": np.round(transl, 6).tolist(),
        }
        for frame, (pose, transl) in enumerate(zip(actor.pose, actor.transl, strict=True))
    }


def _test(task: dict, stage: Stage) -> None:
    settings, size = stage.settings, stage.settings["image_size"]
    number = task["sequence"]
    random = rng(settings["seed"], "mpi_inf_3dhp", "test", number)
    actor, motion = _direct(random, stage, settings["test_frames"], 0.0)
    vertices, joints = stage.bodies["neutral"].mesh(actor.betas, actor.pose, actor.transl)
    shape = (size, size) if number <= 4 else (size, size * 9 // 16)
    camera = _cameras(random, 1, settings, shape)[0]
    points = camera.to_camera(mpi_joints(stage.landmarks, "mpi17", joints, vertices))
    seat = [stool_for(vertices[:, stage.landmarks.seat_ids])] if motion == "sit" else []
    scene, look = make_scene(random, seat), draw_look(random, stage.bodies["neutral"].canvas)
    place = backdrop(scene, camera)
    folder = stage.root / "mpi_inf_3dhp_test_set" / f"TS{number}"
    for frame, body in enumerate(vertices):
        seen = [(camera.to_camera(body), look)]
        picture = render(place, scene, camera, seen, stage.bodies.faces, random)
        write_jpeg(folder / "imageSequence" / f"img_{frame + 1:06d}.jpg", picture.image)
    valid = (np.arange(len(points)) % INVALID != INVALID - 1).astype(float)[:, None]
    known = valid[:, :, None, None]
    write_mat73(folder / "annot_data.mat", {
        "activity_annotation": np.full((len(points), 1), 1.0 + random.integers(ACTIVITIES)),
        "annot2": known * camera.project(points)[:, None],
        "annot3": known * 1000 * points[:, None],
        "bb_crop": np.zeros((len(points), 34)),
        "univ_annot3": known * 1000 * universal(points, "mpi17")[:, None],
        "valid_frame": valid,
    })  # fmt: skip


def finish(results: list[dict | None], settings: dict, root: Path) -> None:
    """Write the pseudo labels of all training sequences."""
    fits: dict = {}
    for result in results:
        if result:
            task = result["task"]
            fits.setdefault(str(task["subject"]), {})[str(task["sequence"])] = result["smpl"]
    (root / FITS).write_text(json.dumps(fits))
