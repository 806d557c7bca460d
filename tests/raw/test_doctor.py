"""The doctor: nothing there, half of it there, all of it there."""

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from pipeline.__main__ import main
from pipeline.body import open_body
from pipeline.demo.generate import generate
from pipeline.evaluation.protocols import PROTOCOLS
from pipeline.params import Params, jobs, load
from pipeline.params.overlay import read_file
from pipeline.raw import doctor
from pipeline.raw.layouts import LAYOUTS, layout
from pipeline.raw.listings import LISTINGS
from tests.body_asset import body_asset
from tests.conftest import ROOT

USED = ("amass", "h36m", "pw3d", "coco")
# Of every dataset: files of which some are taken away, and the kinds that are cut or emptied.
FILES = {
    "h36m": ("images/*/*.jpg", ("annotations/*_data.json", "images/*/*.jpg")),
    "pw3d": ("imageFiles/*/*.jpg", ("sequenceFiles/test/*.pkl", "imageFiles/*/*.jpg")),
    "coco": ("train2014/*.jpg", ("annotations/*_keypoints_train2014.json", "train2014/*.jpg")),
    "h36m_official": ("S1/Videos/*.mp4", ("S*/Videos/*.mp4", "S*/MyPoseFeatures/*/*.cdf",
                                          "S*/MySegmentsMat/*/*.mat")),
    "coco_densepose": ("train2014/*.jpg", ("annotations/densepose_*train*.json", "UV_data/*.mat")),
    "mpi_inf_3dhp": ("mpi_inf_3dhp_test_set/TS1/imageSequence/*.jpg",
                     ("S1/Seq1/annot.mat", "S1/Seq1/imageSequence/*.avi",
                      "mpi_inf_3dhp_test_set/TS1/annot_data.mat")),
    "mupots": ("MultiPersonTestSet/TS1/*.jpg", ("MultiPersonTestSet/TS1/annot.mat",)),
    "muco": ("augmented_set/*.jpg", ("MuCo-3DHP.json", "smpl_param.json")),
    "lsp": ("lsp_dataset/images/*.jpg", ("lsp_dataset/joints.mat", "upi-s1h/data/lsp/*.png")),
    "lspet": ("hr-lspet/*.png", ("hr-lspet/joints.mat", "eft_fit/*.json")),
    "mpii": ("images/*.jpg", ("train.h5", "eft_fit/*.json")),
    "up3d": ("*_image.png", ("*_body.pkl", "*_joints.npy", "*_render_light.png")),
    "spin": ("images/coco/*.jpg", ("dataset_extras/coco_2014_train.npz",)),
    "surreal": ("cmu/train/run0/*/*.mp4", ("cmu/train/*/*/*_info.mat", "cmu/train/*/*/*.mp4")),
    "agora": ("images/**/*_1280x720.png", ("**/SMPL/train_*_withjv.pkl", "smpl_gt/**/*.pkl")),
    "imagenet": ("val/*.JPEG", ("train/*/*.JPEG",)),
    "instavariety": ("images/**/*.jpg", ("annotations/*_light_train.json",)),
    "freihand": ("training/rgb/*.jpg", ("training_xyz.json", "evaluation/rgb/*.jpg")),
    "complement": ("base_pose/*/model_mano/*.obj", ("base_pose/*/pic256/*/*.png",)),
    "oh3d": ("testset/images/*.jpg", ("testset/annots.json", "trainset/images/*.jpg")),
    "ssp3d": ("silhouettes/*.png", ("labels.npz", "images/*.png")),
}  # fmt: skip


@pytest.fixture(scope="module")
def config() -> dict:
    """The parameters of a user whose licensed files are as few as a miniature's."""
    config = {**read_file(ROOT / "params.yaml"), "scale": "mini", "source": "real"}
    images = {"imagenet": {"splits": {"train": {"expected": 4}}}}
    few = {**config["sources"]["demo"]["data"]["datasets"], **images}
    config["sources"]["real"] = {"data": {"datasets": few}}
    return {**config, "mocap": {**config["mocap"], "hold_out": [], "datasets": ["Demo"]}}


@pytest.fixture(scope="module")
def params(config: dict) -> Params:
    return load(config)


@pytest.fixture(scope="module")
def complete(config: dict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw folders of everything that the parameters know."""
    raw, body = tmp_path_factory.mktemp("doctor") / "raw", body_asset(tmp_path_factory)
    open_body.write_files(raw / "body_models")
    params = load({**config, "source": "demo"})
    for dataset in ("amass", *FILES):
        section = jobs.demo(params, {"dataset": dataset})
        shared = {"seed": section["seed"], "heading_deg": section["heading_deg"]}
        generate(dataset, body, {**section[dataset], **shared}, raw / dataset, 1)
    return raw


@pytest.fixture
def words(config: dict, tmp_path: Path) -> list[str]:
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return ["doctor", "--params", str(path)]


def states(params: Params, raw: Path) -> dict[str, str]:
    return {line.name: line.state for line in doctor.examine(params, ["table1"], raw)}


def test_nothing_there(params: Params, words: list[str], tmp_path: Path, capsys) -> None:
    raw = tmp_path / "raw"
    assert set(states(params, raw).values()) == {"missing"}
    assert main([*words, "--raw", str(raw)]) == 1
    said = capsys.readouterr()
    missing = ", ".join(f"{name} missing" for name in ("body_models", *USED))
    assert said.err == f"error: doctor: saw {missing}, expected what table1 need\n"
    assert "3DPW" in said.out and "non-commercial" in said.out and "GPU: " in said.out


def test_demo_needs_nothing_of_it(words: list[str], tmp_path: Path, capsys) -> None:
    assert main([*words, "--source", "demo", "--raw", str(tmp_path / "raw")]) == 0
    assert "demo makes its own data" in capsys.readouterr().out


def test_half_unpacked(params: Params, complete: Path, words: list[str], tmp_path, capsys) -> None:
    """A sequence without its images, next to the archive that they are in."""
    raw = tmp_path / "raw"
    shutil.copytree(complete, raw)
    sequence = sorted((raw / "pw3d/sequenceFiles/test").glob("*.pkl"))[0].stem
    shutil.rmtree(raw / "pw3d/imageFiles" / sequence)
    (raw / "pw3d/imageFiles.zip").touch()
    (raw / "body_models/smpl/SMPL_FEMALE.pkl").unlink()
    found = states(params, raw)
    assert {name for name, state in found.items() if state == "incomplete"} == {
        "pw3d", "body_models",
    }  # fmt: skip
    assert main([*words, "--raw", str(raw), "table1"]) == 1
    said = capsys.readouterr()
    assert f"pw3d: no imageFiles/{sequence}/*.jpg\n" in said.out
    assert "pw3d: imageFiles.zip is still packed" in said.out
    assert "body_models: no SMPL_FEMALE.pkl, from the SMPL site" in said.out
    assert "saw body_models incomplete, pw3d incomplete, expected" in said.err


def test_all_there(params: Params, complete: Path, words: list[str], capsys) -> None:
    """The layouts are those that the demo's writers of the official files follow."""
    lines = {line.name: line for line in doctor.examine(params, ["table1"], complete)}
    assert {name: (line.absent, line.wrong) for name, line in lines.items()} == {
        name: ([], []) for name in ("body_models", "amass", *FILES)
    }
    assert set(states(params, complete).values()) == {"found"}
    assert main([*words, "--raw", str(complete)]) == 0
    assert "error" not in capsys.readouterr().err


def looked_over(params: Params, raw: Path, dataset: str) -> doctor.Line:
    lines = doctor.examine(params, ["table1"], raw)
    return next(line for line in lines if line.name == dataset)


@pytest.fixture
def copied(complete: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Copy one dataset alone into a raw folder."""

    def copy(dataset: str) -> Path:
        shutil.copytree(complete / dataset, tmp_path / "raw" / dataset)
        return tmp_path / "raw" / dataset

    return copy


@pytest.mark.parametrize("dataset", FILES)
def test_a_half_filled_folder_is_incomplete(params: Params, copied, dataset: str) -> None:
    folder = copied(dataset)
    for path in sorted(folder.glob(FILES[dataset][0]))[::2]:
        path.unlink()
    line = looked_over(params, folder.parent, dataset)
    assert line.state == "incomplete"
    assert " of " in line.wrong[0] or dataset in ("lspet", "imagenet")


DAMAGES = [(name, kind) for name, (_, kinds) in FILES.items() for kind in kinds]
DAMAGES += [("amass", "Demo/*/*_poses.npz")]


@pytest.mark.parametrize("share", [0, 0.6], ids=["empty", "truncated"])
@pytest.mark.parametrize(("dataset", "kind"), DAMAGES, ids=lambda value: value.replace("/", "-"))
def test_a_file_that_ends_early_is_named(
    params: Params, copied, dataset: str, kind: str, share: float
) -> None:
    folder = copied(dataset)
    path = sorted(folder.glob(kind))[0]
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    line = looked_over(params, folder.parent, dataset)
    assert line.state == "incomplete"
    wanted = f"{path.relative_to(folder)} is {'truncated' if share else 'empty'}"
    assert any(text.startswith(wanted) for text in line.wrong), line.wrong


@pytest.mark.parametrize("dataset", FILES)
def test_an_archive_alone_is_missing_and_named(params: Params, tmp_path, dataset: str) -> None:
    (tmp_path / dataset).mkdir()
    with zipfile.ZipFile(tmp_path / dataset / "all.zip", "w") as archive:
        archive.writestr("a", "b" * 100)
    whole = (tmp_path / dataset / "all.zip").read_bytes()
    (tmp_path / dataset / "rest.zip").write_bytes(whole[:-30])
    line = looked_over(params, tmp_path, dataset)
    assert line.state == "missing"
    assert line.packed == [
        "all.zip is still packed", "rest.zip is still packed and is truncated or damaged",
    ]  # fmt: skip


def test_published_numbers_count_where_nothing_is_listed(
    config: dict, params: Params, copied
) -> None:
    """Of ImageNet's training images only the number is known; demo data need not have it."""
    folder = copied("imagenet")
    next(folder.glob("train/*/*.JPEG")).unlink()
    line = looked_over(params, folder.parent, "imagenet")
    assert line.wrong == ["3 files train/*/*.JPEG, 4 by params.yaml"]
    demo = load({**config, "source": "demo"})
    assert looked_over(demo, folder.parent, "imagenet").state == "found"


def test_missing_weights_are_named(config: dict, complete: Path) -> None:
    params = load({**config, "scale": "paper"})
    assert states(params, complete)["weights/resnet50-imagenet.pth"] == "missing"


def test_full_disk(words: list[str], complete: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(doctor, "SPARE", 1 << 60)
    assert main([*words, "--raw", str(complete)]) == 1
    assert "GB free on the disk" in capsys.readouterr().err


def test_no_opengl_where_the_engine_needs_it(config: dict, monkeypatch) -> None:
    monkeypatch.setattr(doctor, "why_unavailable", lambda: "no libEGL")
    params = load(config)
    assert not list(doctor.machine(params, ["table1"]))
    params = load({**config, "iuv": {**config["iuv"], "engine": "pyrender"}})
    assert "libegl1" in next(doctor.machine(params, ["table1"]))


def test_unknown_table(words: list[str], capsys) -> None:
    assert main([*words, "table9"]) == 1
    assert "saw 'table9', expected table1" in capsys.readouterr().err


def test_every_dataset_of_the_params_has_a_layout(params: Params) -> None:
    for name, section in params.tree["data"]["datasets"].items():
        known = layout(section["converter"])
        assert section["converter"] in LAYOUTS, name
        assert known.site and known.licence and known.files and known.use
        assert section["converter"] in LISTINGS and name in FILES


def test_the_readme_tells_where_every_dataset_goes(params: Params) -> None:
    """A row for each folder: files, where to register, licence, use."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = {line.split("|")[1].strip(): line for line in text.splitlines() if "/` |" in line}
    for name, section in params.tree["data"]["datasets"].items():
        row = [cell.strip() for cell in rows[f"`{name}/`"].strip("|").split("|")]
        assert len(row) == 5 and all(row), name
        assert row[2] == layout(section["converter"]).site
    assert {"`body_models/`", "`amass/`", "`weights/`"} <= rows.keys()


def test_the_readme_names_every_protocol() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in PROTOCOLS if f"`{name}`" not in text] == []
