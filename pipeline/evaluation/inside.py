"""Pictures of what happens inside an iterative network: one file a network and kind.

`iterations`: the mesh over the image after every update, from the mean parameters on (M0 .. MT).
`iuv`: the predicted part index, U and V beside their targets. `features`: the maps that each
update samples, summed over their channels as in PyMAF, Fig. 3. Each line is a sample; samples
stand at evenly spaced quantiles of the network's error, from good to bad.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pipeline import checkpoints, files
from pipeline.body.assets import BodyAssets, load_assets
from pipeline.data.dataset import RecordsDataset
from pipeline.data.mixture import collate
from pipeline.errors import InputError
from pipeline.evaluation.overlays import (
    COLOURS,
    PANEL,
    enlarge,
    mesh_pictures,
    pick_rows,
    to_uint8,
    write_png,
)
from pipeline.models.build import build_network
from pipeline.rendering.overlay import part_palette, sheet

BLANK = 255  # grey of pixels that are not the person
Line = list[tuple[np.ndarray, str]]  # pictures and captions


def draw(
    settings: dict,
    weights: Path,
    metrics: Path,
    records: Path,
    iuv: Path | None,
    body: Path,
    out: Path,
) -> None:
    """Write one sheet as PNG.

    Args:
        settings: kind (iterations, iuv, features), count, network.
        weights: the network's model.pt.
        metrics: its metrics file under the sheet's protocol.
        records: the benchmark's records.
        iuv: their rendered IUV, for kind `iuv`.
        body: the body assets.
        out: PNG to write.

    Raises:
        InputError: for a network that has nothing of this kind to show.
    """
    assets, kind = load_assets(body), settings["kind"]
    network = build_network(settings["network"], assets)
    checkpoints.load_into(network, weights)
    rows, errors = pick_rows(files.read_json(metrics), settings["count"])
    options = {"image_size": settings["network"]["image_size"]}
    lines = []
    with torch.no_grad():
        batch = collate([RecordsDataset(records, None, options, False).item(r) for r in rows])
        if kind == "iterations":
            lines = iteration_lines(network.eval(), batch, assets)
        elif kind == "features":
            lines = feature_lines(network.eval(), batch)
        elif kind == "iuv":
            if iuv is None:
                raise InputError("--iuv", "", "nothing", "the rendered IUV of the records")
            prediction = predicted_iuv(network, batch["image"])
            options["iuv_size"] = prediction["index"].shape[-1]
            labels = collate([RecordsDataset(records, iuv, options, False).item(r) for r in rows])
            lines = iuv_lines(prediction, labels)
        else:
            raise InputError("--settings", "kind", repr(kind), "iterations, iuv or features")
    cells = []
    for image, error, line in zip(batch["image"], errors, lines, strict=True):
        cells += [(enlarge(to_uint8(image.numpy())), f"{error:.0f} mm"), *line]
    pictures, captions = zip(*cells, strict=True)
    with files.atomic(out) as part:
        write_png(part, sheet(pictures, len(cells) // len(lines), captions))


def iteration_lines(network: nn.Module, batch: dict, assets: BodyAssets) -> list[Line]:
    """The mesh of every estimate over the image, and the last from the side.

    Raises:
        InputError: if the network does not iterate.
    """
    if not hasattr(network, "predict_iterations"):
        raise InputError("figure", "network", type(network).__name__, "one that iterates")
    meshes = network.predict_iterations(batch["image"])
    lines = []
    for row, image in enumerate(batch["image"]):
        line, picture = [], enlarge(to_uint8(image.numpy()))
        for step, mesh in enumerate(meshes):
            vertices, cam = (mesh[key][row].numpy() for key in ("vertices", "cam"))
            colour = COLOURS[step % len(COLOURS)]
            front, side = mesh_pictures(picture, vertices, cam, assets, colour)
            line.append((front, f"M{step}"))
        lines.append([*line, (side, f"M{len(meshes) - 1} side")])
    return lines


def predicted_iuv(network: nn.Module, image: Tensor) -> dict[str, Tensor]:
    """The auxiliary prediction for (B, 3, S, S) images, with the network in evaluation mode.

    Raises:
        InputError: if the network has no auxiliary head.
    """
    if getattr(network, "auxiliary", None) is None:
        raise InputError("figure", "network", type(network).__name__, "auxiliary: iuv or parts")
    return network.eval().auxiliary(network.maps(image)[-1])


def iuv_lines(prediction: dict[str, Tensor], labels: dict[str, Tensor]) -> list[Line]:
    """Part, U and V: prediction, then target. Where only parts are predicted, only these.

    U and V are shown on the pixels that prediction or target takes for the person.
    """
    part = prediction["index"].argmax(1)  # (B, R, R)
    surface = {}
    for axis, name in enumerate("uv"):
        if name in prediction:
            own = prediction[name].gather(1, part[:, None])[:, 0]
            surface[name.upper()] = (own, labels["uv"][..., axis])
    lines = []
    for row in range(len(part)):
        known = "" if labels["has_iuv"][row] else " (none)"
        line = [(parts_picture(part[row]), "part"),
                (parts_picture(labels["part"][row]), f"target{known}")]  # fmt: skip
        for name, (own, target) in surface.items():
            line += [(value_picture(own[row], part[row] > 0), name),
                     (value_picture(target[row], labels["part"][row] > 0), "target")]  # fmt: skip
        lines.append(line)
    return lines


def feature_lines(network: nn.Module, batch: dict[str, Tensor]) -> list[Line]:
    """The maps that the updates sample, coarse to fine.

    Raises:
        InputError: if the network samples none.
    """
    if not len(getattr(network, "pyramid", ())):
        raise InputError("figure", "network", type(network).__name__, "a network with maps")
    maps = network.maps(batch["image"])[1:]
    return [
        [(summed_picture(level[row]), f"{level.shape[-1]} x {level.shape[-1]}") for level in maps]
        for row in range(len(batch["image"]))
    ]


def parts_picture(part: Tensor) -> np.ndarray:
    """A hue for each part of an (R, R) map, white background."""
    palette = part_palette()
    palette[0] = BLANK
    return _magnified(palette[part.numpy()])


def value_picture(value: Tensor, person: Tensor) -> np.ndarray:
    """An (R, R) map of [0, 1] from dark to bright on the person, white elsewhere."""
    picture = _coloured(value.clamp(0, 1).numpy())
    picture[~person.numpy()] = BLANK
    return _magnified(picture)


def summed_picture(level: Tensor) -> np.ndarray:
    """The sum over channels of a (C, R, R) map, from its least to its largest value."""
    total = level.float().sum(0)
    spread = (total.max() - total.min()).clamp(min=1e-12)
    return _magnified(_coloured(((total - total.min()) / spread).numpy()))


def _coloured(value: np.ndarray) -> np.ndarray:
    """RGB (R, R, 3) of values in [0, 1]."""
    import cv2

    grey = (value * 255).round().astype(np.uint8)
    return cv2.applyColorMap(grey, cv2.COLORMAP_VIRIDIS)[..., ::-1].copy()


def _magnified(picture: np.ndarray) -> np.ndarray:
    """The picture at the sheet's panel size, its cells as they are."""
    import cv2

    return cv2.resize(picture, (PANEL, PANEL), interpolation=cv2.INTER_NEAREST)
