"""A picture of what a records file holds: crop, 2D joints, labelled mesh, part map.

The part map is the rendered one of the file given, else the dataset's own, else that of the
labelled body; what a record has no label for is grey and says so.
"""

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
from pipeline.data.surface import SurfaceLabels
from pipeline.errors import InputError
from pipeline.files import atomic
from pipeline.hdf5 import open_hdf5
from pipeline.records import Records
from pipeline.rendering.hand_labels import hand_surface, holds_hands, place_hands
from pipeline.rendering.iuv import Atlas, render_iuv
from pipeline.rendering.labels import LabelledBodies, Placed
from pipeline.rendering.overlay import colour_iuv, draw_skeleton, overlay_mesh, sheet

SIDE = 192  # pixels of each picture
SAMPLES_PER_ROW = 2
PICTURES = 4  # of each sample


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb `contact-sheet`."""
    parser.add_argument("--records", type=Path, required=True)
    parser.add_argument("--iuv", type=Path, help="its surface maps, to be shown as part maps")
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
        iuv: their surface maps, shown in place of the parts of the labels; or None.
        body: the body asset.
        count: records shown, evenly spaced over the file.
    """
    records, assets = Records(records_path), load_assets(body)
    rows = np.unique(np.linspace(0, len(records) - 1, count).round().astype(int))
    if holds_hands(records):
        hand = right_hand(assets.hand_models)
        placed, surface = place_hands(records, hand, rows), hand_surface(hand)
    else:
        placed, surface = LabelledBodies(records, assets).place(rows), Atlas.from_assets(assets)
    maps = _read_maps(iuv, rows, len(records)) if iuv else {}
    images, labels = [], []
    for row in rows:
        side, size = float(records.side[row]), records.image_size[row]
        box = compose(crop_affine(records.center[row], side, SIDE), invert(records.affine[row]))
        view = warp_image(records.image(row), box, (SIDE, SIDE))
        body_there = placed.get(row)
        picture = None
        if iuv:
            if row in maps:
                picture = _stored_map(view, maps[row], box, size)
        else:
            picture = _annotated_parts(view, records, row)
            if picture is None and body_there is not None:
                picture = _drawn_parts(view, body_there, surface, box)
        pictures = {
            f"{row} {records.name[row]}": view,
            "no 2D joints": _with_joints(view, records, row, box),
            "no body": _with_mesh(view, body_there, surface.faces, box),
            "no part map": picture,
        }
        labels += [text if k == 0 or shown is None else ""
                   for k, (text, shown) in enumerate(pictures.items())]  # fmt: skip
        images += [view // 2 + 64 if shown is None else shown for shown in pictures.values()]
    return sheet(images, PICTURES * min(SAMPLES_PER_ROW, len(rows)), labels)


def _with_joints(
    view: np.ndarray, records: Records, row: int, affine: np.ndarray
) -> np.ndarray | None:
    if records.keypoints_2d is None:
        return None
    keypoints = records.keypoints_2d[row]
    points = transform_points(keypoints[:, :2], compose(affine, records.affine[row]))
    return draw_skeleton(view, points, records.keypoint_set, keypoints[:, 2])


def _with_mesh(
    view: np.ndarray, body: Placed | None, faces: np.ndarray, affine: np.ndarray
) -> np.ndarray | None:
    """Return the view with the labelled mesh."""
    if body is None:
        return None
    K = np.vstack([affine, [0, 0, 1]]) @ body.crop_matrix
    return overlay_mesh(view, body.vertices_cam, faces, K)


def _stored_map(
    view: np.ndarray, maps: np.ndarray, affine: np.ndarray, crop_size: np.ndarray
) -> np.ndarray:
    """Return the view with a rendered surface map."""
    to_view = compose(affine, zoom_affine(crop_size / maps.shape[0]))
    part, u, v = np.moveaxis(warp_image(maps, to_view, (SIDE, SIDE), nearest=True), 2, 0)
    return _over(view, part, u / 255, v / 255)


def _drawn_parts(view: np.ndarray, body: Placed, surface: Atlas, affine: np.ndarray) -> np.ndarray:
    """Return the view with the parts of the labelled body."""
    to_view = compose(affine, body.affine)
    part, uv = render_iuv(body.vertices_cam, body.K, SIDE, surface, affine=to_view)
    return _over(view, part, uv[..., 0], uv[..., 1])


def _annotated_parts(view: np.ndarray, records: Records, row: int) -> np.ndarray | None:
    """Return the view with the parts that people have drawn (DensePose), None without."""
    affine = crop_affine(records.center[row], float(records.side[row]), SIDE)
    part, known = SurfaceLabels(records).parts(row, affine, SIDE, SIDE)
    if not known:
        return None
    full = np.ones(part.shape)
    return _over(view, np.maximum(part, 0), full, 0 * full)


def _over(view: np.ndarray, part: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return the darkened view with the coloured parts over it."""
    return np.where((part > 0)[..., None], colour_iuv(part, u, v), view // 3)


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
