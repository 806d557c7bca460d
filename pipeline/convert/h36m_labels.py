"""SMPL labels of Human3.6M's official recordings: MoSh fits, or the json fits of others."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from pipeline.body.pickles import read_pickle
from pipeline.body.smpl import BodyModel
from pipeline.convert.common import Selection, SmplLabel, numbers, smpl_labels_to_camera, take
from pipeline.convert.h36m_files import Take
from pipeline.convert.h36m_json import LABEL_FILES
from pipeline.errors import InputError
from pipeline.files import read_json
from pipeline.rotations import axis_angle_to_matrix, matrix_to_axis_angle

Find = Callable[[int], SmplLabel | None]  # frame of the video -> its label
MOSH_STEP = 5  # frames of the video to one of MoSh
HALF_TURN = np.diag([1.0, -1, -1])  # about x


def open_labels(
    raw: Path, sequence: Take, settings: Mapping, model: BodyModel, selection: Selection
) -> Find:
    """Return how to find the label of a frame.

    Args:
        raw: root of the distribution.
        sequence: one action in one camera.
        settings: labels.
        model: the neutral body, to which all fits belong.
        selection: notes what was read, and what is missing.
    """
    kind = settings.get("labels")
    if not kind:
        return lambda frame: None
    if kind == "MoSh":
        return _mosh(raw, sequence, selection)
    return _fits(raw, sequence, LABEL_FILES[kind], model, selection)


def _mosh(raw: Path, sequence: Take, selection: Selection) -> Find:
    """Return labels of MoSh: every fifth frame, camera frame, the root half a turn off.

    A sequence without a file is normal.

    Raises:
        InputError: if the file is damaged.
    """
    name = f"{sequence.name}_cam{sequence.number}_aligned.pkl"
    path = raw / f"S{sequence.subject}" / "images" / name
    if not path.is_file():
        selection.skipped["sequences' MoSh labels (images kept)"] += 1
        return lambda frame: None
    selection.sources.append(path)
    content = read_pickle(path)
    poses = numbers(take(content, "new_poses", path), (None, 72), path, "new_poses")
    betas = numbers(take(content, "betas", path), (10,), path, "betas")
    turned = axis_angle_to_matrix(torch.from_numpy(poses[:, :3])) @ torch.from_numpy(HALF_TURN)
    orient = matrix_to_axis_angle(turned).numpy()

    def find(frame: int) -> SmplLabel | None:
        row, rest = divmod(frame, MOSH_STEP)
        if rest or row >= len(poses):
            return None
        return SmplLabel(orient[row], poses[row, 3:].reshape(23, 3), betas, None)

    return find


def _fits(raw: Path, sequence: Take, file: str, model: BodyModel, selection: Selection) -> Find:
    """Return labels of the json redistribution: any frame, world frame, metres.

    Raises:
        InputError: if the file is missing or damaged.
    """
    path = raw / "annotations" / f"Human36M_subject{sequence.subject}_{file}.json"
    if path not in selection.sources:
        selection.sources.append(path)
    frames = _read(path)
    for key in (sequence.action, sequence.sub):
        frames = frames.get(str(key), {}) if isinstance(frames, Mapping) else None
    if not isinstance(frames, Mapping):
        raise InputError(path, sequence.sequence, "no fits by frame", "[action][subaction][frame]")

    def find(frame: int) -> SmplLabel | None:
        camera, where = sequence.camera, f"{path}: {sequence.sequence} {frame}"
        fit = frames.get(str(frame))
        return smpl_labels_to_camera([fit], camera.R, camera.t, model, where)[0]

    return find


@lru_cache(maxsize=1)
def _read(path: Path) -> object:
    """Return the fits of a subject, which all its sequences and cameras ask for."""
    return read_json(path)
