"""The body asset: what it holds, and the one plain file that holds it."""

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from pipeline.body.hands import HandModel
from pipeline.body.smpl import BodyModel
from pipeline.errors import InputError
from pipeline.files import atomic

# Vertices of smplx's face, feet and finger tip joints: joints 24 to 44 of `smplx45`.
FACE_VERTICES = (
    332, 6260, 2800, 4071, 583, 3216, 3226, 3387, 6617, 6624, 6787,
    2746, 2319, 2445, 2556, 2673, 6191, 5782, 5905, 6016, 6133,
)  # fmt: skip
_VERSION = 2
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
    hand_levels: list[np.ndarray]  # as levels, of the right hand: 778, 195, 49; [] without hands
    hand_upsample: list[sp.csr_matrix]
    hand_level_faces: list[np.ndarray]
    smplh: tuple[str, ...]  # genders whose SMPL+H model the file holds: `load_smplh`
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

    @property
    def hand_models(self) -> dict[str, HandModel]:
        """The hands with their mean poses, by side."""
        return {side: HandModel(hand, self.hands_mean[side]) for side, hand in self.hands.items()}


def save_assets(
    path: Path, assets: BodyAssets, smplh: Mapping[str, BodyModel] | None = None
) -> None:
    """Write the asset; equal content gives equal bytes.

    Args:
        path: the `.npz`.
        assets: everything but the SMPL+H models.
        smplh: the models of `assets.smplh`, by gender.
    """
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
    arrays |= _pack_pyramid("", assets.levels, assets.level_faces, assets.upsample)
    hand = (assets.hand_levels, assets.hand_level_faces, assets.hand_upsample)
    arrays |= _pack_pyramid("hand_", *hand)
    for group in ("mean", "atlas"):
        arrays |= {f"{group}/{key}": array for key, array in getattr(assets, group).items()}
    arrays |= {name: getattr(assets, name) for name in _PLAIN}
    for gender in assets.smplh:
        arrays |= {f"smplh_{gender}/{key}": array for key, array in vars(smplh[gender]).items()}
    meta = {
        "version": _VERSION,
        "models": list(assets.models),
        "hands": list(assets.hands),
        "levels": len(assets.levels),
        "hand_levels": len(assets.hand_levels),
        "smplh": assets.smplh,
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
    return _unpack(*_read(path, lambda name: not name.startswith("smplh_")), path)


def load_smplh(path: Path | str) -> dict[str, BodyModel]:
    """Return the SMPL+H models of the asset by gender, none where there was no file.

    They are large, and few stages need them: `load_assets` leaves them where they are.

    Raises:
        InputError: if the file is missing, damaged or of another version.
    """
    arrays, meta = _read(path, lambda name: name.startswith("smplh_"))
    return {
        gender: BodyModel(**{key: arrays[f"smplh_{gender}/{key}"] for key in _MODEL})
        for gender in meta["smplh"]
    }


def _read(path: Path | str, wanted) -> tuple[dict[str, np.ndarray], dict]:
    """Return the arrays whose names are wanted, and what the file says of itself."""
    try:
        with np.load(path, allow_pickle=False) as file:
            meta = json.loads(str(file["meta"]))
            if meta["version"] != _VERSION:
                raise InputError(
                    path, "version", meta["version"], f"{_VERSION}: run the verb `body`"
                )
            return {name: file[name] for name in file.files if wanted(name)}, meta
    except FileNotFoundError:
        raise InputError(path, "", "no such file", "the file that the verb `body` makes") from None
    except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path | str, error: Exception) -> InputError:
    return InputError(path, "", f"damaged content ({error})", "a file of the verb `body`")


def _unpack(arrays: dict[str, np.ndarray], meta: dict, path: Path | str) -> BodyAssets:
    def model(name: str) -> BodyModel:
        shared = {key: arrays[f"neutral/{key}"] for key in _MODEL}
        own = {key: arrays.get(f"{name}/{key}", shared[key]) for key in _MODEL}
        return BodyModel(**own)

    try:
        levels, level_faces, upsample = _unpack_pyramid(arrays, "", meta["levels"])
        hand = _unpack_pyramid(arrays, "hand_", meta["hand_levels"])
        sides = meta["hands"]
        return BodyAssets(
            models={gender: model(gender) for gender in meta["models"]},
            levels=levels,
            level_faces=level_faces,
            upsample=upsample,
            mean={key: arrays[f"mean/{key}"] for key in ("pose6d", "betas", "cam")},
            atlas={key: arrays[f"atlas/{key}"] for key in ("part", "uv")},
            hands={
                side: BodyModel(**{key: arrays[f"mano_{side}/{key}"] for key in _MODEL})
                for side in sides
            },
            hands_mean={side: arrays[f"mano_{side}/hands_mean"] for side in sides},
            hand_levels=hand[0],
            hand_level_faces=hand[1],
            hand_upsample=hand[2],
            smplh=tuple(meta["smplh"]),
            notes=meta["notes"],
            computed=tuple(meta["computed"]),
            **{name: arrays[name] for name in _PLAIN},
        )
    except (KeyError, ValueError) as error:
        raise _damaged(path, error) from error


def _pack_pyramid(
    prefix: str, levels: list[np.ndarray], faces: list[np.ndarray], upsample: list[sp.csr_matrix]
) -> dict[str, np.ndarray]:
    arrays = {}
    for k, (ids, triangles) in enumerate(zip(levels, faces, strict=True)):
        arrays |= {f"{prefix}level{k}/ids": ids, f"{prefix}level{k}/faces": triangles}
    for k, matrix in enumerate(upsample):
        arrays |= {f"{prefix}upsample{k}/{part}": getattr(matrix, part) for part in _CSR}
    return arrays


def _unpack_pyramid(
    arrays: dict[str, np.ndarray], prefix: str, count: int
) -> tuple[list[np.ndarray], list[np.ndarray], list[sp.csr_matrix]]:
    """Return ids and faces of each level and the matrices between them."""
    levels = [arrays[f"{prefix}level{k}/ids"] for k in range(count)]
    faces = [arrays[f"{prefix}level{k}/faces"] for k in range(count)]
    upsample = [
        sp.csr_matrix(
            tuple(arrays[f"{prefix}upsample{k}/{part}"] for part in _CSR),
            shape=(len(levels[k]), len(levels[k + 1])),
        )
        for k in range(count - 1)
    ]
    return levels, faces, upsample
