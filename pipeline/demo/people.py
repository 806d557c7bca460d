"""What people look like: skin, hair, clothes and shoes as colours and thickness per vertex.

Clothes lie over the body as an offset along the normals, so that the outline in the picture is
a dressed person's while the labels stay those of the body underneath.
"""

import colorsys
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from pipeline.demo.canvas import LEFT_EYE, NOSE, Canvas
from pipeline.demo.painter import Mesh, normals_of

SKIN = np.array(
    [
        [255, 219, 190],
        [240, 196, 160],
        [222, 172, 132],
        [190, 138, 98],
        [140, 92, 62],
        [92, 60, 42],
    ],
    float,
)
DRAPE_STEPS = 4


class Look(NamedTuple):
    """One person's appearance over the V vertices of the body."""

    colours: np.ndarray
    """(V, 3) float32 albedo, 0..255."""
    thickness: np.ndarray
    """(V,) float32, metres of hair, cloth or sole over the skin."""
    gloss: np.ndarray
    """(V,) float32, strength of highlights."""
    drape: np.ndarray
    """(V, 1) float32, how far cloth bridges the shape underneath, 0..1."""
    average: sp.csr_matrix
    """(V, V) of the canvas, used to drape."""


def _colour(rng, saturation=0.75, low=0.12, high=0.95) -> np.ndarray:
    """Return an RGB colour in 0..255, often muted, as clothes are."""
    hue, grey = rng.random(), rng.random() < 0.25
    strength = 0.05 if grey else saturation * rng.beta(1.6, 1.6)
    return 255 * np.array(colorsys.hsv_to_rgb(hue, strength, rng.uniform(low, high)))


def _fabric(rng, canvas: Canvas) -> np.ndarray:
    """Return (V, 3) the colours of a piece of cloth: plain, striped, checked, printed."""
    x, y, z = canvas.x, canvas.y, canvas.z
    first, second = _colour(rng), _colour(rng)
    waves = 2 * np.pi / rng.uniform(0.07, 0.16)
    kind = rng.choice(
        ["plain", "rows", "columns", "checks", "spots", "camouflage", "halves"],
        p=[0.42, 0.14, 0.08, 0.12, 0.08, 0.08, 0.08],
    )
    rows, columns = np.sin(waves * y), np.sin(waves * x)
    if kind == "rows":
        mix = rows > rng.uniform(-0.3, 0.6)
    elif kind == "columns":
        mix = np.where(canvas.arms > 0.5, rows, columns) > 0.2
    elif kind == "checks":
        mix = 0.5 * (rows > 0.2) + 0.5 * (columns > 0.2)
    elif kind == "spots":
        mix = rows * columns > 0.45
    elif kind == "camouflage":
        mix = np.sin(17 * x + 3 * np.sin(13 * y)) * np.sin(15 * y + 3 * np.sin(19 * z)) > 0.1
    elif kind == "halves":
        mix = (y > canvas.at("spine3")[1] - 0.05) | (canvas.arms > 0.6)
    else:
        mix = 0 * y
    mix = np.asarray(mix, float)[:, None]
    return first * (1 - mix) + second * mix


def _folds(rng, canvas: Canvas) -> np.ndarray:
    return canvas.folds[rng.integers(len(canvas.folds))]


class _Outfit:
    """Colours, thickness and gloss while they are being put on."""

    def __init__(self, canvas: Canvas, skin: np.ndarray):
        count = len(canvas.vertices)
        self.canvas = canvas
        self.colours = np.tile(skin, (count, 1))
        self.thickness, self.gloss = np.zeros(count), np.full(count, 0.12)
        self.drape = np.zeros(count)

    def wear(self, where, colours, thickness, gloss: float, drape: float = 1.0) -> None:
        """Put a garment over the vertices of a mask (V,)."""
        self.drape[where] = drape
        self.colours[where] = colours[where] if np.ndim(colours) == 2 else colours
        self.thickness[where] = np.broadcast_to(thickness, where.shape)[where]
        self.gloss[where] = gloss


def _trousers(rng, canvas: Canvas, outfit: _Outfit) -> None:
    hip, knee, ankle = (canvas.at(f"l_{joint}")[1] for joint in ("hip", "knee", "ankle"))
    hem = rng.choice(
        [ankle + 0.01, ankle + 0.06, knee - 0.06, knee + 0.1, hip - 0.2],
        p=[0.45, 0.2, 0.1, 0.15, 0.1],
    )
    waist = canvas.at("spine1")[1] + rng.uniform(-0.01, 0.05)
    where = (canvas.y < waist) & (canvas.y > hem) & (canvas.arms < 0.3)
    loose = rng.choice([0.004, 0.01, 0.018])
    flare = loose * rng.uniform(0.3, 1.2) * np.clip((hip - canvas.y) / (hip - ankle), 0, 1)
    plain = rng.random() < 0.85
    colours = _colour(rng, 0.5, 0.08, 0.8) if plain else _fabric(rng, canvas)
    outfit.wear(where, colours, loose + flare + 0.3 * loose * _folds(rng, canvas), 0.03)


def _top(rng, canvas: Canvas, outfit: _Outfit) -> None:
    shoulder, elbow, wrist = (canvas.at(f"l_{j}")[0] for j in ("shoulder", "elbow", "wrist"))
    reach = rng.choice(
        [shoulder - 0.02, 0.5 * (shoulder + elbow), elbow + 0.04, wrist - 0.02],
        p=[0.13, 0.45, 0.1, 0.32],
    )
    hem = canvas.at("spine1")[1] - rng.choice([0.0, 0.08, 0.16], p=[0.3, 0.45, 0.25])
    centre = canvas.at("neck")
    depth = rng.choice([0.0, 0.05, 0.11], p=[0.6, 0.25, 0.15])
    collar = centre[1] - 0.015 - depth * np.clip(1 - canvas.across / 0.08, 0, 1) * (canvas.z > 0)
    where = (canvas.y > hem) & (canvas.across < reach) & ~canvas.head
    where &= (canvas.y < collar) | (canvas.across > 0.09)
    where &= canvas.weight("l_hip", "r_hip", "l_knee", "r_knee") < 0.9
    loose = rng.choice([0.004, 0.009, 0.016, 0.024], p=[0.25, 0.4, 0.25, 0.1])
    belly = 1 + 0.8 * np.clip((canvas.at("spine3")[1] - canvas.y) / 0.3, 0, 1)
    cloth = _fabric(rng, canvas)
    if rng.random() < 0.2:  # a print on the chest
        centre = canvas.at("spine3") + [0, -0.02, 0]
        badge = np.linalg.norm(canvas.vertices[:, :2] - centre[:2], axis=1) < rng.uniform(
            0.05, 0.1
        )
        cloth[badge & (canvas.z > 0)] = _colour(rng)
    if rng.random() < 0.15:  # an open jacket over a shirt
        cloth[(canvas.across < 0.05) & (canvas.z > 0)] = _colour(rng, 0.3, 0.5, 1.0)
    outfit.wear(where, cloth, loose * belly + 0.3 * loose * _folds(rng, canvas), 0.04)


def _shoes(rng, canvas: Canvas, outfit: _Outfit) -> None:
    if rng.random() < 0.08:
        return  # barefoot
    top = canvas.at("l_ankle")[1] + rng.choice([-0.02, 0.03, 0.1], p=[0.55, 0.3, 0.15])
    where = canvas.feet & (canvas.y < top) | (canvas.y < top) & (canvas.across < 0.3)
    where &= canvas.arms < 0.1
    if rng.random() < 0.5:  # socks
        sock = (canvas.y < top + rng.uniform(0.03, 0.12)) & (canvas.arms < 0.1)
        outfit.wear(sock & (outfit.thickness == 0), _colour(rng, 0.4, 0.3, 1.0), 0.003, 0.02)
    outfit.wear(where, _colour(rng, 0.6, 0.05, 0.95), 0.007, 0.15)
    sole = where & (canvas.y < canvas.y[where].min() + 0.012)
    outfit.wear(sole, _colour(rng, 0.2, 0.1, 1.0), 0.004, 0.05)


def _face(rng, canvas: Canvas, outfit: _Outfit, skin: np.ndarray, hair: np.ndarray) -> None:
    """Tint lips, eyes and brows, and a beard for some."""
    beard = rng.uniform(0.4, 0.9) if rng.random() < canvas.beards else 0.0
    for name, strength, colour in (
        ("blush", 0.25, skin * [1.05, 0.82, 0.8]),
        ("lips", 0.6, skin * [0.85, 0.55, 0.55]),
        ("beard", beard, hair),
        ("iris", 0.9, np.array([45, 34, 30])),
        ("brows", 0.8, 0.6 * hair),
    ):
        amount = strength * canvas.features[name]
        outfit.colours[:] = outfit.colours * (1 - amount) + colour * amount


def _hair(rng, canvas: Canvas, outfit: _Outfit, colour: np.ndarray) -> None:
    """Cover the scalp: cropped, short, full, long down the neck, a cap, or nothing."""
    style = rng.choice(
        ["bald", "cropped", "short", "full", "long", "cap"], p=[0.06, 0.18, 0.3, 0.2, 0.16, 0.1]
    )
    if style == "bald":
        return
    nose, top = canvas.vertices[NOSE], canvas.y[canvas.head].max()
    eye = canvas.vertices[LEFT_EYE]
    back = nose[2] - canvas.z  # metres behind the tip of the nose
    line = nose[1] + 0.092 + rng.uniform(-0.012, 0.012)  # hairline above the forehead
    low = {"cropped": 0.0, "short": -0.03, "full": -0.055, "long": -0.2, "cap": 0.03}[style]
    nape = np.interp(
        back, [0.035, 0.075, 0.11, 0.15], [line, eye[1] + 0.01, nose[1], nose[1] + low]
    )
    where = (canvas.head | (canvas.neck & (style == "long"))) & (canvas.y > nape)
    where &= canvas.y > nose[1] - 0.25
    height = np.clip((canvas.y - nose[1]) / (top - nose[1]), 0, 1)
    depth = {"cropped": 0.004, "short": 0.014, "full": 0.028, "long": 0.026, "cap": 0.018}[style]
    depth = depth * rng.uniform(0.8, 1.25)
    thickness = depth * (0.75 + 0.35 * height) * (1 + 0.15 * _folds(rng, canvas))
    streak = 1 + 0.12 * np.sin(140 * canvas.x + 40 * canvas.z + rng.uniform(0, 6))
    shade = _colour(rng) if style == "cap" else colour * streak[:, None]
    outfit.wear(where, shade, thickness, 0.05 if style == "cap" else 0.22, 0.5)


def _hair_colour(rng) -> np.ndarray:
    base = np.array([[28, 22, 20], [58, 38, 26], [96, 64, 40], [150, 108, 60], [205, 170, 110]])
    if rng.random() < 0.12:
        return np.full(3, rng.uniform(120, 210))  # grey
    return base[rng.choice(5, p=[0.34, 0.26, 0.2, 0.12, 0.08])] * rng.uniform(0.8, 1.2)


def draw_look(rng: np.random.Generator, canvas: Canvas) -> Look:
    """Return a random appearance.

    Args:
        rng: all of the choice.
        canvas: the measured template of the person's gender.
    """
    at = rng.uniform(0, len(SKIN) - 1)
    low = int(at)
    skin = SKIN[low] + (at - low) * (SKIN[min(low + 1, len(SKIN) - 1)] - SKIN[low])
    hair = _hair_colour(rng)
    outfit = _Outfit(canvas, skin)
    _face(rng, canvas, outfit, skin, hair)
    tucked = rng.random() < 0.25
    for garment in (_top, _trousers) if tucked else (_trousers, _top):
        garment(rng, canvas, outfit)
    _shoes(rng, canvas, outfit)
    _hair(rng, canvas, outfit, hair)
    thickness = np.where(canvas.hands, 0, canvas.smooth(outfit.thickness, 2))
    return Look(
        np.ascontiguousarray(np.clip(outfit.colours, 0, 255), dtype=np.float32),
        thickness.astype(np.float32),
        outfit.gloss.astype(np.float32),
        canvas.smooth(outfit.drape)[:, None].astype(np.float32),
        canvas.average,
    )


def dress(vertices: np.ndarray, faces: np.ndarray, look: Look) -> Mesh:
    """Return the dressed body.

    Args:
        vertices: (V, 3) float32 of the body, any frame, metres.
        faces: (F, 3) int32.
        look: the person's appearance.
    """
    soft = vertices
    for _ in range(DRAPE_STEPS):
        soft = soft + look.drape * (look.average @ soft - soft)
    thick = soft + look.thickness[:, None] * normals_of(soft, faces)
    return Mesh(thick.astype(np.float32), faces, look.colours, look.gloss)
