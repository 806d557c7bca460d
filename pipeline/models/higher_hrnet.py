"""HigherHRNet 2D pose network: parallel resolutions, heatmaps at two scales."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.errors import InputError
from pipeline.joints import JOINT_SETS
from pipeline.models.resnet import BasicBlock, Bottleneck, initialise
from pipeline.models.settings import read_settings
from pipeline.models.simple_baseline import resize

BLOCKS = 4  # residual blocks per branch and module


@dataclass(frozen=True)
class HigherHRNetSettings:
    """`width` is the finest branch's channel count: 32 or 48 in the published networks."""

    kind: str = "higher_hrnet"
    image_size: int = 224
    width: int = 32
    modules: tuple[int, ...] = (1, 4, 3)  # of stages 2, 3 and 4
    joint_set: str = "coco17"


def conv_bn(
    channels_in: int, channels_out: int, kernel: int, stride: int, relu: bool
) -> nn.Module:
    """Convolution and normalisation, then a ReLU where asked."""
    layers = [
        nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(channels_out),
    ]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if relu else []))


class Upsample(nn.Sequential):
    """1x1 convolution to the finer branch's channels, then nearest up-sampling."""

    def __init__(self, channels_in: int, channels_out: int, factor: int) -> None:
        super().__init__(*conv_bn(channels_in, channels_out, 1, 1, relu=False))
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to (B, C', factor h, factor w)."""
        return F.interpolate(super().forward(x), scale_factor=self.factor, mode="nearest")


def _downsample(channels_in: int, channels_out: int, steps: int) -> nn.Module:
    """Halves the resolution `steps` times; the channels change, without ReLU, at the last."""
    layers = [conv_bn(channels_in, channels_in, 3, 2, relu=True) for _ in range(steps - 1)]
    return nn.Sequential(*layers, conv_bn(channels_in, channels_out, 3, 2, relu=False))


class ExchangeModule(nn.Module):
    """Residual blocks on every branch, then each output branch sums all branches."""

    def __init__(self, widths: list[int], outputs: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*[BasicBlock(width, width) for _ in range(BLOCKS)]) for width in widths
        )
        rows = []
        for to in range(outputs):
            row = []
            for source, width in enumerate(widths):
                if source > to:
                    row.append(Upsample(width, widths[to], 2 ** (source - to)))
                elif source == to:
                    row.append(nn.Identity())
                else:
                    row.append(_downsample(width, widths[to], to - source))
            rows.append(nn.ModuleList(row))
        self.fuse_layers = nn.ModuleList(rows)

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        """Maps of all branches, the finest first, to those of the output branches."""
        branches = [blocks(x) for blocks, x in zip(self.branches, branches, strict=True)]
        outputs = []
        for row in self.fuse_layers:
            total = row[0](branches[0])
            for layer, x in zip(row[1:], branches[1:], strict=True):
                total = total + layer(x)
            outputs.append(torch.relu(total))
        return outputs


class HigherHRNet(nn.Module):
    """Heatmaps and tags at a quarter, heatmaps at half of the input's resolution.

    Source: Cheng et al. 2020. 28,645,331 parameters at width 32, 63,827,139 at 48 (17 joints).
    """

    # weights whose size depends on the number of joints
    joint_layers = ("final_layers.", "deconv_layers.0.0.0.")

    def __init__(
        self, width: int = 32, joints: int = 17, modules: tuple[int, ...] = (1, 4, 3)
    ) -> None:
        super().__init__()
        self.joints = joints
        self.conv1 = nn.Conv2d(3, 64, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.conv2 = nn.Conv2d(64, 64, 3, 2, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(Bottleneck(64, 64), *[Bottleneck(256, 64) for _ in range(3)])
        widths = [width * 2**branch for branch in range(4)]
        self.transition1 = nn.ModuleList(
            [
                conv_bn(256, widths[0], 3, 1, relu=True),
                nn.Sequential(conv_bn(256, widths[1], 3, 2, relu=True)),
            ]
        )
        self.stage2 = _stage(widths[:2], modules[0])
        self.transition2 = _transition(widths, 2)
        self.stage3 = _stage(widths[:3], modules[1])
        self.transition3 = _transition(widths, 3)
        self.stage4 = _stage(widths, modules[2], last=True)
        quarter = 2 * joints  # one heatmap and one tag per joint
        self.final_layers = nn.ModuleList(
            [nn.Conv2d(width, quarter, 1), nn.Conv2d(width, joints, 1)]
        )
        deconv = nn.Sequential(
            nn.ConvTranspose2d(width + quarter, width, 4, 2, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        )
        blocks = [nn.Sequential(BasicBlock(width, width)) for _ in range(BLOCKS)]
        self.deconv_layers = nn.ModuleList([nn.Sequential(deconv, *blocks)])
        self.apply(initialise)
        nn.init.normal_(deconv[0].weight, std=0.001)
        for layer in self.final_layers:
            nn.init.normal_(layer.weight, std=0.001)
            nn.init.zeros_(layer.bias)

    def features(self, image: Tensor) -> Tensor:
        """(B, 3, S, S) image to the finest branch, (B, width, S/4, S/4)."""
        x = torch.relu(self.bn1(self.conv1(image)))
        x = self.layer1(torch.relu(self.bn2(self.conv2(x))))
        branches = self.stage2([layer(x) for layer in self.transition1])
        branches = self.stage3([*branches, self.transition2[-1](branches[-1])])
        return self.stage4([*branches, self.transition3[-1](branches[-1])])[0]

    def forward(self, image: Tensor) -> dict[str, list[Tensor]]:
        """`maps`: (B, 2K, S/4, S/4) heatmaps then tags, and (B, K, S/2, S/2) heatmaps."""
        x = self.features(image)
        quarter = self.final_layers[0](x)
        half = self.final_layers[1](self.deconv_layers[0](torch.cat([x, quarter], dim=1)))
        return {"maps": [quarter, half]}

    def pose_maps(self, image: Tensor, size: int | None = None) -> Tensor:
        """(B, K, size, size): mean of both scales, as at the network's own inference.

        Without a size at half the input's resolution.
        """
        quarter, half = self.forward(image)["maps"]
        mean = (resize(quarter[:, : self.joints], half.shape[-1]) + half) / 2
        return resize(mean, size)


class Stage(nn.Sequential):
    """Exchange modules in a row, each mapping a list of branches to a list of branches."""


def _stage(widths: list[int], count: int, last: bool = False) -> Stage:
    """`count` modules; only the finest branch leaves the last one of the last stage."""
    outputs = [len(widths)] * count
    if last:
        outputs[-1] = 1
    return Stage(*[ExchangeModule(widths, n) for n in outputs])


def _transition(widths: list[int], branches: int) -> nn.ModuleList:
    """A further branch at half the resolution; the existing ones pass unchanged."""
    step = conv_bn(widths[branches - 1], widths[branches], 3, 2, relu=True)
    return nn.ModuleList([*[nn.Identity() for _ in range(branches)], nn.Sequential(step)])


def build(settings: dict, assets: object = None, where: str = "network") -> HigherHRNet:
    """The network that `settings` describe; the body assets are not needed."""
    options = read_settings(HigherHRNetSettings, settings, where)
    if options.image_size % 32:
        raise InputError(where, "image_size", options.image_size, "a multiple of 32")
    return HigherHRNet(options.width, len(JOINT_SETS[options.joint_set]), options.modules)
