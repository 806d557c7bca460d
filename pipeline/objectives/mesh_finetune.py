"""Train MPT on images: pose network and mesh transformer end to end (MPT, Sec. 3.3)."""

import torch
from torch import Tensor, nn

from pipeline.body.assets import BodyAssets
from pipeline.losses import MeshTargets, mesh_losses, mesh_targets
from pipeline.losses.mesh import HIPS
from pipeline.losses.surface import SURFACE_WEIGHTS
from pipeline.models.mesh_joints import J14_IN_SPIN24
from pipeline.objectives.ground_truth import GroundTruth
from pipeline.objectives.images import BodyObjective
from pipeline.objectives.sources import Sources


class MeshFinetuneObjective(BodyObjective):
    """Vertices and joints of samples with an SMPL label; the others give what they have."""

    def __init__(self, settings: dict, network: nn.Module, assets: BodyAssets, sources: Sources):
        """Open the records, see `ImageObjective`."""
        super().__init__(settings, network, assets, sources)
        self.truth = GroundTruth(assets)

    def targets(self, batch: dict[str, Tensor]) -> MeshTargets:
        """Labels of a batch.

        3D joints are regressed from the mesh where there is one, so that they are what the
        predicted mesh is asked for; annotated ones stand in where there is none.
        """
        self.truth.to(batch["image"].device)
        vertices = self.truth.vertices(batch)
        found = mesh_targets(batch, vertices, self.truth.geometry)
        regressed = self.truth.joints14(vertices)
        regressed = torch.cat([regressed, torch.ones_like(regressed[..., :1])], -1)
        found.joints = torch.where(found.has_vertices[:, None, None], regressed, found.joints)
        return found

    def label_counts(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Denominators of the terms' means, see `mesh_losses`."""
        bodies = batch["has_smpl"].bool()
        hips = batch["joints_3d"][:, [J14_IN_SPIN24[hip] for hip in HIPS], 3]
        centred = bodies | (hips > 0).all(1)
        return {
            **dict.fromkeys(("vertices", *SURFACE_WEIGHTS), bodies.sum()),
            **dict.fromkeys(("joints", "regressed_joints"), centred.sum()),
        }

    def losses(self, network: nn.Module, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """Weighted terms of a batch."""
        output = network(batch["image"])
        return mesh_losses(
            output, self.targets(batch), self.weights, self.truth.geometry, self.preset
        )


def build(
    settings: dict, network: nn.Module, assets: BodyAssets, sources: Sources
) -> MeshFinetuneObjective:
    """The objective of a run."""
    return MeshFinetuneObjective(settings, network, assets, sources)
