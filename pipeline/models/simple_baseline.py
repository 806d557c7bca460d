"""SimpleBaseline 2D pose network: a ResNet and three deconvolutions to one heatmap per joint.

The same network with a single map tells people from background.
"""

from dataclasses import dataclass, field

import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.joints import JOINT_SETS
from pipeline.models.resnet import BackboneSettings, ResNet
from pipeline.models.settings import choice, read_settings


@dataclass(frozen=True)
class SimpleBaselineSettings:
    """Sizes; `deconv` lists the channels of each doubling, `joint_set` names the heatmaps.

    With `output: silhouette` there is one map, whatever the joint set.
    """

    kind: str = "simple_baseline"
    image_size: int = 224
    backbone: BackboneSettings = field(default_factory=BackboneSettings)
    deconv: tuple[int, ...] = (256, 256, 256)
    joint_set: str = "coco17"
    output: str = choice("heatmaps", "silhouette")


class SimpleBaseline(ResNet):
    """Heatmaps at a quarter of the input's resolution with three deconvolutions.

    It extends the trunk instead of holding it so that the state dict has the public names.
    Source: Xiao et al. 2018. 33,999,697 parameters at depth 50 with 17 joints.
    """

    joint_layers = ("final_layer.",)  # weights whose size depends on the number of joints

    def __init__(
        self,
        backbone: BackboneSettings,
        deconv: tuple[int, ...] = (256, 256, 256),
        joints: int = 17,
    ) -> None:
        super().__init__(backbone.depth, backbone.width)
        layers, channels = [], self.channels
        for width in deconv:
            layers += [
                nn.ConvTranspose2d(channels, width, 4, 2, 1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
            channels = width
        self.deconv_layers = nn.Sequential(*layers)
        self.final_layer = nn.Conv2d(channels, joints, 1)
        self.joints = joints
        for layer in (*self.deconv_layers, self.final_layer):
            if isinstance(layer, nn.ConvTranspose2d | nn.Conv2d):
                nn.init.normal_(layer.weight, std=0.001)
        nn.init.zeros_(self.final_layer.bias)

    def forward(self, image: Tensor) -> dict[str, list[Tensor]]:
        """(B, 3, S, S) image to `maps`: one (B, K, S', S') tensor, unbounded, no sigmoid."""
        return {"maps": [self.final_layer(self.deconv_layers(self.features(image)))]}

    def pose_maps(self, image: Tensor, size: int | None = None) -> Tensor:
        """(B, K, size, size) heatmaps as MPT consumes them: bilinear, undecoded, unclamped.

        Without a size at the network's own resolution.
        """
        (maps,) = self.forward(image)["maps"]
        return resize(maps, size)


def resize(maps: Tensor, size: int | None) -> Tensor:
    """`maps` (B, C, h, w) at (size, size), with pixel centres at half-integer coordinates."""
    if size in (None, maps.shape[-1]):
        return maps
    return F.interpolate(maps, size=(size, size), mode="bilinear", align_corners=False)


def build(settings: dict, assets: object = None, where: str = "network") -> SimpleBaseline:
    """The network that `settings` describe; the body assets are not needed."""
    options = read_settings(SimpleBaselineSettings, settings, where)
    maps = len(JOINT_SETS[options.joint_set]) if options.output == "heatmaps" else 1
    return SimpleBaseline(options.backbone, options.deconv, maps)
