"""Body parts of vertices and faces: 24 SMPL segments, 14 DensePose parts, 6 LSP parts."""

import numpy as np

from pipeline.joints import JOINT_SETS, mirrored_name

# The six parts of the LSP segmentation labels (0 is the background), sides of the person.
PARTS6 = ("background", "left arm", "right arm", "head", "left leg", "right leg", "torso")
# The charts of DensePose, numbered from 1; a limb is cut lengthwise into two, here a and b.
PARTS24 = (
    "background", "torso back", "torso front", "right hand", "left hand", "left foot",
    "right foot", "right upper leg a", "left upper leg a", "right upper leg b",
    "left upper leg b", "right lower leg a", "left lower leg a", "right lower leg b",
    "left lower leg b", "left upper arm a", "right upper arm a", "left upper arm b",
    "right upper arm b", "left lower arm a", "right lower arm a", "left lower arm b",
    "right lower arm b", "head right", "head left",
)  # fmt: skip
# DensePose's 14 coarse parts, by merging charts.
PARTS14 = (
    "background", "torso", "right hand", "left hand", "left foot", "right foot",
    "right upper leg", "left upper leg", "right lower leg", "left lower leg",
    "left upper arm", "right upper arm", "left lower arm", "right lower arm", "head",
)  # fmt: skip
_SEGMENT_GROUPS = {
    "arm": ("shoulder", "elbow", "wrist", "hand"),
    "leg": ("hip", "knee", "ankle", "foot"),
}


def merge_charts() -> np.ndarray:
    """Return the coarse part of each chart, (25,) uint8 with 0 for the background."""
    return np.array(
        [next(i for i, part in enumerate(PARTS14) if chart.startswith(part)) for chart in PARTS24],
        dtype=np.uint8,
    )


def flip_parts24() -> np.ndarray:
    """Return the chart that each chart becomes in a mirror, (25,) uint8."""
    return _flip(PARTS24)


def flip_parts14() -> np.ndarray:
    """Return the coarse part that each coarse part becomes in a mirror, (15,) uint8."""
    return _flip(PARTS14)


def _flip(parts: tuple[str, ...]) -> np.ndarray:
    swap = {"left": "right", "right": "left"}
    mirrored = (" ".join(swap.get(word, word) for word in part.split()) for part in parts)
    return np.array([parts.index(part) for part in mirrored], dtype=np.uint8)


def vertex_segments(lbs_weights: np.ndarray) -> np.ndarray:
    """Return the joint that moves each vertex most, (V,) uint8."""
    return lbs_weights.argmax(1).astype(np.uint8)


def face_parts6(lbs_weights: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return which of the six parts each face belongs to, (F,) uint8, 1 to 6.

    A face belongs to the part whose joints carry most of its corners' skinning weight; collars
    count as torso, the neck as head.
    """
    member = np.zeros((lbs_weights.shape[1], len(PARTS6)))
    for joint, name in enumerate(JOINT_SETS["smpl24"]):
        member[joint, PARTS6.index(_part6(name))] = 1
    return (lbs_weights @ member)[faces].mean(1).argmax(1).astype(np.uint8)


def mirror_vertices(template: np.ndarray, tolerance: float = 2e-3) -> np.ndarray | None:
    """Return each vertex's mirror image in the plane x = 0, (V,).

    Args:
        template: (V, 3) rest pose in metres.
        tolerance: how far in metres a vertex may lie from its partner's reflection.

    Returns:
        (V,) int64; None if the vertices do not pair up.
    """
    from scipy.spatial import cKDTree

    reflected = template * np.array([-1.0, 1.0, 1.0])
    distance, partner = cKDTree(template).query(reflected)
    paired = (partner[partner] == np.arange(len(template))).all()
    return partner.astype(np.int64) if paired and distance.max() <= tolerance else None


def _part6(joint: str) -> str:
    side = {"l_": "left", "r_": "right"}.get(joint[:2])
    for part, joints in _SEGMENT_GROUPS.items():
        if joint[2:] in joints and mirrored_name(joint) != joint:
            return f"{side} {part}"
    return "head" if joint in ("neck", "head") else "torso"
