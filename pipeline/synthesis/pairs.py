"""Project sampled bodies into virtual cameras: pairs of 2D joints and a mesh.

M pairs (a mesh in a view) of N meshes, in the order of the motion capture file:
`keypoints` (M, 17, 2) COCO joints in continuous pixels, `center` (M, 2) and `side` (M,) of the
square box, `global_orient` (M, 3) in the camera frame, `view` (M,) into `camera_ids`, `split`
(0 train, 1 validation), `mocap_row`, `mesh_row` into `mesh/body_pose` (N, 69), `mesh/betas`
(N, 10) and `mesh/gender` (that of the model projected). Meshes are parameters, never vertices.

Source: MPT, Sec. 3.1. A mesh is centred at its root joint, which stands at the world's origin,
so that of the camera only the rotation enters the target.
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from pipeline.body.assets import BodyAssets, load_assets
from pipeline.body.smpl import SMPLLayer
from pipeline.errors import InputError
from pipeline.files import atomic
from pipeline.hdf5 import open_hdf5
from pipeline.progress import progress
from pipeline.rotations import axis_angle_to_matrix, matrix_to_axis_angle, rotate_about
from pipeline.seeding import rng
from pipeline.synthesis.amass_files import GENDERS
from pipeline.synthesis.mocap import VALIDATION, subset
from pipeline.synthesis.virtual_cameras import (
    VirtualCameras,
    choose_views,
    place,
    project,
    read_cameras,
)

SCHEMA_VERSION = 1
CHUNK = 4096  # meshes at once; also what one random stream serves, so it is part of the result
POSES = ("pose", "betas", "gender", "split", "order")
ROWS = {  # of the file: row shape and type
    "keypoints": ((17, 2), np.float32),
    "center": ((2,), np.float32),
    "side": ((), np.float32),
    "global_orient": ((3,), np.float32),
    "view": ((), np.uint8),
    "split": ((), np.uint8),
    "mocap_row": ((), np.int64),
    "mesh_row": ((), np.int64),
}
MESH_ROWS = {
    "mesh/body_pose": ((69,), np.float32),
    "mesh/betas": ((10,), np.float32),
    "mesh/gender": ((), np.uint8),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("--mocap", type=Path, required=True, help="file of the verb mocap")
    parser.add_argument("--body", type=Path, required=True, help="file of the verb body")
    parser.add_argument(
        "--settings",
        type=json.loads,
        required=True,
        help="one set of synthesis.pairs with synthesis.cameras as `cameras`, and the seed",
    )
    parser.add_argument("--out", type=Path, required=True)


def main(args: argparse.Namespace) -> None:
    """Project the meshes of the motion capture file and write the pairs."""
    settings = args.settings
    cameras = setup_cameras(settings)
    joints = CocoJoints(load_assets(args.body), settings["gender"])
    with (
        open_hdf5(args.mocap) as mocap,
        atomic(args.out) as part,
        h5py.File(part, "w") as file,
    ):
        missing = [name for name in POSES if name not in mocap]
        if missing:
            raise InputError(args.mocap, "", f"no {missing}", "a file of the verb mocap")
        keep = subset(mocap["order"][:], mocap["split"][:], settings["percent"])
        views = len(cameras) if settings["views_per_mesh"] == "all" else 1
        _create(file, np.count_nonzero(keep), views)
        total = -(-len(keep) // CHUNK)
        for start, rows in progress(
            _chunks(mocap, keep, joints, cameras, settings), total, "shards"
        ):
            _append(file, start, rows, views)
        validation = int(np.count_nonzero(file["split"][:] == VALIDATION))
        file.attrs.update(
            schema_version=SCHEMA_VERSION,
            joint_set="coco17",
            camera_ids=list(cameras.ids),
            settings=json.dumps(settings, sort_keys=True),
            count_train=len(file["split"]) - validation,
            count_validation=validation,
            frames="pixels continuous, virtual image; axis-angle, camera frame x right y down",
        )
    print(f"{len(keep)} sampled poses, {np.count_nonzero(keep)} meshes x {views} views")


def setup_cameras(settings: Mapping) -> VirtualCameras:
    """Return the cameras of the settings, chosen and placed.

    Raises:
        InputError: if views_per_mesh is neither random nor all, or the views do not exist.
    """
    if settings["views_per_mesh"] not in ("random", "all"):
        raise InputError(
            "params", "synthesis.pairs.views_per_mesh", settings["views_per_mesh"], "random or all"
        )
    cameras = read_cameras(settings["cameras"], settings["distort"])
    return place(choose_views(cameras, settings["views"]), settings["placement"])


class CocoJoints:
    """COCO's 17 joints of posed bodies, about the root joint.

    Only the vertices that the regressor touches, a few dozen, are computed.

    Args:
        assets: body models and the regressor.
        gender: "recorded" takes the model of the recorded gender where there is one (betas are
            of gendered shape spaces); "neutral" takes the neutral model for everyone.
    """

    def __init__(self, assets: BodyAssets, gender: str) -> None:
        if gender not in ("recorded", "neutral"):
            raise InputError("params", "synthesis.pairs.gender", gender, "recorded or neutral")
        names = [name for name in GENDERS if name in assets.models]
        names = names if gender == "recorded" else ["neutral"]
        support = np.flatnonzero(np.any(assets.J_regressor_coco != 0, axis=0))
        self.layers = {
            GENDERS.index(name): SMPLLayer(assets.models[name], support) for name in names
        }
        self.regressor = torch.from_numpy(assets.J_regressor_coco[:, support]).float()

    def models(self, gender: np.ndarray) -> np.ndarray:
        """Return the gender (uint8) of the model that stands for each recorded gender."""
        return np.where(np.isin(gender, list(self.layers)), gender, 0).astype(np.uint8)

    def __call__(self, body_pose: Tensor, betas: Tensor, model: np.ndarray) -> Tensor:
        """Return joints in the body's own frame (y up, facing +z).

        Args:
            body_pose: (B, 69) axis-angle of the joints below the root.
            betas: (B, 10).
            model: (B,) gender of each body's model.

        Returns:
            (B, 17, 3) in metres, minus the root joint.
        """
        rotmats = axis_angle_to_matrix(body_pose.view(-1, 23, 3))
        root = torch.eye(3).expand(len(rotmats), 1, 3, 3)
        rotmats = torch.cat([root, rotmats], 1)
        joints = torch.empty(len(rotmats), 17, 3)
        for number in np.unique(model):
            rows = torch.from_numpy(model == number)
            vertices, chain = self.layers[int(number)](betas[rows], rotmats[rows])
            joints[rows] = self.regressor @ (vertices - chain[:, :1])
        return joints


def project_bodies(
    joints: Tensor,
    global_orient: Tensor,
    cameras: VirtualCameras,
    view: Tensor,
    heading: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Return a body's joints in a camera's image and its orientation in the camera frame.

    Args:
        joints: (B, 17, 3) in the body's frame, root at the origin.
        global_orient: (B, 3) axis-angle, body -> world (z up).
        cameras: the cameras.
        view: (B,) camera of each body.
        heading: (B,) radians between the direction that the body faces and the one to its camera,
            seen from above; None keeps the recorded heading.

    Returns:
        (B, 17, 2) in continuous pixels and (B, 3) axis-angle, body -> camera.
    """
    orient = axis_angle_to_matrix(global_orient)
    if heading is not None:
        facing = torch.atan2(orient[:, 1, 2], orient[:, 0, 2])  # the body's +z in the world
        wanted = torch.from_numpy(cameras.azimuth()).to(orient)[view] + heading
        orient = rotate_about("z", wanted - facing) @ orient
    keypoints = project(joints @ orient.mT, cameras, view)
    rotation = torch.from_numpy(cameras.rotation).to(orient)[view]
    return keypoints, matrix_to_axis_angle(rotation @ orient)


def square_box(keypoints: Tensor, box_factor: float) -> tuple[Tensor, Tensor]:
    """Return centre (B, 2) and side (B,) of the square about joints (B, K, 2), in pixels."""
    low, high = keypoints.amin(1), keypoints.amax(1)
    return (low + high) / 2, box_factor * (high - low).amax(1)


def _chunks(
    mocap: h5py.File,
    keep: np.ndarray,
    joints: CocoJoints,
    cameras: VirtualCameras,
    settings: Mapping,
) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """Yield the first mesh row and the arrays of each shard.

    A shard's draws are made for all of its poses, kept or not, so that a pose is seen by the same
    camera in every subset.
    """
    done = 0
    for shard, start in enumerate(range(0, len(keep), CHUNK)):
        poses = {name: mocap[name][start : start + CHUNK] for name in POSES}
        view, turn = _draw(len(poses["split"]), len(cameras), settings, shard)
        rows = np.flatnonzero(keep[start : start + CHUNK])
        if not len(rows):
            yield done, {}
            continue
        poses = {name: values[rows] for name, values in poses.items()}
        arrays = _shard(poses, view[rows], turn[rows], joints, cameras, settings)
        arrays["mocap_row"] = np.repeat(start + rows, view.shape[1])
        arrays["mesh_row"] = np.repeat(np.arange(done, done + len(rows)), view.shape[1])
        yield done, arrays
        done += len(rows)


def _draw(count: int, cameras: int, settings: Mapping, shard: int) -> tuple[np.ndarray, ...]:
    """Return views (n, v) and heading draws in [-1, 1] of the same shape."""
    random = rng(settings["seed"], "pairs", shard)
    view = random.integers(cameras, size=(count, 1))
    turn = random.uniform(-1.0, 1.0, size=(count, cameras))
    if settings["views_per_mesh"] == "all":
        view = np.broadcast_to(np.arange(cameras), turn.shape)
    return view, np.take_along_axis(turn, view, axis=1)


def _shard(
    poses: dict[str, np.ndarray],
    view: np.ndarray,
    turn: np.ndarray,
    joints: CocoJoints,
    cameras: VirtualCameras,
    settings: Mapping,
) -> dict[str, np.ndarray]:
    """Return the rows of the file for some poses, each in v views."""
    views = view.shape[1]
    body_pose = np.pad(poses["pose"][:, 3:], ((0, 0), (0, 6)))  # SMPL's hands at rest
    model = joints.models(poses["gender"])
    bodies = joints(torch.from_numpy(body_pose), torch.from_numpy(poses["betas"]), model)
    heading = None
    if settings["heading_deg"] is not None:
        heading = torch.from_numpy(np.deg2rad(settings["heading_deg"]) * turn.ravel()).float()
    keypoints, orient = project_bodies(
        bodies.repeat_interleave(views, 0),
        torch.from_numpy(poses["pose"][:, :3]).repeat_interleave(views, 0),
        cameras,
        torch.from_numpy(view.reshape(-1).copy()),
        heading,
    )
    center, side = square_box(keypoints, settings["box_factor"])
    return {
        "keypoints": keypoints.numpy(),
        "center": center.numpy(),
        "side": side.numpy(),
        "global_orient": orient.numpy(),
        "view": view.reshape(-1),
        "split": np.repeat(poses["split"], views),
        "mesh/body_pose": body_pose,
        "mesh/betas": poses["betas"],
        "mesh/gender": model,
    }


def _create(file: h5py.File, meshes: int, views: int) -> None:
    for table, count in ((ROWS, meshes * views), (MESH_ROWS, meshes)):
        for name, (shape, dtype) in table.items():
            file.create_dataset(name, (count, *shape), dtype, track_times=False)


def _append(file: h5py.File, start: int, arrays: dict[str, np.ndarray], views: int) -> None:
    """Write a shard whose first mesh has row `start`."""
    for name, values in arrays.items():
        first = start if name in MESH_ROWS else start * views
        file[name][first : first + len(values)] = values
