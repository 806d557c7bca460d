"""Down to 6,890 vertices, with the well-known vertex numbers of SMPL at their places."""

from dataclasses import dataclass

import numpy as np

from pipeline.body.build.source import Source
from pipeline.body.build.tpose import finger_tips
from pipeline.body.quadric import collapse

VERTICES = 6890
# Vertex numbers that public code picks from SMPL meshes. The first of each pair is the number in
# the package smplx, the second that of I2L-MeshNet's COCO regressor.
_LEFT_NUMBERS = {
    "left_eye": (2800, 2802),
    "left_ear": (583, 3489),
    "left_big_toe": (3216,),
    "left_small_toe": (3226,),
    "left_heel": (3387,),
    "left_thumb": (2746,),
    "left_index": (2319,),
    "left_middle": (2445,),
    "left_ring": (2556,),
    "left_pinky": (2673,),
}
_RIGHT_NUMBERS = {
    "left_eye": (6260, 6262),
    "left_ear": (4071, 3990),
    "left_big_toe": (6617,),
    "left_small_toe": (6624,),
    "left_heel": (6787,),
    "left_thumb": (6191,),
    "left_index": (5782,),
    "left_middle": (5905,),
    "left_ring": (6016,),
    "left_pinky": (6133,),
}
_NOSE_NUMBERS = (332, 331)
HEAD_TOP = 411  # the vertex in SPIN's J_regressor_extra
COCO_FACE = (331, 2802, 6262, 3489, 3990)  # nose, left eye, right eye, left ear, right ear
_FINGERS = ("thumb", "index", "middle", "ring", "pinky")
_LENGTH_WEIGHT = 0.02
_CHEAP_DIGITS, _CHEAP_FACE = 0.6, 0.5  # the source spends most of its vertices there


@dataclass
class Decimated:
    """The final vertices as numbers of source vertices."""

    order: np.ndarray  # (6890,) source vertex
    faces: np.ndarray  # (13776, 3)
    mirror: np.ndarray  # (6890,)


def decimate(source: Source, t_pose: np.ndarray, faces: np.ndarray) -> Decimated:
    """Collapse the cleaned mesh (source numbering) and number what is left."""
    anchors = _anchors(source, np.unique(faces))
    protect = np.zeros(len(t_pose), bool)
    protect[list(anchors.values())] = True
    protect |= protect[source.mirror]
    keep, coarse = collapse(
        t_pose,
        faces,
        VERTICES,
        mirror=source.mirror,
        weight=_weights(source),
        protect=protect,
        length_weight=_LENGTH_WEIGHT,
        stretch_weight=0.0,
    )
    order = _number(keep, t_pose, source.mirror, anchors)
    lookup = np.full(len(t_pose), -1)
    lookup[order] = np.arange(len(order))
    return Decimated(order, lookup[keep[coarse]], lookup[source.mirror[order]])


def _anchors(source: Source, used: np.ndarray) -> dict[str, int]:
    """Source vertices of the named points on the middle line and the left side."""
    x = source.template[:, 0]
    left, middle = used[x[used] > 0.004], used[np.abs(x[used]) < 1e-3]
    anchors = {"nose": _nearest(source.template, source.landmarks["nose"], middle)}
    for name in ("left_eye", "left_ear", "left_big_toe", "left_small_toe", "left_heel"):
        anchors[name] = _nearest(source.template, source.landmarks[name], left)
    tips = finger_tips(source.rig, source.template, source.template_heads)
    return anchors | {f"left_{name}": tips[k] for k, name in enumerate(_FINGERS, start=1)}


def _weights(source: Source) -> np.ndarray:
    bones = source.rig.bones
    digits = [k for k, b in enumerate(bones) if b.startswith(("finger", "metacarpal", "toe"))]
    weight = np.ones(len(source.mirror))
    weight[source.rig.weights[:, digits].sum(1) > 0.5] = _CHEAP_DIGITS
    weight[source.rig.weights[:, source.rig.index("head")] > 0.9] = _CHEAP_FACE
    return weight


def _number(
    keep: np.ndarray, points: np.ndarray, mirror: np.ndarray, anchors: dict[str, int]
) -> np.ndarray:
    """Order of the kept vertices in which every well-known number has its place.

    Where one point has two numbers, the second goes to its nearest unnumbered neighbour.
    """
    middle, side = keep[mirror[keep] == keep], keep[mirror[keep] != keep]
    numbers = {_NOSE_NUMBERS[0]: anchors["nose"]}
    for name, left in _LEFT_NUMBERS.items():
        numbers[left[0]] = anchors[name]
        numbers[_RIGHT_NUMBERS[name][0]] = mirror[anchors[name]]
    numbers[_NOSE_NUMBERS[1]] = _next(points, anchors["nose"], middle, numbers)
    top = middle[np.argmax(points[middle, 1])]
    numbers[HEAD_TOP] = top
    for name, left in _LEFT_NUMBERS.items():
        for number, other in zip(left[1:], _RIGHT_NUMBERS[name][1:], strict=True):
            numbers[number] = _next(points, anchors[name], side, numbers)
            numbers[other] = mirror[numbers[number]]
    order, place = keep.copy(), {vertex: k for k, vertex in enumerate(keep.tolist())}
    for number, vertex in numbers.items():
        here, other = place[vertex], order[number]
        order[number], order[here] = vertex, other
        place[vertex], place[other] = number, here
    return order


def _next(points: np.ndarray, anchor: int, candidates: np.ndarray, taken: dict[int, int]) -> int:
    return _nearest(points, points[anchor], np.setdiff1d(candidates, list(taken.values())))


def _nearest(points: np.ndarray, target: np.ndarray, candidates: np.ndarray) -> int:
    return int(candidates[np.argmin(((points[candidates] - target) ** 2).sum(1))])
