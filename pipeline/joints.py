"""Joint sets as tuples of names; every subset, conversion and flip is computed from them.

A name says the joint, a suffix the definition of the point (`_lsp`, `_h36m`, `_mpii`, `_op`,
`_mpi`: the annotation practice of that data set) where one body part is marked at different
places. Two joints of the same part convert into each other, as the public tools do, with three
exceptions written down in `_PARTS` and `_SUBSTITUTES`.

Source: the orders are those of the data sets' own releases; the conversions agree with the
index tables of SPIN (Kolotouros et al. 2019), which the tests spell out as numbers.
"""

import re
from collections.abc import Sequence
from functools import cache

import numpy as np

_FINGERS = ("index", "middle", "pinky", "ring", "thumb")
_SMPL24 = (
    "pelvis l_hip r_hip spine1 l_knee r_knee spine2 l_ankle r_ankle spine3 l_foot r_foot neck "
    "l_collar r_collar head l_shoulder r_shoulder l_elbow r_elbow l_wrist r_wrist l_hand r_hand"
).split()
_FACE_AND_FEET = (
    "nose r_eye l_eye r_ear l_ear l_big_toe l_small_toe l_heel r_big_toe r_small_toe r_heel"
).split()
_TIPS = [
    f"{side}_{finger}_tip"
    for side in "lr"
    for finger in ("thumb", "index", "middle", "ring", "pinky")
]
_EXTRA = (
    "r_hip_lsp l_hip_lsp neck_lsp head_top_lsp pelvis_mpii thorax_mpii "
    "spine_h36m jaw_h36m head_h36m"
).split()
_OPENPOSE25 = (
    "nose neck r_shoulder r_elbow r_wrist l_shoulder l_elbow l_wrist mid_hip r_hip r_knee r_ankle "
    "l_hip l_knee l_ankle r_eye l_eye r_ear l_ear l_big_toe l_small_toe l_heel r_big_toe "
    "r_small_toe r_heel"
).split()
_LIMBS_LSP = (
    "r_ankle r_knee r_hip_lsp l_hip_lsp l_knee l_ankle "
    "r_wrist r_elbow r_shoulder l_shoulder l_elbow l_wrist"
).split()
_H36M_UPPER = (
    "spine_h36m neck_h36m jaw_h36m head_h36m l_shoulder l_elbow l_wrist r_shoulder r_elbow r_wrist"
).split()
_MPI17 = (
    "head_top_mpi neck r_shoulder r_elbow r_wrist l_shoulder l_elbow l_wrist r_hip r_knee r_ankle "
    "l_hip l_knee l_ankle pelvis spine head_mpi"
).split()
_SPIN24 = [*_LIMBS_LSP, *_EXTRA[2:], "nose", "l_eye", "r_eye", "l_ear", "r_ear"]

JOINT_SETS: dict[str, tuple[str, ...]] = {
    "smpl24": tuple(_SMPL24),
    "smplx45": (*_SMPL24, *_FACE_AND_FEET, *_TIPS),
    "spin54": (*_SMPL24, *_FACE_AND_FEET, *_TIPS, *_EXTRA),
    "openpose25": tuple(_OPENPOSE25),
    "openpose18": (*_OPENPOSE25[:8], *_OPENPOSE25[9:19]),
    "coco17": tuple(
        "nose l_eye r_eye l_ear r_ear l_shoulder r_shoulder l_elbow r_elbow l_wrist r_wrist "
        "l_hip r_hip l_knee r_knee l_ankle r_ankle".split()
    ),
    "lsp14": (*(name.removesuffix("_lsp") for name in _LIMBS_LSP), "neck", "head_top"),
    # The 14 joints of the 3DPW and Human3.6M protocols: LSP order, but the H36M head.
    "j14": (*_LIMBS_LSP, "neck_lsp", "head_h36m"),
    # Official order: right leg first.
    "h36m17": (
        *"pelvis r_hip r_knee r_ankle l_hip l_knee l_ankle".split(),
        *_H36M_UPPER,
    ),
    # Row order of the regressor that SPIN ships: left leg first.
    "h36m17_left": (
        *"pelvis l_hip l_knee l_ankle r_hip r_knee r_ankle".split(),
        *_H36M_UPPER,
    ),
    # Joints that the capture system repeats at the same place carry a number.
    "h36m32": tuple(
        "pelvis r_hip r_knee r_ankle r_foot r_toe l_hip l_knee l_ankle l_foot l_toe "
        "pelvis#2 spine_h36m neck_h36m jaw_h36m head_h36m "
        "neck_h36m#2 l_shoulder l_elbow l_wrist l_wrist#2 l_thumb l_hand l_hand#2 "
        "neck_h36m#3 r_shoulder r_elbow r_wrist r_wrist#2 r_thumb r_hand r_hand#2".split()
    ),
    "mpii16": tuple(
        "r_ankle r_knee r_hip l_hip l_knee l_ankle pelvis thorax neck head_top "
        "r_wrist r_elbow r_shoulder l_shoulder l_elbow l_wrist".split()
    ),
    "mpi17": tuple(_MPI17),
    "mpi28": tuple(
        "spine3 spine4 spine2 spine pelvis neck head_mpi head_top_mpi "
        "l_collar l_shoulder l_elbow l_wrist l_hand r_collar r_shoulder r_elbow r_wrist r_hand "
        "l_hip l_knee l_ankle l_foot l_toe r_hip r_knee r_ankle r_foot r_toe".split()
    ),
    "muco21": (*_MPI17, "r_hand", "l_hand", "r_toe", "l_toe"),
    "spin24": tuple(_SPIN24),
    "spin49": (*(f"{name}_op" for name in _OPENPOSE25), *_SPIN24),
    "hmmr25": tuple(
        "r_heel r_knee r_hip l_hip l_knee l_heel r_wrist r_elbow r_shoulder l_shoulder l_elbow "
        "l_wrist neck head_top nose l_eye r_eye l_ear r_ear l_big_toe r_big_toe l_small_toe "
        "r_small_toe l_ankle r_ankle".split()
    ),
    "mano16": ("wrist", *(f"{finger}{k}" for finger in _FINGERS for k in (1, 2, 3))),
    # MANO's joints with the five finger tips picked from the mesh, thumb to pinky.
    "mano21": (
        "wrist",
        *(f"{finger}{k}" for finger in _FINGERS for k in (1, 2, 3)),
        *(f"{finger}4" for finger in ("thumb", "index", "middle", "ring", "pinky")),
    ),
    "freihand21": (
        "wrist",
        *(
            f"{finger}{k}"
            for finger in ("thumb", "index", "middle", "ring", "pinky")
            for k in (1, 2, 3, 4)
        ),
    ),
}

parents_smpl24: tuple[int, ...] = (
    -1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21,
)  # fmt: skip

# Body parts whose name is not the joint's name without its suffix. The H36M head (the tip of
# the "head" bone) and the 3DHP head top are one point; the LSP head top is another one.
_PARTS = {
    "mid_hip": "pelvis",
    "mid_hip_op": "pelvis",
    "head_h36m": "crown",
    "head_top_mpi": "crown",
    "head_mpi": "jaw",
}
# An annotated head top is filled from the crown where the data has nothing nearer; the model's
# own `head_top_lsp` is not, or H36M would supervise two model joints with one label.
_SUBSTITUTES = {"head_top": "crown"}
_SUFFIXES = ("", "lsp", "mpii", "h36m", "op", "mpi")  # which definition to take first
_SUFFIX = re.compile(r"_(lsp|mpii|h36m|op|mpi)$")
_BONES = (
    ("ankle", "knee"), ("knee", "hip"), ("wrist", "elbow"), ("elbow", "shoulder"),
    ("eye", "nose"), ("ear", "eye"), ("big_toe", "ankle"), ("heel", "ankle"),
    ("shoulder", "neck"), ("hip", "pelvis"),
)  # fmt: skip
_CENTRE_BONES = (
    ("pelvis", "spine"), ("spine", "neck"), ("neck", "jaw"), ("jaw", "crown"),
    ("neck", "head_top"), ("neck", "nose"), ("neck", "crown"),
)  # fmt: skip


def joint_names(joint_set: str) -> tuple[str, ...]:
    """Return the names of a set in order.

    Raises:
        ValueError: if there is no such set.
    """
    if joint_set not in JOINT_SETS:
        raise ValueError(f"joint set {joint_set!r} is none of {', '.join(JOINT_SETS)}")
    return JOINT_SETS[joint_set]


def index(joint_set: str, name: str) -> int:
    """Return where a joint stands in a set.

    Args:
        joint_set: name of the set.
        name: joint; the definition suffix may be left out where one joint alone carries it.

    Raises:
        ValueError: if the set or the joint does not exist, or if the name is ambiguous.
    """
    names = joint_names(joint_set)
    if name in names:
        return names.index(name)
    found = [i for i, other in enumerate(names) if _SUFFIX.sub("", other) == name]
    if len(found) != 1:
        raise ValueError(f"{joint_set} holds {len(found)} joints {name!r}: {', '.join(names)}")
    return found[0]


def indices(joint_set: str, names: Sequence[str]) -> np.ndarray:
    """Return where several joints stand in a set, (len(names),) int64."""
    return np.array([index(joint_set, name) for name in names], dtype=np.int64)


@cache
def _mapping(source: str, target: str) -> tuple[int, ...]:
    return tuple(_match(joint_names(source), name) for name in joint_names(target))


def mapping(source: str, target: str) -> np.ndarray:
    """Return, for each joint of `target`, where to find it in `source`.

    Args:
        source: set that the data is in.
        target: set that the data is wanted in.

    Returns:
        (len(target),) int64; -1 where `source` has no such joint. `convert` applies it.
    """
    return np.array(_mapping(source, target), dtype=np.int64)


def convert(values: np.ndarray, source: str, target: str) -> np.ndarray:
    """Return joints of `source` re-ordered into `target`, zeros where there are none.

    Args:
        values: (..., len(source), C) with the confidence or validity among the C channels, so
            that the zeros of an absent joint also say that it is absent.
        source: set that the values are in.
        target: set that they are wanted in.
    """
    order = mapping(source, target)
    taken = values[..., order, :]
    taken[..., order < 0, :] = 0
    return taken


def flip_permutation(joint_set: str) -> np.ndarray:
    """Return the order that undoes the left/right swap of a mirrored body, (J,) int64."""
    names = joint_names(joint_set)
    return np.array([names.index(mirrored_name(name)) for name in names], dtype=np.int64)


def mirrored_name(name: str) -> str:
    """Return the joint's name on the other side of the body."""
    other = {"l_": "r_", "r_": "l_"}.get(name[:2])
    return other + name[2:] if other else name


@cache
def bones(joint_set: str) -> tuple[tuple[int, int], ...]:
    """Return the pairs of joints to join by a line in a drawing."""
    if joint_set == "smpl24":
        return tuple((child, parent) for child, parent in enumerate(parents_smpl24) if parent >= 0)
    parts = [_part(name) for name in joint_names(joint_set)]
    pairs = [
        (f"{side}_{end}", start if start in ("nose", "neck", "pelvis") else f"{side}_{start}")
        for side in "lr"
        for end, start in _BONES
    ]
    where = {part: i for i, part in reversed(list(enumerate(parts)))}
    pairs = [pair for pair in (*pairs, *_CENTRE_BONES) if set(pair) <= where.keys()]
    if "pelvis" not in where:
        trunk = (("l_shoulder", "r_shoulder"), ("l_hip", "r_hip"))
        trunk += (("l_shoulder", "l_hip"), ("r_shoulder", "r_hip"))
        pairs += [pair for pair in trunk if set(pair) <= where.keys()]
    return tuple((where[end], where[start]) for end, start in pairs)


def _part(name: str) -> str:
    """Return the body part that a joint marks, whatever the definition of the point."""
    return _PARTS.get(name, _SUFFIX.sub("", name))


def _match(source: tuple[str, ...], name: str) -> int:
    if name in source:
        return source.index(name)
    for part in (_part(name), _SUBSTITUTES.get(name)):
        found = [i for i, other in enumerate(source) if _part(other) == part]
        if found:
            return min(found, key=lambda i: _preference(source[i]))
    return -1


def _preference(name: str) -> int:
    suffix = _SUFFIX.search(name)
    return _SUFFIXES.index(suffix.group(1) if suffix else "")
