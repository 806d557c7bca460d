"""Demo DensePose-COCO: persons with surface points and masks of 14 parts.

`annotations/densepose_coco_2014_{train,valminusminival,minival}.json`, pictures in `train2014/`
and `val2014/`. The main person of a picture has the labels, people beside them mostly not, as in
the real set. Parts, charts and coordinates are those of the body underneath the clothes.
`UV_data/UV_symmetry_transforms.mat` holds the tables that mirror the open atlas.
"""

import json
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask

from pipeline.body.atlas import mirrored_u
from pipeline.body.parts import PARTS14, merge_charts
from pipeline.data.crops import warp_image
from pipeline.demo.frames import write_jpeg
from pipeline.demo.matlab import write_mat5
from pipeline.demo.portraits import Person, Portrait, annotate, photograph
from pipeline.demo.stage import Stage
from pipeline.rendering.iuv import Atlas, render_iuv
from pipeline.seeding import rng

PARTS = {"train": "train2014", "valminusminival": "val2014", "minival": "val2014"}
GRID, POINTS = 256, 100  # cells of a box's sides; points of a person at most
CHARTS = 24
OCCLUDED, VISIBLE = 1, 2


def plan(settings: dict) -> list[dict]:
    """Return one task per picture.

    Args:
        settings: image_size (longer side), train_people, valminusminival_people,
            minival_people (one per picture), and those that `produce` reads.
    """
    return [
        {"part": part, "number": number}
        for part in PARTS
        for number in range(settings[f"{part}_people"])
    ]


def produce(task: dict, stage: Stage) -> dict:
    """Write one picture; return its entry and its annotations."""
    part, number = task["part"], task["number"]
    random = rng(stage.settings["seed"], "coco_densepose", part, number)
    portrait = photograph(random, stage)
    image_id = 11 * number + 500 * (1 + list(PARTS).index(part))
    name = f"COCO_{PARTS[part]}_{image_id:012d}.jpg"
    write_jpeg(stage.root / PARTS[part] / name, portrait.picture.image)
    size = {"width": portrait.camera.width, "height": portrait.camera.height}
    labels = [_label(random, portrait, k, stage) for k in range(len(portrait.people))]
    return {
        "part": part,
        "image": {"id": image_id, "file_name": name, **size},
        "annotations": [label for label in labels if label],
    }


def _label(random, portrait: Portrait, k: int, stage: Stage) -> dict | None:
    """Return the annotation of person k, None when nothing of them is seen."""
    mask = portrait.picture.owner == k
    if not mask.any():
        return None
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    low = np.array([columns[0], rows[0]], float)
    extent = np.array([columns[-1] + 1, rows[-1] + 1]) - low
    pixels, seen = annotate(portrait, stage, "coco17", k)
    inside = ((pixels >= 0) & (pixels < [mask.shape[1], mask.shape[0]])).all(1)
    flags = np.where(seen, VISIBLE, OCCLUDED) * inside
    table = np.column_stack([np.round(pixels, 2) * inside[:, None], flags])
    label = {
        "category_id": 1, "iscrowd": 0, "area": float(mask.sum()),
        "bbox": [*low, *extent], "num_keypoints": int(inside.sum()),
        "keypoints": table.ravel().tolist(), "segmentation": [],
    }  # fmt: skip
    if k == 0:
        label |= _surface(random, portrait, k, low, extent, stage)
    return label


def surface(
    portrait: Portrait, k: int, low: np.ndarray, extent: np.ndarray, stage: Stage
) -> tuple[np.ndarray, np.ndarray]:
    """Return chart (256, 256) and U, V (256, 256, 2) of a person as seen in their box."""
    person: Person = portrait.people[k]
    zoom = GRID / extent
    to_grid = np.column_stack([np.diag(zoom), -zoom * low])
    vertices = portrait.camera.to_camera(person.vertices).astype(np.float32)
    atlas = Atlas.from_assets(stage.bodies.assets)
    chart, uv = render_iuv(vertices, portrait.camera.K, GRID, atlas, affine=to_grid)
    own = (portrait.picture.owner == k).astype(np.uint8)
    hidden = warp_image(own, to_grid, (GRID, GRID), nearest=True) == 0
    chart[hidden] = 0
    return chart, uv


def _surface(random, portrait: Portrait, k: int, low, extent, stage: Stage) -> dict:
    """Return the keys that DensePose adds to an annotation."""
    chart, uv = surface(portrait, k, low, extent, stage)
    parts = merge_charts()[chart]
    masks = []
    for number in range(1, len(PARTS14)):
        rle = coco_mask.encode(np.asfortranarray(parts == number, np.uint8))
        held = {"size": rle["size"], "counts": rle["counts"].decode()}
        masks.append(held if (parts == number).any() else [])
    y, x = np.nonzero(chart)
    picked = random.permutation(len(x))[:POINTS]
    y, x = y[picked], x[picked]
    scale = (GRID - 1) / GRID  # a cell's middle at (x + 0.5) / 256 of the box is dp_x / 255
    return {
        "dp_masks": masks,
        "dp_x": np.round((x + 0.5) * scale, 3).tolist(),
        "dp_y": np.round((y + 0.5) * scale, 3).tolist(),
        "dp_I": chart[y, x].astype(float).tolist(),
        "dp_U": np.round(uv[y, x, 0].astype(float), 6).tolist(),
        "dp_V": np.round(uv[y, x, 1].astype(float), 6).tolist(),
    }


def finish(results: list[dict], settings: dict, root: Path) -> None:
    """Write the annotations of all parts, and the tables of the mirrored atlas."""
    folder = root / "annotations"
    folder.mkdir(parents=True, exist_ok=True)
    label_id = 3000
    for part in PARTS:
        images, labels = [], []
        for result in (result for result in results if result["part"] == part):
            images.append(result["image"])
            for label in result["annotations"]:
                labels.append(label | {"id": label_id, "image_id": result["image"]["id"]})
                label_id += 7
        content = {"info": {}, "licenses": [], "images": images, "annotations": labels,
                   "categories": [{"id": 1, "name": "person"}]}  # fmt: skip
        (folder / f"densepose_coco_2014_{part}.json").write_text(json.dumps(content))
    v, u = np.mgrid[0:GRID, 0:GRID] / (GRID - 1)
    tables = {"U_transforms": np.empty((1, CHARTS), object)}
    tables["V_transforms"] = np.empty((1, CHARTS), object)
    for chart in range(CHARTS):
        tables["U_transforms"][0, chart] = 1 - u if mirrored_u()[chart + 1] else u
        tables["V_transforms"][0, chart] = v
    write_mat5(root / "UV_data" / "UV_symmetry_transforms.mat", tables)
