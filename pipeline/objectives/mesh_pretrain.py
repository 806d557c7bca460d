"""Train the mesh transformer on synthetic heatmaps of motion capture (MPT, Secs. 3.1 and 3.2).

Or on what the ablations put in their place: 2D coordinates, silhouettes. Or on those of hands.
"""

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.body.assets import BodyAssets
from pipeline.body.part_of import part_of
from pipeline.body.topology import topology
from pipeline.cameras import ndc_to_pixels, project_weak
from pipeline.data.hand_pairs import HandPairSource
from pipeline.data.pairs import PairSource
from pipeline.errors import InputError
from pipeline.losses import MeshTargets, mesh_losses
from pipeline.models.mesh_transformer import TokenMaker
from pipeline.objectives.ground_truth import ground_truth
from pipeline.objectives.sources import Sources
from pipeline.synthesis.corruption import corrupt, pixel_noise
from pipeline.synthesis.heatmap_tokens import noisy_tokens
from pipeline.synthesis.silhouettes import silhouettes


class MeshPretrainObjective:
    """From corrupted 2D joints, shown as heatmaps, to the mesh that they belong to.

    The heatmaps are never made: their tokens come straight from the joints, which is exact, on
    the device that trains, and pixel noise is added to them in the samples that have any.
    """

    def __init__(
        self,
        settings: dict,
        network: nn.Module,
        assets: BodyAssets,
        source: PairSource | HandPairSource | None,
    ) -> None:
        """Keep the source of pairs; None for a run that is not trained."""
        self.settings, self.network, self.source = settings, network, source
        self.score: str | None = None
        loss = settings.get("loss") or {}
        self.preset = loss.get("preset")
        self.weights = {k: v for k, v in loss.items() if k != "preset" and v is not None}
        self.truth = ground_truth(assets, part_of(settings["network"]))
        self.faces = np.ascontiguousarray(self.truth.part.faces, dtype=np.int32)

    def batch(self, step: int, rows: slice) -> dict[str, Tensor]:
        """Rows of the batch of a step: bodies and their joints in a crop."""
        return self.source.batch(step, self.settings["training"]["batch_size"], rows)

    def losses(self, network: nn.Module, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """Weighted terms of a batch."""
        device = batch["keypoints"].device
        self.truth.to(device)
        # The loop has seeded torch by (seed, step); the device's stream follows from it.
        generator = torch.Generator(device).manual_seed(int(torch.randint(2**62, ())))
        targets = self.targets(batch)
        if self.settings["network"].get("input") == "silhouettes":
            evidence = self.outlines(batch, targets, generator)
        else:
            evidence = self.evidence(batch, generator)
        output = network(evidence, generator)
        return mesh_losses(output, targets, self.weights, self.truth.geometry, self.preset)

    @torch.no_grad()
    def outlines(
        self, batch: dict[str, Tensor], targets: MeshTargets, generator: torch.Generator
    ) -> Tensor:
        """Silhouettes (B, 1, S, S) of the meshes, with pixel noise in the samples that have any.

        Projected as the targets are, see `targets`.
        """
        options, size = self.settings["corruption"], self.settings["network"]["heatmap"]["size"]
        cam = fit_weak_camera(self.truth.keypoints @ targets.vertices, batch["keypoints"][..., :2])
        maps = silhouettes(project_weak(targets.vertices, cam), self.faces, size)
        std = pixel_noise(len(maps), options["noise_std"], options["noise_probability"], generator)
        noise = torch.randn(maps.shape, generator=generator, device=maps.device)
        return maps + std[:, None, None, None] * noise

    def evidence(
        self, batch: dict[str, Tensor], generator: torch.Generator
    ) -> Tensor | TokenMaker:
        """A maker of heatmap tokens, or corrupted coordinates."""
        options, heatmap = self.settings["corruption"], self.settings["network"]["heatmap"]
        size, patch = heatmap["size"], heatmap["patch"]
        joints = ndc_to_pixels(batch["keypoints"][..., :2], size)
        corrupted = corrupt(joints, options, generator)
        if self.settings["network"].get("input", "heatmaps") == "coordinates":
            xy = 2 * corrupted.keypoints / size - 1
            return torch.cat([xy, corrupted.amplitude[..., None]], -1)

        def tokens(weight: Tensor, bias: Tensor) -> Tensor:
            return noisy_tokens(
                corrupted, weight, bias, size, patch, options["sigma"], options["convention"],
                generator,
            )  # fmt: skip

        return tokens

    @torch.no_grad()
    def targets(self, batch: dict[str, Tensor]) -> MeshTargets:
        """Labels of a batch: mesh, the joints of its queries, and their projection.

        Departure: the projection is that of the weak-perspective camera that fits the uncorrupted
        2D joints best. The virtual camera's own differs from it by a few pixels of perspective,
        which the predicted camera (s, tx, ty) cannot express either.
        """
        valid = torch.ones_like(batch["keypoints"][:, 0, 0], dtype=torch.bool)
        vertices = self.truth.vertices({**batch, self.truth.part.has_mesh: valid})
        centred = self.truth.centred(vertices)
        joints = self.truth.joints(vertices)
        cam = fit_weak_camera(self.truth.keypoints @ centred, batch["keypoints"][..., :2])
        ones = torch.ones_like(joints[..., :1])
        points = torch.cat([project_weak(joints, cam), ones], -1)
        return MeshTargets(centred, valid, torch.cat([joints, ones], -1), points)

    def label_counts(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Every pair has every label."""
        return {}

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Not called: there is no score."""
        raise InputError("--records", "validation", "a split of images", "none for mesh_pretrain")


def fit_weak_camera(points: Tensor, projected: Tensor) -> Tensor:
    """Return the camera (s, tx, ty) that projects points nearest to where they are seen.

    Args:
        points: (B, N, 3) in metres, camera axes.
        projected: (B, N, 2) in [-1, 1].

    Returns:
        (B, 3), least squares; see `project_weak`.
    """
    plane = points[..., :2]
    mean_plane, mean_seen = plane.mean(1, keepdim=True), projected.mean(1, keepdim=True)
    centred = plane - mean_plane
    scale = (centred * (projected - mean_seen)).sum((1, 2)) / centred.square().sum((1, 2))
    shift = mean_seen[:, 0] / scale[:, None] - mean_plane[:, 0]
    return torch.cat([scale[:, None], shift], -1)


def build(
    settings: dict, network: nn.Module, assets: BodyAssets, sources: Sources
) -> MeshPretrainObjective:
    """The objective of a run."""
    options = settings["network"]
    part = topology(assets, part_of(options))
    if options["heatmap"]["joint_set"] != part.joint_set:
        saw = options["heatmap"]["joint_set"]
        raise InputError("network", "heatmap.joint_set", saw, f"{part.joint_set}, as in the pairs")
    corruption = settings.get("corruption") or {}
    if options.get("input") == "silhouettes":
        for key, off in (("mhm_max", 0), ("jitter", "none")):
            if corruption.get(key, off) != off:
                raise InputError("corruption", key, corruption[key], f"{off} with silhouettes")
    if part.part == "hand" and corruption.get("jitter") == "coco_synth":
        saw = "coco_synth for hands"
        raise InputError("corruption", "jitter", saw, "isotropic or none: it is of COCO's joints")
    source = None
    if settings["training"]["steps"]:
        if sources.pairs is None:
            raise InputError("--pairs", "", "no path", "the file of the verb pairs")
        if settings["data"].get("heading", "keep") != "keep":
            raise InputError("data", "heading", settings["data"]["heading"],
                             "keep; headings are drawn with the pairs (heading_deg)")  # fmt: skip
        kind = HandPairSource if part.part == "hand" else PairSource
        source = kind(sources.pairs, settings, settings["seed"])
    return MeshPretrainObjective(settings, network, assets, source)
