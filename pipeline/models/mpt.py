"""MPT on images: a 2D pose network without its decoding, then the mesh transformer."""

import dataclasses
from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from pipeline.body.assets import BodyAssets
from pipeline.errors import InputError
from pipeline.models.build import build_network
from pipeline.models.mesh_transformer import MeshTransformer
from pipeline.models.mesh_transformer_settings import read_mesh_transformer_settings
from pipeline.models.resnet import BackboneSettings, ResNet
from pipeline.models.settings import choice, read_settings

REGRESSOR_INPUT = {
    "pose_maps": "heatmaps",
    "coordinates": "coordinates",
    "image_features": "image_features",
    "silhouettes": "silhouettes",
}
MIN_PEAK = 0.1  # a lower maximum of a heatmap counts as "joint not found"


@dataclass(frozen=True)
class MPTSettings:
    """`input`: what the transformer sees of the pose network (MPT, Table 3; Supp. Table 4)."""

    kind: str = "mpt"
    image_size: int = 224
    pose_network: dict = field(default_factory=dict)
    regressor: dict = field(default_factory=dict)
    input: str = choice("pose_maps", "image_features", "coordinates", "silhouettes")
    freeze_backbone: bool = False
    freeze_batchnorm: bool = False  # the image network's running statistics stay as they are


class MPT(nn.Module):
    """Pose network and mesh transformer, trained together unless the former is frozen.

    Source: MPT, Secs. 3.2 and 3.3. With `image_features` there is only the pose network's ResNet
    trunk, named `backbone`, since the layers above it would never be used. `coordinates` are
    decoded, which has no gradient, so the pose network then stays as it is. With `silhouettes`
    the pose network is one of segmentation, with a single map.
    """

    def __init__(self, options: MPTSettings, encoder: nn.Module, regressor: MeshTransformer):
        super().__init__()
        self.options = options
        self.part = "backbone" if options.input == "image_features" else "pose_network"
        self.add_module(self.part, encoder)
        self.regressor = regressor
        self.frozen = options.freeze_backbone or options.input == "coordinates"
        if self.frozen:
            encoder.requires_grad_(False).eval()

    @property
    def encoder(self) -> nn.Module:
        """The network on the image: `pose_network`, or `backbone` for image features."""
        return self.get_submodule(self.part)

    def train(self, mode: bool = True) -> "MPT":
        """Set the mode; a frozen pose network keeps its running statistics."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        elif self.options.freeze_batchnorm:
            for module in self.encoder.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    def forward(self, image: Tensor, generator: torch.Generator | None = None) -> dict:
        """(B, 3, S, S) images to `MeshTransformer.forward`'s joints, vertices and camera."""
        return self.regressor(self.evidence(image), generator)

    def predict(self, image: Tensor) -> dict[str, Tensor]:
        """`vertices` (B, 6890, 3) relative to the pelvis and the `cam` that projects them."""
        return self.regressor.predict(self.evidence(image))

    def evidence(self, image: Tensor) -> Tensor:
        """What the transformer attends to, see `MeshTransformer.forward`."""
        with torch.no_grad() if self.frozen else nullcontext():
            if self.options.input == "image_features":
                return self.encoder(image)
            if self.options.input == "coordinates":
                return decode(self.encoder.pose_maps(image))
            return self.encoder.pose_maps(image, self.regressor.options.heatmap.size)


def decode(maps: Tensor) -> Tensor:
    """Joint coordinates of heatmaps, to a fraction of a cell.

    The offset from the highest cell is that of the parabola through the logarithms of it and its
    two neighbours: exact for a Gaussian.

    Args:
        maps: (B, K, S, S).

    Returns:
        (B, K, 3) as x and y in [-1, 1], and 1 where the joint was found, else 0.
    """
    maps = maps.float()
    size = maps.shape[-1]
    peak, cell = maps.flatten(2).max(2)
    column, row = cell % size, cell // size
    logs = maps.clamp(min=1e-6).log().flatten(2)
    xy = []
    for position, step in ((column, 1), (row, size)):
        inside = (position > 0) & (position < size - 1)
        offsets = [torch.where(inside, cell + sign * step, cell) for sign in (-1, 0, 1)]
        before, here, after = (logs.gather(2, index[..., None])[..., 0] for index in offsets)
        curvature = (2 * here - before - after).clamp(min=1e-6)
        shift = (0.5 * (after - before) / curvature).clamp(-0.5, 0.5)
        xy.append((position + 0.5 + shift) * (2 / size) - 1)
    found = (peak > MIN_PEAK).float()
    return torch.stack([*xy, found], dim=-1)


def build(settings: dict, assets: BodyAssets, where: str = "network") -> MPT:
    """The network that `settings` describe."""
    options = read_settings(MPTSettings, settings, where)
    size = options.pose_network.get("image_size", options.image_size)
    if size != options.image_size:
        raise InputError(where, "pose_network.image_size", size, f"{options.image_size}")
    regressor = read_mesh_transformer_settings(options.regressor, f"{where}.regressor")
    wanted = REGRESSOR_INPUT[options.input]
    if regressor.input not in ("heatmaps", wanted):  # the default stands for "as `input` says"
        raise InputError(where, "regressor.input", regressor.input, f"{wanted}, or no such key")
    regressor = dataclasses.replace(regressor, input=wanted)
    if options.input != "image_features":
        encoder = build_network(options.pose_network, assets, f"{where}.pose_network")
        _check_maps(options, regressor.grid_shape()[1], encoder.joints, where)
    else:
        encoder = _trunk(options.pose_network, f"{where}.pose_network")
        regressor = dataclasses.replace(
            regressor, image_size=options.image_size, feature_channels=encoder.channels
        )
    return MPT(options, encoder, MeshTransformer(regressor, assets))


def _check_maps(options: MPTSettings, values: int, maps: int, where: str) -> None:
    """Refuse a pose network with another number of maps than the transformer takes."""
    if options.input == "coordinates":
        return
    patch = read_mesh_transformer_settings(options.regressor, where).heatmap.patch
    if maps * patch**2 != values:
        saw = f"{maps} maps"
        raise InputError(where, "pose_network", saw, f"{values // patch**2} for {options.input}")


def _trunk(settings: dict, where: str) -> ResNet:
    """The ResNet below a SimpleBaseline's deconvolutions."""
    if settings.get("kind") != "simple_baseline":
        raise InputError(where, "kind", settings.get("kind"), "simple_baseline for image_features")
    backbone = read_settings(BackboneSettings, settings["backbone"], f"{where}.backbone")
    return ResNet(backbone.depth, backbone.width)
