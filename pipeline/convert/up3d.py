"""UP-3D (Unite the People): images of other datasets with SMPL fits, one folder, one id an image.

`%05d_image.png`, `%05d_body.pkl` (neutral SMPL pose, betas, trans; camera rt, t, f),
`%05d_joints.npy` (3, 14) in LSP order, third row confidence, `%05d_render_light.png` (the body
drawn on white), `%05d_fit_crop_info.txt`, optionally `%05d_dataset_info.txt` (where the image is
from); `{train,val,trainval,test}.txt` list images as `/01129_image.png`.

The fits were made on a crop of the image, scaled: the file says `height width y1 y2 x1 x2`, size
of what was fitted and the part of the image it shows. Its camera has the principal point in the
middle of that crop. As in GraphCMR the box spans the drawn body.
Leaks: the images are those of LSP, LSP Extended and MPII; `skip_origins` leaves some out.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch

from pipeline.body.pickles import read_body_file
from pipeline.body.smpl import BodyModel
from pipeline.convert.common import (
    Sample,
    Selection,
    SmplLabel,
    inside,
    intrinsics,
    numbers,
    smpl_to_camera,
    square_box,
    take,
)
from pipeline.convert.pseudo import read_npy
from pipeline.errors import InputError
from pipeline.images import decode_jpeg
from pipeline.rotations import axis_angle_to_matrix

KEYPOINT_SET = "lsp14"
JOINT_SET = ROOT = None
WHITE = 255
_LINE = re.compile(r"/?(\d{5})_image\.png")


def select(raw: Path, split: str, settings: Mapping, models: Mapping[str, BodyModel]) -> Selection:
    """Return the images of one list.

    Args:
        raw: root of the distribution.
        split: name of the split, for the rule.
        settings: list (its file's name), skip_origins (datasets whose images are left out, as
            `dataset_info.txt` names them), box_factor.
        models: body models by gender; the fits are of the neutral one.

    Raises:
        InputError: if the list is missing or holds anything but names of images.
    """
    path = inside(raw, settings["list"], "params", "list")
    if not path.is_file():
        raise InputError(path, "", "no such file", "a list of images")
    ids = []
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        match = _LINE.fullmatch(line.strip())
        if line.strip() and not match:
            raise InputError(f"{path}: line {number}", "", f"{line!r:.60}", "/12345_image.png")
        ids += [match[1]] if match else []
    skipped = tuple(settings.get("skip_origins") or ())
    left_out = f", without images of {', '.join(skipped)}" if skipped else ""
    selection = Selection(f"{split}: all of {path.name}{left_out}", count=len(ids), sources=[path])
    selection.samples = _samples(raw, ids, skipped, settings, models["neutral"], selection)
    return selection


def _samples(
    raw: Path,
    ids: list[str],
    skipped: tuple[str, ...],
    settings: Mapping,
    model: BodyModel,
    selection: Selection,
) -> Iterator[Sample]:
    for number in ids:
        origin = _origin(raw / f"{number}_dataset_info.txt", bool(skipped))
        if origin in skipped:
            selection.skipped[f"image of {origin}"] += 1
            continue
        path = raw / f"{number}_joints.npy"
        keypoints = numbers(read_npy(path), (3, 14), path, "").T.copy()
        keypoints[keypoints[:, 2] <= 0] = 0
        center, side = _drawn_box(raw / f"{number}_render_light.png", settings["box_factor"])
        smpl, K = _fit(raw, number, model)
        selection.sources += [path, raw / f"{number}_body.pkl"]
        name = f"{number}_image.png"
        yield Sample(
            image=raw / name, name=name, center=center, side=side, keypoints_2d=keypoints,
            person=0, frame=int(number), sequence=origin, source=number, K=K, smpl=smpl,
        )  # fmt: skip


def _origin(path: Path, needed: bool) -> str:
    """Return the dataset that an image is from, empty where nobody says."""
    if not path.is_file():
        if needed:
            raise InputError(path, "", "no such file", "the image's origin, or no skip_origins")
        return ""
    words = path.read_text(errors="replace").split()
    return words[0] if words else ""


def _drawn_box(path: Path, factor: float) -> tuple[np.ndarray, float]:
    """Return the square box around everything that is not white in an image."""
    if not path.is_file():
        raise InputError(path, "", "no such file", "the drawn body, which the box comes from")
    drawn = (decode_jpeg(path.read_bytes(), path) < WHITE).any(-1)
    rows, columns = np.flatnonzero(drawn.any(1)), np.flatnonzero(drawn.any(0))
    if not len(rows):
        raise InputError(path, "", "a white image", "a body drawn on white")
    low, high = np.array([columns[0], rows[0]]), np.array([columns[-1] + 1, rows[-1] + 1])
    return square_box(low, high, factor)


def _fit(raw: Path, number: str, model: BodyModel) -> tuple[SmplLabel, np.ndarray]:
    """Return the body in the camera frame and the camera matrix of the image."""
    path = raw / f"{number}_body.pkl"
    fit = read_body_file(path)
    shapes = {"pose": 72, "betas": 10, "trans": 3, "rt": 3, "t": 3}
    entry = {
        key: numbers(np.ravel(take(fit, key, path)), (size,), path, key)
        for key, size in shapes.items()
    }
    focal = float(numbers(np.squeeze(take(fit, "f", path)), (), path, "f"))
    if focal <= 0:
        raise InputError(path, "f", focal, "a positive focal length")
    R = axis_angle_to_matrix(torch.from_numpy(entry["rt"])).numpy()
    orient, transl = smpl_to_camera(
        entry["pose"][None, :3], entry["trans"][None], entry["betas"][None], R, entry["t"], model
    )
    label = SmplLabel(orient[0], entry["pose"][3:].reshape(23, 3), entry["betas"], transl[0])
    return label, _camera(raw / f"{number}_fit_crop_info.txt", focal)


def _camera(path: Path, focal: float) -> np.ndarray:
    """Return the camera matrix of the image, of which the fit saw a scaled part."""
    if not path.is_file():
        raise InputError(path, "", "no such file", "height width y1 y2 x1 x2")
    words = path.read_text(errors="replace").split()
    values = numbers([float(w) if _is_number(w) else np.nan for w in words], (6,), path, "")
    height, width, y1, y2, x1, x2 = values
    if min(height, width, y2 - y1, x2 - x1) <= 0:
        raise InputError(path, "", " ".join(words), "height width y1 y2 x1 x2, y1 < y2, x1 < x2")
    zoom = (height / (y2 - y1) + width / (x2 - x1)) / 2
    middle = np.array([x1, y1]) + np.array([width, height]) / (2 * zoom)
    return intrinsics((focal / zoom, focal / zoom), middle)


def _is_number(word: str) -> bool:
    return re.fullmatch(r"-?\d+(\.\d+)?", word) is not None
