"""Everything that is known about the body in one plain file, made once from the official ones.

Verb `body`. Nothing downstream opens an official file: this one holds arrays only, in the
project's own orders, and says in `notes` and `computed` how it came about.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from pipeline.body import official, parts
from pipeline.body.asset_file import (
    FACE_VERTICES,
    BodyAssets,
    load_assets,
    load_smplh,
    save_assets,
)
from pipeline.body.levels import Level, build_levels
from pipeline.body.meshes import read_atlas, read_levels
from pipeline.body.part_of import HAND_LEVELS
from pipeline.body.smpl import BodyModel
from pipeline.errors import InputError

__all__ = [
    "FACE_VERTICES", "BodyAssets", "add_arguments", "collect", "load_assets",
    "load_smplh", "main", "save_assets",
]  # fmt: skip
GENDERS = ("neutral", "male", "female")  # by their code in the records


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb `body`."""
    parser.add_argument("--raw", type=Path, required=True, help="folder with smpl/ and mano/")
    parser.add_argument("--settings", type=json.loads, required=True, help="levels, num_betas")
    parser.add_argument("--out", type=Path, required=True, help="the .npz to write")


def main(args: argparse.Namespace) -> None:
    """Run the verb `body`."""
    assets = collect(args.raw, **_checked(args.settings))
    save_assets(args.out, assets, read_smplh(args.raw))
    print(f"levels {[len(ids) for ids in assets.levels]}, models {', '.join(assets.models)}")
    for what, note in assets.notes.items():
        print(f"{what}: {note}")
    print(f"computed: {', '.join(assets.computed)}")


def collect(raw: Path, levels: list[int], num_betas: int) -> BodyAssets:
    """Read the official files and compute what nobody ships.

    Args:
        raw: folder with `smpl/` and `mano/`, names as their owners give them.
        levels: vertex counts below 6,890, decreasing.
        num_betas: shape directions to keep.

    Raises:
        InputError: if a file that cannot be computed is missing, or one is not what it has
            to be.
    """
    needed = ("neutral", "h36m", "coco", "extra", "mean", "atlas")
    files = {what: official.require(raw, what) for what in needed}  # before anything is read
    notes: dict[str, str] = {}
    models = _read_models(raw, num_betas, notes)
    body = models["neutral"]
    hand_models, hands_mean = _read_hands(raw, num_betas, notes)
    regressor, notes["J_regressor_h36m"] = official.read_h36m_regressor(
        files["h36m"], body.v_template
    )
    mirror = parts.mirror_vertices(body.v_template)
    ids, faces, upsample, computed = _pyramid(raw, "levels", body, levels, mirror)
    hand: tuple = ([], [], [], [])
    if "right" in hand_models:
        hand = _pyramid(raw, "mano_levels", hand_models["right"], list(HAND_LEVELS), None)
    atlas = read_atlas(files["atlas"], body.faces)
    return BodyAssets(
        models=models,
        J_regressor_h36m=regressor,
        J_regressor_coco=official.read_coco_regressor(files["coco"], body.v_template),
        J_regressor_extra=official.read_extra_regressor(files["extra"], body.v_template),
        levels=ids,
        upsample=upsample,
        level_faces=faces,
        mean=official.read_mean(files["mean"]),
        atlas=atlas,
        parts6=parts.face_parts6(body.lbs_weights, body.faces),
        parts14=parts.merge_charts()[atlas["part"]],
        parts24_smpl=parts.vertex_segments(body.lbs_weights),
        hands=hand_models,
        hands_mean=hands_mean,
        hand_levels=hand[0],
        hand_level_faces=hand[1],
        hand_upsample=hand[2],
        smplh=tuple(_find_smplh(raw, notes)),
        notes=notes,
        computed=(
            *(f"level {count}" for count in computed),
            *(f"hand level {count}" for count in hand[3]),
            "parts6", "parts14", "parts24_smpl",
        ),
    )  # fmt: skip


def read_smplh(raw: Path) -> dict[str, BodyModel]:
    """Return the SMPL+H models whose files are there, by gender.

    Raises:
        InputError: if a file is not what it has to be.
    """
    return {gender: official.read_smplh(path) for gender, path in _find_smplh(raw, {}).items()}


def _find_smplh(raw: Path, notes: dict[str, str]) -> dict[str, Path]:
    found = {gender: official.find(raw, f"smplh_{gender}") for gender in GENDERS}
    for gender, path in found.items():
        notes[f"smplh_{gender}"] = path.relative_to(raw).as_posix() if path else "absent"
    return {gender: path for gender, path in found.items() if path}


def _read_models(raw: Path, num_betas: int, notes: dict[str, str]) -> dict[str, BodyModel]:
    models = {}
    for gender in GENDERS:
        path = official.find(raw, gender)
        notes[gender] = path.name if path else "absent"
        if path:
            models[gender] = official.read_smpl(path, num_betas)
    return models


def _read_hands(
    raw: Path, num_betas: int, notes: dict[str, str]
) -> tuple[dict[str, BodyModel], dict[str, np.ndarray]]:
    models, means = {}, {}
    for side in ("right", "left"):
        path = official.find(raw, f"mano_{side}")
        notes[f"mano_{side}"] = path.name if path else "absent"
        if path:
            models[side], means[side] = official.read_mano(path, num_betas)
    if len(models) == 2:
        left = official.fix_left_hand(models["left"], models["right"])
        if left is not models["left"]:
            notes["mano_left"] += ", sign of the x components of shapedirs corrected"
            models["left"] = left
    return models, means


def _pyramid(
    raw: Path, what: str, model: BodyModel, counts: list[int], mirror: np.ndarray | None
) -> tuple[list[np.ndarray], list[np.ndarray], list, list[int]]:
    """Return ids, faces and matrices of all levels, and the counts that had to be computed.

    Args:
        raw: folder of the official files.
        what: kind of the file that ships levels; they are taken as far as they fit.
        model: the full mesh.
        counts: vertices of the levels below it.
        mirror: (V,) each vertex's mirror image, for symmetric levels.
    """
    path = official.find(raw, what)
    shipped = read_levels(path, model.faces) if path else []
    taken: list[Level] = []
    for level, count in zip(shipped, counts, strict=False):
        if len(level.ids) != count:
            break
        taken.append(level)
    missing = counts[len(taken) :]
    ids = [np.arange(len(model.v_template))]
    for level in taken:
        ids.append(ids[-1][level.ids])
    if missing:
        faces = taken[-1].faces if taken else model.faces
        pairs = _restrict(mirror, ids[-1])
        computed = build_levels(model.v_template[ids[-1]], faces, missing, mirror=pairs)
        for level in computed:
            ids.append(ids[-1][level.ids])
        taken += computed
    faces = [model.faces, *(level.faces for level in taken)]
    return ids, faces, [level.upsample for level in taken], missing


def _restrict(mirror: np.ndarray | None, ids: np.ndarray) -> np.ndarray | None:
    """Return the mirror pairs among `ids`, numbered within them; None if one has no partner."""
    if mirror is None:
        return None
    place = np.full(len(mirror), -1)
    place[ids] = np.arange(len(ids))
    pairs = place[mirror[ids]]
    return None if (pairs < 0).any() else pairs


def _checked(settings: dict) -> dict:
    """Return the settings of the verb.

    Raises:
        InputError: if a key is missing, unknown, or its value cannot be.
    """
    if set(settings) != {"levels", "num_betas"}:
        raise InputError("--settings", "", ", ".join(sorted(settings)), "levels, num_betas")
    levels, betas = settings["levels"], settings["num_betas"]
    sizes = [official.SMPL_VERTICES, *levels]
    if any(b >= a or b < 4 for a, b in zip(sizes, sizes[1:], strict=False)):
        raise InputError("--settings", "levels", levels, "decreasing counts below 6890")
    if not 1 <= betas <= 300:
        raise InputError("--settings", "num_betas", betas, "1 to 300")
    return settings
