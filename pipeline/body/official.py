"""The body files as their owners ship them: where they lie, and their content checked."""

from pathlib import Path

import numpy as np

from pipeline.body.pickles import read_body_file
from pipeline.body.smpl import BodyModel
from pipeline.errors import InputError
from pipeline.joints import index, mapping, parents_smpl24

SMPL_VERTICES, SMPL_FACES = 6890, 13776
MANO_VERTICES, MANO_FACES = 778, 1538
PARENTS_MANO16 = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14)
# The first 22 joints of SMPL, then the fingers of the left and of the right hand in MANO's order.
PARENTS_SMPLH52 = (
    *parents_smpl24[:22],
    *(21 + parent if parent else 20 for parent in PARENTS_MANO16[1:]),
    *(36 + parent if parent else 21 for parent in PARENTS_MANO16[1:]),
)
SMPLH_BETAS = 16  # of the extended model, which AMASS was made with

_SITES = {
    "mano": "the MANO site, after registration",
    "smpl": "the SMPL site (male, female) or the SMPLify site (neutral), after registration",
    "spin": "SPIN's data archive",
    "p2m": "Pose2Mesh's data folder",
    "cmr": "GraphCMR's or METRO's data folder",
    "densepose": "DensePose's UV_data archive",
}
_SMPL_NAMES = (
    "SMPL_{gender}.pkl",
    "basicmodel_{short}_lbs_10_207_0_v1.1.0.pkl",
    "basicModel_{short}_lbs_10_207_0_v1.1.0.pkl",
    "basicModel_{short}_lbs_10_207_0_v1.0.0.pkl",
    "basicmodel_{short}_lbs_10_207_0_v1.0.0.pkl",
    "SMPL_{gender}.npz",
)
_SHORT = {"neutral": "neutral", "male": "m", "female": "f"}
# What each file may be called, the name looked for first at the head, and who hands it out.
_FILES: dict[str, tuple[tuple[str, ...], str]] = {
    "h36m": (("J_regressor_h36m.npy", "J_regressor_h36m_correct.npy"), "spin"),
    "extra": (("J_regressor_extra.npy",), "spin"),
    "coco": (("J_regressor_coco.npy", "J_regressor_coco_hip_smpl.npy"), "p2m"),
    "mean": (("smpl_mean_params.npz",), "spin"),
    "levels": (("mesh_downsampling.npz",), "cmr"),
    "atlas": (("UV_Processed.mat",), "densepose"),
    "mano_right": (("MANO_RIGHT.pkl", "MANO_RIGHT.npz"), "mano"),
    "mano_left": (("MANO_LEFT.pkl", "MANO_LEFT.npz"), "mano"),
    "mano_levels": (("mano_downsampling.npz",), "cmr"),
}
_SMPLH_NAMES = (
    "smplh/{gender}/model.npz",  # the extended model, 16 betas
    "SMPLH_{upper}.npz",
    "SMPLH_{upper}.pkl",
    "SMPLH_{gender}.pkl",  # mano_v1_2, 10 betas
)
for _gender, _short in _SHORT.items():
    _names = tuple(name.format(gender=_gender.upper(), short=_short) for name in _SMPL_NAMES)
    _FILES[_gender] = (_names, "smpl")
    _names = tuple(name.format(gender=_gender, upper=_gender.upper()) for name in _SMPLH_NAMES)
    _FILES[f"smplh_{_gender}"] = (_names, "mano")
_FOLDERS = (
    "smpl", "mano", "", "SMPL", "MANO", "smpl/models", "mano/models",
    "smplh", "mano_v1_2/models", "mano/mano_v1_2/models",
)  # fmt: skip


def find(raw: Path, what: str) -> Path | None:
    """Return the file of one kind below the raw folder, None if there is none."""
    names, _ = _FILES[what]
    tried = (raw / folder / name for name in names for folder in _FOLDERS)
    return next((path for path in tried if path.is_file()), None)


def require(raw: Path, what: str) -> Path:
    """Return the file of one kind.

    Raises:
        InputError: if it is missing, naming the file and who hands it out.
    """
    path = find(raw, what)
    if path is None:
        names, site = _FILES[what]
        raise InputError(
            raw / "smpl" / names[0], "", "no such file", f"{names[0]}, from {_SITES[site]}"
        )
    return path


def read_smpl(path: Path, num_betas: int) -> BodyModel:
    """Return an SMPL file's model, its first `num_betas` shape directions.

    Raises:
        InputError: if an array is missing or has another shape than SMPL's.
    """
    return _read_model(path, SMPL_VERTICES, SMPL_FACES, parents_smpl24, num_betas)


def read_mano(path: Path, num_betas: int) -> tuple[BodyModel, np.ndarray]:
    """Return a MANO file's model and its mean hand pose (45,).

    Raises:
        InputError: if an array is missing or has another shape than MANO's.
    """
    model = _read_model(path, MANO_VERTICES, MANO_FACES, PARENTS_MANO16, num_betas)
    return model, _array(path, read_body_file(path), "hands_mean", (45,))


def read_smplh(path: Path) -> BodyModel:
    """Return an SMPL+H file's model: 52 joints, the hands' rotations flat (no mean pose).

    The files of mano_v1_2 hold 10 shape directions, those of the extended model 16.

    Raises:
        InputError: if an array is missing or has another shape than SMPL+H's.
    """
    return _read_model(path, SMPL_VERTICES, SMPL_FACES, PARENTS_SMPLH52, None)


def fix_left_hand(left: BodyModel, right: BodyModel) -> BodyModel:
    """Return the left hand with shape directions that mirror the right one's.

    The distributed left hand repeats the right hand's x components, so that a wider right hand
    is a narrower left one; a file in which they are mirrored stays as it is.
    """
    here, there = left.shapedirs[:, 0], right.shapedirs[:, 0]
    if np.abs(here - there).sum() >= np.abs(here + there).sum():
        return left
    shapedirs = left.shapedirs * np.array([-1.0, 1.0, 1.0])[:, None]
    return BodyModel(**{**vars(left), "shapedirs": shapedirs})


def read_h36m_regressor(path: Path, template: np.ndarray) -> tuple[np.ndarray, str]:
    """Return the Human3.6M regressor in the official order, right leg first.

    The two public files have the same rows but for the legs' order. Which one this is shows in
    the template: SMPL's left side is at +x.

    Args:
        path: (17, V) file.
        template: (V, 3) rest pose.

    Returns:
        the regressor (17, V), and a note that says which order the file had.

    Raises:
        InputError: if the shape is another one or the hips are not on two sides of the body.
    """
    rows = _npy(path, (17,), len(template))
    x = (rows @ template)[[1, 4], 0]
    if x[0] * x[1] >= 0:
        raise InputError(path, "rows 1, 4", f"hips at x = {x[0]:.3f}, {x[1]:.3f} m",
                         "one hip on each side of the template")  # fmt: skip
    if x[0] > 0:
        return rows[mapping("h36m17_left", "h36m17")], f"{path.name}: left leg first, re-ordered"
    return rows, f"{path.name}: right leg first, as it is"


def read_extra_regressor(path: Path, template: np.ndarray) -> np.ndarray:
    """Return the nine extra joints of SPIN, (9, V); GraphCMR's file has five more in front.

    Raises:
        InputError: if the shape is another one or the two hips are on the wrong sides.
    """
    rows = _npy(path, (9, 14), len(template))[-9:]
    right, left = (rows[:2] @ template)[:, 0]
    if not right < 0 < left:
        raise InputError(path, "right and left hip", f"x = {right:.3f} and {left:.3f} m",
                         "right at -x, left at +x on the template")  # fmt: skip
    return rows


def read_coco_regressor(path: Path, template: np.ndarray) -> np.ndarray:
    """Return the regressor of the COCO joints, (17, V).

    Raises:
        InputError: if the shape is another one or left and right are exchanged.
    """
    rows = _npy(path, (17,), len(template))
    left, right = (rows @ template)[[index("coco17", f"{side}_hip") for side in "lr"], 0]
    if not right < 0 < left:
        raise InputError(path, "left and right hip", f"x = {left:.3f} and {right:.3f} m",
                         "left at +x, right at -x on the template")  # fmt: skip
    return rows


def read_mean(path: Path) -> dict[str, np.ndarray]:
    """Return the mean parameters: pose6d (144,) in SPIN's packing, betas (10,), cam (3,)."""
    arrays = read_body_file(path)
    keys = {"pose6d": ("pose", 144), "betas": ("shape", 10), "cam": ("cam", 3)}
    return {
        ours: _array(path, arrays, theirs, (size,)).astype(np.float64)
        for ours, (theirs, size) in keys.items()
    }


def _read_model(
    path: Path, vertices: int, faces: int, parents: tuple[int, ...], num_betas: int | None
) -> BodyModel:
    """Return a model; without `num_betas` with all its shape directions, SMPLH_BETAS at most."""
    arrays, joints = read_body_file(path), len(parents)
    shapedirs = _array(path, arrays, "shapedirs", (vertices, 3, None))
    num_betas = min(SMPLH_BETAS, shapedirs.shape[2]) if num_betas is None else num_betas
    if shapedirs.shape[2] < num_betas:
        raise InputError(path, "shapedirs", f"{shapedirs.shape[2]} shape directions",
                         f"at least num_betas = {num_betas}")  # fmt: skip
    tree = _array(path, arrays, "kintree_table", (2, joints))[0].astype(np.int64)
    tree[0] = -1  # shipped as 2^32 - 1
    if tree.tolist() != list(parents):
        raise InputError(path, "kintree_table", f"parents {tree.tolist()}", list(parents))
    triangles = _array(path, arrays, "f", (faces, 3)).astype(np.int64)
    if triangles.min() < 0 or triangles.max() >= vertices:
        raise InputError(path, "f", f"vertex ids {triangles.min()} to {triangles.max()}",
                         f"0 to {vertices - 1}")  # fmt: skip

    def real(key: str, *shape: int) -> np.ndarray:
        return _array(path, arrays, key, shape).astype(np.float64)

    return BodyModel(
        v_template=real("v_template", vertices, 3),
        shapedirs=shapedirs[:, :, :num_betas].astype(np.float64),
        posedirs=real("posedirs", vertices, 3, 9 * (joints - 1)),
        J_regressor=real("J_regressor", joints, vertices),
        lbs_weights=real("weights", vertices, joints),
        parents=tree,
        faces=triangles,
    )


def _array(path: Path, arrays: dict, key: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """Return an entry of the given shape (None: any size), finite if it holds numbers."""
    expected = " x ".join("n" if size is None else str(size) for size in shape)
    if key not in arrays:
        raise InputError(path, key, f"only {', '.join(sorted(arrays))}", f"an array {expected}")
    array = arrays[key]
    fits = array.ndim == len(shape) and all(
        want in (None, have) for want, have in zip(shape, array.shape, strict=True)
    )
    if not fits or array.dtype.kind not in "fiu":
        seen = " x ".join(map(str, array.shape)) or "one value"
        raise InputError(path, key, f"{seen} of type {array.dtype}", f"numbers, {expected}")
    if not np.isfinite(array).all():
        raise InputError(path, key, "values that are not finite", "finite numbers")
    return array


def _npy(path: Path, rows: tuple[int, ...], columns: int) -> np.ndarray:
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise InputError(path, "", f"damaged content ({error})", "a whole .npy file") from error
    if array.ndim != 2 or array.shape[0] not in rows or array.shape[1] != columns:
        wanted = " or ".join(f"{count} x {columns}" for count in rows)
        raise InputError(path, "", f"shape {array.shape}", wanted)
    return array.astype(np.float64)
