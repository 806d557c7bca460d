"""Reading AMASS: finding motions, and taking frames out of one file.

Both releases are read: SMPL+H (`*_poses.npz`) and SMPL-X (`*_stageii.npz`). A folder lies at
`<raw>/<dataset>/<subject>/<motion>_poses.npz`; `shape.npz` siblings hold no motion.
"""

import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.errors import InputError
from pipeline.progress import progress

# Folder names differ between releases; the left name is the one used everywhere here.
ALIASES = {
    "ACCAD": (),
    "BMLhandball": (),
    "BMLmovi": (),
    "BioMotionLab_NTroje": ("BMLrub",),
    "CMU": (),
    "CNRS": (),
    "DanceDB": (),
    "DFaust_67": ("DFaust",),
    "EKUT": (),
    "Eyes_Japan_Dataset": ("EyesJapanDataset",),
    "GRAB": (),
    "HUMAN4D": (),
    "HumanEva": (),
    "KIT": (),
    "MPI_HDM05": ("HDM05",),
    "MPI_Limits": ("PosePrior",),
    "MPI_mosh": ("MoSh", "MOSH"),
    "SFU": (),
    "SOMA": (),
    "SSM_synced": ("SSM",),
    "TCD_handMocap": ("TCDHands",),
    "TotalCapture": (),
    "Transitions_mocap": ("Transitions",),
    "WEIZMANN": ("Weizmann",),
    "Demo": (),
}
CANONICAL = {alias: name for name, others in ALIASES.items() for alias in (name, *others)}
RELEASES = {"_poses.npz": "smplh", "_stageii.npz": "smplx"}
POSE_KEYS = {"smplh": ("poses",), "smplx": ("root_orient", "pose_body")}
RATE_KEYS = ("mocap_framerate", "mocap_frame_rate")
GENDERS = ("neutral", "male", "female")
# All that numpy and zipfile raise on truncated, altered or foreign files.
DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, OSError, EOFError),
    *(ValueError, TypeError, KeyError, RuntimeError),
)


@dataclass(frozen=True)
class Motion:
    """One file with a motion.

    Attributes:
        path: the file.
        name: its path below the raw folder.
        dataset: canonical name of its sub-dataset.
        subject: name of its folder.
        release: smplh or smplx.
        frames: their number.
        rate: frames per second.
    """

    path: Path
    name: str
    dataset: str
    subject: str
    release: str
    frames: int
    rate: float


def canonical_name(name: str, where: object, field: str = "") -> str:
    """Return the name used here of a sub-dataset.

    Raises:
        InputError: if AMASS has no sub-dataset of this name.
    """
    if name not in CANONICAL:
        raise InputError(where, field, f"unknown sub-dataset {name}", f"one of {list(ALIASES)}")
    return CANONICAL[name]


def find_motions(raw: Path, datasets: Sequence[str]) -> tuple[list[Motion], Counter]:
    """Return the motions of some sub-datasets in the order of their names.

    Args:
        raw: folder of the sub-datasets.
        datasets: canonical names of those to take.

    Returns:
        The motions, and a count of the files left out and why.

    Raises:
        InputError: if a folder's name is unknown, a sub-dataset has no file, a motion is there in
            both releases, or a file is damaged.
    """
    motions, left_out = [], Counter()
    paths = sorted(path for ending in RELEASES for path in raw.rglob(f"*{ending}"))
    for path in progress(paths, len(paths), "files looked at"):
        parts = path.relative_to(raw).parts
        dataset = canonical_name(parts[0], raw)
        if dataset not in datasets:
            left_out["of other sub-datasets"] += 1
            continue
        motion = _read_header(path, "/".join(parts), dataset)
        if motion is None:
            left_out["without poses"] += 1
        else:
            motions.append(motion)
    missing = sorted(set(datasets) - {motion.dataset for motion in motions})
    if missing:
        expected = "motions of each sub-dataset of mocap.datasets: add the files or drop the names"
        raise InputError(raw, "", f"none of {missing}", expected)
    _refuse_twins(motions)
    return motions, left_out


def sample_frames(motion: Motion, rate_hz: float, trim: float) -> np.ndarray:
    """Return the frames at every 1 / rate_hz seconds of a motion's middle.

    Time counts, not a stride, since rates differ; a motion recorded more slowly gives each of its
    frames once.

    Args:
        motion: what to sample.
        rate_hz: samples per second.
        trim: share of the frames left out at each end, where people hold a T-pose.
    """
    start = int(trim * motion.frames)
    step = max(1.0, motion.rate / rate_hz)
    count = int(np.ceil((motion.frames - 2 * start) / step))
    frames = start + np.floor(np.arange(count) * step + 0.5).astype(np.int64)
    return frames[frames < motion.frames - start]


def read_frames(motion: Motion, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Return some frames of a motion.

    Args:
        motion: the file.
        frames: (n,) indices.

    Returns:
        pose (n, 66) float32 axis-angle of SMPL's first 22 joints, betas (10,) float32 and the
        gender's number. SMPL-X betas are of another shape space, so they become zeros.

    Raises:
        InputError: if the file is damaged, has another layout or holds a value that is no number.
    """
    with _damage(motion.path, ""), np.load(motion.path, allow_pickle=False) as archive:
        parts = [_array(archive, motion.path, key) for key in _pose_keys(archive, motion)]
        gender = _gender(_array(archive, motion.path, "gender"), motion.path)
        betas = np.zeros(10, np.float32)
        if motion.release == "smplh":
            betas = _array(archive, motion.path, "betas").reshape(-1)[:10].astype(np.float32)
    for key, values in zip(POSE_KEYS[motion.release], parts, strict=False):
        if len(values) != motion.frames:
            expected = f"{motion.frames} as the file's trans has"
            raise InputError(motion.path, key, f"{len(values)} frames", expected)
    pose = np.concatenate([part[frames] for part in parts], axis=1)[:, :66].astype(np.float32)
    for key, values, width in (("poses", pose, 66), ("betas", betas, 10)):
        if values.shape[-1] != width:
            raise InputError(motion.path, key, f"{values.shape[-1]} values", f"{width} or more")
        if not np.isfinite(values).all():
            raise InputError(motion.path, key, "values that are no numbers", "finite numbers")
    return pose, betas, gender


def _read_header(path: Path, name: str, dataset: str) -> Motion | None:
    """Return a file's motion, reading its arrays' headers only; None when it has no poses."""
    release = next(kind for ending, kind in RELEASES.items() if name.endswith(ending))
    with _damage(path, ""), np.load(path, allow_pickle=False) as archive:
        if not (set(POSE_KEYS[release]) <= set(archive.files) or "poses" in archive.files):
            return None
        rate = next((archive[key] for key in RATE_KEYS if key in archive.files), None)
        with archive.zip.open("trans.npy") as member:
            frames = _header_shape(member)[0]
    if rate is None or rate.size != 1 or not np.isfinite(rate).all() or rate <= 0:
        raise InputError(path, RATE_KEYS[0], rate, "frames per second")
    # 119.99.. and 120.00004578 are both 120: rounded, never cut.
    rate = round(float(rate.reshape(-1)[0]), 2)
    return Motion(path, name, dataset, path.parent.name, release, frames, rate)


def _header_shape(member: object) -> tuple[int, ...]:
    """Return the shape that stands at the start of an npy file."""
    version = np.lib.format.read_magic(member)
    one = version == (1, 0)
    read = np.lib.format.read_array_header_1_0 if one else np.lib.format.read_array_header_2_0
    return read(member)[0]


def _pose_keys(archive: np.lib.npyio.NpzFile, motion: Motion) -> tuple[str, ...]:
    keys = POSE_KEYS[motion.release]
    return keys if set(keys) <= set(archive.files) else ("poses",)


def _array(archive: np.lib.npyio.NpzFile, path: Path, key: str) -> np.ndarray:
    """Return an array of a file; the error of a damaged one names the array."""
    if key not in archive.files:
        raise InputError(path, key, f"no such array among {archive.files}", f"an array {key}")
    with _damage(path, key):
        return archive[key]


def _gender(value: np.ndarray, path: Path) -> int:
    """Return the number of a gender written as text, bytes or the text of bytes."""
    item = value.reshape(-1)[0]
    text = item.decode() if isinstance(item, bytes) else str(item)
    text = text.removeprefix("b'").removesuffix("'").lower()
    if text not in GENDERS:
        raise InputError(path, "gender", text, f"one of {GENDERS}")
    return GENDERS.index(text)


def _refuse_twins(motions: list[Motion]) -> None:
    """Refuse a motion that is there in both releases: it would count twice."""
    seen: dict[tuple[str, str, str], Motion] = {}
    for motion in motions:
        stem = motion.path.name.rpartition("_")[0]
        other = seen.setdefault((motion.dataset, motion.subject, stem), motion)
        if other.release != motion.release:
            raise InputError(motion.path, "", f"{other.name} as well", "one release of a motion")


@contextmanager
def _damage(path: Path, field: str) -> Iterator[None]:
    """Turn whatever reading a damaged archive raises into one clear error."""
    try:
        yield
    except DAMAGE as error:
        saw = f"a damaged file ({type(error).__name__}: {error})"
        raise InputError(path, field, saw, "a whole npz file without pickled objects") from error
