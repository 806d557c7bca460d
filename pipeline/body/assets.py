"""Everything that is known about the body in one plain file, made once from the official ones.

Verb `body`. Nothing downstream opens an official file: this one holds arrays only, in the
project's own orders, and says in `notes` and `computed` how it came about.
"""

import argparse
import json
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from pipeline.body import official, parts
from pipeline.body.joints_from_body import JointsFromBody, regress, with_required
from pipeline.body.levels import Level, build_levels
from pipeline.body.meshes import read_atlas, read_levels
from pipeline.body.smpl import BodyModel
from pipeline.errors import InputError
from pipeline.files import atomic

__all__ = [
    "BodyAssets", "JointsFromBody", "add_arguments", "collect", "load_assets", "main", "regress",
    "save_assets", "with_required",
]  # fmt: skip
GENDERS = ("neutral", "male", "female")  # by their code in the records
# Vertices of smplx's face, feet and finger tip joints: joints 24 to 44 of `smplx45`.
FACE_VERTICES = (
    332, 6260, 2800, 4071, 583, 3216, 3226, 3387, 6617, 6624, 6787,
    2746, 2319, 2445, 2556, 2673, 6191, 5782, 5905, 6016, 6133,
)  # fmt: skip
# Finger tips of MANO, thumb to pinky, as FreiHAND's own evaluation takes them.
HAND_TIPS = (744, 320, 443, 555, 672)
_VERSION = 1
_CSR = ("data", "indices", "indptr")
_PLAIN = (
    "J_regressor_h36m", "J_regressor_coco", "J_regressor_extra",
    "parts6", "parts14", "parts24_smpl",
)  # fmt: skip
_MODEL = tuple(field.name for field in fields(BodyModel))


@dataclass(frozen=True)
class BodyAssets:
    """The body: models, joints, meshes and parts. V = 6890, F = 13776."""

    models: dict[str, BodyModel]  # "neutral" always; "male", "female" where the files are there
    J_regressor_h36m: np.ndarray  # (17, V) h36m17: right leg first
    J_regressor_coco: np.ndarray  # (17, V) coco17
    J_regressor_extra: np.ndarray  # (9, V) the last nine of spin54
    levels: list[np.ndarray]  # vertex ids of each resolution in the full mesh, finest first
    upsample: list[sp.csr_matrix]  # [k]: level k + 1 -> level k
    level_faces: list[np.ndarray]  # (f, 3) into the level's own vertices
    mean: dict[str, np.ndarray]  # pose6d (144,), betas (10,), cam (3,)
    atlas: dict[str, np.ndarray]  # part (F,) uint8 1..24, uv (F, 3, 2) float32
    parts6: np.ndarray  # (F,) uint8 1..6, names in parts.PARTS6
    parts14: np.ndarray  # (F,) uint8 1..14, names in parts.PARTS14
    parts24_smpl: np.ndarray  # (V,) uint8, the joint that moves the vertex most
    hands: dict[str, BodyModel]  # "right", "left" where the MANO files are there
    hands_mean: dict[str, np.ndarray]  # (45,) axis-angle
    notes: dict[str, str]  # where each array comes from
    computed: tuple[str, ...]  # what no file was shipped for

    @property
    def faces(self) -> np.ndarray:
        """Triangles of the full mesh, (F, 3) int64."""
        return self.models["neutral"].faces

    @property
    def face_vertices(self) -> np.ndarray:
        """Vertex ids of joints 24 to 44 of `smplx45`, (21,) int64."""
        return np.array(FACE_VERTICES, dtype=np.int64)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb `body`."""
    parser.add_argument("--raw", type=Path, required=True, help="folder with smpl/ and mano/")
    parser.add_argument("--settings", type=json.loads, required=True, help="levels, num_betas")
    parser.add_argument("--out", type=Path, required=True, help="the .npz to write")


def main(args: argparse.Namespace) -> None:
    """Run the verb `body`."""
    assets = collect(args.raw, **_checked(args.settings))
    save_assets(args.out, assets)
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
    hands, hands_mean = _read_hands(raw, num_betas, notes)
    regressor, notes["J_regressor_h36m"] = official.read_h36m_regressor(
        files["h36m"], body.v_template
    )
    pyramid, computed = _pyramid(raw, body, levels)
    ids = [np.arange(len(body.v_template))]
    for level in pyramid:
        ids.append(ids[-1][level.ids])
    atlas = read_atlas(files["atlas"], body.faces)
    return BodyAssets(
        models=models,
        J_regressor_h36m=regressor,
        J_regressor_coco=official.read_coco_regressor(files["coco"], body.v_template),
        J_regressor_extra=official.read_extra_regressor(files["extra"], body.v_template),
        levels=ids,
        upsample=[level.upsample for level in pyramid],
        level_faces=[body.faces, *(level.faces for level in pyramid)],
        mean=official.read_mean(files["mean"]),
        atlas=atlas,
        parts6=parts.face_parts6(body.lbs_weights, body.faces),
        parts14=parts.merge_charts()[atlas["part"]],
        parts24_smpl=parts.vertex_segments(body.lbs_weights),
        hands=hands,
        hands_mean=hands_mean,
        notes=notes,
        computed=(*computed, "parts6", "parts14", "parts24_smpl"),
    )


def save_assets(path: Path, assets: BodyAssets) -> None:
    """Write the asset; equal content gives equal bytes."""
    arrays: dict[str, np.ndarray] = {}
    neutral = vars(assets.models["neutral"])
    for gender, model in assets.models.items():
        for key, array in vars(model).items():
            # Faces, weights and more are often the same for all genders: kept once.
            if gender == "neutral" or not np.array_equal(array, neutral[key]):
                arrays[f"{gender}/{key}"] = array
    for side, model in assets.hands.items():
        arrays |= {f"mano_{side}/{key}": array for key, array in vars(model).items()}
        arrays[f"mano_{side}/hands_mean"] = assets.hands_mean[side]
    for k, (ids, faces) in enumerate(zip(assets.levels, assets.level_faces, strict=True)):
        arrays |= {f"level{k}/ids": ids, f"level{k}/faces": faces}
    for k, matrix in enumerate(assets.upsample):
        arrays |= {f"upsample{k}/{part}": getattr(matrix, part) for part in _CSR}
    for group in ("mean", "atlas"):
        arrays |= {f"{group}/{key}": array for key, array in getattr(assets, group).items()}
    arrays |= {name: getattr(assets, name) for name in _PLAIN}
    meta = {
        "version": _VERSION,
        "models": list(assets.models),
        "hands": list(assets.hands),
        "levels": len(assets.levels),
        "notes": assets.notes,
        "computed": assets.computed,
    }
    arrays["meta"] = np.array(json.dumps(meta, sort_keys=True))
    with atomic(path) as part, open(part, "wb") as file:
        np.savez(file, **arrays)


def load_assets(path: Path | str) -> BodyAssets:
    """Return the asset that the verb `body` wrote.

    Raises:
        InputError: if the file is missing, damaged or of another version.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        meta = json.loads(str(arrays["meta"]))
        if meta["version"] != _VERSION:
            raise InputError(path, "version", meta["version"], f"{_VERSION}: run the verb `body`")
        return _unpack(arrays, meta)
    except FileNotFoundError:
        raise InputError(path, "", "no such file", "the file that the verb `body` makes") from None
    except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise InputError(
            path, "", f"damaged content ({error})", "a file of the verb `body`"
        ) from error


def _unpack(arrays: dict[str, np.ndarray], meta: dict) -> BodyAssets:
    def model(name: str) -> BodyModel:
        shared = {key: arrays[f"neutral/{key}"] for key in _MODEL}
        own = {key: arrays.get(f"{name}/{key}", shared[key]) for key in _MODEL}
        return BodyModel(**own)

    count = meta["levels"]
    levels = [arrays[f"level{k}/ids"] for k in range(count)]
    return BodyAssets(
        models={gender: model(gender) for gender in meta["models"]},
        levels=levels,
        level_faces=[arrays[f"level{k}/faces"] for k in range(count)],
        upsample=[
            sp.csr_matrix(
                tuple(arrays[f"upsample{k}/{part}"] for part in _CSR),
                shape=(len(levels[k]), len(levels[k + 1])),
            )
            for k in range(count - 1)
        ],
        mean={key: arrays[f"mean/{key}"] for key in ("pose6d", "betas", "cam")},
        atlas={key: arrays[f"atlas/{key}"] for key in ("part", "uv")},
        hands={
            side: BodyModel(**{key: arrays[f"mano_{side}/{key}"] for key in _MODEL})
            for side in meta["hands"]
        },
        hands_mean={side: arrays[f"mano_{side}/hands_mean"] for side in meta["hands"]},
        notes=meta["notes"],
        computed=tuple(meta["computed"]),
        **{name: arrays[name] for name in _PLAIN},
    )


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
    hands, means = {}, {}
    for side in ("right", "left"):
        path = official.find(raw, f"mano_{side}")
        notes[f"mano_{side}"] = path.name if path else "absent"
        if path:
            hands[side], means[side] = official.read_mano(path, num_betas)
    if len(hands) == 2:
        left = official.fix_left_hand(hands["left"], hands["right"])
        if left is not hands["left"]:
            notes["mano_left"] += ", sign of the x components of shapedirs corrected"
            hands["left"] = left
    return hands, means


def _pyramid(raw: Path, body: BodyModel, counts: list[int]) -> tuple[list[Level], list[str]]:
    """Return the levels, shipped ones as far as they fit, and what had to be computed."""
    path = official.find(raw, "levels")
    shipped = read_levels(path, body.faces) if path else []
    taken: list[Level] = []
    for level, count in zip(shipped, counts, strict=False):
        if len(level.ids) != count:
            break
        taken.append(level)
    missing = counts[len(taken) :]
    if not missing:
        return taken, []
    ids = np.arange(len(body.v_template))
    for level in taken:
        ids = ids[level.ids]
    faces = taken[-1].faces if taken else body.faces
    mirror = _restrict(parts.mirror_vertices(body.v_template), ids)
    computed = build_levels(body.v_template[ids], faces, missing, mirror=mirror)
    return [*taken, *computed], [f"level {count}" for count in missing]


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
