"""Weights of networks in files: written byte for byte alike, read safely, every key accounted for.

A file of ours holds `weights` (key -> tensor) and `meta` (JSON text). Public files of the same
networks are read as well: flat state dicts, ones under `state_dict` or `model`, with the prefixes
that wrappers leave behind, and in half precision.
"""

import io
import json
import pickle
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from pipeline.errors import InputError
from pipeline.files import atomic

CONTAINERS = ("weights", "state_dict", "model")
WRAPPERS = (("module.",), ("1.",), ("backbone.", "keypoint_head."))  # DDP, fp16 wrapper, mmpose
# what a file holds beyond the trunk when only the trunk is asked for
HEADS = ("fc.", "deconv_layers.", "final_layer.")
# the part of a pose network that does not depend on its joints: all but its `joint_layers`
FEATURES = "features"
# arrays of the body model inside published networks: rebuilt here from the user's own body files
BODY_ARRAYS = (".smpl.", ".Dmap", "points_grid")
# counters of BatchNorm that files older than the counter lack; they do not enter any result
COUNTER = "num_batches_tracked"
NAMED = 4  # keys that a message spells out


def save_weights(path: Path | str, network: nn.Module, meta: dict) -> None:
    """Write the weights (never the body model) so that equal weights give equal bytes.

    Args:
        path: the file, written atomically.
        network: its state dict is written.
        meta: anything that JSON holds: what the weights are of.
    """
    plain = torch.contiguous_format  # whatever layout the training chose
    weights = {key: value.detach().cpu().clone(memory_format=plain)
               for key, value in network.state_dict().items()}  # fmt: skip
    with atomic(path) as part:
        part.write_bytes(to_bytes({"weights": weights, "meta": json.dumps(meta, sort_keys=True)}))


def to_bytes(content: dict) -> bytes:
    """Serialise tensors and plain values; unlike `torch.save` to a path, no file name enters."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def read_meta(path: Path | str) -> dict:
    """Return what `save_weights` was told about the weights.

    Raises:
        InputError: if the file is not one of ours.
    """
    content = read_safely(path)
    if not isinstance(content, dict) or not isinstance(content.get("meta"), str):
        expected = "a model.pt of the verb train, or what import-checkpoint wrote"
        raise InputError(path, "meta", "nothing", expected)
    return json.loads(content["meta"])


def load_weights(path: Path | str) -> dict[str, Tensor]:
    """Return the tensors of a weights file, ours or a public one, in single precision.

    Raises:
        InputError: if the file is missing, damaged, holds more than tensors and plain values,
            or no state dict is found in it.
    """
    return _load(path)[0]


def _load(path: Path | str) -> tuple[dict[str, Tensor], dict]:
    """Return the tensors, and the metadata where the file is one of ours."""
    content = read_safely(path)
    meta = content.get("meta") if isinstance(content, dict) else None
    meta = json.loads(meta) if isinstance(meta, str) else {}
    for name in CONTAINERS:
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            content = content[name]
            break
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise InputError(path, "", "no state dict", f"tensors by key, or under {CONTAINERS}")
    for prefixes in WRAPPERS:
        if content and all(key.startswith(prefixes) for key in content):
            # mmpose's two prefixes go only together: `backbone.` alone is a part of a network
            if len(prefixes) == 1 or all(any(k.startswith(p) for k in content) for p in prefixes):
                content = {_strip(key, prefixes): value for key, value in content.items()}
    return {k: v.float() if v.is_floating_point() else v for k, v in content.items()}, meta


def load_into(network: nn.Module, path: Path | str, part: str | None = None) -> str:
    """Fill a network, or one sub-module of it, from a weights file.

    Every key of the file is used or known not to be needed, every key of the target is filled;
    otherwise nothing is loaded.

    Args:
        network: what is filled.
        path: a weights file.
        part: name of the sub-module; None and `network` mean the whole. A file that has keys
            under the part's name gives those, any other file must be of the part itself.
            `features` is a pose network but for the layers whose size depends on its joints.

    Returns:
        one line about what was used.

    Raises:
        InputError: with the number of keys that do not fit and the first of them.
    """
    part = None if part in (None, "network") else part
    target, expected = _target(network, part, path)
    state, meta = _load(path)
    if part is None:
        _check_means(network, meta.get("mean"), path)
    heads = network.joint_layers if part == FEATURES else HEADS
    found, spare = _select(state, expected, part, heads)
    unknown = [k for k in found if k not in expected]
    unfilled = [k for k in expected if k not in found and not k.endswith(COUNTER)]
    shapes = [f"{k} {tuple(found[k].shape)} for {tuple(expected[k].shape)}"
              for k in found if k in expected and found[k].shape != expected[k].shape]  # fmt: skip
    if unknown or unfilled or shapes:
        problems = {"without a place": unknown, "unfilled": unfilled, "of other shape": shapes}
        saw = "; ".join(f"{_named(keys)} {what}" for what, keys in problems.items() if keys)
        where = part or "network"
        raise InputError(path, where, saw, f"the weights of exactly this {where}")
    target.load_state_dict(found, strict=False)  # what may lack was checked above
    line = f"{part or 'network'}: {len(found)} of {len(expected)} keys from {path}"
    return line + (f", not needed: {_named(spare)}" if spare else "")


def _check_means(network: nn.Module, means: dict | None, path: Path | str) -> None:
    """Refuse weights that start from other mean parameters than the network's body.

    Only imported files name theirs, and only where they differ from the body's.
    """
    body = getattr(network, "body", None)
    for name, buffer in (("pose6d", "mean_pose"), ("betas", "mean_betas"), ("cam", "mean_cam")):
        own = getattr(body, buffer, None)
        if not means or own is None:
            return
        given = torch.tensor(means[name], dtype=own.dtype, device=own.device)
        if given.shape != own[0].shape or not torch.allclose(given, own[0], atol=1e-5):
            expected = "a body with the smpl_mean_params.npz that the weights were trained with"
            raise InputError(path, f"mean {name}", "other values than the body's", expected)


def read_safely(source: Path | str | io.BytesIO) -> object:
    """Read a `torch.save` file that may hold tensors and plain values only.

    Raises:
        InputError: if it is missing, damaged or holds anything else.
    """
    where = source if isinstance(source, Path | str) else "checkpoint"
    try:
        return torch.load(source, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(where, "", "no such file", "a weights file") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        saw = str(error).strip().split("\n")[0][:120]
        raise InputError(where, "", saw, "a whole file of tensors and plain values") from error


def _select(
    state: dict[str, Tensor], expected: Iterable[str], part: str | None, heads: tuple[str, ...]
) -> tuple[dict[str, Tensor], list[str]]:
    """Return the file's keys meant for the target, named as there, and those not needed."""
    expected = set(expected)
    trunk = part and not any(k.startswith(heads) for k in expected)
    prefix = f"{part}." if part and any(k.startswith(f"{part}.") for k in state) else ""
    spare = [k for k in state if not k.startswith(prefix)]
    found = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    for key in [k for k in found if k not in expected]:
        if (trunk and key.startswith(heads)) or any(array in key for array in BODY_ARRAYS):
            spare.append(key)
            del found[key]
    return found, spare


def _target(
    network: nn.Module, part: str | None, path: Path | str
) -> tuple[nn.Module, dict[str, Tensor]]:
    """Return the module to fill and the keys of it that a file has to give."""
    if part is None:
        return network, network.state_dict()
    parts = dict(network.named_children())
    if part in parts:
        return parts[part], parts[part].state_dict()
    state = network.state_dict()
    if part == FEATURES and hasattr(network, "joint_layers"):
        return network, {k: v for k, v in state.items() if not k.startswith(network.joint_layers)}
    trunk = {key: value for key, value in state.items() if not key.startswith(HEADS)}
    if part == "backbone" and len(trunk) < len(state):  # a head grown on a trunk, flat names
        return network, trunk
    raise InputError(path, "init", part, f"network, or one of its parts {', '.join(parts)}")


def _strip(key: str, prefixes: tuple[str, ...]) -> str:
    return key[len(next(p for p in prefixes if key.startswith(p))) :]


def _named(keys: list[str]) -> str:
    more = ", ..." if len(keys) > NAMED else ""
    return f"{len(keys)} keys ({', '.join(keys[:NAMED])}{more})"
