"""Demo ImageNet: a few images of three classes of people, and the devkit of the validation.

`train/<wnid>/<wnid>_<n>.JPEG`; `val/ILSVRC2012_val_<n>.JPEG` with the ground truth by the
devkit's own ids, which are not in the order of the wnids. One training image is a PNG by name of
a JPEG, as one of the real ones is.
"""

from pathlib import Path

import cv2
import numpy as np

from pipeline.demo.frames import write_jpeg
from pipeline.demo.matlab import write_mat5
from pipeline.demo.portraits import photograph
from pipeline.demo.stage import Stage
from pipeline.seeding import rng

WNIDS = ("n10565667", "n09835506", "n10148035")
"""In the order of the devkit's ids, from 1."""
GROUPS = ("n00007846",)  # synsets above the classes, with ids behind theirs
CLASSES = 1000
DEVKIT = Path("ILSVRC2012_devkit_t12/data")


def plan(settings: dict) -> list[dict]:
    """Return one task per image.

    Args:
        settings: image_size (longer side), train_images, val_images, and those that `produce`
            reads.
    """
    return [
        {"split": split, "number": number}
        for split in ("train", "val")
        for number in range(settings[f"{split}_images"])
    ]


def class_id(split: str, number: int) -> int:
    """Return the devkit's id of an image's class."""
    return 1 + (number + (split == "val")) % len(WNIDS)


def produce(task: dict, stage: Stage) -> dict:
    """Write one image."""
    split, number = task["split"], task["number"]
    random = rng(stage.settings["seed"], "imagenet", split, number)
    image = photograph(random, stage).picture.image
    path = stage.root / split / f"ILSVRC2012_val_{number + 1:08d}.JPEG"
    if split == "train":
        wnid = WNIDS[class_id(split, number) - 1]
        path = stage.root / split / wnid / f"{wnid}_{number}.JPEG"
    if split == "train" and number == 0:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(".png", image[..., ::-1])[1].tobytes())
    else:
        write_jpeg(path, image)
    return task


def finish(results: list[dict], settings: dict, root: Path) -> None:
    """Write the devkit."""
    synsets = np.empty((len(WNIDS) + len(GROUPS), 1), object)
    for place, wnid in enumerate((*WNIDS, *GROUPS)):
        number = place + 1 if place < len(WNIDS) else CLASSES + 1
        synsets[place, 0] = {"ILSVRC2012_ID": float(number), "WNID": wnid, "words": "person",
                             "gloss": "", "num_children": 0.0}  # fmt: skip
    write_mat5(root / DEVKIT / "meta.mat", {"synsets": _structs(synsets)})
    ids = [class_id("val", task["number"]) for task in results if task["split"] == "val"]
    text = "".join(f"{number}\n" for number in ids)
    (root / DEVKIT / "ILSVRC2012_validation_ground_truth.txt").write_text(text)


def _structs(entries: np.ndarray) -> np.ndarray:
    """Return dictionaries (n, 1) as one MATLAB struct array."""
    keys = list(entries[0, 0])
    found = np.empty(entries.shape, [(key, object) for key in keys])
    for place, entry in enumerate(entries[:, 0]):
        for key in keys:
            found[place, 0][key] = entry[key]
    return found
