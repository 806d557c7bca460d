"""DensePose-COCO: persons of COCO 2014 with surface points and masks of 14 parts.

`annotations/densepose_coco_2014_{train,valminusminival,minival}.json` (detectron2's mirror calls
them `densepose_{train,valminusminival,minival}2014.json`), images in `train2014/` and `val2014/`.
Besides COCO's keys an annotation has `dp_x, dp_y` (0..255 over its box), `dp_I` (chart 1..24),
`dp_U, dp_V` (0..1) and `dp_masks`, 14 run-length encoded images of 256 x 256 over the box, empty
where a part is not seen; where masks overlap, the later one counts. Annotations without these
keys are left out.

Points are placed at x0 + width * dp_x / 255, as the dataset's own notebook does; detectron2
divides by 256, which differs by 0.4 % of the box. Mirrored charts and coordinates are stored
where the user has `UV_symmetry_transforms.mat`; without them U and V must not be flipped.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np

from pipeline.body.parts import PARTS14, flip_parts24, merge_charts
from pipeline.body.smpl import BodyModel
from pipeline.convert.common import Sample, Selection, inside, numbers, square_box, take
from pipeline.convert.matlab import read_mat
from pipeline.convert.pseudo import Eft, NeuralAnnot, NoFits, open_fits
from pipeline.convert.rle import decode_rle
from pipeline.errors import InputError
from pipeline.files import read_json

KEYPOINT_SET = "coco17"
JOINT_SET = ROOT = None
GRID = 256  # cells of the box's sides
KEYS = ("dp_x", "dp_y", "dp_I", "dp_U", "dp_V")
CHARTS = 24
LIMITS = ((0, GRID), (0, GRID), (1, CHARTS), (0, 1), (0, 1))  # of their values
AGREEMENT = 0.5  # least median share of points whose chart lies in the mask of its part
LOOKED_AT = 200  # persons before that share is known
Tables = tuple[np.ndarray, np.ndarray]  # of U and V in a mirror, (24, 256, 256) by chart, v, u


def select(raw: Path, split: str, settings: Mapping, models: Mapping[str, BodyModel]) -> Selection:
    """Return the persons with DensePose labels.

    Args:
        raw: root of the distribution.
        split: name of the split, for the rule.
        settings: part (train, valminusminival or minival), box_factor, labels (NeuralAnnot, EFT
            with labels_file, or null), symmetry_file (UV_symmetry_transforms.mat or null).
        models: unused; pseudo labels are in the camera frame already.
    """
    path = _annotations(raw / "annotations", settings["part"])
    content = read_json(path)
    images = {take(image, "id", path): image for image in take(content, "images", path)}
    selection = Selection(f"{split}: persons with DensePose labels", sources=[path])
    tables = None
    if settings.get("symmetry_file"):
        table_path = inside(raw, settings["symmetry_file"], "params", "symmetry_file")
        tables = read_symmetry(table_path)
        selection.sources.append(table_path)
    standard = "annotations/MSCOCO_train_SMPL_NeuralAnnot.json"
    fits = open_fits(raw, settings, standard, KEYPOINT_SET, selection)
    chosen = list(_chosen(take(content, "annotations", path), path, selection))
    selection.count = len(chosen)
    samples = (
        _sample(raw, label, images, fits, tables, settings["box_factor"], path) for label in chosen
    )
    selection.samples = _agreeing(samples, path)
    return selection


def _annotations(folder: Path, part: str) -> Path:
    """Return the annotation file under whichever of its two names it has."""
    names = (f"densepose_coco_2014_{part}.json", f"densepose_{part}2014.json")
    found = [folder / name for name in names if (folder / name).is_file()]
    if len(found) != 1:
        saw = "both" if found else "no such file"
        raise InputError(folder / names[0], "", saw, f"this file, or {names[1]}")
    return found[0]


def _chosen(labels: list[dict], path: Path, selection: Selection) -> Iterator[dict]:
    for label in labels:
        where = f"{path}: annotation {take(label, 'id', path)}"
        box = numbers(take(label, "bbox", where), (4,), where, "bbox")
        if not all(key in label for key in (*KEYS, "dp_masks")):
            selection.skipped["without DensePose labels"] += 1
        elif label.get("iscrowd"):
            selection.skipped["iscrowd"] += 1
        elif box[2:].min() <= 1:
            selection.skipped["empty box"] += 1
        else:
            yield label


def _sample(
    raw: Path,
    label: dict,
    images: dict,
    fits: NoFits | NeuralAnnot | Eft,
    tables: Tables | None,
    box_factor: float,
    path: Path,
) -> Sample:
    where = f"{path}: annotation {label['id']}"
    image = take(images, take(label, "image_id", where), where)
    name = _image_name(take(image, "file_name", where), where)
    box = np.array(label["bbox"], float)
    center, side = square_box(box[:2], box[:2] + box[2:], box_factor)
    keypoints = np.zeros((17, 3))
    if "keypoints" in label:
        keypoints = numbers(label["keypoints"], (51,), where, "keypoints").reshape(17, 3)
        keypoints[:, 2] = keypoints[:, 2] > 0
        keypoints[keypoints[:, 2] == 0] = 0
    smpl, K = fits.find(label["id"], name, keypoints)
    return Sample(
        image=raw / name, name=name, center=center, side=side, keypoints_2d=keypoints,
        person=int(label["id"]), frame=int(label["image_id"]), sequence="", K=K, smpl=smpl,
        source=str(label["id"]), size=(take(image, "width", where), take(image, "height", where)),
        extra=_surface(label, box, tables, where),
    )  # fmt: skip


def _image_name(file_name: object, where: str) -> str:
    """Return the path of COCO_train2014_..., which says which folder it is in."""
    parts = file_name.split("_") if isinstance(file_name, str) else []
    if len(parts) != 3 or parts[1] not in ("train2014", "val2014") or "/" in file_name:
        raise InputError(where, "file_name", file_name, "COCO_{train,val}2014_<number>.jpg")
    return f"{parts[1]}/{file_name}"


def _surface(
    label: dict, box: np.ndarray, tables: Tables | None, where: str
) -> dict[str, np.ndarray]:
    """Return the fields surface_points, surface_mirrored, parts_png and parts_box."""
    columns = [numbers(label[key], (None,), where, key) for key in KEYS]
    for key, column in zip(KEYS, columns, strict=True):
        if len(column) != len(columns[0]):
            raise InputError(where, key, f"{len(column)} points", f"{len(columns[0])} as in dp_x")
    points = np.column_stack(columns)
    _check_points(points, where)
    parts = part_map(label["dp_masks"], where)
    points[:, :2] = box[:2] + points[:, :2] / (GRID - 1) * box[2:]
    points[:, 3:] = points[:, 3:].clip(0, 1)
    found = {"surface_points": points.astype(np.float32)}
    if tables:
        found["surface_mirrored"] = mirrored(found["surface_points"], tables)
    if parts.any():
        found |= {"parts_png": np.frombuffer(_png(parts), np.uint8), "parts_box": box}
    return found


def _check_points(points: np.ndarray, where: str) -> None:
    """Check points (P, 5) of the grid."""
    for values, key, (low, high) in zip(points.T, KEYS, LIMITS, strict=True):
        slack = 0.01 if high == 1 else 0
        wrong = (values < low - slack) | (values > high + slack)
        if wrong.any():
            raise InputError(where, key, f"{values[wrong][0]:g}", f"{low} to {high}")
    if (points[:, 2] % 1 != 0).any():
        raise InputError(where, "dp_I", "fractions", f"charts 1 to {CHARTS}")


def part_map(masks: object, where: str) -> np.ndarray:
    """Return the 14 masks of an annotation as one label map (256, 256) uint8, 0 outside.

    Raises:
        InputError: if there are not 14, or one is damaged.
    """
    if not isinstance(masks, list) or len(masks) != len(PARTS14) - 1:
        saw = f"{len(masks)} masks" if isinstance(masks, list) else type(masks).__name__
        raise InputError(where, "dp_masks", saw, f"{len(PARTS14) - 1}, empty ones included")
    parts = np.zeros((GRID, GRID), np.uint8)
    for number, mask in enumerate(masks, 1):
        if mask:
            parts[decode_rle(mask, (GRID, GRID), f"{where}: dp_masks {number}")] = number
    return parts


def _png(parts: np.ndarray) -> bytes:
    return cv2.imencode(".png", parts)[1].tobytes()


def read_symmetry(path: Path) -> Tables:
    """Return the tables of UV_symmetry_transforms.mat.

    Raises:
        InputError: if the file is missing, damaged, or holds other tables.
    """
    content, found = read_mat(path, "U_transforms", "V_transforms"), []
    for key in ("U_transforms", "V_transforms"):
        cells = [numbers(cell, (GRID, GRID), path, key) for cell in content[key].ravel()]
        if len(cells) != CHARTS:
            raise InputError(path, key, f"{len(cells)} cells", f"{CHARTS}")
        found.append(np.stack(cells))
    return found[0], found[1]


def mirrored(points: np.ndarray, tables: Tables) -> np.ndarray:
    """Return (P, 3) chart, U and V that points (P, 5) have in a mirrored image."""
    chart = points[:, 2].astype(int)
    u, v = (points[:, 3:] * (GRID - 1)).astype(int).T
    values = [table[chart - 1, v, u].clip(0, 1) for table in tables]
    return np.column_stack([flip_parts24()[chart], *values]).astype(np.float32)


def _agreeing(samples: Iterator[Sample], path: Path) -> Iterator[Sample]:
    """Pass the samples on; check that points lie in the masks of their parts.

    Raises:
        InputError: if most do not: the masks' order, their axes or the points' are others.
    """
    shares: list[float] = []
    for sample in samples:
        if len(shares) < LOOKED_AT:
            shares += agreement(sample)
            if len(shares) == LOOKED_AT:
                _check_agreement(shares, path)
        yield sample
    _check_agreement(shares, path)


def _check_agreement(shares: list[float], path: Path) -> None:
    if shares and np.median(shares) < AGREEMENT:
        saw = f"{100 * np.median(shares):.0f} % of the points in the mask of their part"
        raise InputError(path, "dp_masks", saw, "most: 14 parts in order, images by columns")


def agreement(sample: Sample) -> list[float]:
    """Return the share of a sample's points that lie in their part's mask, if it has both."""
    points, box = sample.extra["surface_points"], sample.extra.get("parts_box")
    if box is None or not len(points):
        return []
    parts = cv2.imdecode(sample.extra["parts_png"], cv2.IMREAD_GRAYSCALE)
    x, y = ((points[:, :2] - box[:2]) / box[2:] * GRID).astype(int).clip(0, GRID - 1).T
    return [float((parts[y, x] == merge_charts()[points[:, 2].astype(int)]).mean())]
