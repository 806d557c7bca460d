"""Demo InstaVariety: frames of videos with detected joints, in both public forms.

`images/<tag>/<video>/*.jpg`, `annotations/insta_variety_annotations_light_{train,test}.json`,
`annotations/insta_train_db.pt` as joblib writes it, and NeuralAnnot's bodies by annotation id.
Joints are noisy detections, absent ones zero; boxes are their span.
"""

import io
import json
from pathlib import Path

import numpy as np

from pipeline.demo.actors import in_camera
from pipeline.demo.frames import write_jpeg
from pipeline.demo.pandas_pickle import ForeignPickler, foreign
from pipeline.demo.portraits import Portrait, photograph
from pipeline.demo.stage import Stage
from pipeline.joints import index
from pipeline.seeding import rng

TAGS = ("skateboarding", "instruction", "ballet")
NOISE = 0.4  # pixels of the detections
LOST = 0.05  # share of joints that are not detected
WRAPPER = foreign("joblib.numpy_pickle", "NumpyArrayWrapper")
PROTOCOL = 3


def plan(settings: dict) -> list[dict]:
    """Return one task per image.

    Args:
        settings: image_size (longer side), train_images, test_images, and those that `produce`
            reads.
    """
    return [
        {"part": part, "number": number}
        for part in ("train", "test")
        for number in range(settings[f"{part}_images"])
    ]


def produce(task: dict, stage: Stage) -> dict:
    """Write one image; return its annotation."""
    part, number = task["part"], task["number"]
    random = rng(stage.settings["seed"], "instavariety", part, number)
    portrait = photograph(random, stage)
    name = f"{TAGS[number % len(TAGS)]}/{part}_{number // 2:04d}/{number:06d}.jpg"
    write_jpeg(stage.root / "images" / name, portrait.picture.image)
    points = _detect(random, portrait, stage)
    found = points[points[:, 2] > 0, :2]
    low, high = found.min(0), found.max(0)
    size = {"width": portrait.camera.width, "height": portrait.camera.height}
    return {
        "part": part,
        "image": {"id": 40 + number, "file_name": name, **size},
        "label": {"id": 700 + 3 * number, "image_id": 40 + number, "category_id": 1,
                  "bbox": np.round([*low, *(high - low)], 2).tolist(), "iscrowd": 0,
                  "keypoints": np.round(points, 3).ravel().tolist()},
        "fit": _fit(portrait, stage),
    }  # fmt: skip


def _detect(random, portrait: Portrait, stage: Stage) -> np.ndarray:
    """Return (25, 3) pixels and confidence in HMMR's order; knees are always found."""
    person, camera = portrait.people[0], portrait.camera
    joints = stage.landmarks.of("hmmr25", person.joints[None], person.vertices[None])[0]
    pixels = camera.project(camera.to_camera(joints)) + random.normal(size=(25, 2)) * NOISE
    seen = ((pixels >= 0) & (pixels < [camera.width, camera.height])).all(1)
    seen &= random.random(25) > LOST
    seen[[index("hmmr25", f"{side}_knee") for side in "lr"]] = True
    return np.column_stack([pixels, random.uniform(0.4, 0.95, 25)]) * seen[:, None]


def _fit(portrait: Portrait, stage: Stage) -> dict:
    """Return NeuralAnnot's entry."""
    person, camera = portrait.people[0], portrait.camera
    pose, transl = in_camera(stage.bodies["neutral"], person, camera)
    smpl = {"pose": pose.ravel(), "shape": person.betas, "trans": transl}
    return {
        "smpl_param": {key: np.round(value, 6).tolist() for key, value in smpl.items()},
        "cam_param": {"focal": camera.K[[0, 1], [0, 1]].tolist(),
                      "princpt": camera.K[:2, 2].tolist()},
    }  # fmt: skip


def finish(results: list[dict], settings: dict, root: Path) -> None:
    """Write the annotations in both forms, and the bodies."""
    folder = root / "annotations"
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("train", "test"):
        own = [result for result in results if result["part"] == part]
        labels = [result["label"] for result in own]
        content = {"images": [result["image"] for result in own], "annotations": labels}
        name = f"insta_variety_annotations_light_{part}.json"
        (folder / name).write_text(json.dumps(content))
        if part == "train":
            fits = {str(result["label"]["id"]): result["fit"] for result in own}
            (folder / "InstaVariety_train_SMPL_NeuralAnnot.json").write_text(json.dumps(fits))
            write_joblib(folder / "insta_train_db.pt", {
                "ann_id": np.array([label["id"] for label in labels]),
                "file_name": np.array([result["image"]["file_name"] for result in own]),
                "img_shape": np.array([[result["image"][key] for key in ("height", "width")]
                                       for result in own]),
                "bbox": np.array([label["bbox"] for label in labels]),
            })  # fmt: skip


class _Pickler(ForeignPickler):
    """Puts each array's bytes behind an object that describes it, as joblib does."""

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream, PROTOCOL)
        self._stream = stream

    def save(self, obj: object, save_persistent_id: bool = True) -> None:
        """Write an object; an array as joblib's wrapper and its bytes."""
        if not isinstance(obj, np.ndarray):
            super().save(obj, save_persistent_id)
            return
        wrapper = WRAPPER()
        wrapper.state = {"subclass": np.ndarray, "shape": obj.shape, "order": "C",
                         "dtype": obj.dtype, "allow_mmap": True}  # fmt: skip
        super().save(wrapper)
        self._stream.write(np.ascontiguousarray(obj).tobytes())


def write_joblib(path: Path, content: dict[str, np.ndarray]) -> None:
    """Write a dictionary of plain arrays as `joblib.dump` of before 1.2 does."""
    stream = io.BytesIO()
    _Pickler(stream).dump(content)
    path.write_bytes(stream.getvalue())
