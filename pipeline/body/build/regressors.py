"""Sparse linear maps from vertices to joints: SMPL's own, Human3.6M, LSP extras, COCO."""

from collections.abc import Iterator, Mapping

import numpy as np
from scipy.optimize import nnls

from pipeline.body.build.decimation import COCO_FACE, HEAD_TOP
from pipeline.joints import JOINT_SETS, flip_permutation, joint_names, parents_smpl24

NAMES = JOINT_SETS["smpl24"]
_FLIP = flip_permutation("smpl24")
_NEAREST = 900  # candidate vertices of a joint
_SUM_WEIGHT = 30.0  # how strongly a row is drawn to sum to one
_MIN_WEIGHT = 1e-4
_TRUNK = ("pelvis", "spine1", "spine2", "spine3", "neck")
_NOSE = 332
_CHIN_BELOW_NOSE, _CHIN_BEHIND_NOSE = 0.075, 0.02  # metres
# Points that annotators mark elsewhere than SMPL has its joint, as mixtures of joints and
# vertices. Names are those of `pipeline.joints`; "_" stands for both sides.
_MIXTURES = {
    "hip_lsp": {"_hip": 0.95, "_knee": 0.05},
    "hip_h36m": {"_hip": 0.9, "_knee": 0.1},
    "neck_lsp": {"neck": 0.8, "spine3": 0.2},
    "head_top_lsp": {"head_top": 1.0},
    "pelvis_h36m": {"l_hip_h36m": 0.5, "r_hip_h36m": 0.5},
    "thorax_mpii": {"neck": 0.6, "l_shoulder": 0.2, "r_shoulder": 0.2},
    "spine_h36m": {"spine2": 0.7, "spine1": 0.3},
    "jaw_h36m": {"nose": 0.4, "chin": 0.3, "head": 0.3},
    "head_h36m": {"head_top": 0.8, "head": 0.2},
    "neck_h36m": {"neck": 0.6, "l_shoulder": 0.2, "r_shoulder": 0.2},
}


def fit_joint_regressor(
    vertices: np.ndarray, joints: np.ndarray, weights: np.ndarray, mirror: np.ndarray
) -> np.ndarray:
    """J_regressor (24, V): non-negative, symmetric, local, rows sum to one.

    Args:
        vertices: (N, V, 3) sampled T-poses.
        joints: (N, 24, 3) their joints.
        weights: (V, 24) skin weights; a joint looks at the vertices of its own bones only.
        mirror: (V,) mirrored vertex.
    """
    regressor = np.zeros((len(NAMES), vertices.shape[1]))
    mean, mean_joints = vertices.mean(0), joints.mean(0)
    for j, name in enumerate(NAMES):
        if _FLIP[j] < j:
            continue
        around = weights[:, j].copy()
        if j:
            around += weights[:, parents_smpl24[j]]
        if name in _TRUNK:
            around += weights[:, [c for c, p in enumerate(parents_smpl24) if p == j]].sum(1)
        near = np.nonzero(around > 0.05)[0]
        near = near[np.argsort(np.linalg.norm(mean[near] - mean_joints[j], axis=1))[:_NEAREST]]
        regressor[j, near] = convex_weights(vertices[:, near], joints[:, j])
        if _FLIP[j] == j:
            regressor[j] = (regressor[j] + regressor[j][mirror]) / 2
        else:
            regressor[_FLIP[j]] = regressor[j][mirror]
    return regressor


def convex_weights(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Non-negative weights (n,) summing to one that mix points (N, n, 3) into targets (N, 3)."""
    matrix = points.transpose(0, 2, 1).reshape(-1, points.shape[1])
    matrix = np.vstack([matrix, np.full((1, points.shape[1]), _SUM_WEIGHT)])
    solution, _ = nnls(matrix, np.append(target.reshape(-1), _SUM_WEIGHT), maxiter=50_000)
    solution[solution < _MIN_WEIGHT] = 0
    return solution / solution.sum()


def derived_regressors(regressor: np.ndarray, template: np.ndarray) -> dict[str, np.ndarray]:
    """The regressors of Human3.6M (17, left leg first), SPIN (9 extras) and COCO (17)."""
    rows = _Rows(regressor, template)
    own = ("pelvis", "l_hip", "r_hip")  # of the joints that SMPL has, too, those marked elsewhere
    h36m = [f"{n}_h36m" if n in own else n for n in joint_names("h36m17_left")]
    extra = [n.replace("pelvis_mpii", "pelvis_h36m") for n in joint_names("spin54")[45:]]
    coco = [rows.vertex(vertex) for vertex in COCO_FACE]
    coco += [rows[name] for name in joint_names("coco17")[len(COCO_FACE) :]]
    return {
        "J_regressor": regressor,
        "J_regressor_h36m": np.stack([rows[name] for name in h36m]),
        "J_regressor_extra": np.stack([rows[name] for name in extra]),
        "J_regressor_coco": np.stack(coco),
    }


class _Rows(Mapping):
    """Regressor rows by joint name: SMPL joints, vertices and mixtures of them."""

    def __init__(self, regressor: np.ndarray, template: np.ndarray) -> None:
        self.rows = dict(zip(NAMES, regressor, strict=True))
        self.count = len(template)
        chin = template[_NOSE] - [0, _CHIN_BELOW_NOSE, _CHIN_BEHIND_NOSE]
        offset = np.abs(template - chin) * [10, 1, 1]  # on the middle line
        self.rows["nose"] = self.vertex(_NOSE)
        self.rows["head_top"] = self.vertex(HEAD_TOP)
        self.rows["chin"] = self.vertex(int(offset.sum(1).argmin()))

    def __getitem__(self, name: str) -> np.ndarray:
        if name in self.rows:
            return self.rows[name]
        side, point = (name[:2], name[2:]) if name[:2] in ("l_", "r_") else ("", name)
        parts = {(side + p[1:] if p[0] == "_" else p): w for p, w in _MIXTURES[point].items()}
        return sum(share * self[part] for part, share in parts.items())

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def vertex(self, number: int) -> np.ndarray:
        """The row that picks one vertex."""
        return np.eye(1, self.count, number)[0]
