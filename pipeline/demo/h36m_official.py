"""Demo Human3.6M as its owners ship it: videos at 50 Hz, poses in CDF, silhouettes, metadata.xml.

`S*/MyPoseFeatures/{D3_Positions,D3_Positions_mono,D2_Positions}/*.cdf` hold 32 joints of every
frame, `S*/MySegmentsMat/ground_truth_{bb,bs}/*.mat` a mask of every frame with its axes swapped,
`S*/images/*_aligned.pkl` MoSh's fits of every fifth one, `annotations/` fits in the world frame.
As in the real set, S1 has its own names for some actions, three sequences of S9 are shifted by
200 mm, and 2D joints are bent by the lens; the pictures are not, which they show by less than a
pixel.
"""

import json
import pickle
from pathlib import Path

import cdflib
import cv2
import h5py
import numpy as np
from scipy.spatial.transform import Rotation

from pipeline.demo.actors import Body, Direction, Performance, draw_betas, in_camera, perform
from pipeline.demo.frames import render
from pipeline.demo.h36m import ACTIONS, MARGIN, RATE_HZ, STEP, cameras
from pipeline.demo.landmarks import Landmarks
from pipeline.demo.people import draw_look
from pipeline.demo.scenes import Camera, backdrop, make_scene
from pipeline.demo.stage import Stage
from pipeline.demo.stool import stool_for
from pipeline.joints import JOINT_SETS
from pipeline.seeding import rng

IDS = ("54138969", "55011271", "58860488", "60457274")
TALL = {0, 3}  # cameras whose pictures are two pixels higher than wide
SUBJECTS = range(1, 12)
LOOSE = 0.08  # share of a silhouette's larger side that its box leaves free on every side
LENS = (-0.2, 0.24, -0.003, -0.001, -0.0014)  # k1, k2, k3, p1, p2
ERROR = np.array([0.2, 0, 0])  # metres, world; of the labels of
SHIFTED = {(9, "Greeting"), (9, "SittingDown 1"), (9, "Waiting 1")}
OTHER_NAMES = {12: "TakingPhoto", 15: "WalkingDog"}  # of S1
FLOAT = 44  # CDF_REAL4


def plan(settings: dict) -> list[dict]:
    """Return one task per recorded sequence.

    Args:
        settings: image_size, camera_arc_deg, subjects, sequences (pairs of action and
            sub-action), frames (of the 50 Hz videos), and those that `produce` reads.
    """
    return [
        dict(subject=subject, action=action, sub=sub)
        for subject in settings["subjects"]
        for action, sub in settings["sequences"]
    ]


def file_name(subject: int, action: int, sub: int) -> str:
    """Return what the files of a sequence are called, without the camera."""
    name = ACTIONS[action][0]
    if subject == 1:
        name = OTHER_NAMES.get(action, name)
    return f"{name} 1" if sub == 1 else name


def studio_cameras(subject: int, settings: dict) -> list[Camera]:
    """Return a subject's four cameras: they were moved between subjects, lenses stayed."""
    pairs = zip(cameras(subject, settings), cameras(1, settings), strict=True)
    return [
        Camera(view.K, placed.R, placed.t, placed.width, placed.height + 2 * (k in TALL))
        for k, (placed, view) in enumerate(pairs)
    ]


def produce(task: dict, stage: Stage) -> dict:
    """Write one sequence; return its SMPL parameters."""
    settings, (subject, action) = stage.settings, (task["subject"], task["action"])
    random = rng(settings["seed"], "h36m_official", subject, action, task["sub"])
    body = stage.bodies["neutral"]
    limit = np.radians(settings["heading_deg"] - settings["camera_arc_deg"] / 2) - MARGIN
    place = tuple(random.uniform(-0.3, 0.3, 2))
    direction = Direction(place, random.uniform(-limit, limit), limit)
    betas = draw_betas(rng(settings["seed"], "h36m_official", "shape", subject))
    motion, frames = ACTIONS[action][1], settings["frames"]
    actor = perform(body, motion, random, frames, RATE_HZ, betas, "neutral", direction)
    vertices, joints = body.mesh(actor.betas, actor.pose, actor.transl)
    seat = [stool_for(vertices[:, stage.landmarks.seat_ids])] if motion == "sit" else []
    scene, look = make_scene(random, seat), draw_look(random, body.canvas)
    folder = stage.root / f"S{subject}"
    name = file_name(subject, action, task["sub"])
    world = joints32(stage.landmarks, joints, vertices)
    shift = ERROR if (subject, name) in SHIFTED else np.zeros(3)
    world = world + shift
    write_poses(folder / "MyPoseFeatures" / "D3_Positions" / f"{name}.cdf", 1000 * world)
    for number, camera in enumerate(studio_cameras(subject, settings)):
        shown = _film(folder / "Videos" / f"{name}.{IDS[number]}.mp4", camera, scene, vertices,
                      look, stage, random)  # fmt: skip
        _write_view(folder, f"{name}.{IDS[number]}", camera, world, shift, shown)
        _write_mosh(folder / "images" / f"{name}_cam{number}_aligned.pkl", body, actor, camera)
    return {"task": task, "smpl": _smpl(actor, shift)}


def joints32(landmarks: Landmarks, joints: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Return the 32 joints of the capture system, (N, 32, 3); some stand there twice."""
    known = {}
    for joint_set in ("smplx45", "h36m17"):
        points = landmarks.of(joint_set, joints, vertices)
        known |= dict(zip(JOINT_SETS[joint_set], np.moveaxis(points, 1, 0), strict=True))
    for side in "lr":
        known[f"{side}_toe"] = known[f"{side}_big_toe"]
        known[f"{side}_thumb"] = known[f"{side}_thumb_tip"]
    return np.stack([known[name.split("#")[0]] for name in JOINT_SETS["h36m32"]], 1)


def through_lens(camera: Camera, points_cam: np.ndarray) -> np.ndarray:
    """Return pixels (..., 2) of points (..., 3) with the lens's distortion (Brown's model)."""
    k1, k2, k3, p1, p2 = LENS
    plane = points_cam[..., :2] / points_cam[..., 2:]
    x, y = plane[..., 0], plane[..., 1]
    square = x**2 + y**2
    radial = 1 + k1 * square + k2 * square**2 + k3 * square**3
    bent = plane * radial[..., None] + np.stack(
        [2 * p1 * x * y + p2 * (square + 2 * x**2), p1 * (square + 2 * y**2) + 2 * p2 * x * y], -1
    )
    return bent * camera.K[[0, 1], [0, 1]] + camera.K[:2, 2]


def _film(path: Path, camera: Camera, scene, vertices, look, stage: Stage, random) -> np.ndarray:
    """Write a video; return where the person is seen, (N, H, W) bool."""
    path.parent.mkdir(parents=True, exist_ok=True)
    place, seen = backdrop(scene, camera), []
    code = cv2.VideoWriter_fourcc(*"mp4v")
    size = (camera.width, camera.height)
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, RATE_HZ, size)
    for body in vertices:
        people = [(camera.to_camera(body), look)]
        picture = render(place, scene, camera, people, stage.bodies.faces, random)
        writer.write(np.ascontiguousarray(picture.image[..., ::-1]))
        seen.append(picture.owner == 0)
    writer.release()
    return np.stack(seen)


def _write_view(
    folder: Path,
    name: str,
    camera: Camera,
    world: np.ndarray,
    shift: np.ndarray,
    shown: np.ndarray,
) -> None:
    """Write one camera's poses and masks; the masks have the joints' shift, too."""
    mono = camera.to_camera(world)
    pixels = through_lens(camera, mono)
    write_poses(folder / "MyPoseFeatures" / "D3_Positions_mono" / f"{name}.cdf", 1000 * mono)
    write_poses(folder / "MyPoseFeatures" / "D2_Positions" / f"{name}.cdf", pixels)
    moved = camera.project(mono[:, 0]) - camera.project(mono[:, 0] - camera.R @ shift)
    masks = np.stack([
        np.roll(mask, round(x), 1) for mask, (x, _) in zip(shown, moved, strict=True)
    ]).astype(np.uint8)  # fmt: skip
    boxes = np.zeros_like(masks)
    for box, mask in zip(boxes, masks, strict=True):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        room = round(LOOSE * max(np.ptp(rows), np.ptp(columns)))
        top, left = max(rows[0] - room, 0), max(columns[0] - room, 0)
        box[top : rows[-1] + 1 + room, left : columns[-1] + 1 + room] = 1
    for kind, images in (("bb", boxes), ("bs", masks)):
        write_masks(folder / "MySegmentsMat" / f"ground_truth_{kind}" / f"{name}.mat", images)


def write_poses(path: Path, values: np.ndarray) -> None:
    """Write (T, J, D) as the variable `Pose`, (1, T, J D); packed, it would hold the time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    flat = values.reshape(1, len(values), -1).astype(np.float32)
    spec = {"Variable": "Pose", "Data_Type": FLOAT, "Num_Elements": 1, "Rec_Vary": True,
            "Dim_Sizes": list(flat.shape[1:]), "Compress": 0}  # fmt: skip
    with cdflib.cdfwrite.CDF(path, cdf_spec={"Majority": "Row_major"}) as file:
        file.write_var(spec, var_data=flat)


def write_masks(path: Path, masks: np.ndarray) -> None:
    """Write one image a frame, axes swapped, behind references as MATLAB's cells."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        cells = file.create_dataset(
            "Masks", (len(masks), 1), dtype=h5py.ref_dtype, track_times=False
        )
        for number, mask in enumerate(masks):
            image = file.create_dataset(
                f"#refs#/{number}", data=mask.T, compression="gzip", track_times=False
            )
            cells[number, 0] = image.ref


def _write_mosh(path: Path, body: Body, actor: Performance, camera: Camera) -> None:
    """Write every fifth frame's pose in the camera frame, the root half a turn off."""
    half = Rotation.from_euler("x", np.pi)
    poses = []
    for frame in range(0, len(actor.pose), STEP):
        still = actor._replace(pose=actor.pose[frame], transl=actor.transl[frame])
        pose, _ = in_camera(body, still, camera)
        pose[0] = (Rotation.from_rotvec(pose[0]) * half.inv()).as_rotvec()
        poses.append(pose.ravel())
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        pickle.dump({"new_poses": np.stack(poses), "betas": actor.betas}, file, protocol=2)


def _smpl(actor: Performance, shift: np.ndarray) -> dict:
    """Return frame -> SMPL parameters in the world frame, as fitted to the shifted joints."""
    return {
        str(frame): {
            "pose": np.round(pose.ravel(), 6).tolist(),
            "shape": np.round(actor.betas, 6).tolist(),
            "trans": np.round(transl + shift, 6).tolist(),
        }
        for frame, (pose, transl) in enumerate(zip(actor.pose, actor.transl, strict=True))
    }


def finish(results: list[dict], settings: dict, root: Path) -> None:
    """Write metadata.xml and the fits of every subject."""
    (root / "metadata.xml").write_text(_metadata(settings))
    folder = root / "annotations"
    folder.mkdir()
    for subject in settings["subjects"]:
        fits: dict = {}
        for result in results:
            task = result["task"]
            if task["subject"] == subject:
                fits.setdefault(str(task["action"]), {})[str(task["sub"])] = result["smpl"]
        (folder / f"Human36M_subject{subject}_SMPL_NeuralAnnot.json").write_text(json.dumps(fits))


def _metadata(settings: dict) -> str:
    """Return metadata.xml: names of the files by subject, and the cameras' 300 numbers.

    Sequences that the demo does not have are left out of the table.
    """
    heads = "".join(f"<td>S{subject}</td>" for subject in SUBJECTS)
    rows = [f"<tr><td/><td/>{heads}</tr>"]
    takes = [(1, 1), (1, 2), *sorted(tuple(pair) for pair in settings["sequences"])]
    for action, sub in takes:
        names = (
            f"_ALL {sub}" if action == 1 else file_name(subject, action, sub)
            for subject in SUBJECTS
        )
        cells = "".join(f"<td>{name}</td>" for name in names)
        rows.append(f"<tr><td>{action}</td><td>{sub}</td>{cells}</tr>")
    views = {subject: studio_cameras(subject, settings) for subject in SUBJECTS}
    numbers = [
        value
        for k in range(len(IDS))
        for subject in SUBJECTS
        for value in (*_angles(views[subject][k].R), *(1000 * views[subject][k].centre))
    ]
    for view in views[1]:
        K = view.K
        numbers += [K[0, 0], K[1, 1], K[0, 2], K[1, 2], *LENS]
    ids = "".join(f"<item>{name}</item>" for name in IDS)
    names = "".join(f"<item>{name}</item>" for name, _ in [("_ALL", ""), *ACTIONS.values()])
    return (
        "<?xml version='1.0' encoding='utf-8'?>\n<metadata>"
        f"<mapping>{''.join(rows)}</mapping><actionnames>{names}</actionnames>"
        f"<dbcameras><index2id>{ids}</index2id></dbcameras>"
        f"<w0>[{' '.join(f'{value:.12g}' for value in numbers)}]</w0></metadata>\n"
    )


def _angles(R: np.ndarray) -> tuple[float, float, float]:
    """Return a, b, c with R = Rx(a) Ry(b) Rz(c)."""
    a, b, c = Rotation.from_matrix(R).as_euler("XYZ")
    return a, b, c
