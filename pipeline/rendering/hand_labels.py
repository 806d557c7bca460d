"""The hand that a record's label describes, in the camera that took its picture."""

from collections.abc import Sequence

import numpy as np

from pipeline.body.hands import HandModel
from pipeline.records import Records
from pipeline.rendering.iuv import Atlas
from pipeline.rendering.labels import Placed


def holds_hands(records: Records) -> bool:
    """Return whether a records file is of hands: as parameters or as meshes."""
    return records.mano_valid is not None or records.hand_vertices is not None


def hand_surface(hand: HandModel) -> Atlas:
    """Return a hand's faces with the joint, from 1, that moves each most, and no coordinates."""
    faces = np.ascontiguousarray(hand.model.faces, np.int32)
    joint = hand.model.lbs_weights[faces].sum(1).argmax(1)
    uv = np.tile(np.array([1, 0], np.float32), (len(faces), 3, 1))
    return Atlas((joint + 1).astype(np.uint8), uv, faces)


def place_hands(records: Records, hand: HandModel, rows: Sequence[int]) -> dict[int, Placed]:
    """Return the hands of those rows that have a label and a camera.

    Args:
        records: a file of hands; meshes come before parameters.
        hand: the right hand.
        rows: numbers of records.
    """
    if records.root_3d is None or records.K is None:
        return {}
    placed = {}
    for row in rows:
        mesh = _mesh(records, hand, row)
        known = np.isfinite(records.root_3d[row]).all() and np.isfinite(records.K[row]).all()
        if mesh is not None and known:
            vertices = (mesh + records.root_3d[row]).astype(np.float32)
            placed[int(row)] = Placed(vertices, records.K[row], records.affine[row])
    return placed


def _mesh(records: Records, hand: HandModel, row: int) -> np.ndarray | None:
    """Return the hand (778, 3) about its wrist, None where there is no label."""
    if records.hand_vertices is not None and np.isfinite(records.hand_vertices[row]).all():
        return records.hand_vertices[row]
    if records.mano_valid is None or not records.mano_valid[row]:
        return None
    arrays = (records.mano_global_orient, records.hand_pose, records.mano_betas)
    vertices, joints = hand.pose(*(array[row][None].astype(float) for array in arrays))
    return vertices[0] - joints[0, 0]
