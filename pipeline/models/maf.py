"""Parts of PyMAF: feature pyramid, sampling of point features, auxiliary IUV prediction."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.models.precision import full_precision

PARTS = 25  # DensePose's 24 surface parts and the background, index 0
ANNOTATED_PARTS = 15  # the same, limbs merged as in DensePose's masks


def pyramid_level(channels_in: int, channels: int) -> nn.Sequential:
    """Doubles the resolution: transposed convolution, normalisation, ReLU."""
    return nn.Sequential(
        nn.ConvTranspose2d(channels_in, channels, 4, 2, 1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
    )


def uniform_grid(side: int) -> Tensor:
    """(side^2, 2) points (x, y) in [-1, 1], x varying slowest (as the public weights expect)."""
    line = torch.linspace(-1, 1, side)
    return torch.stack(torch.meshgrid(line, line, indexing="ij"), dim=-1).reshape(-1, 2)


class PointFeatures(nn.Module):
    """Samples a map at points and reduces each sample to a few numbers.

    Source: PyMAF, Eq. 1. The released code feeds the sampled feature to the second and third
    layer too (`skip`), which the paper does not mention; and ends in a ReLU.
    """

    def __init__(
        self, channels: int, dims: tuple[int, ...], skip: bool = True, align_corners: bool = True
    ) -> None:
        """Reduce `channels` to each of `dims` in turn."""
        super().__init__()
        self.skip, self.align_corners = skip, align_corners
        layers, width = [], channels
        for dim in dims:
            layers.append(nn.Conv1d(width, dim, 1))
            width = dim + channels if skip else dim
        self.layers = nn.ModuleList(layers)

    def forward(self, maps: Tensor, points: Tensor) -> Tensor:
        """Point features, the points of one channel side by side.

        Args:
            maps: (B, C, H, W).
            points: (B, N, 2) as (x, y) in [-1, 1]; zero outside of the map.

        Returns:
            (B, dims[-1] * N).
        """
        with full_precision(maps):  # positions in bfloat16 would be off by a tenth of a cell
            sampled = F.grid_sample(
                maps.float(), points[:, :, None].float(), align_corners=self.align_corners
            )[..., 0]
        sampled = sampled.transpose(1, 2).contiguous()  # (B, N, C)
        x = sampled
        for number, layer in enumerate(self.layers):
            weight = layer.weight[..., 0]  # a 1x1 convolution as a product, which is faster
            if number and self.skip:  # of (x, sampled), without joining them
                own = x.shape[-1]
                x = F.linear(x, weight[:, :own], layer.bias) + F.linear(sampled, weight[:, own:])
            else:
                x = F.linear(x, weight, layer.bias)
            last = number == len(self.layers) - 1
            x = F.relu(x) if last else F.leaky_relu(x, 0.01)
        return x.transpose(1, 2).flatten(1)


class AuxiliaryHead(nn.Module):
    """Per-pixel prediction of surface part and, for IUV, of the position on it.

    Source: PyMAF, Sec. 3.3. The annotation output (15 merged parts) is the released code's.
    """

    def __init__(self, channels: int, kind: str, annotation: bool) -> None:
        """Predict `kind` "parts" or "iuv" from maps of `channels`."""
        super().__init__()
        self.index = nn.Conv2d(channels, PARTS, 3, 1, 1)
        if kind == "iuv":
            self.u = nn.Conv2d(channels, PARTS, 3, 1, 1)
            self.v = nn.Conv2d(channels, PARTS, 3, 1, 1)
            if annotation:
                self.annotation = nn.Conv2d(channels, ANNOTATED_PARTS, 3, 1, 1)

    def forward(self, maps: Tensor) -> dict[str, Tensor]:
        """`index` logits (B, 25, H, W), and `u`, `v` (B, 25, H, W), `annotation` (B, 15, H, W)."""
        layers = dict(self.named_children())
        # One convolution for all outputs reads the map once; up to 2.5 times faster.
        weight = torch.cat([layer.weight for layer in layers.values()])
        bias = torch.cat([layer.bias for layer in layers.values()])
        outputs = F.conv2d(maps, weight, bias, padding=1)
        sizes = [layer.out_channels for layer in layers.values()]
        return dict(zip(layers, outputs.split(sizes, dim=1), strict=True))

    @property
    def evidence_channels(self) -> int:
        """Channels of `evidence`."""
        return PARTS * (3 if hasattr(self, "u") else 1)


def auxiliary_evidence(prediction: dict[str, Tensor]) -> Tensor:
    """Part probabilities, and the expected U and V of each part: a map to sample from."""
    parts = prediction["index"].float().softmax(1)
    if "u" not in prediction:
        return parts
    surface = [parts * prediction[name].float() for name in ("u", "v")]
    return torch.cat([parts, *surface], dim=1)


def foreground(prediction: dict[str, Tensor], size: int) -> Tensor:
    """Share of each cell of a (size, size) map that is predicted to be person, (B, 1, ...)."""
    person = (prediction["index"].argmax(1, keepdim=True) > 0).float()
    if size > person.shape[-1]:
        return F.interpolate(person, size=(size, size), mode="nearest")
    return F.adaptive_avg_pool2d(person, size)
