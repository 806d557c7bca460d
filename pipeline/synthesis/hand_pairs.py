"""Hands seen by their own and by virtual cameras: pairs of 2D joints and a mesh.

M pairs (a mesh in a view) of N meshes, in the order of the records: `keypoints` (M, 21, 2)
freihand21 in continuous pixels, `center` (M, 2) and `side` (M,) of the square box, `rotation`
(M, 3) axis-angle that turns the mesh into the view, `view` (M,), `mesh_row` (M,) into
`mesh/vertices` (N, 778, 3): metres from the wrist, camera frame of the record. Images that show
the same hand from the same place are one mesh.

MPT pre-trains hands on Complement and does not say how they are seen: the first view is the
data set's own camera, and in further ones the hand is turned about its centre by a uniformly
random rotation, at its place and before the same camera. Joints are regressed from the mesh. A
limit `turn_deg` keeps views near the recorded one: random axes, angles uniform up to it.

Source: MPT, Sec. 4.2 (hands) and Table 6.
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import h5py
import numpy as np
import torch
from scipy.spatial.transform import Rotation

from pipeline.body.assets import load_assets
from pipeline.body.hands import HandModel, right_hand
from pipeline.body.part_of import HAND_SET
from pipeline.errors import InputError
from pipeline.files import atomic
from pipeline.objectives.sources import named_paths
from pipeline.records import Records
from pipeline.seeding import rng
from pipeline.synthesis.pairs import square_box

SCHEMA_VERSION = 1
CHUNK = 4096  # meshes at once
SMALLEST_DEPTH = 0.05  # metres; a turned hand nearer to the camera is turned again
NEEDED = ("K", "root_3d")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("--records", nargs="+", required=True, help="DATASET_SPLIT=PATH of hands")
    parser.add_argument("--body", type=Path, required=True, help="file of the verb body")
    parser.add_argument(
        "--settings",
        type=json.loads,
        required=True,
        help="one set of synthesis.hand_pairs, and the seed",
    )
    parser.add_argument("--out", type=Path, required=True)


def main(args: argparse.Namespace) -> None:
    """Project the hands of the records and write the pairs."""
    settings, paths = args.settings, named_paths(args.records, "--records")
    hand = right_hand(load_assets(args.body).hand_models)
    sources = [(name, Records(path)) for name, path in paths.items()]
    rows = {name: distinct_hands(records) for name, records in sources}
    meshes, views = sum(map(len, rows.values())), settings["views"]
    with atomic(args.out) as part, h5py.File(part, "w") as file:
        _create(file, meshes, views)
        start = 0
        for name, records in sources:
            for piece in _pieces(rows[name]):
                _append(file, start, _shoot(records, piece, hand, settings, name), views)
                start += len(piece)
        file.attrs.update(
            schema_version=SCHEMA_VERSION,
            joint_set=HAND_SET,
            settings=json.dumps(settings, sort_keys=True),
            count_train=meshes * views,
            frames="pixels continuous, virtual image; metres, camera frame x right y down",
        )
    print(
        f"{meshes} meshes x {views} views of {', '.join(f'{n} {len(r)}' for n, r in rows.items())}"
    )


def distinct_hands(records: Records) -> np.ndarray:
    """Return the first record of each labelled hand, in order.

    Raises:
        InputError: if the records are not of hands, lack cameras, or none has a label.
    """
    if records.joint_set != HAND_SET:
        raise InputError(records.path, "joint_set", records.joint_set, HAND_SET)
    for key in NEEDED:
        if getattr(records, key) is None:
            raise InputError(records.path, key, "nothing", "that of every hand")
    labelled = np.zeros(len(records), bool)
    if records.hand_vertices is not None:
        labelled |= np.isfinite(records.hand_vertices).all((1, 2))
    if records.mano_valid is not None:
        labelled |= records.mano_valid.astype(bool)
    for key in NEEDED:
        labelled &= np.isfinite(getattr(records, key)).reshape(len(records), -1).all(1)
    rows = np.flatnonzero(labelled)
    if not len(rows):
        raise InputError(records.path, "hand_vertices", "no labelled hand", "one at least")
    _, first = np.unique(records.source[rows], return_index=True)
    return np.sort(rows[first])


def hand_meshes(records: Records, rows: np.ndarray, hand: HandModel) -> np.ndarray:
    """Return the hands (n, 778, 3) of labelled records from their wrists, metres."""
    found = np.full((len(rows), *hand.model.v_template.shape), np.nan)
    if records.hand_vertices is not None:
        found = records.hand_vertices[rows].astype(np.float64)
    posed = np.isnan(found).any((1, 2))
    if posed.any():
        arrays = (records.mano_global_orient, records.hand_pose, records.mano_betas)
        vertices, joints = hand.pose(*(array[rows[posed]].astype(float) for array in arrays))
        found[posed] = vertices - joints[:, :1]
    return found


def turn(
    vertices: np.ndarray, root: np.ndarray, random: np.random.Generator, limit: float | None
) -> Rotation:
    """Return a random rotation, at most `limit` degrees, that leaves the hand before the camera.

    None: uniform over all rotations.
    """
    for _ in range(100):
        rotation = Rotation.random(random_state=random)
        if limit is not None:
            axis = rotation.apply([0, 0, 1])
            rotation = Rotation.from_rotvec(axis * np.radians(random.uniform(0, limit)))
        placed = placed_vertices(vertices, root, rotation)
        if placed[:, 2].min() > SMALLEST_DEPTH:
            return rotation
    raise InputError("records", "root_3d", root, "a hand that may turn before its camera")


def placed_vertices(vertices: np.ndarray, root: np.ndarray, rotation: Rotation) -> np.ndarray:
    """Return a mesh (778, 3) in the camera frame, turned about its centre."""
    centre = vertices.mean(0)
    return rotation.apply(vertices - centre) + centre + root


def _shoot(
    records: Records, rows: np.ndarray, hand: HandModel, settings: Mapping, name: str
) -> dict[str, np.ndarray]:
    """Return the pairs of some records, `views` of each in a row."""
    meshes, views, limit = (
        hand_meshes(records, rows, hand),
        settings["views"],
        settings["turn_deg"],
    )
    points = np.empty((len(rows), views, 21, 2))
    rotations = np.zeros((len(rows), views, 3))
    for k, (row, vertices) in enumerate(zip(rows, meshes, strict=True)):
        root, K = records.root_3d[row].astype(float), records.K[row]
        random = rng(settings["seed"], "hand_pairs", name, int(row))
        for view in range(views):
            rotation = turn(vertices, root, random, limit) if view else Rotation.identity()
            joints = hand.joints(placed_vertices(vertices, root, rotation))
            image = joints @ K.T
            points[k, view] = image[:, :2] / image[:, 2:]
            rotations[k, view] = rotation.as_rotvec()
    points = points.reshape(-1, 21, 2).astype(np.float32)
    center, side = square_box(torch.from_numpy(points), settings["box_factor"])
    return {
        "keypoints": points,
        "center": center.numpy(),
        "side": side.numpy(),
        "rotation": rotations.reshape(-1, 3).astype(np.float32),
        "view": np.tile(np.arange(views, dtype=np.int64), len(rows)),
        "mesh/vertices": meshes.astype(np.float32),
    }


def _pieces(rows: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), CHUNK):
        yield rows[start : start + CHUNK]


def _create(file: h5py.File, meshes: int, views: int) -> None:
    shapes = {"keypoints": (21, 2), "center": (2,), "side": (), "rotation": (3,)}
    for name, shape in shapes.items():
        file.create_dataset(name, (meshes * views, *shape), np.float32, track_times=False)
    for name in ("view", "mesh_row"):
        file.create_dataset(name, (meshes * views,), np.int64, track_times=False)
    file.create_dataset("mesh/vertices", (meshes, 778, 3), np.float32, track_times=False)


def _append(file: h5py.File, start: int, arrays: dict[str, np.ndarray], views: int) -> None:
    """Write pairs whose first mesh has row `start`."""
    count = len(arrays["mesh/vertices"])
    arrays = {**arrays, "mesh_row": np.repeat(np.arange(start, start + count), views)}
    for name, values in arrays.items():
        first = start if name.startswith("mesh/") else start * views
        file[name][first : first + len(values)] = values
