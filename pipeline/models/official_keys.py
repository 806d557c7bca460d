"""Names of published weights in terms of this package's networks.

Files of SPIN and PyMAF hold more than weights: copies of the licensed body model and tables made
from it. Every key is translated, left out for a stated reason, or listed as unknown.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from pipeline.errors import InputError

_TRUNK = r"(conv1|bn1|layer\d)\.(.*)"
_DECODERS = r"(fc1|fc2|decpose|decshape|deccam)\.(weight|bias)"

# Pattern of the whole key -> ours. The official deconvolutions are one flat list of three layers
# (deconvolution, normalisation, ReLU) per level. SPIN's files are flat; code derived from it keeps
# trunk and regressor in modules of their own.
_NAMES = {
    "hmr": (
        (rf"(?:backbone\.|feature_extractor\.)?{_TRUNK}", r"backbone.\1.\2"),
        (rf"(?:regressor\.)?{_DECODERS}", r"regressor.\1.\2"),
    ),
    "pymaf": (
        (rf"feature_extractor\.{_TRUNK}", r"backbone.\1.\2"),
        (r"deconv_layers\.(\d+)\.(.*)", r"pyramid.{level}.{layer}.\2"),
        (r"maf_extractor\.(\d)\.conv(\d)\.(.*)", r"extractors.\1.layers.\2.\3"),
        (rf"regressor\.(\d)\.{_DECODERS}", r"regressors.\1.\2.\3"),
        (r"dp_head\.predict_([uv])\.(.*)", r"auxiliary.\1.\2"),
        (r"dp_head\.predict_uv_index\.(.*)", r"auxiliary.index.\1"),
        (r"dp_head\.predict_ann_index\.(.*)", r"auxiliary.annotation.\1"),
    ),
    "resnet": ((_TRUNK, r"\1.\2"),),
    "simple_baseline": (
        (_TRUNK, r"\1.\2"),
        (r"(deconv_layers|final_layer)\.(.*)", r"\1.\2"),
    ),
    "higher_hrnet": (
        (r"(conv\d|bn\d|layer1|transition\d|stage\d)\.(.*)", r"\1.\2"),
        (r"(deconv_layers|final_layers)\.(.*)", r"\1.\2"),
    ),
}
MEANS = "mean parameters, read from the user's own file"
_BODY = (
    (r"(regressor\.(\d\.)?)?smpl\..*", "body model, read from the user's own file"),
    (r"(regressor\.(\d\.)?)?init_(pose|shape|cam)", MEANS),
    (r"maf_extractor\.\d\.Dmap", "mesh down-sampling, read from the user's own file"),
    (r"points_grid", "sampling grid, computed from the settings"),
)
_LEFT_OUT = {
    "hmr": _BODY,
    "pymaf": _BODY,
    "resnet": ((r"fc\.(weight|bias)", "classifier of ImageNet, of which nothing is used"),),
    "simple_baseline": (),
    "higher_hrnet": (),
}
KINDS = tuple(_NAMES)


class Translation(NamedTuple):
    """Accounts for every key of a published file.

    Attributes:
        names: official key -> our key.
        left_out: official key -> why it is not needed.
        unknown: keys that no published file of the kind has.
    """

    names: dict[str, str]
    left_out: dict[str, str]
    unknown: list[str]


def official_keys(keys: Iterable[str], kind: str) -> Translation:
    """Translate the keys of a published state dict.

    Args:
        keys: as they stand in the file, container and wrapper prefixes removed.
        kind: "hmr" (SPIN), "pymaf", "resnet" (ImageNet), "simple_baseline" or "higher_hrnet".

    Raises:
        InputError: for a kind without published weights.
    """
    if kind not in _NAMES:
        raise InputError("official weights", "kind", repr(kind), f"one of {', '.join(_NAMES)}")
    names, left_out, unknown = {}, {}, []
    for key in keys:
        reason = next((why for rule, why in _LEFT_OUT[kind] if re.fullmatch(rule, key)), None)
        if reason:
            left_out[key] = reason
        elif ours := _translate(key, kind):
            names[key] = ours
        else:
            unknown.append(key)
    return Translation(names, left_out, unknown)


def _translate(key: str, kind: str) -> str | None:
    for pattern, ours in _NAMES[kind]:
        match = re.fullmatch(pattern, key)
        if match and "{level}" in ours:
            level, layer = divmod(int(match[1]), 3)
            return match.expand(ours.replace("{level}", str(level)).replace("{layer}", str(layer)))
        if match:
            return match.expand(ours)
    return None
