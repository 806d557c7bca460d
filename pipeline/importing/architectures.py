"""Settings of a network from the shapes of its weights.

Published files do not say what they are of. What no weight shows keeps the default of the
network's settings, and can be given.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from pipeline.errors import InputError
from pipeline.joints import JOINT_SETS
from pipeline.models.resnet import STAGES

PARAMETERS = 144 + 10 + 3  # of an estimate: pose, shape, camera
IMAGE_SIZE = 224  # px, of the crops of PyMAF, SPIN and MPT; no weight shows it
STEM = 64  # channels of a ResNet's first convolution at width 1
JOINT_SET_OF = {17: "coco17", 16: "mpii16"}  # of published pose networks, by number of heatmaps

Weights = Mapping[str, Tensor]


def read_architecture(kind: str, weights: Weights, path: Path | str) -> dict:
    """Return the settings that the shapes speak of, `kind` included.

    Args:
        kind: as in `official_keys`.
        weights: by the names of this package's network; some may be missing.
        path: the file, for messages.

    Raises:
        InputError: where the shapes are those of no network of the kind.
    """
    size = {} if kind == "resnet" else {"image_size": IMAGE_SIZE}
    return {"kind": kind, **size, **_READERS[kind](weights, path)}


def _size(weights: Weights, key: str, axis: int) -> int | None:
    tensor = weights.get(key)
    return tensor.shape[axis] if tensor is not None and tensor.ndim > axis else None


def _known(**settings: object) -> dict:
    """The settings that some weight spoke of; the others keep their defaults."""
    return {key: value for key, value in settings.items() if value not in (None, [])}


def _count(weights: Weights, pattern: str) -> int:
    """How many different numbers the pattern's group takes."""
    matches = (re.match(pattern, key) for key in weights)
    return len({match[1] for match in matches if match})


def _trunk(weights: Weights, path: Path | str, prefix: str = "") -> dict:
    dots = re.escape(prefix)
    blocks = tuple(_count(weights, rf"{dots}layer{n}\.(\d+)\.") for n in (1, 2, 3, 4))
    bottleneck = f"{prefix}layer1.0.conv3.weight" in weights
    depths = [d for d, stages in STAGES.items() if stages == blocks and (d >= 50) == bottleneck]
    if not depths:
        saw = f"{'bottleneck' if bottleneck else 'basic'} blocks {blocks}"
        raise InputError(path, f"{prefix}layer1 to 4", saw, f"a ResNet of depth {list(STAGES)}")
    stem = _size(weights, f"{prefix}conv1.weight", 0) or STEM
    return {"depth": depths[0], "width": stem / STEM}


def _resnet(weights: Weights, path: Path | str) -> dict:
    return {"backbone": _trunk(weights, path)}


def _hmr(weights: Weights, path: Path | str) -> dict:
    hidden = _size(weights, "regressor.fc1.weight", 0)
    return {"backbone": _trunk(weights, path, "backbone."), **_known(hidden=hidden)}


def _pymaf(weights: Weights, path: Path | str) -> dict:
    levels = _count(weights, r"pyramid\.(\d+)\.")
    deconv = [_size(weights, f"pyramid.{level}.0.weight", 1) for level in range(levels)]
    layers = _count(weights, r"extractors\.0\.layers\.(\d+)\.")
    dims = [_size(weights, f"extractors.0.layers.{n}.weight", 0) for n in range(layers)]
    second = _size(weights, "extractors.0.layers.1.weight", 1)
    points = [
        ((_size(weights, f"regressors.{n}.fc1.weight", 1) or 0) - PARAMETERS) // (dims or [1])[-1]
        for n in (0, 1)
    ]
    auxiliary = "none"
    if "auxiliary.index.weight" in weights:
        auxiliary = "iuv" if "auxiliary.u.weight" in weights else "parts"
    return {
        "backbone": _trunk(weights, path, "backbone."),
        "auxiliary": auxiliary,
        "annotation": "auxiliary.annotation.weight" in weights,
        **_known(
            hidden=_size(weights, "regressors.0.fc1.weight", 0),
            iterations=_count(weights, r"regressors\.(\d+)\.") or None,
            deconv=[width for width in deconv if width],
            feature_dims=[width for width in dims if width],
            skip=second != dims[0] if second and dims else None,
            grid_size=math.isqrt(points[0]) if points[0] > 0 else None,
            vertices=points[1] if points[1] > 0 else None,
        ),
    }


def _joint_set(joints: int | None, path: Path | str) -> str | None:
    if joints is None:
        return None
    name = JOINT_SET_OF.get(joints)
    if name is None or len(JOINT_SETS[name]) != joints:
        raise InputError(path, "heatmaps", joints, f"one of {list(JOINT_SET_OF)} joints")
    return name


def _simple_baseline(weights: Weights, path: Path | str) -> dict:
    levels = sorted(int(key.split(".")[1]) for key, value in weights.items()
                    if key.startswith("deconv_layers.") and value.ndim == 4)  # fmt: skip
    deconv = [_size(weights, f"deconv_layers.{level}.weight", 1) for level in levels]
    joint_set = _joint_set(_size(weights, "final_layer.weight", 0), path)
    return {"backbone": _trunk(weights, path), **_known(deconv=deconv, joint_set=joint_set)}


def _higher_hrnet(weights: Weights, path: Path | str) -> dict:
    modules = [_count(weights, rf"stage{n}\.(\d+)\.") for n in (2, 3, 4)]
    return _known(
        width=_size(weights, "stage2.0.branches.0.0.conv1.weight", 0),
        modules=modules if all(modules) else None,
        joint_set=_joint_set(_size(weights, "final_layers.1.weight", 0), path),
    )


_READERS = {
    "hmr": _hmr,
    "pymaf": _pymaf,
    "resnet": _resnet,
    "simple_baseline": _simple_baseline,
    "higher_hrnet": _higher_hrnet,
}
