"""Names of the weights that SPIN and PyMAF published, in terms of this package's networks.

Their files hold more than weights: copies of the licensed body model and tables made from it.
Every key is either translated or left out for a stated reason; a key that is neither is refused.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from pipeline.errors import InputError

_TRUNK = r"(conv1|bn1|layer\d)\.(.*)"
_DECODERS = r"(fc1|fc2|decpose|decshape|deccam)\.(weight|bias)"

# Pattern of the whole key -> ours. The official deconvolutions are one flat list of three layers
# (deconvolution, normalisation, ReLU) per level.
_NAMES = {
    "hmr": (
        (_TRUNK, r"backbone.\1.\2"),
        (_DECODERS, r"regressor.\1.\2"),
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
}
_LEFT_OUT = (
    (r"(regressor\.\d\.)?smpl\..*", "body model, read from the user's own file"),
    (r"(regressor\.\d\.)?init_(pose|shape|cam)", "mean parameters, read from the user's own file"),
    (r"maf_extractor\.\d\.Dmap", "mesh down-sampling, read from the user's own file"),
    (r"points_grid", "sampling grid, computed from the settings"),
)


class Translation(NamedTuple):
    """Accounts for every key of a published file.

    Attributes:
        names: official key -> our key.
        left_out: official key -> why it is not needed.
    """

    names: dict[str, str]
    left_out: dict[str, str]


def official_keys(keys: Iterable[str], kind: str) -> Translation:
    """Translate the keys of a published state dict.

    Args:
        keys: as they stand in the file, container and wrapper prefixes removed.
        kind: "hmr" (SPIN) or "pymaf".

    Raises:
        InputError: for a kind without published weights, or a key that is not known.
    """
    if kind not in _NAMES:
        raise InputError("official weights", "kind", repr(kind), f"one of {', '.join(_NAMES)}")
    names, left_out = {}, {}
    for key in keys:
        reason = next((why for rule, why in _LEFT_OUT if re.fullmatch(rule, key)), None)
        if reason:
            left_out[key] = reason
        else:
            names[key] = _translate(key, kind)
    return Translation(names, left_out)


def _translate(key: str, kind: str) -> str:
    for pattern, ours in _NAMES[kind]:
        match = re.fullmatch(pattern, key)
        if match and "{level}" in ours:
            level, layer = divmod(int(match[1]), 3)
            return match.expand(ours.replace("{level}", str(level)).replace("{layer}", str(layer)))
        if match:
            return match.expand(ours)
    raise InputError("official weights", key, "an unknown key", f"the published {kind}'s keys")
