"""Which files of a distribution others of it name: how the doctor sees a half-filled folder.

Names are found by a search in the annotations' bytes, and numbers of frames in the heads of their
arrays: nothing is parsed as a whole, so that a distribution is looked over in seconds. What is
not there or not readable is left out here; the doctor says it otherwise.
"""

import mmap
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import scipy.io

from pipeline.errors import InputError

H36M_CAMERAS = ("54138969", "55011271", "58860488", "60457274")


@dataclass(frozen=True)
class Listing:
    """Files that have to be there.

    Attributes:
        source: what names them, in words.
        names: paths below the raw folder; with `anywhere`, plain names.
        anywhere: folder below which a file of that name may lie at any depth.
    """

    source: str
    names: Sequence[str]
    anywhere: str | None = None


@dataclass(frozen=True)
class Counted:
    """As many files as something states.

    Attributes:
        source: what states the number, in words.
        patterns: of the files, below the raw folder.
        count: how many there are.
    """

    source: str
    patterns: tuple[str, ...]
    count: int


Listings = Iterator[Listing | Counted]


def _texts(path: Path, key: str) -> list[str]:
    """Return every text that stands under a key of a JSON file, in order, once each."""
    pattern = re.compile(rb'"%s"\s*:\s*"((?:[^"\\]|\\.)*)"' % key.encode())
    return list(dict.fromkeys(text.replace(r"\/", "/") for text in _search(path, pattern)))


def _search(path: Path, pattern: re.Pattern[bytes]) -> list[str]:
    if not path.is_file() or not path.stat().st_size:
        return []
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        return [found.decode("utf-8", "replace") for found in pattern.findall(text)]


def _shape(path: Path, key: str) -> tuple[int, ...]:
    """Return the shape of a variable of a MATLAB file before 7.3; empty where there is none."""
    try:
        return next((shape for name, shape, _ in scipy.io.whosmat(path) if name == key), ())
    except Exception:  # damaged bytes can end in any of them
        return ()


def _h36m_json(raw: Path, settings: Mapping) -> Listings:
    step, skipped = settings["frame_step"], settings.get("skip_sequences") or ()
    for subject in settings["subjects"]:
        path = raw / f"annotations/Human36M_subject{subject}_data.json"
        names = [
            name for name in _texts(path, "file_name")
            if name.partition("/")[0] not in skipped
            and (number := re.search(r"_(\d+)\.\w+$", name))
            and (int(number[1]) - 1) % step == 0
        ]  # fmt: skip
        yield Listing(path.name, [f"images/{name}" for name in names])


def _h36m_official(raw: Path, settings: Mapping) -> Listings:
    """Every recording has a file of each kind in each camera."""
    kinds = {"MyPoseFeatures/D3_Positions_mono": "cdf", "MyPoseFeatures/D2_Positions": "cdf",
             "Videos": "mp4"}  # fmt: skip
    if settings["box"] != "keypoints":
        kinds[f"MySegmentsMat/{settings['box']}"] = "mat"
    for subject in settings["subjects"]:
        takes = {
            path.name.split(".")[0]
            for folder, ending in kinds.items()
            for path in raw.glob(f"S{subject}/{folder}/*.{ending}")
        }
        names = [
            f"S{subject}/{folder}/{take}.{camera}.{ending}"
            for take in sorted(takes) if not take.startswith("_ALL")
            for folder, ending in kinds.items()
            for camera in H36M_CAMERAS
        ]  # fmt: skip
        yield Listing(f"the recordings of S{subject}", names)


def _pw3d(raw: Path, settings: Mapping) -> Listings:
    from pipeline.body.pickles import read_pickle

    for path in sorted((raw / "sequenceFiles" / settings["folder"]).glob("*.pkl")):
        try:
            count = len(read_pickle(path)["img_frame_ids"])
        except (InputError, KeyError, TypeError):
            continue
        yield Listing(
            path.name, [f"imageFiles/{path.stem}/image_{k:05d}.jpg" for k in range(count)]
        )


def _coco(raw: Path, settings: Mapping) -> Listings:
    folder = f"{settings['folder']}{settings['year']}"
    path = raw / f"annotations/person_keypoints_{folder}.json"
    yield Listing(path.name, [f"{folder}/{name}" for name in _texts(path, "file_name")])


def _coco_densepose(raw: Path, settings: Mapping) -> Listings:
    part = settings["part"]
    folder = "train2014" if part == "train" else "val2014"
    for name in (f"densepose_coco_2014_{part}.json", f"densepose_{part}2014.json"):
        images = _texts(raw / "annotations" / name, "file_name")
        yield Listing(name, [f"{folder}/{Path(image).name}" for image in images])


def _mpi_inf_3dhp(raw: Path, settings: Mapping) -> Listings:
    from pipeline.convert.mpi_inf_3dhp import TEST_FOLDER

    if settings["part"] != "test":
        return
    for number in settings["sequences"]:
        folder = f"{TEST_FOLDER}/TS{number}"
        try:
            with h5py.File(raw / folder / "annot_data.mat", "r") as file:
                frames = np.flatnonzero(file["valid_frame"][:].ravel())
        except (OSError, KeyError):
            continue
        names = [f"{folder}/imageSequence/img_{frame + 1:06d}.jpg" for frame in frames]
        yield Listing(f"TS{number}/annot_data.mat", names)


def _mupots(raw: Path, settings: Mapping) -> Listings:
    for number in settings["sequences"]:
        folder = f"MultiPersonTestSet/TS{number}"
        frames = (*_shape(raw / folder / "annot.mat", "annotations"), 0)[0]
        names = [f"{folder}/img_{frame:06d}.jpg" for frame in range(frames)]
        yield Listing(f"TS{number}/annot.mat", names)


def _muco(raw: Path, settings: Mapping) -> Listings:
    for folder in ("", "data/"):
        path = raw / f"{folder}MuCo-3DHP.json"
        yield Listing(path.name, [f"{folder}{name}" for name in _texts(path, "file_name")])


def _lsp(raw: Path, settings: Mapping) -> Listings:
    from pipeline.convert.lsp import MASKS

    folder, masks = settings["folder"], settings.get("masks")
    count = (*_shape(raw / folder / "joints.mat", "joints"), 0, 0, 0)[2]
    source = f"{folder}/joints.mat"
    yield Listing(source, [f"{folder}/images/im{k:04d}.jpg" for k in range(1, count + 1)])
    if masks:
        chosen = range(count // 2 + 1, count + 1)
        if settings["half"] == "first":
            chosen = range(1, count // 2 + 1)
        yield Listing(source, [f"{masks}/{name.format(k)}" for k in chosen for name in MASKS])


def _lspet(raw: Path, settings: Mapping) -> Listings:
    folder = settings["folder"]
    count = (*_shape(raw / folder / "joints.mat", "joints"), 0, 0, 0)[2]
    patterns = tuple(f"{folder}/{inner}im*.{end}" for inner in ("", "images/")
                     for end in ("png", "jpg"))  # fmt: skip
    yield Counted(f"{folder}/joints.mat", patterns, count)


def _mpii(raw: Path, settings: Mapping) -> Listings:
    path, names = raw / settings["file"], []
    if path.suffix == ".json":
        names = [Path(name).name for name in _texts(path, "file_name")]
    elif path.suffix == ".h5":
        try:
            with h5py.File(path, "r") as file:
                names = [bytes(name).decode().rstrip("\0") for name in file["imgname"][:]]
        except (OSError, KeyError, ValueError):
            names = []
    yield Listing(path.name, [f"images/{name}" for name in dict.fromkeys(names)])


def _up3d(raw: Path, settings: Mapping) -> Listings:
    path = raw / settings["list"]
    files = ("image.png", "body.pkl", "joints.npy", "render_light.png", "fit_crop_info.txt")
    lines = path.read_text("latin1").split() if path.is_file() else []
    numbers = [line.lstrip("/").split("_")[0] for line in lines]
    yield Listing(path.name, [f"{number}_{name}" for number in numbers for name in files])


def _spin(raw: Path, settings: Mapping) -> Listings:
    path, folder = raw / settings["file"], settings.get("images")
    try:
        with np.load(path, allow_pickle=False) as content:
            names = content["imgname"].ravel()
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return
    texts = [name.decode() if isinstance(name, bytes) else str(name) for name in names]
    yield Listing(path.name, [f"{folder}/{name}" if folder else name for name in texts])


def _surreal(raw: Path, settings: Mapping) -> Listings:
    endings = ["_info.mat", ".mp4"] + ["_segm.mat"] * (settings["box"] == "segmentation")
    for run in settings["runs"]:
        folder = raw / "cmu" / settings["folder"] / f"run{run}"
        clips = {
            path.relative_to(raw).as_posix().removesuffix(ending)
            for ending in endings
            for path in folder.glob(f"*/*{ending}")
        }
        names = [clip + ending for clip in sorted(clips) for ending in endings]
        yield Listing(f"the clips of run{run}", names)


def _agora(raw: Path, settings: Mapping) -> Listings:
    pattern = re.compile(rb"ag_[A-Za-z0-9_.-]+?\.png")
    small = settings["resolution"] == 720
    for path in sorted(raw.glob(f"**/SMPL/{settings['part']}_*_withjv.pkl")):
        names = dict.fromkeys(_search(path, pattern))
        own = [name.replace(".png", "_1280x720.png") if small else name for name in names]
        yield Listing(path.name, own, anywhere="images")


def _imagenet(raw: Path, settings: Mapping) -> Listings:
    """Validation images are listed in the devkit; of the others only their number is known."""
    from pipeline.convert.imagenet import DEVKIT

    folder = settings["folder"]
    truth = raw / DEVKIT / "ILSVRC2012_validation_ground_truth.txt"
    if next((raw / folder).glob("*.JPEG"), None):
        if truth.is_file():
            yield Counted(truth.name, (f"{folder}/*.JPEG",), len(truth.read_text().split()))
        else:
            yield Listing("the validation images", [truth.relative_to(raw).as_posix()])
    elif settings.get("expected"):
        yield Counted("params.yaml", (f"{folder}/*/*.JPEG",), settings["expected"])


def _instavariety(raw: Path, settings: Mapping) -> Listings:
    if settings["form"] == "light":
        name = f"insta_variety_annotations_light_{settings['part']}.json"
        images = _texts(raw / "annotations" / name, "file_name")
        yield Listing(name, [f"images/{image}" for image in images])


def _freihand(raw: Path, settings: Mapping) -> Listings:
    folder = settings["folder"]
    path = raw / f"{folder}_scale.json"  # the shortest of the lists
    text = path.read_text() if path.is_file() else ""
    count = (text.count(",") + 1) * (settings.get("versions") or 1) if text.strip("[] \n") else 0
    yield Listing(path.name, [f"{folder}/rgb/{k:08d}.jpg" for k in range(count)])


def _complement(raw: Path, settings: Mapping) -> Listings:
    """Every picture has its mesh; those left out are known to the converter alone."""
    for folder in settings["folders"]:
        meshes = []
        for path in sorted((raw / folder).glob("**/pic256/**/*.png")):
            fields = path.name.split(".")
            pose, inner = path.relative_to(raw).as_posix().split("/pic256/", 1)
            look = "".join(f"{part}/" for part in inner.split("/")[:-2])
            if len(fields) == 3 and fields[1].isdecimal():
                meshes.append(f"{pose}/model_mano/{look}{int(fields[1])}.obj")
        yield Listing(f"the pictures of {folder}", list(dict.fromkeys(meshes)))


def _oh3d(raw: Path, settings: Mapping) -> Listings:
    folder = settings["folder"]
    path = raw / folder / "annots.json"
    names = [name.replace("\\\\", "/") for name in _texts(path, "img_path")]
    yield Listing(f"{folder}/annots.json", [f"{folder}/{name}" for name in names])


def _ssp3d(raw: Path, settings: Mapping) -> Listings:
    try:
        with np.load(raw / "labels.npz", allow_pickle=False) as content:
            names = [str(name) for name in content["fnames"]]
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return
    folders = ("images", "silhouettes")
    yield Listing("labels.npz", [f"{folder}/{name}" for folder in folders for name in names])


LISTINGS: dict[str, Callable[[Path, Mapping], Iterable[Listing | Counted]]] = {
    "h36m_json": _h36m_json, "h36m_official": _h36m_official, "pw3d": _pw3d, "coco": _coco,
    "coco_densepose": _coco_densepose, "mpi_inf_3dhp": _mpi_inf_3dhp, "mupots": _mupots,
    "muco": _muco, "lsp": _lsp, "lspet": _lspet, "mpii": _mpii, "up3d": _up3d,
    "spin_npz": _spin, "surreal": _surreal, "agora": _agora, "imagenet": _imagenet,
    "instavariety": _instavariety, "freihand": _freihand, "complement": _complement,
    "oh3d": _oh3d, "ssp3d": _ssp3d,
}  # fmt: skip
