"""Verb `import-checkpoint`: turn a public checkpoint into weights of this project.

Reads the files that PyMAF, SPIN (HMR), SimpleBaseline, HigherHRNet and torchvision (ImageNet
ResNets) published, whatever wrapper saved them, without running code inside them. Every key is
mapped, dropped for a stated reason, or the import stops and lists it. The result holds learned
weights and the network's settings, nothing of the body model: use it with `predict`, or put it
into data/raw/weights/ and name it in a run, `init: {network: weights/NAME.pt}`.
"""

import argparse
import json
from pathlib import Path

import torch
from torch import Tensor, nn

from pipeline import checkpoints
from pipeline.body.assets import BodyAssets, load_assets
from pipeline.errors import InputError
from pipeline.files import sha256
from pipeline.importing.account import Account, listed
from pipeline.importing.architectures import read_architecture
from pipeline.importing.channels import expect_rgb
from pipeline.importing.state import State, find_state
from pipeline.importing.torch_files import read_torch_file
from pipeline.models.build import build_network
from pipeline.models.official_keys import KINDS, MEANS, official_keys
from pipeline.models.resnet import BackboneSettings, ResNet
from pipeline.models.settings import read_settings

WITH_BODY = ("hmr", "pymaf")
VERTICES = 6890  # of SMPL: no weight of any network has this many rows
MEAN_NAMES = {"init_pose": "pose6d", "init_shape": "betas", "init_cam": "cam"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    add = parser.add_argument
    add("--kind", choices=KINDS, required=True,
        help="what the file is of: hmr (SPIN), pymaf, simple_baseline, higher_hrnet, or resnet "
        "(an ImageNet ResNet)")  # fmt: skip
    add("--checkpoint", type=Path, required=True, help="the public file: .pt, .pth, .pth.tar")
    add("--out", type=Path, required=True, help="the weights to write, .pt")
    add("--body", type=Path,
        help="the body asset, data/body/smpl.npz; needed for hmr and pymaf")  # fmt: skip
    add("--settings", type=json.loads, default={}, metavar="JSON",
        help="settings of the network that its weights cannot show, such as "
        '\'{"image_size": 256}\'; or \'{"auxiliary": "none"}\' to leave PyMAF\'s '
        "auxiliary head out")  # fmt: skip
    add("--channels", choices=("rgb", "bgr"),
        help="order of colours that the network was trained with. Files of the SimpleBaseline "
        "repository: bgr, which is converted; all others: rgb, the default. Must be said for "
        "simple_baseline files that do not come from MMPose")  # fmt: skip
    add("--under", metavar="NAME",
        help="name inside the file to take the weights from, e.g. best_state_dict")  # fmt: skip


def main(args: argparse.Namespace) -> None:
    """Read, account for every key, convert, write."""
    if not isinstance(args.settings, dict):
        raise InputError("--settings", "", args.settings, "a JSON object")
    content, plain = read_torch_file(args.checkpoint)
    state = find_state(content, args.checkpoint, args.under)
    channels = _channels(args, state)
    assets = _assets(args)
    translation = official_keys(state.tensors, args.kind)
    weights = {ours: state.tensors[key] for key, ours in translation.names.items()}
    settings = read_architecture(args.kind, weights, args.checkpoint) | args.settings
    account = Account(state.tensors, dict(translation.names), dict(translation.left_out))
    if settings.get("auxiliary") == "none":
        _drop_auxiliary(account, weights)
    network = _build(settings, assets)
    _check(args, network, account, weights, translation.unknown)
    means = _own_means(account, assets, args.checkpoint)
    if channels == "bgr":
        weights = expect_rgb(weights)
    network.load_state_dict(weights, strict=False)  # what may lack was checked
    refuse_body_data(network)
    meta = {
        "network": settings,
        "imported": {
            "file": args.checkpoint.name,
            "sha256": sha256(args.checkpoint),
            "channels": channels,
            "under": state.under,
            "prefixes": state.prefixes,
            **account.summary(),
        },
    }
    checkpoints.save_weights(args.out, network, meta | ({"mean": means} if means else {}))
    _report(args, state, account, settings, plain, channels, bool(means))


def _channels(args: argparse.Namespace, state: State) -> str:
    """The order of colours that the file's network expects."""
    if args.kind == "simple_baseline" and not args.channels and not state.mmpose:
        expected = "bgr for files of the SimpleBaseline repository, rgb for others"
        raise InputError("--channels", "", "nothing", expected)
    return args.channels or "rgb"


def _assets(args: argparse.Namespace) -> BodyAssets | None:
    if args.kind not in WITH_BODY:
        return None
    if not args.body:
        raise InputError("--body", "", "nothing", f"the body asset, which {args.kind} needs")
    return load_assets(args.body)


def _drop_auxiliary(account: Account, weights: dict[str, Tensor]) -> None:
    """Leave out the weights of the auxiliary head."""
    for key, ours in list(account.mapped.items()):
        if ours.startswith("auxiliary."):
            account.dropped[key] = "auxiliary head, left out as the settings say"
            del account.mapped[key], weights[ours]


def _build(settings: dict, assets: BodyAssets | None) -> nn.Module:
    if settings["kind"] != "resnet":
        return build_network(settings, assets, "--settings")
    own = {key: value for key, value in settings.items() if key != "kind"}
    for key in own:
        if key != "backbone":
            raise InputError("--settings", key, "an unknown key", "backbone")
    backbone = read_settings(BackboneSettings, own["backbone"], "--settings.backbone")
    return ResNet(backbone.depth, backbone.width)


def _check(
    args: argparse.Namespace,
    network: nn.Module,
    account: Account,
    weights: dict[str, Tensor],
    unknown: list[str],
) -> None:
    """Refuse a file whose keys are not exactly those of the network; fill in lacking counters.

    Raises:
        InputError: with every kind of problem, how many and the first keys of each.
    """
    expected = network.state_dict()
    source = {ours: key for key, ours in account.mapped.items()}
    twice = [key for key, ours in account.mapped.items() if source[ours] != key]
    spare = [source[key] for key in weights if key not in expected]
    missing = [key for key in expected if key not in weights]
    account.created = [key for key in missing if key.endswith(checkpoints.COUNTER)]
    missing = [key for key in missing if key not in account.created]
    shapes = [f"{source[key]} {tuple(value.shape)} for {tuple(expected[key].shape)}"
              for key, value in weights.items()
              if key in expected and value.shape != expected[key].shape]  # fmt: skip
    problems = {"unknown": unknown, "without a place": spare, "twice": twice,
                "missing": missing, "of another shape": shapes}  # fmt: skip
    saw = "; ".join(f"{name}: {listed(keys)}" for name, keys in problems.items() if keys)
    if saw:
        field, wanted = f"keys of a {args.kind}", f"exactly those of a public {args.kind}"
        raise InputError(args.checkpoint, field, saw, wanted)


def _own_means(
    account: Account, assets: BodyAssets | None, path: Path
) -> dict[str, list[float]] | None:
    """Return the file's mean parameters where they are not those of the user's body.

    Raises:
        InputError: if the file holds several that differ from each other.
    """
    found: dict[str, Tensor] = {}
    for key in [k for k, reason in account.dropped.items() if reason == MEANS]:
        name = MEAN_NAMES[key.rsplit(".", 1)[-1]]
        value = account.tensors[key].float().flatten()
        if name in found and not _close(found[name], value):
            raise InputError(path, key, "other values than the other regressors'", "one mean")
        found[name] = value
    means = {k: torch.as_tensor(assets.mean[k]).float().flatten() for k in found} if assets else {}
    if all(_close(found[name], means[name]) for name in found):
        return None
    for key, reason in account.dropped.items():
        if reason == MEANS:
            account.dropped[key] = "mean parameters, not those of the user's file: kept beside"
    own = means | found
    return {name: [float(value) for value in values] for name, values in own.items()}


def _close(first: Tensor, second: Tensor) -> bool:
    """Whether two sets of mean parameters agree, to half precision."""
    return first.shape == second.shape and torch.allclose(first, second, rtol=1e-3, atol=1e-3)


def refuse_body_data(network: nn.Module) -> None:
    """Make sure that nothing of the body model is about to be written.

    Raises:
        RuntimeError: if a tensor has as many rows as the body has vertices.
    """
    for key, value in network.state_dict().items():
        if VERTICES in value.shape:
            raise RuntimeError(f"{key} {tuple(value.shape)} looks like a part of the body model")


def _report(
    args: argparse.Namespace,
    state: State,
    account: Account,
    settings: dict,
    plain: bool,
    channels: str,
    own_means: bool,
) -> None:
    """Print the account table and what was decided."""
    print(account.table())
    notes = [f"weights found under {' > '.join(state.under)}"] if state.under else []
    if state.prefixes:
        notes.append(f"prefixes taken off: {', '.join(state.prefixes)}")
    if state.halves:
        notes.append(f"{state.halves} tensors in half precision, now single")
    if state.beside:
        notes.append(f"left out beside the weights: {', '.join(state.beside)}")
    if not plain:
        notes.append("the file holds more than tensors: read with the restricted unpickler")
    if channels == "bgr":
        notes.append("first layer turned from BGR to RGB images")
    if own_means:
        notes.append("the file's mean parameters differ from your body's: kept for predict; "
                     "as init of a run the file is refused with this body")  # fmt: skip
    notes.append(f"settings {json.dumps(settings, sort_keys=True)}")
    print("\n".join(notes))
    print(f"wrote {args.out}", flush=True)
