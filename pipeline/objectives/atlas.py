"""What becomes of an IUV map when the image is mirrored, read off the body's own atlas."""

import numpy as np

from pipeline.body.assets import BodyAssets
from pipeline.body.parts import flip_parts24, mirror_vertices

TOLERANCE = 0.02  # of u and v
SHARE = 0.99  # of a chart's faces that have to agree


def atlas_flip(assets: BodyAssets) -> tuple[np.ndarray, np.ndarray] | None:
    """Return how charts mirror, or None if the atlas does not mirror onto itself.

    The open atlas does. DensePose's does not: its mirrored samples go without IUV.

    Returns:
        (25,) the chart that each chart becomes, (25,) bool whether its u becomes 1 - u.
    """
    mirror = mirror_vertices(assets.models["neutral"].v_template)
    if mirror is None:
        return None
    faces, part, uv = assets.faces, assets.atlas["part"], assets.atlas["uv"]
    partner, swap = _partners(faces, mirror), flip_parts24()
    if (partner < 0).any() or (swap[part] != part[partner]).any():
        return None
    # Corners of a face and of its partner in the same order: that of the partner's vertex ids.
    here = np.take_along_axis(uv, np.argsort(mirror[faces], 1)[..., None], 1)
    there = np.take_along_axis(uv[partner], np.argsort(faces[partner], 1)[..., None], 1)
    turned = np.stack([1 - here[..., 0], here[..., 1]], -1)
    kept, reversed_u = (np.abs(there - uv).max((1, 2)) < TOLERANCE for uv in (here, turned))
    mirror_u = np.zeros(len(swap), bool)
    for chart in np.unique(part):
        rows = part == chart
        mirror_u[chart] = reversed_u[rows].mean() > SHARE
        if not mirror_u[chart] and kept[rows].mean() <= SHARE:
            return None
    return swap, mirror_u


def _partners(faces: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Return the face that each face becomes in the mirror, (F,); -1 where there is none."""
    base = np.int64(faces.max() + 1)

    def key(corners: np.ndarray) -> np.ndarray:
        a, b, c = np.sort(corners.astype(np.int64), 1).T
        return (a * base + b) * base + c

    own = key(faces)
    order = np.argsort(own)
    wanted = key(mirror[faces])
    place = np.minimum(np.searchsorted(own[order], wanted), len(own) - 1)
    return np.where(own[order][place] == wanted, order[place], -1)
