"""Shipped mesh files: the pyramid of coarser meshes and the atlas of surface charts."""

from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import scipy.io
import scipy.sparse as sp

from pipeline.body.levels import Level
from pipeline.body.pickles import read_npz
from pipeline.errors import InputError


def read_levels(path: Path, faces: np.ndarray) -> list[Level]:
    """Return the coarser meshes of a `mesh_downsampling.npz`, each relative to the one before.

    The down-sampling matrices hold a single one per row: they select vertices, and only the
    selection is kept.

    Args:
        path: the file; entries other than U, D and F are not touched.
        faces: (F, 3) of the full mesh, which the file's first level must have.

    Raises:
        InputError: if the sizes do not follow from each other, or D does not select vertices.
    """
    arrays = read_npz(path, ("U", "D", "F"))
    ups, downs, triangles = (list(arrays[key]) for key in ("U", "D", "F"))
    if len(ups) != len(downs) or len(triangles) != len(downs) + 1:
        raise InputError(path, "U, D, F", f"{len(ups)}, {len(downs)}, {len(triangles)} entries",
                         "one U and D per step, one F per level")  # fmt: skip
    if not np.array_equal(np.sort(triangles[0], axis=None), np.sort(faces, axis=None)):
        raise InputError(path, "F[0]", f"{triangles[0].shape} faces of another mesh",
                         "the faces of the body model")  # fmt: skip
    levels, size = [], int(faces.max()) + 1
    for step, (up, down) in enumerate(zip(ups, downs, strict=True)):
        down, up = sp.csr_matrix(down), sp.csr_matrix(up).astype(np.float64)
        one_hot = (np.diff(down.indptr) == 1).all() and np.allclose(down.data, 1)
        if not one_hot or down.shape[1] != size:
            raise InputError(path, f"D[{step}]", f"a {down.shape} matrix",
                             f"a selection of {size} vertices, one 1 per row")  # fmt: skip
        if up.shape != down.shape[::-1]:
            raise InputError(path, f"U[{step}]", f"a {up.shape} matrix", down.shape[::-1])
        size = down.shape[0]
        coarse = np.asarray(triangles[step + 1]).astype(np.int64)
        if coarse.min() < 0 or coarse.max() >= size:
            raise InputError(path, f"F[{step + 1}]", f"vertex {coarse.max()}", f"below {size}")
        levels.append(Level(down.indices.astype(np.int64), coarse, up))
    return levels


def read_atlas(path: Path, faces: np.ndarray) -> dict[str, np.ndarray]:
    """Return chart and chart coordinates of every face of the body model.

    The file numbers its own vertices, one per chart that a body vertex takes part in, and lacks
    a few faces of SMPL; those take the chart of their neighbours.

    Args:
        path: `UV_Processed.mat`, all ids in it one-based.
        faces: (F, 3) of the body model.

    Returns:
        part (F,) uint8 1 to 24; uv (F, 3, 2) float32 in [0, 1], per corner of `faces`.

    Raises:
        InputError: if an entry is missing or its content cannot belong to this body.
    """
    parts, triangles, body_ids, uv = _read_mat(path, int(faces.max()) + 1)
    part = np.zeros(len(faces), np.uint8)
    corners = np.zeros((len(faces), 3, 2), np.float32)
    by_key = {tuple(sorted(body_ids[face])): i for i, face in enumerate(triangles)}
    missing = []
    for i, face in enumerate(faces):
        found = by_key.get(tuple(sorted(face)))
        if found is None:
            missing.append(i)
            continue
        place = {body_ids[vertex]: uv[vertex] for vertex in triangles[found]}
        part[i] = parts[found]
        corners[i] = [place[vertex] for vertex in face]
    if len(missing) > len(faces) // 100:
        raise InputError(path, "All_Faces", f"{len(missing)} faces of the body model missing",
                         "a chart for at least 99 % of them")  # fmt: skip
    _fill(missing, faces, part, corners)
    return {"part": part, "uv": corners}


def _fill(missing: list[int], faces: np.ndarray, part: np.ndarray, corners: np.ndarray) -> None:
    """Give faces without a chart the one most of their corners are in, in place."""
    charts: dict[int, Counter] = defaultdict(Counter)
    place: dict[tuple[int, int], np.ndarray] = {}
    around = np.isin(faces, faces[missing]).any(1) & (part > 0)
    for i in np.flatnonzero(around):
        for vertex, point in zip(faces[i], corners[i], strict=True):
            charts[vertex][int(part[i])] += 1
            place[vertex, int(part[i])] = point
    for i in missing:
        chart = sum((charts[vertex] for vertex in faces[i]), Counter()).most_common(1)[0][0]
        known = [place.get((vertex, chart)) for vertex in faces[i]]
        middle = np.mean([point for point in known if point is not None], axis=0)
        part[i] = chart
        corners[i] = [middle if point is None else point for point in known]


def _read_mat(path: Path, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return charts (f,), faces (f, 3), body vertex ids (a,) and uv (a, 2), zero-based."""
    keys = ("All_FaceIndices", "All_Faces", "All_vertices", "All_U_norm", "All_V_norm")
    try:
        mat = scipy.io.loadmat(path, variable_names=keys)
    except Exception as error:  # damaged bytes can end in any of them
        raise InputError(path, "", f"damaged content ({error})", "DensePose's file") from error
    absent = [key for key in keys if key not in mat]
    if absent:
        raise InputError(path, absent[0], "no such entry", "DensePose's UV_Processed.mat")
    parts, faces, ids, u, v = (mat[key] for key in keys)
    parts, ids = parts.ravel().astype(np.int64), ids.ravel().astype(np.int64) - 1
    faces = faces.astype(np.int64) - 1
    uv = np.stack([u.ravel(), v.ravel()], 1)
    limits = {
        "All_FaceIndices": (parts, 1, 24),
        "All_Faces": (faces, 0, len(ids) - 1),
        "All_vertices": (ids, 0, count - 1),
        "All_U_norm": (uv, 0, 1),
    }
    for key, (values, low, high) in limits.items():
        if not (values.min() >= low and values.max() <= high):
            raise InputError(path, key, f"values {values.min()} to {values.max()}",
                             f"{low} to {high} (after taking off the first number)")  # fmt: skip
    return parts, faces, ids, uv
