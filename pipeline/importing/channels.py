"""First layers that were trained on blue, green, red, made to expect red, green, blue."""

import torch
from torch import Tensor

from pipeline.data.augment import IMAGENET_MEAN, IMAGENET_STD


def expect_rgb(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return weights that give, for RGB images, what the given ones gave for BGR images.

    Networks trained on OpenCV's BGR without conversion normalised blue with the mean and
    deviation of red, and red with blue's. Reversing the first convolution's input channels and
    rescaling them undoes the order and the deviations; the difference of the means is a constant
    per output channel, which moves into the running mean of the normalisation behind it. Exact
    but for the outermost pixels, where padding stands for another colour.

    Args:
        weights: `conv1.weight` (C, 3, k, k), `bn1.running_mean` (C,) and others, which stay.

    Source: the released code of SimpleBaseline (Xiao et al. 2018) reads images so.
    """
    mean, std = (torch.from_numpy(values).double() for values in (IMAGENET_MEAN, IMAGENET_STD))
    conv = weights["conv1.weight"].double().flip(1)  # now of R, G, B
    # each was normalised with the numbers of the channel opposite
    scaled = conv * (std / std.flip(0))[:, None, None]
    offset = (mean - mean.flip(0)) / std.flip(0)
    constant = (conv.sum((2, 3)) * offset).sum(1)
    return weights | {
        "conv1.weight": scaled.float(),
        "bn1.running_mean": (weights["bn1.running_mean"].double() - constant).float(),
    }
