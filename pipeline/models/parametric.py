"""What HMR, PyMAF and the mean pose share: estimates of (pose, shape, camera) and their body."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.body.assets import BodyAssets
from pipeline.body.joints_from_body import JointsFromBody, with_required
from pipeline.body.smpl import SMPLLayer
from pipeline.cameras import project_crop
from pipeline.models.precision import full_precision
from pipeline.rotations import rotation_6d_to_matrix

JOINT_SET = "spin24"
FOCAL = 5000.0  # px of the crop, SPIN and PyMAF: so long that projection is nearly orthographic


class Estimate(NamedTuple):
    """Parameters of a batch: 6D rotations of the 24 joints, shape, camera (s, tx, ty)."""

    pose: Tensor  # (B, 144)
    betas: Tensor  # (B, 10)
    cam: Tensor  # (B, 3)

    def detach(self) -> "Estimate":
        """The same numbers without their history."""
        return Estimate(*(part.detach() for part in self))


class ParameterRegressor(nn.Module):
    """One update of an estimate: features and current parameters to a residual.

    Source: HMR, Sec. 3.2, with 6D rotations (SPIN); no activation between the layers.
    """

    def __init__(self, features: int, hidden: int = 1024, dropout: float = 0.5) -> None:
        super().__init__()
        self.fc1 = nn.Linear(features + 144 + 10 + 3, hidden)
        self.drop1 = nn.Dropout(dropout)
        self.fc2 = nn.Linear(hidden, hidden)
        self.drop2 = nn.Dropout(dropout)
        self.decpose = nn.Linear(hidden, 144)
        self.decshape = nn.Linear(hidden, 10)
        self.deccam = nn.Linear(hidden, 3)
        for decoder in (self.decpose, self.decshape, self.deccam):
            nn.init.xavier_uniform_(decoder.weight, gain=0.01)

    def forward(self, features: Tensor, estimate: Estimate) -> Estimate:
        """(B, C) features and the current estimate to the next one."""
        with full_precision(features):
            x = torch.cat([features.float(), *estimate], dim=1)
            x = self.drop1(self.fc1(x))
            x = self.drop2(self.fc2(x))
            return Estimate(
                estimate.pose + self.decpose(x),
                estimate.betas + self.decshape(x),
                estimate.cam + self.deccam(x),
            )


class ParametricBody(nn.Module):
    """Turns estimates into bodies; holds the user's body model but saves nothing of it.

    Inside the loop only the vertices that are sampled or that joints are regressed from are
    computed; the full mesh only in `mesh`.
    """

    def __init__(
        self, assets: BodyAssets, image_size: int, vertex_ids: np.ndarray | None = None
    ) -> None:
        """Prepare for the crops of `image_size` px.

        Args:
            assets: the body.
            image_size: side of the network's input.
            vertex_ids: (n,) vertices that `forward` also returns, for sampling features.
        """
        super().__init__()
        self.image_size = image_size
        sampled = np.array([], dtype=np.int64) if vertex_ids is None else np.asarray(vertex_ids)
        self.sampled = len(sampled)
        ids = with_required(sampled, JointsFromBody(assets, JOINT_SET).required_vertices)
        self.layer = SMPLLayer(assets.models["neutral"], ids)
        self.joints = JointsFromBody(assets, JOINT_SET, ids)
        self.full = SMPLLayer(assets.models["neutral"])
        for name, key in (("pose", "pose6d"), ("betas", "betas"), ("cam", "cam")):
            mean = torch.as_tensor(np.asarray(assets.mean[key]), dtype=torch.float32)
            self.register_buffer(f"mean_{name}", mean.reshape(1, -1), persistent=False)

    def initial(self, batch: int) -> Estimate:
        """The mean parameters, once per sample."""
        means = (self.mean_pose, self.mean_betas, self.mean_cam)
        return Estimate(*(mean.expand(batch, -1) for mean in means))

    def forward(self, estimate: Estimate) -> dict[str, Tensor]:
        """The body of an estimate, as the losses need it.

        Returns:
            rotmats (B, 24, 3, 3), betas (B, 10), cam (B, 3), joints (B, 24, 3) of the spin24 set
            in metres, keypoints_2d (B, 24, 2) their projections in [-1, 1], and vertices_subset
            (B, n, 3) where vertices are sampled.
        """
        with full_precision(estimate.pose):
            rotmats = rotation_6d_to_matrix(estimate.pose)
            vertices, chain = self.layer(estimate.betas, rotmats)
            joints = self.joints(chain, vertices)
            body = {
                "rotmats": rotmats,
                "betas": estimate.betas,
                "cam": estimate.cam,
                "joints": joints,
                "keypoints_2d": self.project(joints, estimate.cam),
            }
        if self.sampled:
            body["vertices_subset"] = vertices[:, : self.sampled]
        return body

    def project(self, points: Tensor, cam: Tensor) -> Tensor:
        """(B, N, 3) points to (B, N, 2) in [-1, 1]."""
        return project_crop(points, cam, FOCAL, self.image_size)

    def mesh(self, estimate: Estimate) -> dict[str, Tensor]:
        """The full mesh: what `predict` returns.

        Returns:
            vertices (B, 6890, 3) in metres, camera axes, in SMPL's own frame without translation;
            cam (B, 3), which projects exactly these vertices; rotmats; betas.
        """
        with full_precision(estimate.pose):
            rotmats = rotation_6d_to_matrix(estimate.pose)
            vertices, _ = self.full(estimate.betas, rotmats)
        parts = {"cam": estimate.cam, "rotmats": rotmats, "betas": estimate.betas}
        return {"vertices": vertices, **parts}


class ParametricNetwork(nn.Module):
    """Interface of the networks that estimate body parameters; subclasses give `estimates`."""

    body: ParametricBody

    def estimates(self, image: Tensor) -> list[Estimate]:
        """Estimates from the mean parameters to the last update."""
        raise NotImplementedError

    def predict(self, image: Tensor) -> dict[str, Tensor]:
        """The final mesh and parameters, see `ParametricBody.mesh`."""
        return self.body.mesh(self.estimates(image)[-1])

    def predict_iterations(self, image: Tensor) -> list[dict[str, Tensor]]:
        """The mesh of every estimate, the mean first (M0 .. MT of PyMAF, Table 6)."""
        return [self.body.mesh(estimate) for estimate in self.estimates(image)]
