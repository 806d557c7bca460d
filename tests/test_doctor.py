"""The doctor: nothing there, half of it there, all of it there."""

import shutil
from pathlib import Path

import pytest
import yaml

from pipeline import doctor
from pipeline.__main__ import main
from pipeline.body import open_body
from pipeline.demo.generate import generate
from pipeline.params import Params, jobs, load
from pipeline.params.overlay import read_file
from pipeline.raw_layouts import LAYOUTS, layout
from tests.body_asset import body_asset
from tests.conftest import ROOT

USED = ("amass", "h36m", "pw3d", "coco")
OTHERS = ("mpi_inf_3dhp", "lsp", "spin", "ssp3d", "freihand")


@pytest.fixture(scope="module")
def config() -> dict:
    """The parameters of a user whose licensed files are as few as a miniature's."""
    config = {**read_file(ROOT / "params.yaml"), "scale": "mini", "source": "real"}
    return {**config, "mocap": {**config["mocap"], "hold_out": [], "datasets": ["Demo"]}}


@pytest.fixture(scope="module")
def params(config: dict) -> Params:
    return load(config)


@pytest.fixture(scope="module")
def complete(config: dict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw folders of everything that table1 needs, and of some other datasets."""
    raw, body = tmp_path_factory.mktemp("doctor") / "raw", body_asset(tmp_path_factory)
    open_body.write_files(raw / "body_models")
    params = load({**config, "source": "demo"})
    for dataset in USED + OTHERS:
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
    found = states(params, complete)
    assert {name for name, state in found.items() if state == "found"} == {
        "body_models", *USED, *OTHERS,
    }  # fmt: skip
    assert main([*words, "--raw", str(complete)]) == 0
    assert "error" not in capsys.readouterr().err


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
