"""Meshes of SMPL labels, each posed with the model of its own gender."""

import torch
from torch import Tensor, nn

from pipeline.body.assets import GENDERS, BodyAssets
from pipeline.body.smpl import SMPLLayer
from pipeline.errors import InputError
from pipeline.losses import MeshGeometry
from pipeline.models.mesh_joints import J14_IN_H36M17, PELVIS_IN_H36M17


class GroundTruth(nn.Module):
    """Full meshes and their fourteen joints; holds no parameters."""

    def __init__(self, assets: BodyAssets) -> None:
        super().__init__()
        self.layers = nn.ModuleDict({name: SMPLLayer(m) for name, m in assets.models.items()})
        self.geometry = MeshGeometry(assets)
        self.count = len(assets.models["neutral"].v_template)

    @torch.no_grad()
    def vertices(self, batch: dict[str, Tensor]) -> Tensor:
        """Return the mesh of each sample with a label, zeros for the others.

        Args:
            batch: rotmats (B, 24, 3, 3), betas (B, 10), gender (B,), has_smpl (B,).

        Returns:
            (B, 6890, 3) in metres, camera axes, in the model's own frame.

        Raises:
            InputError: if a label is of a gender whose model is not there.
        """
        betas, rotmats = batch["betas"], batch["rotmats"]
        found = torch.zeros(len(betas), self.count, 3, device=betas.device)
        code = torch.where(batch["has_smpl"].bool(), batch["gender"], -1)
        for number in code.unique().tolist():
            if number < 0:
                continue
            name = GENDERS[number]
            if name not in self.layers:
                expected = f"SMPL_{name.upper()}.pkl: the records have such subjects"
                raise InputError("body models", name, "no such model", expected)
            rows = (code == number).nonzero()[:, 0]
            found[rows] = self.layers[name](betas[rows], rotmats[rows])[0]
        return found

    def centred(self, vertices: Tensor) -> Tensor:
        """Return meshes (B, 6890, 3) relative to the regressed Human3.6M pelvis."""
        return vertices - self.geometry.joints17(vertices)[:, [PELVIS_IN_H36M17]]

    def joints14(self, vertices: Tensor) -> Tensor:
        """Return the joints that mesh networks predict, relative to the pelvis.

        Regressed as the protocols do: with the Human3.6M regressor from the mesh.

        Args:
            vertices: (B, 6890, 3) in metres, any origin.

        Returns:
            (B, 14, 3) in metres.
        """
        joints = self.geometry.joints17(vertices)
        return joints[:, J14_IN_H36M17] - joints[:, [PELVIS_IN_H36M17]]
