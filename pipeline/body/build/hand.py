"""The right hand in MANO's layout: 778 vertices, 16 joints, a synthetic pose space."""

import numpy as np

from pipeline.body.build.regressors import convex_weights
from pipeline.body.build.shapes import shape_space
from pipeline.body.build.skeleton import normalize
from pipeline.body.build.source import Rig, Source
from pipeline.body.levels import build_levels
from pipeline.body.open_asset import Hand
from pipeline.body.quadric import QuadricMesh
from pipeline.joints import JOINT_SETS

NAMES = JOINT_SETS["mano16"]
PARENTS = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14)
VERTICES, RIM, LEVELS = 778, 16, [195, 49]
_FINGER = {"index": 2, "middle": 3, "pinky": 5, "ring": 4, "thumb": 1}  # number in the source
# Tip vertices, farthest first: the numbers of smplx, manopth, and HandMesh or FreiHAND.
_TIPS = {
    "thumb": (744, 745),
    "index": (320, 317, 333),
    "middle": (443, 444),
    "ring": (554, 556, 555),
    "pinky": (671, 673, 672),
}
_POSES, _STORED_POSES = 4000, 200
_BEND = (1.3, 1.6, 1.0)  # radians at the three joints of a closed finger
_THUMB_BEND = (0.5, 0.7, 0.8)
_LENGTH_WEIGHT = 0.02
_MIN_WEIGHT = 1e-4


def build_hand(source: Source, t_poses: np.ndarray, heads: np.ndarray) -> Hand:
    """Right hand from T-posed bodies (N, V, 3) with bone starts (N, B, 3) in source numbering."""
    rig, chosen = source.rig, source.hand_vertices
    joints = heads[:, [rig.index(bone) for bone in _bones()]]
    origin = joints[:, [NAMES.index("middle1")]]  # MANO's hands are centred in the palm
    vertices, joints = t_poses[:, chosen] - origin, joints - origin
    weights = _weights(rig, chosen)
    keep, faces = _decimate(vertices.mean(0), source.hand_faces, weights, joints.mean(0))
    vertices, weights = vertices[:, keep], weights[keep]
    weights[weights < _MIN_WEIGHT] = 0
    weights /= weights.sum(1, keepdims=True)
    template, shapedirs, _ = shape_space(vertices)
    regressor = _joint_regressor(vertices[::4], joints[::4], weights)
    poses = _hand_poses(regressor @ template)
    mean = poses.mean(0)
    components = np.linalg.svd(poses - mean, full_matrices=False)[2]
    # SVD leaves the signs open; close the first joint that a component moves most.
    largest = np.abs(components).argmax(1)
    components *= np.sign(components[np.arange(len(components)), largest])[:, None]
    levels = build_levels(template, faces, LEVELS)
    return Hand(
        v_template=template,
        shapedirs=shapedirs,
        weights=weights,
        J_regressor=regressor,
        faces=faces,
        hands_mean=mean,
        hands_components=components,
        hands_coeffs=(poses - mean)[:_STORED_POSES] @ components.T,
        levels=[(level.ids, level.faces) for level in levels],
    )


def _bones() -> list[str]:
    """Source bone of each MANO joint."""
    return ["wrist.R"] + [f"finger{_FINGER[n[:-1]]}-{n[-1]}.R" for n in NAMES[1:]]


def _weights(rig: Rig, chosen: np.ndarray) -> np.ndarray:
    weights = np.zeros((len(chosen), len(NAMES)))
    for k, bone in enumerate(_bones()[1:], start=1):
        weights[:, k] = rig.weights[chosen, rig.index(bone)]
    weights[:, 0] = 1 - weights[:, 1:].sum(1)
    return weights


def _decimate(
    template: np.ndarray, faces: np.ndarray, weights: np.ndarray, joints: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Source vertices in final order (778,), with the tips at their numbers, and faces."""
    reach = {}  # vertices of each finger's last bone, farthest first
    for finger in _TIPS:
        second, third = (NAMES.index(f"{finger}{k}") for k in (2, 3))
        direction = normalize(joints[third] - joints[second])
        skinned = np.nonzero(weights[:, third] > 0.5)[0]
        reach[finger] = skinned[np.argsort((joints[third] - template[skinned]) @ direction)]
    protect = np.zeros(len(template), bool)
    protect[np.concatenate([vertices[:2] for vertices in reach.values()])] = True
    decimated = QuadricMesh(
        template, faces, protect=protect, length_weight=_LENGTH_WEIGHT, stretch_weight=0.0
    )
    decimated.shrink_border(RIM)
    decimated.protect |= decimated.mesh.on_border
    if decimated.run(VERTICES) != VERTICES:
        raise ValueError(f"the hand did not reach {VERTICES} vertices")
    keep, coarse = decimated.mesh.result()
    order = keep.copy()
    for finger, numbers in _TIPS.items():
        kept = reach[finger][np.isin(reach[finger], keep)]
        for number, vertex in zip(numbers, kept, strict=False):
            here = np.nonzero(order == vertex)[0][0]
            order[[number, here]] = order[[here, number]]
    lookup = np.full(len(template), -1)
    lookup[order] = np.arange(len(order))
    return order, lookup[keep[coarse]]


def _joint_regressor(vertices: np.ndarray, joints: np.ndarray, weights: np.ndarray) -> np.ndarray:
    regressor = np.zeros((len(NAMES), vertices.shape[1]))
    for j, parent in enumerate(PARENTS):
        around = weights[:, j] + (weights[:, parent] if j else 0)
        near = np.nonzero(around > 0.05)[0]
        regressor[j, near] = convex_weights(vertices[:, near], joints[:, j])
    return regressor


def _hand_poses(joints: np.ndarray) -> np.ndarray:
    """Plausible finger poses (4000, 45): a common grip with differences between the fingers."""
    rng = np.random.default_rng(0)
    poses = np.zeros((_POSES, len(NAMES), 3))
    grip = rng.beta(1.2, 2.0, size=_POSES)
    for finger in ("index", "middle", "ring", "pinky"):
        bend = np.clip(grip + rng.normal(size=_POSES) * 0.22, 0, 1.1)
        for k, most in enumerate(_BEND, start=1):
            angle = bend * most + rng.normal(size=_POSES) * 0.05
            poses[:, NAMES.index(f"{finger}{k}"), 2] = angle
        splay = rng.normal(size=_POSES) * 0.1 * (1 - bend)  # a closed finger cannot spread
        poses[:, NAMES.index(f"{finger}1"), 1] = splay
    bend = np.clip(0.8 * grip + rng.normal(size=_POSES) * 0.3, -0.2, 1.1)
    thumb = {k: joints[NAMES.index(f"thumb{k}")] for k in (1, 3)}
    towards = joints[NAMES.index("pinky1")] - thumb[3]
    axis = normalize(np.cross(thumb[3] - thumb[1], towards))
    for k, most in enumerate(_THUMB_BEND, start=1):
        poses[:, NAMES.index(f"thumb{k}")] = (bend * most)[:, None] * axis
    return poses[:, 1:].reshape(_POSES, -1)
