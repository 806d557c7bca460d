"""The overlay sheet: what networks predict, over the image and from the side.

One line a sample: the crop, the IUV map of the first run's prediction, then for each run its mesh
over the image and seen from the person's left. Samples are not chosen by eye: they stand at evenly
spaced quantiles of the first run's error, from good to bad, and carry that error.
"""

from pathlib import Path

import numpy as np
import torch

from pipeline import checkpoints, files
from pipeline.body.assets import BodyAssets, load_assets
from pipeline.cameras import cam_to_translation
from pipeline.data.augment import IMAGENET_MEAN, IMAGENET_STD
from pipeline.data.dataset import RecordsDataset
from pipeline.models.build import build_network
from pipeline.rendering.iuv import Atlas, render_iuv
from pipeline.rendering.overlay import colour_iuv, overlay_mesh, sheet

PANEL = 192  # pixels of one picture of the sheet
FOCAL = 5000.0  # of the crop camera at this panel size; far enough to be nearly orthographic
COLOURS = ((214, 142, 108), (110, 170, 205), (140, 190, 120), (200, 160, 210), (220, 200, 110))


def pick_rows(metrics: dict, count: int) -> tuple[list[int], list[float]]:
    """Record numbers and PA-MPJPE (mm) of samples at evenly spaced quantiles of the error."""
    errors = np.array(metrics["per_sample"]["pa_mpjpe"])
    order = np.argsort(errors, kind="stable")
    at = np.linspace(0.05, 0.95, count) * (len(order) - 1)
    picked = order[np.round(at).astype(int)]
    return [metrics["rows"][k] for k in picked], [float(errors[k]) for k in picked]


def camera_matrix(size: int) -> np.ndarray:
    """Intrinsics (3, 3) of the crop camera, principal point in the middle."""
    return np.array([[FOCAL, 0, size / 2], [0, FOCAL, size / 2], [0, 0, 1]])


def front_and_side(
    vertices: np.ndarray, cam: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """The mesh in the crop camera, and turned by 90 degrees about the vertical, centred.

    Args:
        vertices: (V, 3) metres, camera frame.
        cam: (3,) as (s, tx, ty).
        size: pixels of the picture's side.

    Returns:
        two (V, 3) arrays in front of a pinhole camera of focal length FOCAL.
    """
    shift = cam_to_translation(torch.as_tensor(cam)[None].float(), FOCAL, size)[0].numpy()
    centre = (vertices.max(axis=0) + vertices.min(axis=0)) / 2
    x, y, z = (vertices - centre).T
    side = np.stack([-z, y, x], axis=-1) + [0, 0, shift[2]]
    return (vertices + shift).astype(np.float32), side.astype(np.float32)


@torch.no_grad()
def predict(network: torch.nn.Module, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (N, V, 3) and cam (N, 3) of the network for images (N, 3, S, S)."""
    network.eval()
    prediction = network.predict(torch.from_numpy(images))
    return prediction["vertices"].float().numpy(), prediction["cam"].float().numpy()


def draw(
    settings: dict,
    weights: dict[str, Path],
    metrics: dict[str, Path],
    records: Path,
    body: Path,
    out: Path,
) -> None:
    """Write the sheet as PNG.

    Args:
        settings: count, networks {run: network settings}.
        weights: run -> model.pt; the order is the sheet's.
        metrics: run -> metrics file under the sheet's protocol.
        records: the benchmark's records.
        body: the body assets.
        out: PNG to write.
    """
    assets = load_assets(body)
    first = next(iter(weights))
    rows, errors = pick_rows(files.read_json(metrics[first]), settings["count"])
    shown: list[list[np.ndarray]] = [[] for _ in rows]
    for k, (run, path) in enumerate(weights.items()):
        network_settings = settings["networks"][run]
        network = build_network(network_settings, assets)
        checkpoints.load_into(network, path)
        size = {"image_size": network_settings["image_size"]}
        dataset = RecordsDataset(records, None, size, train=False)
        images = np.stack([dataset.item(row, None)["image"] for row in rows])
        vertices, cams = predict(network, images)
        for line, image, mesh, cam in zip(shown, images, vertices, cams, strict=True):
            picture = enlarge(to_uint8(image))
            if k == 0:
                line += [picture, iuv_picture(mesh, cam, assets)]
            line += mesh_pictures(picture, mesh, cam, assets, COLOURS[k % len(COLOURS)])
    labels = []
    for error in errors:
        labels += [f"{error:.0f} mm", "IUV"] + [t for run in weights for t in (run, "side")]
    with files.atomic(out) as part:
        columns = 2 + 2 * len(weights)
        write_png(part, sheet([p for line in shown for p in line], columns, labels))


def to_uint8(image: np.ndarray) -> np.ndarray:
    """RGB picture (S, S, 3) of a normalised (3, S, S) image."""
    shown = np.moveaxis(image, 0, -1) * IMAGENET_STD + IMAGENET_MEAN
    return (shown * 255).round().clip(0, 255).astype(np.uint8)


def enlarge(image: np.ndarray) -> np.ndarray:
    """RGB picture (S, S, 3) at the sheet's panel size."""
    import cv2

    return cv2.resize(image, (PANEL, PANEL), interpolation=cv2.INTER_CUBIC)


def iuv_picture(mesh: np.ndarray, cam: np.ndarray, assets: BodyAssets) -> np.ndarray:
    """The prediction's IUV map in colour."""
    front, _ = front_and_side(mesh, cam, PANEL)
    part, uv = render_iuv(front, camera_matrix(PANEL), PANEL, Atlas.from_assets(assets))
    return colour_iuv(part, uv[..., 0], uv[..., 1])


def mesh_pictures(
    picture: np.ndarray, mesh: np.ndarray, cam: np.ndarray, assets: BodyAssets, colour: tuple
) -> list[np.ndarray]:
    """The mesh over the image and from the side on white."""
    front, side = front_and_side(mesh, cam, PANEL)
    k = camera_matrix(PANEL)
    blank = np.full_like(picture, 255)
    return [overlay_mesh(picture, front, assets.faces, k, colour),
            overlay_mesh(blank, side, assets.faces, k, colour)]  # fmt: skip


def write_png(path: Path, image: np.ndarray) -> None:
    """Write an RGB picture as PNG whatever the file's suffix."""
    import cv2

    path.write_bytes(cv2.imencode(".png", image[..., ::-1])[1].tobytes())
