"""Train MPT on images: pose network and mesh transformer end to end (MPT, Sec. 3.3)."""

import torch
from torch import Tensor, nn

from pipeline.body.assets import BodyAssets
from pipeline.body.part_of import part_of
from pipeline.losses import MeshTargets, mesh_losses, mesh_targets
from pipeline.losses.surface import SURFACE_WEIGHTS
from pipeline.objectives.ground_truth import ground_truth
from pipeline.objectives.images import BodyObjective
from pipeline.objectives.sources import Sources


class MeshFinetuneObjective(BodyObjective):
    """Vertices and joints of samples with an SMPL (or hand) label; the others what they have."""

    def __init__(self, settings: dict, network: nn.Module, assets: BodyAssets, sources: Sources):
        """Open the records, see `ImageObjective`."""
        super().__init__(settings, network, assets, sources)
        self.truth = ground_truth(assets, part_of(settings["network"]))

    def targets(self, batch: dict[str, Tensor]) -> MeshTargets:
        """Labels of a batch.

        3D joints are regressed from the mesh where there is one, so that they are what the
        predicted mesh is asked for; annotated ones stand in where there is none.
        """
        self.truth.to(batch["image"].device)
        vertices = self.truth.vertices(batch)
        found = mesh_targets(batch, vertices, self.truth.geometry)
        regressed = self.truth.joints(vertices)
        regressed = torch.cat([regressed, torch.ones_like(regressed[..., :1])], -1)
        found.joints = torch.where(found.has_vertices[:, None, None], regressed, found.joints)
        return found

    def label_counts(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Denominators of the terms' means, see `mesh_losses`."""
        part = self.truth.part
        bodies = batch[part.has_mesh].bool()
        centres = batch["joints_3d"][:, part.label_rows[list(part.centre)], 3]
        centred = bodies | (centres > 0).all(1)
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
