"""Meshes of labels: bodies posed with the model of their own gender, hands with MANO's."""

import torch
from torch import Tensor, nn

from pipeline.body.assets import GENDERS, BodyAssets
from pipeline.body.hands import right_hand
from pipeline.body.smpl import SMPLLayer
from pipeline.body.topology import Topology, topology
from pipeline.errors import InputError
from pipeline.losses import MeshGeometry


class GroundTruth(nn.Module):
    """Full meshes and the joints that mesh networks predict; holds no parameters."""

    def __init__(self, part: Topology) -> None:
        super().__init__()
        self.part, self.geometry = part, MeshGeometry(part)
        keypoints = torch.as_tensor(part.keypoints, dtype=torch.float32)
        self.register_buffer("keypoints", keypoints, persistent=False)

    def vertices(self, batch: dict[str, Tensor]) -> Tensor:
        """Return the mesh of each sample with a label, zeros for the others, (B, V, 3) metres."""
        raise NotImplementedError

    def centred(self, vertices: Tensor) -> Tensor:
        """Return meshes (B, V, 3) relative to the regressed root."""
        return vertices - self.geometry.joints(vertices)[1]

    def joints(self, vertices: Tensor) -> Tensor:
        """Return the joints that mesh networks predict, relative to the root.

        Regressed as the protocols do: from the mesh.

        Args:
            vertices: (B, V, 3) in metres, any origin.

        Returns:
            (B, J, 3) in metres.
        """
        joints, root = self.geometry.joints(vertices)
        return joints - root


class BodyTruth(GroundTruth):
    """SMPL labels, each posed with the model of its own gender."""

    def __init__(self, assets: BodyAssets) -> None:
        super().__init__(topology(assets, "body"))
        self.layers = nn.ModuleDict({name: SMPLLayer(m) for name, m in assets.models.items()})
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


class HandTruth(GroundTruth):
    """Right hands: labelled meshes as they are, MANO labels posed."""

    def __init__(self, assets: BodyAssets) -> None:
        super().__init__(topology(assets, "hand"))
        self.layer = SMPLLayer(right_hand(assets.hand_models).model)

    @torch.no_grad()
    def vertices(self, batch: dict[str, Tensor]) -> Tensor:
        """Return the mesh of each sample with a label, zeros for the others.

        Args:
            batch: hand_vertices (B, 778, 3); where there are samples with parameters only,
                also has_mano (B,), hand_rotmats (B, 16, 3, 3) and hand_betas (B, 10).

        Returns:
            (B, 778, 3) in metres, camera axes, any origin.
        """
        found = batch["hand_vertices"].clone()
        if "has_mano" in batch:
            rows = batch["has_mano"].nonzero()[:, 0]
            if len(rows):
                pose = batch["hand_betas"][rows], batch["hand_rotmats"][rows]
                found[rows] = self.layer(*pose)[0]
        return found


def ground_truth(assets: BodyAssets, part: str) -> GroundTruth:
    """Return the source of a part's meshes."""
    return HandTruth(assets) if part == "hand" else BodyTruth(assets)
