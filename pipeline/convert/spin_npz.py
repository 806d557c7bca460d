"""Annotation files of SPIN (Kolotouros et al. 2019) and of all that follow it: one `.npz`.

imgname (N,), center (N, 2) px, scale (N,) of 200 px; every other key may be absent, which means
"no such label": part (N, 24, 3) and openpose (N, 25, 3) px and confidence, S (N, 24, 4) metres
about the pelvis, camera frame, and confidence; pose (N, 72) axis-angle, camera frame, shape
(N, 10), has_smpl (N,), gender (N,) 'm' or 'f'; maskname, partname, smpl_2dkps are not needed.

Fits come in files of their own, `static_fits/*.npy` or `final_fits/*.npz`, whose only link to
the annotations is the order of the rows: both have to be the files as SPIN ships them. They fill
rows without a label of the annotation file itself. `part` holds plain image coordinates; the
half pixel and the integer rounding of SPIN's crops happen on reading and are no part of the file.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from pipeline.body.pickles import read_npz
from pipeline.body.smpl import BodyModel
from pipeline.convert.common import Sample, Selection, SmplLabel, gender_name, inside, numbers
from pipeline.convert.pseudo import spin_rows
from pipeline.errors import InputError

KEYPOINT_SET = "spin49"
JOINT_SET = "spin24"
ROOT = "pelvis"
UNIT = 200.0  # px for which `scale` is 1
TALLEST = 3.0  # metres from the pelvis; farther joints are in other units
SHAPES = {
    "center": (2,), "scale": (), "part": (24, 3), "openpose": (25, 3), "S": (24, 4),
    "pose": (72,), "shape": (10,), "has_smpl": (),
}  # fmt: skip
REQUIRED = ("imgname", "center", "scale")
CAMERA = re.compile(r"\.(54138969|55011271|58860488|60457274)_")  # in names of Human3.6M's images


def select(raw: Path, split: str, settings: Mapping, models: Mapping[str, BodyModel]) -> Selection:
    """Return every row.

    Args:
        raw: root that holds the annotation file and the images.
        split: name of the split, for the rule.
        settings: file (inside raw), images (folder inside raw that `imgname` is relative to,
            absent for raw itself), fits (file inside raw, or absent), box_factor (1: `scale`
            has SPIN's 1.2 in it).
        models: body models by gender.

    Raises:
        InputError: if a key is missing, of another length or shape, or not in metres, or the
            fits have another number of rows.
    """
    path = inside(raw, settings["file"], "params", "file")
    arrays = _read(path)
    count, sources = len(arrays["imgname"]), [path]
    labels = _own_labels(arrays, models, path)
    if settings.get("fits"):
        sources.append(inside(raw, settings["fits"], "params", "fits"))
        pose, betas, valid = spin_rows(sources[-1], count)
        labels = [
            label or (_label(pose[i], betas[i], "neutral") if valid[i] else None)
            for i, label in enumerate(labels)
        ]
    folder = raw / settings["images"] if settings.get("images") else raw
    selection = Selection(f"{split}: all rows of {path.name}", count=count, sources=sources)
    selection.samples = _samples(folder, arrays, labels, settings["box_factor"], path)
    return selection


def _read(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of the file that are of use, each checked."""
    content = read_npz(path)
    for key in REQUIRED:
        if key not in content:
            raise InputError(path, key, f"only {', '.join(content)}", "this key")
    names = content["imgname"].ravel()
    count = len(names)
    arrays = {
        key: numbers(content[key], (count, *shape), path, key)
        for key, shape in SHAPES.items() if key in content
    }  # fmt: skip
    arrays["imgname"] = _texts(names)
    if "gender" in content:
        arrays["gender"] = _texts(content["gender"].ravel())
        if len(arrays["gender"]) != count:
            raise InputError(path, "gender", f"{len(arrays['gender'])} rows", count)
    if (arrays["scale"] <= 0).any():
        raise InputError(path, "scale", arrays["scale"].min(), "positive values")
    if ("pose" in arrays) != ("shape" in arrays):
        found = "pose" if "pose" in arrays else "shape"
        raise InputError(path, "pose, shape", f"{found} alone", "both or neither")
    if "S" in arrays:
        _check_metres(arrays["S"], path)
    return arrays


def _texts(values: np.ndarray) -> np.ndarray:
    """Return texts that may have been written as bytes."""
    return np.array([v.decode("latin1") if isinstance(v, bytes) else str(v) for v in values])


def _check_metres(joints: np.ndarray, path: Path) -> None:
    farthest = np.abs(joints[joints[..., 3] > 0, :3]).max(initial=0)
    if farthest > TALLEST:
        saw = f"a joint {farthest:.4g} from the pelvis"
        raise InputError(path, "S", saw, f"metres, at most {TALLEST:g}")


def _own_labels(
    arrays: dict[str, np.ndarray], models: Mapping[str, BodyModel], path: Path
) -> list[SmplLabel | None]:
    """Return the bodies that the annotation file itself holds."""
    count = len(arrays["imgname"])
    if "pose" not in arrays:
        return [None] * count
    valid = arrays.get("has_smpl", np.ones(count)) > 0  # without has_smpl, all of them
    letters = arrays.get("gender", np.full(count, "n"))
    names = {letter: gender_name(letter, models, path) for letter in set(letters[valid].tolist())}
    rows = zip(arrays["pose"], arrays["shape"], letters.tolist(), valid, strict=True)
    return [
        _label(pose, betas, names[letter]) if known else None
        for pose, betas, letter, known in rows
    ]


def _label(pose: np.ndarray, betas: np.ndarray, gender: str) -> SmplLabel:
    return SmplLabel(pose[:3], pose[3:].reshape(23, 3), betas, None, gender)


def _samples(
    folder: Path,
    arrays: dict[str, np.ndarray],
    labels: list[SmplLabel | None],
    box_factor: float,
    path: Path,
) -> Iterator[Sample]:
    for row, name in enumerate(arrays["imgname"].tolist()):
        keypoints = np.zeros((49, 3))
        for key, place in (("openpose", slice(0, 25)), ("part", slice(25, 49))):
            if key in arrays:
                keypoints[place] = arrays[key][row]
        keypoints[keypoints[:, 2] <= 0] = 0
        joints = arrays["S"][row] if "S" in arrays else np.zeros((24, 4))
        joints[joints[:, 3] <= 0] = 0
        camera = CAMERA.search(name)
        yield Sample(
            image=inside(folder, name, f"{path}: row {row}", "imgname"), name=name,
            center=arrays["center"][row], side=UNIT * arrays["scale"][row] * box_factor,
            keypoints_2d=keypoints, person=row, frame=row, sequence="", source=str(row),
            joints_3d=joints, smpl=labels[row], camera=camera[1] if camera else "",
        )  # fmt: skip
