"""Pictures for people: meshes and skeletons over photographs, coloured parts, sheets."""

import colorsys
from collections.abc import Sequence

import cv2
import numpy as np

from pipeline.joints import JOINT_SETS
from pipeline.rendering.rasterizer import interpolate, rasterize, vertex_normals

LEFT, RIGHT, CENTRE = (255, 128, 0), (0, 112, 255), (60, 180, 75)
_LIMBS = [
    ("shoulder", "elbow"), ("elbow", "wrist"), ("wrist", "hand"),
    ("hip", "knee"), ("knee", "ankle"), ("ankle", "foot"),
]  # fmt: skip
# Each chain is walked along those of its joints that the set has.
_CHAINS = [
    ("pelvis", "spine1", "spine2", "spine", "spine3", "neck", "head"),
    ("neck", "thorax", "jaw", "head", "head_top"),
    ("l_hip", "pelvis", "r_hip"),
    ("neck", "l_collar", "l_shoulder"),
    ("neck", "r_collar", "r_shoulder"),
    ("l_ear", "l_eye", "nose", "r_eye", "r_ear"),
    *(
        ("wrist", *(f"{finger}{k}" for k in (1, 2, 3, 4)))
        for finger in ("thumb", "index", "middle", "ring", "pinky")
    ),
]
_FALLBACKS = [("l_shoulder", "r_shoulder"), ("l_hip", "r_hip"),
              ("l_shoulder", "l_hip"), ("r_shoulder", "r_hip")]  # fmt: skip
_SUFFIXES = ("_lsp", "_h36m", "_mpii", "_op", "_mpi", "_coco", "_smpl")


def _plain_names(joint_set: str, shown: np.ndarray | None) -> dict[str, int]:
    """Return joint name without its definition's suffix -> index; the first one shown counts."""
    names: dict[str, int] = {}
    for index, name in enumerate(JOINT_SETS[joint_set]):
        for suffix in _SUFFIXES:
            name = name.removesuffix(suffix)
        if name not in names or (shown is not None and shown[index] > shown[names[name]]):
            names[name] = index
    return names


def skeleton_edges(joint_set: str, shown: np.ndarray | None = None) -> list[tuple[int, int]]:
    """Return the bones of a joint set as pairs of indices, found by the joints' names.

    Args:
        joint_set: key of `joints.JOINT_SETS`.
        shown: (J,) bool; of a joint that the set marks twice, such as SPIN's 49, one of these.
    """
    names = _plain_names(joint_set, shown)
    pairs = [(f"{side}_{a}", f"{side}_{b}") for a, b in _LIMBS for side in "lr"]
    for chain in _CHAINS:
        present = [name for name in chain if name in names]
        pairs += zip(present, present[1:], strict=False)
    if "pelvis" not in names or "neck" not in names:
        pairs += _FALLBACKS
    found = [(names[a], names[b]) for a, b in pairs if a in names and b in names]
    return list(dict.fromkeys(found))


def draw_skeleton(
    image: np.ndarray, joints: np.ndarray, joint_set: str, confidence: np.ndarray | None = None
) -> np.ndarray:
    """Return the picture with bones and joints: left orange, right blue, middle green.

    Args:
        image: (H, W, 3) uint8 RGB.
        joints: (J, 2) continuous pixels.
        joint_set: key of `joints.JOINT_SETS`.
        confidence: (J,); joints with 0 are left out.
    """
    out, names = image.copy(), JOINT_SETS[joint_set]
    shown = np.isfinite(joints).all(1)
    if confidence is not None:
        shown &= np.asarray(confidence) > 0
    # sub-pixel positions: cv2 counts in 1/16 pixel and puts 0 at the first pixel's centre
    at = np.round(np.clip(np.nan_to_num(joints) - 0.5, -4096, 8192) * 16).astype(int)
    thick = max(1, round(max(image.shape[:2]) / 160))
    for a, b in skeleton_edges(joint_set, shown):
        if shown[a] and shown[b]:
            colour = _side_colour(names[a], names[b])
            cv2.line(out, at[a].tolist(), at[b].tolist(), colour, thick, cv2.LINE_AA, 4)
    for k in np.flatnonzero(shown):
        cv2.circle(
            out, at[k].tolist(), 16 * (thick + 1), _side_colour(names[k]), -1, cv2.LINE_AA, 4
        )
    return out


def _side_colour(*names: str) -> tuple[int, int, int]:
    """Return the colour of what joins the named joints."""
    sides = {name[0] if name[1] == "_" else "" for name in names} - {""}
    return CENTRE if len(sides) != 1 else LEFT if sides == {"l"} else RIGHT


def overlay_mesh(
    image: np.ndarray,
    vertices_cam: np.ndarray,
    faces: np.ndarray,
    K: np.ndarray,
    color: tuple[float, float, float] = (200, 190, 230),
    opacity: float = 0.9,
) -> np.ndarray:
    """Return the picture with a shaded mesh over it.

    Args:
        image: (H, W, 3) uint8 RGB.
        vertices_cam: (V, 3) camera frame, metres.
        faces: (F, 3).
        K: (3, 3) intrinsics of this picture, without skew.
        color: RGB of the surface in white light.
        opacity: 1 hides what is behind.
    """
    vertices = np.ascontiguousarray(vertices_cam, dtype=np.float32)
    faces = np.ascontiguousarray(faces, dtype=np.int32)
    height, width = image.shape[:2]
    fine = np.diag([2.0, 2.0, 1.0]) @ np.asarray(K, float)
    raster = rasterize(vertices, faces, fine, 2 * height, 2 * width)
    normals = np.empty_like(vertices)
    vertex_normals(vertices, faces, normals)
    shading = np.zeros((2 * height, 2 * width, 3), np.float32)
    interpolate(raster.face_id, raster.bary, faces, normals, shading)
    light = np.array([0.3, -0.5, -0.81], np.float32)  # over the viewer's shoulder
    bright = 0.45 + 0.55 * np.clip(shading @ light, 0, 1)
    layer = np.dstack([bright, raster.face_id >= 0]).astype(np.float32)
    layer[..., 0] *= layer[..., 1]
    bright, cover = np.moveaxis(
        cv2.resize(layer, (width, height), interpolation=cv2.INTER_AREA), 2, 0
    )
    out = image * (1 - opacity * cover[..., None]) + opacity * bright[..., None] * np.array(color)
    return np.clip(np.round(out), 0, 255).astype(np.uint8)


def part_palette() -> np.ndarray:
    """Return (25, 3) uint8 colours of background and the 24 parts."""
    hues = (np.arange(24) * 0.381966) % 1.0  # golden ratio: neighbours far apart
    colours = [colorsys.hsv_to_rgb(hue, 0.55 + 0.35 * (k % 2), 0.95) for k, hue in enumerate(hues)]
    return np.vstack([np.zeros(3), np.array(colours) * 255]).astype(np.uint8)


def colour_iuv(part: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return (H, W, 3) uint8: a hue per part, brighter along U and greyer along V.

    Args:
        part: (H, W) 0..24.
        u: (H, W) in 0..1.
        v: (H, W) in 0..1.
    """
    colour = part_palette()[part].astype(np.float32)
    colour *= (0.45 + 0.55 * u)[..., None]
    colour += (v * 0.35 * (part > 0))[..., None] * (128 - colour)
    return np.clip(colour, 0, 255).astype(np.uint8)


def sheet(
    images: Sequence[np.ndarray], columns: int, labels: Sequence[str] | None = None
) -> np.ndarray:
    """Return pictures side by side, each with a small caption.

    Args:
        images: (H, W, 3) uint8 RGB, of any sizes; cells take the largest.
        columns: pictures per row.
        labels: one per picture, cut to its width; empty ones leave no caption.
    """
    height = max(image.shape[0] for image in images)
    width = max(image.shape[1] for image in images)
    rows = -(-len(images) // columns)
    out = np.full((rows * height, columns * width, 3), 255, np.uint8)
    for k, image in enumerate(images):
        top, left = k // columns * height, k % columns * width
        out[top : top + image.shape[0], left : left + image.shape[1]] = image
        if labels is not None and labels[k]:
            cell = out[top : top + height, left : left + width]
            _caption(cell, labels[k])
    return out


def _caption(cell: np.ndarray, text: str) -> None:
    """Write on a dark band of a picture, leaving out the middle of a text that is too long."""
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, 0.35
    shown, cut = text, 0
    while cut < len(text) and cv2.getTextSize(shown, font, scale, 1)[0][0] > cell.shape[1] - 8:
        cut += 1
        keep = len(text) - cut
        shown = f"{text[: keep // 3]}..{text[len(text) - (keep - keep // 3) :]}"
    width = cv2.getTextSize(shown, font, scale, 1)[0][0]
    cell[:16, : width + 8] //= 3
    cv2.putText(cell, shown, (4, 12), font, scale, (255, 255, 255), 1, cv2.LINE_AA)
