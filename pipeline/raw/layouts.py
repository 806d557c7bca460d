"""What each distribution looks like under data/raw, who hands it out, under which licence.

`needs` names the files without which a split cannot be converted, as glob patterns below the raw
folder; each is a tuple of alternatives. Whether the files' content is right is the converter's to
say: this looks at names alone, so that terabytes are looked over in seconds.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

Needs = list[tuple[str, ...]]
H36M_LABELS = {"NeuralAnnot": "SMPL_NeuralAnnot", "SMPLify-X": "smpl_param"}


@dataclass(frozen=True)
class Layout:
    """One distribution.

    Attributes:
        site: where to register, or to download from.
        licence: in a few words.
        files: the layout expected, in short.
        use: what it is used for.
        needs: (raw folder, settings of one split) -> patterns of the files it takes.
    """

    site: str
    licence: str
    files: str
    use: str
    needs: Callable[[Path, Mapping], Needs]


def _each(*patterns: str) -> Needs:
    return [(pattern,) for pattern in patterns]


def _labels(settings: Mapping, standard: str = "") -> Needs:
    """Return the file of SMPL labels that the settings ask for."""
    if not settings.get("labels"):
        return []
    name = settings.get("labels_file") or standard
    return _each(name) if name else []


def _h36m_json(raw: Path, settings: Mapping) -> Needs:
    kinds = ["data", "camera", "joint_3d"]
    if settings.get("labels"):
        kinds.append(H36M_LABELS[settings["labels"]])
    return [
        need
        for n in settings["subjects"]
        for need in _each(
            *(f"annotations/Human36M_subject{n}_{kind}.json" for kind in kinds),
            f"images/s_{n:02d}_*/*",
        )
    ]


def _h36m_official(raw: Path, settings: Mapping) -> Needs:
    needs = _each("metadata.xml")
    for n in settings["subjects"]:
        folders = ("D3_Positions_mono", "D2_Positions")
        needs += _each(*(f"S{n}/MyPoseFeatures/{name}/*.cdf" for name in folders))
        needs += _each(f"S{n}/Videos/*.mp4")
        if settings["box"] != "keypoints":
            needs += _each(f"S{n}/MySegmentsMat/{settings['box']}/*.mat")
        if settings.get("labels") in H36M_LABELS:
            kind = H36M_LABELS[settings["labels"]]
            needs += _each(f"annotations/Human36M_subject{n}_{kind}.json")
    return needs


def _pw3d(raw: Path, settings: Mapping) -> Needs:
    """Each sequence of the split needs its folder of images."""
    folder = f"sequenceFiles/{settings['folder']}"
    names = sorted(path.stem for path in (raw / folder).glob("*.pkl"))
    images = [f"imageFiles/{name}/*.jpg" for name in names] or ["imageFiles/*/*.jpg"]
    return _each(f"{folder}/*.pkl", *images)


def _coco(raw: Path, settings: Mapping) -> Needs:
    folder, year = settings["folder"], settings["year"]
    fits = f"annotations/MSCOCO_{folder}_SMPL_NeuralAnnot.json"
    annotations = f"annotations/person_keypoints_{folder}{year}.json"
    return _each(annotations, f"{folder}{year}/*.jpg") + _labels(settings, fits)


def _coco_densepose(raw: Path, settings: Mapping) -> Needs:
    part, tables = settings["part"], settings.get("symmetry_file")
    names = (f"densepose_coco_2014_{part}.json", f"densepose_{part}2014.json")
    images = "train2014" if part == "train" else "val2014"
    needs = [tuple(f"annotations/{name}" for name in names), (f"{images}/*.jpg",)]
    needs += _labels(settings, "annotations/MSCOCO_train_SMPL_NeuralAnnot.json")
    return needs + (_each(tables) if tables else [])


def _mpi_inf_3dhp(raw: Path, settings: Mapping) -> Needs:
    from pipeline.convert.mpi_inf_3dhp import IMAGES, LABEL_FILE, TEST_FOLDER

    if settings["part"] == "test":
        folders = [f"{TEST_FOLDER}/TS{n}" for n in settings["sequences"]]
        files = ("annot_data.mat", "imageSequence/img_*.jpg")
        return [need for folder in folders for need in _each(*(f"{folder}/{f}" for f in files))]
    image = IMAGES[settings["images"]][0].replace("{number:06d}", "*")
    files = ["annot.mat", "camera.calibration"]
    files += [image.format(camera=camera) for camera in settings["cameras"]]
    folders = [f"S{s}/Seq{q}" for s in settings["subjects"] for q in settings["sequences"]]
    needs = [need for folder in folders for need in _each(*(f"{folder}/{f}" for f in files))]
    return needs + _labels(settings, LABEL_FILE)


def _mupots(raw: Path, settings: Mapping) -> Needs:
    mat = settings["annotations"] == "mat"
    files = ["annot.mat", "occlusion.mat", "img_*.jpg"] if mat else ["img_*.jpg"]
    folders = [f"MultiPersonTestSet/TS{n}" for n in settings["sequences"]]
    needs = [need for folder in folders for need in _each(*(f"{folder}/{f}" for f in files))]
    return needs if mat else [("MuPoTS-3D.json",), *needs]


def _muco(raw: Path, settings: Mapping) -> Needs:
    files = ("MuCo-3DHP.json", "smpl_param.json", "augmented_set/*", "unaugmented_set/*")
    return [(name, f"data/{name}") for name in files]


def _lsp(raw: Path, settings: Mapping) -> Needs:
    folder, masks = settings["folder"], settings.get("masks")
    needs = _each(f"{folder}/joints.mat", f"{folder}/images/im*.jpg")
    return needs + (_each(f"{masks}/*_segmentation.png") if masks else [])


def _lspet(raw: Path, settings: Mapping) -> Needs:
    folder = settings["folder"]
    images = (f"{folder}/im*", f"{folder}/images/im*")
    return [(f"{folder}/joints.mat",), images, *_labels(settings)]


def _mpii(raw: Path, settings: Mapping) -> Needs:
    fits = "annotations/MPII_train_SMPL_NeuralAnnot.json"
    return _each(settings["file"], "images/*.jpg") + _labels(settings, fits)


def _up3d(raw: Path, settings: Mapping) -> Needs:
    files = ("image.png", "body.pkl", "joints.npy", "render_light.png", "fit_crop_info.txt")
    return _each(settings["list"], *(f"?????_{name}" for name in files))


def _spin(raw: Path, settings: Mapping) -> Needs:
    files = [settings[key] for key in ("file", "fits") if settings.get(key)]
    images = settings.get("images")
    return _each(*files, *([f"{images}/*"] if images else []))


def _surreal(raw: Path, settings: Mapping) -> Needs:
    endings = ["_info.mat", ".mp4"] + ["_segm.mat"] * (settings["box"] == "segmentation")
    folders = [f"cmu/{settings['folder']}/run{run}" for run in settings["runs"]]
    return [need for f in folders for need in _each(*(f"{f}/*/*{ending}" for ending in endings))]


def _agora(raw: Path, settings: Mapping) -> Needs:
    needs = _each(f"**/SMPL/{settings['part']}_*_withjv.pkl", "images/**/*.png")
    return needs + (_each("smpl_gt/**/*.pkl") if settings.get("labels") else [])


def _imagenet(raw: Path, settings: Mapping) -> Needs:
    folder = settings["folder"]
    return _each(f"{folder}/**/*.JPEG")


def _instavariety(raw: Path, settings: Mapping) -> Needs:
    light = f"annotations/insta_variety_annotations_light_{settings['part']}.json"
    file = light if settings["form"] == "light" else "annotations/insta_train_db.pt"
    return _each(file, "images/**/*.*")


def _freihand(raw: Path, settings: Mapping) -> Needs:
    folder, kinds = settings["folder"], ["K", "mano", "xyz", "scale"]
    kinds += ["verts"] * bool(settings.get("vertices"))
    return _each(*(f"{folder}_{kind}.json" for kind in kinds), f"{folder}/rgb/*.jpg")


def _complement(raw: Path, settings: Mapping) -> Needs:
    files = ("**/pic256/**/*.png", "**/model_mano/*.obj", "**/mask256/*.png")
    return [need for f in settings["folders"] for need in _each(*(f"{f}/{g}" for g in files))]


def _oh3d(raw: Path, settings: Mapping) -> Needs:
    folder = settings["folder"]
    return _each(f"{folder}/annots.json", f"{folder}/images/*")


def _ssp3d(raw: Path, settings: Mapping) -> Needs:
    return _each("labels.npz", "images/*", "silhouettes/*")


LAYOUTS: dict[str, Layout] = {  # by converter
    "h36m_json": Layout(
        "Human3.6M; json files: 3DMPPE", "academic, account",
        "annotations/Human36M_subject*.json, images/s_*/", "training, tests P1 and P2", _h36m_json,
    ),
    "h36m_official": Layout(
        "Human3.6M", "academic, account",
        "metadata.xml, S*/MyPoseFeatures, S*/Videos, S*/MySegmentsMat",
        "the same, from the owners' videos", _h36m_official,
    ),
    "pw3d": Layout(
        "3DPW", "non-commercial, form", "sequenceFiles/{train,validation,test}/, imageFiles/",
        "tests, fine-tuning", _pw3d,
    ),
    "coco": Layout(
        "COCO; fits: NeuralAnnot, EFT", "annotations CC BY; images' own",
        "annotations/, train2014/, val2014/, eft_fit/", "training, keypoint AP", _coco,
    ),
    "coco_densepose": Layout(
        "DensePose-COCO", "CC BY-NC",
        "annotations/densepose_*.json, train2014/, val2014/, UV_data/", "pre-training",
        _coco_densepose,
    ),
    "mpi_inf_3dhp": Layout(
        "MPI-INF-3DHP; fits: NeuralAnnot", "research, form",
        "S*/Seq*/, mpi_inf_3dhp_test_set/TS*/, *_SMPL_NeuralAnnot.json", "training, test",
        _mpi_inf_3dhp,
    ),
    "mupots": Layout(
        "MuPoTS-3D", "see its site", "MultiPersonTestSet/TS*/, MuPoTS-3D.json", "test (3DPCK)",
        _mupots,
    ),
    "muco": Layout(
        "MuCo-3DHP; json files: 3DMPPE", "see its site",
        "MuCo-3DHP.json, smpl_param.json, augmented_set/, unaugmented_set/", "training", _muco,
    ),
    "lsp": Layout(
        "LSP; masks: UP-3D (upi-s1h)", "research",
        "lsp_dataset_original/, lsp_dataset/, upi-s1h/data/lsp/",
        "training, test of silhouettes and parts", _lsp,
    ),
    "lspet": Layout(
        "LSP Extended (high resolution); fits: EFT", "see its site", "hr-lspet/, eft_fit/",
        "training", _lspet,
    ),
    "mpii": Layout(
        "MPII Human Pose; train.h5: SPIN; fits: EFT", "BSD; images research",
        "images/, train.h5 or the .mat or .json, eft_fit/", "training", _mpii,
    ),
    "up3d": Layout(
        "UP-3D (Unite the People)", "non-commercial", "?????_*.{png,pkl,npy,txt}, *.txt",
        "training", _up3d,
    ),
    "spin_npz": Layout(
        "SPIN's data archives", "those of each dataset",
        "dataset_extras/, static_fits/, final_fits/, images/", "training with SPIN's own labels",
        _spin,
    ),
    "surreal": Layout(
        "SURREAL", "non-commercial, credentials", "cmu/{train,val,test}/run*/", "pre-training",
        _surreal,
    ),
    "agora": Layout(
        "AGORA", "non-commercial", "data frames *_withjv.pkl, images, smpl_gt/", "pre-training",
        _agora,
    ),
    "imagenet": Layout(
        "ImageNet (ILSVRC 2012)", "non-commercial", "{train,val}/<class>/*.JPEG", "pre-training",
        _imagenet,
    ),
    "instavariety": Layout(
        "InstaVariety", "see its site", "annotations/insta_*, images/", "pre-training",
        _instavariety,
    ),
    "freihand": Layout(
        "FreiHAND", "research", "{training,evaluation}/rgb/, {training,evaluation}_*.json",
        "hands: training, test", _freihand,
    ),
    "complement": Layout(
        "Complement (MobRecon)", "see its site",
        "{base_pose,trans_pose_batch1..3}/**/{pic256,model_mano,mask256}/", "hands: training",
        _complement,
    ),
    "oh3d": Layout(
        "3DOH50K", "non-commercial", "{trainset,testset}/annots.json, images/", "test, training",
        _oh3d,
    ),
    "ssp3d": Layout(
        "SSP-3D", "MIT", "labels.npz, images/, silhouettes/",
        "test of silhouettes and shape", _ssp3d,
    ),
}  # fmt: skip


def layout(converter: str) -> Layout:
    """Return the layout that a converter reads; any file will do where none is described."""
    read = f"see pipeline/convert/{converter}.py"
    return LAYOUTS.get(converter) or Layout("", "", read, "", lambda raw, settings: _each("*"))
