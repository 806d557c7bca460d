"""Demo MPII: images, the official MATLAB file, its two redistributions, and two sets of fits.

`images/%09d.jpg`; `mpii_human_pose_v1_u12_2/mpii_human_pose_v1_u12_1.mat` (struct RELEASE, test
images without joints at its end); `train.h5` of Stacked Hourglass; `annotations/train.json` of
Moon et al. with NeuralAnnot's fits by annotation id; EFT's fits by image. Main persons have all
16 joints, people beside them lack some.
"""

import json
from pathlib import Path

import h5py
import numpy as np

from pipeline.demo.coco import neural_annot
from pipeline.demo.eft import eft_entry
from pipeline.demo.frames import write_jpeg
from pipeline.demo.matlab import write_mat5
from pipeline.demo.portraits import Portrait, annotate, photograph
from pipeline.demo.stage import Stage
from pipeline.seeding import rng

RELEASE = "mpii_human_pose_v1_u12_2/mpii_human_pose_v1_u12_1.mat"
HEAD = (8, 9)  # joints whose visibility the official file leaves empty
EMPTY = np.zeros((0, 0))
UNIT = 200  # px of a person of scale 1
FIRST_ID = 40


def plan(settings: dict) -> list[dict]:
    """Return one task per image.

    Args:
        settings: image_size (longer side), train_images, test_images.
    """
    count = settings["train_images"]
    total = count + settings["test_images"]
    return [{"number": number, "train": number < count} for number in range(total)]


def produce(task: dict, stage: Stage) -> dict:
    """Write one image; return the persons in it."""
    random = rng(stage.settings["seed"], "mpii", task["number"])
    portrait = photograph(random, stage)
    name = f"{15 * task['number'] + 1163:09d}.jpg"
    write_jpeg(stage.root / "images" / name, portrait.picture.image)
    people = [_person(portrait, k, name, stage, random) for k in range(len(portrait.people))]
    people = [person for person in people if person["labelled"].any()]
    size = (portrait.camera.width, portrait.camera.height)
    return {"name": name, "train": task["train"], "size": size, "people": people}


def _person(portrait: Portrait, number: int, name: str, stage: Stage, random) -> dict:
    """Return what the files say about one person."""
    pixels, visible = annotate(portrait, stage, "mpii16", number)
    size = [portrait.camera.width, portrait.camera.height]
    labelled = ((pixels > 0) & (pixels < size)).all(1)
    if number:
        labelled[random.choice(16, random.integers(2, 6), replace=False)] = False
    low, high = pixels.min(0), pixels.max(0)
    body = stage.bodies["neutral"]
    return {
        "pixels": pixels, "visible": visible, "labelled": labelled, "low": low, "high": high,
        "neural": neural_annot(body, portrait.people[number], portrait.camera),
        "eft": eft_entry(portrait, stage, number, name),
    }  # fmt: skip


def finish(results: list[dict], settings: dict, root: Path) -> None:
    """Write the annotation files."""
    _write_release(results, root / RELEASE)
    train = [image for image in results if image["train"]]
    people = [(image, person) for image in train for person in image["people"]]
    _write_h5(people, root / "train.h5")
    _write_json(train, people, root / "annotations")
    fits = [person["eft"] for _, person in people[:: 1 if len(people) < 4 else 2]]
    (root / "eft_fit").mkdir()
    (root / "eft_fit" / "MPII_ver01.json").write_text(json.dumps({"ver": 0.1, "data": fits}))


def _scale(person: dict) -> float:
    return float((person["high"] - person["low"])[1] / UNIT)


def _center(person: dict) -> np.ndarray:
    return (person["low"] + person["high"]) / 2


def struct(rows: list[dict]) -> np.ndarray:
    """Return structs (1, n) with the fields of the first, as `savemat` writes them."""
    array = np.empty((1, len(rows)), [(name, object) for name in rows[0]])
    for k, row in enumerate(rows):
        for name, value in row.items():
            array[name][0, k] = value
    return array


def _write_release(images: list[dict], path: Path) -> None:
    """Write the official file; a person without joints closes each third training image."""
    entries, singles = [], np.empty((len(images), 1), object)
    for k, image in enumerate(images):
        persons = [_rectangle(person, image["train"]) for person in image["people"]]
        if image["train"] and k % 3 == 2:
            nobody = dict.fromkeys(persons[0], EMPTY)
            persons.append({**nobody, "x1": 1.0, "y1": 1.0, "x2": 9.0, "y2": 9.0})
        singles[k, 0] = np.array([[1.0]])
        entries.append({
            "image": struct([{"name": image["name"]}]), "annorect": struct(persons),
            "frame_sec": EMPTY, "vididx": EMPTY,
        })  # fmt: skip
    flags = np.array([[image["train"] for image in images]], np.uint8)
    write_mat5(path, {"RELEASE": struct([{
        "annolist": struct(entries), "img_train": flags, "version": "12",
        "single_person": singles,
    }])})  # fmt: skip


def _rectangle(person: dict, train: bool) -> dict:
    x, y = _center(person)
    points = struct([
        {"x": px, "y": py, "id": float(k), "is_visible": EMPTY if k in HEAD else float(seen)}
        for k, ((px, py), seen, labelled) in enumerate(
            zip(person["pixels"], person["visible"], person["labelled"], strict=True)
        ) if labelled
    ])  # fmt: skip
    head = dict(zip(("x1", "y1", "x2", "y2"), person["pixels"][list(HEAD)].ravel(), strict=True))
    joints = struct([{"point": points}]) if train else EMPTY
    place = struct([{"x": x, "y": y}])
    return {**head, "annopoints": joints, "scale": _scale(person), "objpos": place}


def _write_h5(people: list[tuple[dict, dict]], path: Path) -> None:
    part = [person["pixels"] * person["labelled"][:, None] for _, person in people]
    arrays = {
        "imgname": np.array([image["name"].encode() for image, _ in people]),
        "center": np.array([_center(person) for _, person in people]),
        "scale": np.array([_scale(person) for _, person in people]),
        "part": np.array(part),
        "visible": np.array([person["visible"] for _, person in people], float),
    }
    with h5py.File(path, "w") as file:
        for key, array in arrays.items():
            file.create_dataset(key, data=array, track_times=False)


def _write_json(train: list[dict], people: list[tuple[dict, dict]], folder: Path) -> None:
    folder.mkdir()
    numbers = {image["name"]: 100 + k for k, image in enumerate(train)}
    images = [
        {"id": numbers[image["name"]], "file_name": f"images/{image['name']}",
         "width": image["size"][0], "height": image["size"][1]}
        for image in train
    ]  # fmt: skip
    labels, fits = [], {}
    for k, (image, person) in enumerate(people):
        flags = np.where(person["labelled"], 1 + person["visible"], 0)
        table = np.column_stack([person["pixels"] * person["labelled"][:, None], flags])
        box = [*person["low"], *(person["high"] - person["low"])]
        labels.append({
            "id": FIRST_ID + k, "image_id": numbers[image["name"]], "category_id": 1,
            "iscrowd": 0, "bbox": np.round(box, 2).tolist(), "area": float(box[2] * box[3]),
            "num_keypoints": int(person["labelled"].sum()),
            "keypoints": np.round(table, 2).ravel().tolist(),
        })  # fmt: skip
        if k % 3 != 2:
            fits[str(FIRST_ID + k)] = person["neural"]
    content = {"images": images, "annotations": labels, "categories": []}
    (folder / "train.json").write_text(json.dumps(content))
    (folder / "MPII_train_SMPL_NeuralAnnot.json").write_text(json.dumps(fits))
