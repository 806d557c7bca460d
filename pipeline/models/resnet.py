"""ResNet trunk: image to the last feature map, keys as in the public ImageNet weights."""

from dataclasses import dataclass

from torch import Tensor, nn

STAGES = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
STRIDE = 32  # input pixels per cell of the last feature map


@dataclass(frozen=True)
class BackboneSettings:
    """Depth 18, 34, 50 or 101; `width` multiplies every channel count (1.0 in the papers)."""

    depth: int = 50
    width: float = 1.0


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut (depth 18 and 34, and HRNet's branches)."""

    expansion = 1

    def __init__(self, channels_in: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(channels_in, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to (B, C', h / stride, w / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)) + shortcut)


class Bottleneck(nn.Module):
    """1x1, 3x3 with the stride, 1x1 to four times the channels (depth 50 and 101)."""

    expansion = 4

    def __init__(self, channels_in: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        channels_out = channels * self.expansion
        self.conv1 = nn.Conv2d(channels_in, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, channels_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels_out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(channels_in, channels_out, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to (B, C', h / stride, w / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.relu(self.bn3(self.conv3(x)) + shortcut)


class ResNet(nn.Module):
    """ResNet without its classifier.

    Source: He et al. 2016, with the stride in the 3x3 convolution as the public weights have it.
    23,508,032 parameters at depth 50, width 1.
    """

    def __init__(self, depth: int = 50, width: float = 1.0) -> None:
        super().__init__()
        if depth not in STAGES:
            raise ValueError(f"a ResNet of depth {depth} is not one of {sorted(STAGES)}")
        block = BasicBlock if depth < 50 else Bottleneck
        stem, *widths = (int(channels * width) for channels in (64, 64, 128, 256, 512))
        self.conv1 = nn.Conv2d(3, stem, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.channels = stem
        for number, (channels, count) in enumerate(zip(widths, STAGES[depth], strict=True), 1):
            stage = self._stage(block, channels, count, stride=1 if number == 1 else 2)
            self.add_module(f"layer{number}", stage)
        self.apply(initialise)

    def _stage(self, block: type[nn.Module], channels: int, count: int, stride: int) -> nn.Module:
        blocks = []
        for index in range(count):
            blocks.append(block(self.channels, channels, stride if index == 0 else 1))
            self.channels = channels * block.expansion
        return nn.Sequential(*blocks)

    def features(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) normalised image to (B, C, H/32, W/32), C = `channels`."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(image))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))

    def forward(self, image: Tensor) -> Tensor:
        """The same as `features`."""
        return self.features(image)


def initialise(module: nn.Module) -> None:
    """Convolutions normal with variance 2 / (k k C_out), normalisation to identity."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)


def _shortcut(channels_in: int, channels_out: int, stride: int) -> nn.Module | None:
    if stride == 1 and channels_in == channels_out:
        return None
    conv = nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels_out))
