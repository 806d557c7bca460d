"""The body's template as a canvas for clothes: where sleeves, belts and hairlines can go."""

import numpy as np
import scipy.sparse as sp

from pipeline.body.smpl import BodyModel
from pipeline.demo.kinematics import INDEX

NOSE, RIGHT_EYE, LEFT_EYE = 332, 6260, 2800  # smplx face key vertices


class Canvas:
    """The template of one gender, measured once.

    Args:
        model: arrays of the body.
        beards: share of these people who wear one.
    """

    def __init__(self, model: BodyModel, beards: float):
        self.beards = beards
        self.vertices, weights = model.v_template, model.lbs_weights
        self.x, self.y, self.z = self.vertices.T
        self.joints = model.joint_template
        self.across = np.abs(self.x)
        self._weights = weights
        self.head = self.weight("head") > 0.5
        self.neck = self.weight("neck") > 0.5
        self.feet = self.weight("l_ankle", "r_ankle", "l_foot", "r_foot") > 0.5
        self.arms = self.weight(
            *(f"{s}_{j}" for s in "lr" for j in ("shoulder", "elbow", "wrist", "hand"))
        )
        self.hands = self.across > abs(self.at("l_wrist")[0]) - 0.005
        self.average = _averaging(model.faces, len(self.vertices))
        self.features = self._features()
        # a fixed bank, indexed at random: cloth noise costs more than the rest of a look
        bank = np.random.default_rng(0)
        self.folds = np.stack([self._folds(bank) for _ in range(24)])

    def weight(self, *joints: str) -> np.ndarray:
        """Return (V,) the share of skinning that the joints hold."""
        return self._weights[:, [INDEX[joint] for joint in joints]].sum(1)

    def at(self, joint: str) -> np.ndarray:
        """Return (3,) the joint in the template."""
        return self.joints[INDEX[joint]]

    def near(self, point: np.ndarray, radius: float, stretch=(1.0, 1.0, 1.0)) -> np.ndarray:
        """Return (V,) 1 at a point, falling to 0 at the radius in metres."""
        away = np.linalg.norm((self.vertices - point) / stretch, axis=1)
        return np.clip(1 - away / radius, 0, 1)

    def _features(self) -> dict[str, np.ndarray]:
        """Return feature of the face -> (V, 1) how much a vertex belongs to it."""
        nose = self.vertices[NOSE]
        eyes = self.vertices[[LEFT_EYE, RIGHT_EYE]]
        iris = sum(np.clip(2 * self.near(eye, 0.016, (1.3, 0.8, 2)), 0, 1) for eye in eyes)
        brows = sum(self.near(eye + [0, 0.018, 0], 0.012, (2.2, 0.8, 2)) for eye in eyes)
        chin = nose - [0, 0.045, 0.02]
        below = (self.y < chin[1] + 0.02) & (self.z > chin[2] - 0.06) & self.head
        beard = np.clip(1.6 * self.near(chin, 0.08, (1, 1.2, 1)), 0, 1) * below
        lips = self.near(nose - [0, 0.036, 0.012], 0.014, (2.2, 1, 2)) * self.head
        blush = self.near(nose, 0.06)
        features = {"iris": iris, "brows": brows, "beard": beard, "lips": lips, "blush": blush}
        return {name: value[:, None] for name, value in features.items()}

    def _folds(self, rng: np.random.Generator) -> np.ndarray:
        """Return (V,) smooth unit noise that makes cloth uneven."""
        value = 0
        for frequency in (9, 18, 33):
            direction = rng.normal(size=3)
            direction *= frequency / np.linalg.norm(direction)
            bent = self.vertices + 0.03 * np.sin(self.vertices[:, [1, 2, 0]] * 11)
            value = value + np.sin(bent @ direction + rng.uniform(0, 6.3))
        return value / 3

    def smooth(self, values: np.ndarray, times: int = 2) -> np.ndarray:
        """Return values (V,) or (V, n) averaged over neighbours."""
        for _ in range(times):
            values = self.average @ values
        return values


def _averaging(faces: np.ndarray, count: int) -> sp.csr_matrix:
    """Return the (V, V) matrix that replaces a vertex by the mean of itself and its neighbours."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    link = sp.coo_matrix((np.ones(len(edges)), edges.T), (count, count)).tocsr()
    link = ((link + link.T) > 0).astype(np.float32) + sp.eye(count, dtype=np.float32)
    return (sp.diags(1 / np.asarray(link.sum(1)).ravel()) @ link).astype(np.float32).tocsr()
