"""PyMAF: estimates corrected by features sampled where the current mesh projects to."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.body.assets import BodyAssets
from pipeline.errors import InputError
from pipeline.models.maf import (
    AuxiliaryHead,
    PointFeatures,
    auxiliary_evidence,
    foreground,
    pyramid_level,
    uniform_grid,
)
from pipeline.models.parametric import (
    Estimate,
    ParameterRegressor,
    ParametricBody,
    ParametricNetwork,
)
from pipeline.models.resnet import BackboneSettings, ResNet
from pipeline.models.settings import choice, read_settings


@dataclass(frozen=True)
class PyMAFSettings:
    """Sizes and the switches of PyMAF's Tables 4, 5 and 6; the defaults are the paper's.

    Without the pyramid every update reads the finest map through one shared regressor, and mesh
    feedback starts from the projected mean mesh.
    """

    kind: str = "pymaf"
    image_size: int = 224
    backbone: BackboneSettings = field(default_factory=BackboneSettings)
    hidden: int = 1024
    dropout: float = 0.5
    iterations: int = 3
    supervise: str = choice("all", "last")
    deconv: tuple[int, ...] = (256, 256, 256)
    feature_dims: tuple[int, ...] = (128, 64, 5)
    skip: bool = True  # the released code's; the paper's MLP is plain
    align_corners: bool = True
    feedback: str = choice("mesh", "grid", "global")
    pyramid: bool = True
    initial: str | None = field(default=None, metadata={"choices": ("grid", "mean_mesh")})
    grid_size: int = 21
    vertices: int = 431
    auxiliary: str = choice("iuv", "parts", "none")
    annotation: bool = True  # the released code's 15-part output
    input: str = choice("feature", "auxiliary", "feature_x_mask")

    def first_points(self) -> str:
        """Where the first update samples."""
        if self.feedback != "mesh":
            return "grid"
        return self.initial or ("grid" if self.pyramid else "mean_mesh")


class PyMAF(ParametricNetwork):
    """Pyramidal mesh alignment feedback.

    Where every update is supervised, the estimate is detached before the next, so that a
    regressor learns from its own losses only (the released code); otherwise the gradient of the
    last update passes through the chain of estimates, as in HMR. Sampling positions never carry
    gradients; the maps, one computed from the other, do.

    Source: PyMAF, Sec. 3; released code where the paper is silent. 45,168,512 parameters with the
    auxiliary head at depth 50.
    """

    def __init__(self, options: PyMAFSettings, assets: BodyAssets) -> None:
        super().__init__()
        self.options = options
        self.supervise_all = options.supervise == "all"
        self.backbone = ResNet(options.backbone.depth, options.backbone.width)
        needs_maps = options.feedback != "global" or options.auxiliary != "none"
        widths = (self.backbone.channels, *options.deconv)
        pairs = zip(widths, widths[1:], strict=False)
        self.pyramid = nn.ModuleList(pyramid_level(*pair) for pair in pairs if needs_maps)
        self.auxiliary = None
        if options.auxiliary != "none":
            self.auxiliary = AuxiliaryHead(widths[-1], options.auxiliary, options.annotation)
        ids = _sampled_vertices(options, assets)
        self.body = ParametricBody(assets, options.image_size, ids)
        self.register_buffer("first_points", self._first_points(), persistent=False)
        stages = options.iterations if options.pyramid else 1
        self.extractors = nn.ModuleList(
            PointFeatures(channels, options.feature_dims, options.skip, options.align_corners)
            for channels in self._map_channels(stages)
        )
        self.regressors = nn.ModuleList(
            ParameterRegressor(features, options.hidden, options.dropout)
            for features in self._feature_counts(stages)
        )

    def _map_channels(self, stages: int) -> list[int]:
        """Channels of the map that each extractor samples; none for global features."""
        if self.options.feedback == "global":
            return []
        if self.options.input == "auxiliary":
            return [self.auxiliary.evidence_channels] * stages
        return list(self.options.deconv[-stages:])

    def _feature_counts(self, stages: int) -> list[int]:
        """Length of the feature vector of each regressor."""
        if self.options.feedback == "global":
            return [self.backbone.channels]
        later = self.body.sampled if self.options.feedback == "mesh" else len(self.first_points)
        counts = [len(self.first_points)] + [later] * (stages - 1)
        return [count * self.options.feature_dims[-1] for count in counts]

    @torch.no_grad()
    def _first_points(self) -> Tensor:
        """(N, 2) points of the first update: a grid, or the mean mesh projected."""
        if self.options.first_points() == "grid":
            return uniform_grid(self.options.grid_size)
        mean = self.body(self.body.initial(1))
        return self.body.project(mean["vertices_subset"], mean["cam"])[0]

    def forward(self, image: Tensor) -> dict:
        """`iterations`: bodies of the supervised updates; `iuv`: auxiliary maps, in training."""
        estimates, bodies, prediction = self._run(image, auxiliary=self.training)
        first = 1 if self.supervise_all else len(estimates) - 1
        supervised = zip(estimates[first:], bodies[first:], strict=True)
        output = {"iterations": [body or self.body(estimate) for estimate, body in supervised]}
        if prediction is not None and self.training:
            output["iuv"] = prediction
        return output

    def estimates(self, image: Tensor) -> list[Estimate]:
        """Mean parameters and the estimate after each update, for (B, 3, S, S) images."""
        return self._run(image, auxiliary=False)[0]

    def maps(self, image: Tensor) -> list[Tensor]:
        """The backbone's map of (B, 3, S, S) images and those of the pyramid, coarse to fine."""
        maps = [self.backbone(image)]
        for level in self.pyramid:
            maps.append(level(maps[-1]))
        return maps

    def _run(
        self, image: Tensor, auxiliary: bool
    ) -> tuple[list[Estimate], list[dict | None], dict | None]:
        """Estimates, the bodies that were needed on the way, and the auxiliary prediction."""
        maps = self.maps(image)
        prediction = None
        if self.auxiliary and (auxiliary or self.options.input != "feature"):
            prediction = self.auxiliary(maps[-1])
        sources = self._sources(maps[1:], prediction)
        points = self.first_points.expand(len(image), -1, -1)
        estimates, bodies = [self.body.initial(len(image))], [None]
        for step in range(self.options.iterations):
            stage = step if self.options.pyramid else 0
            if self.options.feedback == "global":
                sampled = maps[0].mean((2, 3))
            else:
                sampled = self.extractors[stage](sources[stage], points)
            current = estimates[-1].detach() if self.supervise_all else estimates[-1]
            estimates.append(self.regressors[stage](sampled, current))
            bodies.append(None)
            if self.options.feedback == "mesh" and step + 1 < self.options.iterations:
                bodies[-1] = self.body(estimates[-1])
                vertices = bodies[-1]["vertices_subset"].detach()
                points = self.body.project(vertices, estimates[-1].cam.detach())
        return estimates, bodies, prediction

    def _sources(self, maps: list[Tensor], prediction: dict | None) -> list[Tensor]:
        """The map that each extractor samples."""
        maps = maps[-len(self.extractors) :] if self.extractors else []
        if self.options.input == "auxiliary":
            return [auxiliary_evidence(prediction)] * len(maps)
        if self.options.input == "feature_x_mask":
            return [level * foreground(prediction, level.shape[-1]) for level in maps]
        return maps


def _sampled_vertices(options: PyMAFSettings, assets: BodyAssets) -> np.ndarray | None:
    """Ids of the vertices that the loop projects; None without mesh feedback."""
    if options.feedback != "mesh":
        return None
    sizes = [len(ids) for ids in assets.levels]
    if options.vertices not in sizes:
        raise InputError("network", "vertices", options.vertices, f"a level of the body: {sizes}")
    return assets.levels[sizes.index(options.vertices)]


def _check(options: PyMAFSettings, where: str) -> None:
    """Refuse settings that contradict each other."""
    if options.feedback == "global" and options.pyramid:
        raise InputError(where, "pyramid", True, "false with feedback: global")
    if options.pyramid and options.iterations != len(options.deconv):
        expected = f"one channel count for each of {options.iterations} iterations"
        raise InputError(where, "deconv", list(options.deconv), expected)
    if options.initial and options.feedback != "mesh":
        raise InputError(where, "initial", options.initial, "null without feedback: mesh")
    if options.initial == "grid" and not options.pyramid:
        raise InputError(where, "initial", "grid", "mean_mesh (or null) without the pyramid")
    if options.input != "feature" and options.auxiliary == "none":
        raise InputError(where, "auxiliary", "none", f"iuv or parts for input: {options.input}")
    if options.input != "feature" and options.feedback == "global":
        raise InputError(where, "input", options.input, "feature with feedback: global")


def build(settings: dict, assets: BodyAssets, where: str = "network") -> PyMAF:
    """The network that `settings` describe."""
    options = read_settings(PyMAFSettings, settings, where)
    _check(options, where)
    return PyMAF(options, assets)
