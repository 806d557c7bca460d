"""A picture of what a records file holds: crop, 2D joints, labelled mesh, surface map."""

import argparse
from pathlib import Path

import cv2
import numpy as np

from pipeline.body.assets import load_assets
from pipeline.body.hands import right_hand
from pipeline.data.crops import (
    compose,
    crop_affine,
    invert,
    transform_points,
    warp_image,
    zoom_affine,
)
from pipeline.errors import InputError
from pipeline.files import atomic
from pipeline.hdf5 import open_hdf5
from pipeline.records import Records
from pipeline.rendering.hand_labels import holds_hands, place_hands
from pipeline.rendering.labels import LabelledBodies, Placed
from pipeline.rendering.overlay import colour_iuv, draw_skeleton, overlay_mesh, sheet

SIDE = 192  # pixels of each picture
SAMPLES_PER_ROW = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb `contact-sheet`."""
    parser.add_argument("--records", type=Path, required=True)
    parser.add_argument("--iuv", type=Path, help="its surface maps; left out when not given")
    parser.add_argument("--body", type=Path, required=True, help="the body asset (.npz)")
    parser.add_argument("--out", type=Path, required=True, help="the .png to write")
    parser.add_argument("--count", type=int, default=12, help="records, evenly spaced")


def main(args: argparse.Namespace) -> None:
    """Run the verb `contact-sheet`."""
    if args.count < 1:
        raise InputError("contact-sheet", "--count", args.count, "at least 1")
    picture = contact_sheet(args.records, args.iuv, args.body, args.count)
    write_png(args.out, picture)


def contact_sheet(records_path: Path, iuv: Path | None, body: Path, count: int) -> np.ndarray:
    """Return the sheet, RGB uint8.

    Args:
        records_path: the records.
        iuv: their surface maps, or None.
        body: the body asset.
        count: records shown, evenly spaced over the file.
    """
    records, assets = Records(records_path), load_assets(body)
    rows = np.unique(np.linspace(0, len(records) - 1, count).round().astype(int))
    if holds_hands(records):
        hand = right_hand(assets.hand_models)
        placed, faces = place_hands(records, hand, rows), hand.model.faces
    else:
        placed, faces = LabelledBodies(records, assets).place(rows), assets.faces
    maps = _read_maps(iuv, rows, len(records)) if iuv else {}
    images, labels = [], []
    for row in rows:
        side, size = float(records.side[row]), records.image_size[row]
        box = compose(crop_affine(records.center[row], side, SIDE), invert(records.affine[row]))
        view = warp_image(records.image(row), box, (SIDE, SIDE))
        pictures = [
            view,
            _with_joints(view, records, row, box),
            _with_mesh(view, placed.get(row), faces, box),
        ]
        if iuv:
            pictures.append(_with_map(view, maps.get(row), box, size))
        images += pictures
        labels += [f"{row} {records.name[row]}"[:34], *[""] * (len(pictures) - 1)]
    per_sample = 4 if iuv else 3
    return sheet(images, per_sample * min(SAMPLES_PER_ROW, len(rows)), labels)


def _with_joints(view: np.ndarray, records: Records, row: int, affine: np.ndarray) -> np.ndarray:
    if records.keypoints_2d is None:
        return view
    keypoints = records.keypoints_2d[row]
    points = transform_points(keypoints[:, :2], compose(affine, records.affine[row]))
    return draw_skeleton(view, points, records.keypoint_set, keypoints[:, 2])


def _with_mesh(view: np.ndarray, body: Placed | None, faces, affine: np.ndarray) -> np.ndarray:
    """Return the view with the labelled mesh, grey where there is none."""
    if body is None:
        return view // 2 + 64
    K = np.vstack([affine, [0, 0, 1]]) @ body.crop_matrix
    return overlay_mesh(view, body.vertices_cam, faces, K)


def _with_map(
    view: np.ndarray, maps: np.ndarray | None, affine: np.ndarray, crop_size: np.ndarray
) -> np.ndarray:
    """Return the view with its surface map, grey where there is none."""
    if maps is None:
        return view // 2 + 64
    to_view = compose(affine, zoom_affine(crop_size / maps.shape[0]))
    part, u, v = np.moveaxis(warp_image(maps, to_view, (SIDE, SIDE), nearest=True), 2, 0)
    picture = colour_iuv(part, u / 255, v / 255)
    return np.where((part > 0)[..., None], picture, view // 3)


def _read_maps(path: Path, rows: np.ndarray, count: int) -> dict[int, np.ndarray]:
    """Return row -> (R, R, 3) part, u and v of rows that have a map."""
    with open_hdf5(path) as file:
        if "valid" not in file or len(file["valid"]) != count:
            raise InputError(path, "valid", "another number of rows", f"{count} rows")
        valid = file["valid"][:]
        return {
            int(row): np.dstack([file[name][row] for name in ("part", "u", "v")])
            for row in rows
            if valid[row]
        }


def write_png(path: Path, picture: np.ndarray) -> None:
    """Write an RGB picture, whole or not at all."""
    data = cv2.imencode(".png", picture[..., ::-1])[1].tobytes()
    with atomic(path) as part:
        part.write_bytes(data)
