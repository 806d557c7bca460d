"""Demo AMASS in the layout of the SMPL+H release: `<dataset>/<subject>/<motion>_poses.npz`.

World z up, metres. Like the release, subjects have a `shape.npz` beside their motions, genders
come as text or bytes, frame rates as 60.00000458, and a file here and there lacks its poses.
"""

from pathlib import Path

import numpy as np

from pipeline.demo.actors import Direction, draw_betas, perform
from pipeline.demo.motions import MOTIONS
from pipeline.demo.stage import Stage
from pipeline.seeding import rng

FOLDER = "Demo"
SUBJECTS = 12
RATE_ERROR = 1 + 7.6e-8  # as in the release, where rates come from another unit
MARKERS = {"LWRA": 20, "RWRA": 21, "LANK": 7, "RANK": 8, "C7": 12, "T10": 9}
"""Marker -> body joint that it is stuck on."""


def plan(settings: dict) -> list[dict]:
    """Return one task per motion file.

    Args:
        settings: sequences_per_motion, and those that `produce` reads.
    """
    names = list(MOTIONS)
    return [
        dict(motion=name, take=take, subject=(take * 5 + number) % SUBJECTS)
        for number, name in enumerate(names)
        for take in range(settings["sequences_per_motion"])
    ]


def _subject(settings: dict, number: int) -> tuple[np.ndarray, str]:
    """Return a subject's 16 betas and gender; the demo bodies know the first ten."""
    random = rng(settings["seed"], "amass", "subject", number)
    betas = np.r_[draw_betas(random), 0.3 * random.normal(size=6)]
    return betas, ("male", "female")[number % 2]


def produce(task: dict, stage: Stage) -> None:
    """Write one motion, `seconds` long at `rate_hz` frames a second."""
    settings = stage.settings
    random = rng(settings["seed"], "amass", task["motion"], task["take"])
    betas, gender = _subject(settings, task["subject"])
    frames = round(settings["seconds"] * settings["rate_hz"])
    place, facing = tuple(random.uniform(-1, 1, 2)), random.uniform(-np.pi, np.pi)
    body = stage.bodies[gender]
    actor = perform(
        body,
        task["motion"],
        random,
        frames,
        settings["rate_hz"],
        betas[:10],
        gender,
        Direction(place, facing, np.inf),
    )
    poses = np.zeros((frames, 156))
    poses[:, :66] = actor.pose[:, :22].reshape(frames, 66)
    poses[:, 66:] = 0.1 * random.normal(size=90)
    joints = body.joints(actor.betas, actor.pose, actor.transl)
    folder = stage.root / FOLDER / f"Subject{task['subject'] + 1:02d}"
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        folder / f"{task['motion']}_{task['take'] + 1:02d}_poses.npz",
        trans=actor.transl,
        gender=np.array(gender.encode() if task["subject"] % 3 == 2 else gender),
        mocap_framerate=np.array(settings["rate_hz"] * RATE_ERROR),
        betas=betas,
        dmpls=np.zeros((frames, 8)),
        poses=poses,
        marker_data=joints[:, list(MARKERS.values())],
        marker_labels=np.array(list(MARKERS)),
    )


def finish(results: list, settings: dict, root: Path) -> None:
    """Write the subjects' shapes, and one file that has no poses."""
    for folder in sorted((root / FOLDER).iterdir()):
        betas, gender = _subject(settings, int(folder.name[-2:]) - 1)
        np.savez_compressed(folder / "shape.npz", betas=betas, gender=np.array(gender))
    np.savez_compressed(
        root / FOLDER / "Subject01" / "calibration_01_poses.npz",
        betas=_subject(settings, 0)[0],
        gender=np.array("male"),
    )
