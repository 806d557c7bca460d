"""The verb `predict` from files to the page."""

import json
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.__main__ import main
from pipeline.body.assets import load_assets
from pipeline.checkpoints import save_weights
from pipeline.models.build import build_network
from pipeline.prediction.page import Card, page
from pipeline.prediction.verb import folder_names
from tests.body_asset import body_asset
from tests.importing.official import official_state

BACKBONE = {"depth": 18, "width": 0.0625}
POSE = {"kind": "simple_baseline", "image_size": 32, "backbone": BACKBONE, "deconv": [8]}
MESH = {"kind": "mesh_transformer", "image_size": 32, "upsample": "fixed", "layers": 1, "heads": 2,
        "heatmap": {"size": 32, "patch": 8}, "hidden": [32, 16, 8], "token_dims": [35, 16, 8],
        "feedforward": "2x"}  # fmt: skip
NETWORKS = {
    "mean_pose": {"kind": "mean_pose", "image_size": 32},
    "hmr": {"kind": "hmr", "image_size": 32, "backbone": BACKBONE, "hidden": 16},
    "pymaf": {"kind": "pymaf", "image_size": 32, "backbone": BACKBONE, "hidden": 16,
              "deconv": [8, 8, 8], "feature_dims": [8, 5], "grid_size": 5},
    "mpt": {"kind": "mpt", "image_size": 32, "pose_network": POSE, "regressor": MESH},
}  # fmt: skip
OTHERS = {"mesh": MESH, "hand": {"kind": "mean_hand", "image_size": 32}}


@pytest.fixture(scope="module")
def body(tmp_path_factory):
    return body_asset(tmp_path_factory)


@pytest.fixture(scope="module")
def assets(body):
    return load_assets(body)


@pytest.fixture
def pictures(tmp_path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    for name in ("a.jpg", "b & <c>.png"):
        Image.fromarray(noise).save(folder / name)
    (folder / "broken.jpg").write_text("no picture")
    return folder


def checkpoint(folder: Path, kind: str, assets, meta: bool = True) -> Path:
    settings = (NETWORKS | OTHERS)[kind]
    torch.manual_seed(0)
    network = build_network(settings, assets)
    save_weights(folder / "model.pt", network, {"network": settings} if meta else {})
    return folder / "model.pt"


def predict(weights, images, body, out, *more) -> int:
    return main(["predict", "--checkpoint", str(weights), "--images", str(images),
                 "--body", str(body), "--out", str(out), *more])  # fmt: skip


class Links(HTMLParser):
    """Collects targets and text, and checks that every element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets, self.open, self.text = [], [], ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.targets += [value for key, value in attrs if key in ("href", "src")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_kind_of_network(kind, body, assets, pictures, tmp_path, capsys):
    weights, out = checkpoint(tmp_path, kind, assets), tmp_path / "out"
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps({"a.jpg": [[5, 5, 30, 50], [40, 5, 30, 50], [20, 0, 9, 60]]}))
    more = ["--boxes", str(boxes), "--batch-size", "2", "--device", "cpu"]
    more += ["--format", "glb" if kind == "mpt" else "obj"]
    assert predict(weights, pictures, body, out, *more) == 0
    said = capsys.readouterr()
    assert "4 people in 2 of 3 pictures" in said.out
    assert "skipped" in said.err and "broken.jpg" in said.err
    links = Links((out / "index.html").read_text())
    assert len(links.targets) == 2 * 3 + 4 * 3  # of the pictures; of the people
    for target in links.targets:
        assert (out / unquote(target)).is_file(), target
    assert "broken.jpg" in links.text and "b & <c>.png" in links.text
    with np.load(out / "a" / "person2.npz") as held:
        assert str(held["kind"]) == ("mesh" if kind == "mpt" else "parametric")
        assert held["vertices"].shape == (6890, 3) and held["crop"].tolist() == [55, 30, 60]
    with np.load(out / "b & <c>" / "person1.npz") as held:
        assert held["crop"].tolist() == [40, 30, 80]  # the whole picture


def test_the_same_for_any_batch_size(body, assets, pictures, tmp_path):
    weights, found = checkpoint(tmp_path, "hmr", assets), []
    for size in ("1", "16"):
        assert predict(weights, pictures, body, tmp_path / size, "--batch-size", size) == 0
        with np.load(tmp_path / size / "a" / "person1.npz") as held:
            found.append(held["vertices"])
    assert np.allclose(*found, atol=1e-4)


def test_hands(body, assets, pictures, tmp_path):
    weights = checkpoint(tmp_path, "hand", assets)
    assert predict(weights, pictures / "a.jpg", body, tmp_path / "out") == 0
    with np.load(tmp_path / "out/a/person1.npz") as held:
        assert held["vertices"].shape == (778, 3) and held["joints"].shape == (21, 3)
        assert held["joint_names"][0] == "wrist" and str(held["kind"]) == "mesh"
        inside = held["joints"] @ np.diag([held["focal_length"]] * 2 + [1])
        points = inside[:, :2] / inside[:, 2:] + held["principal_point"]
        assert (points > 0).all() and (points < held["image_size"]).all()
    overlay = np.array(Image.open(tmp_path / "out/a/overlay.png"))
    photograph = np.array(Image.open(pictures / "a.jpg"))
    assert 0.02 < (overlay != photograph).any(-1).mean() < 0.5


def test_one_picture_and_a_given_focal_length(body, assets, pictures, tmp_path):
    weights = checkpoint(tmp_path, "mean_pose", assets)
    assert predict(weights, pictures / "a.jpg", body, tmp_path / "out", "--focal", "70") == 0
    with np.load(tmp_path / "out/a/person1.npz") as held:
        assert held["focal_length"] == 70
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a", "index.html"]


def test_settings_beside_the_weights(body, assets, pictures, tmp_path, capsys):
    weights = checkpoint(tmp_path, "hmr", assets, meta=False)
    assert predict(weights, pictures, body, tmp_path / "out") == 1
    assert "settings.json" in capsys.readouterr().err
    (tmp_path / "settings.json").write_text(json.dumps({"network": NETWORKS["hmr"]}))
    assert predict(weights, pictures, body, tmp_path / "out") == 0


def test_nothing_that_could_be_read(body, assets, pictures, tmp_path, capsys):
    weights = checkpoint(tmp_path, "mean_pose", assets)
    assert predict(weights, pictures / "broken.jpg", body, tmp_path / "out") == 1
    assert "none of which could be read" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_box_beside_the_picture_skips_it(body, assets, pictures, tmp_path, capsys):
    weights = checkpoint(tmp_path, "mean_pose", assets)
    (tmp_path / "boxes.json").write_text(json.dumps({"a.jpg": [[500, 0, 10, 10]]}))
    more = ("--boxes", str(tmp_path / "boxes.json"))
    assert predict(weights, pictures, body, tmp_path / "out", *more) == 0
    said = capsys.readouterr()
    assert "1 person in 1 of 3" in said.out and "a.jpg: box 0: saw" in said.err


def test_out_is_a_file(body, assets, pictures, tmp_path, capsys):
    weights = checkpoint(tmp_path, "mean_pose", assets)
    assert predict(weights, pictures, body, weights) == 1
    assert "a folder" in capsys.readouterr().err


def test_a_network_that_diverged(body, assets, pictures, tmp_path, capsys):
    network = build_network(NETWORKS["hmr"], assets)
    torch.nn.init.constant_(network.regressor.deccam.bias, float("nan"))
    save_weights(tmp_path / "model.pt", network, {"network": NETWORKS["hmr"]})
    assert predict(tmp_path / "model.pt", pictures, body, tmp_path / "out") == 1
    assert "no numbers" in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["hmr", "pymaf"])
def test_imported_weights(kind, body, assets, pictures, tmp_path):
    """From a published file to the page with nothing but the two verbs."""
    settings = {**NETWORKS[kind], "backbone": {"depth": 50, "width": 0.0625}, "image_size": 224}
    if kind == "pymaf":
        settings |= {"feature_dims": [8, 8, 5]}
    network = build_network(settings, assets).eval()
    torch.save({"model": official_state(kind, network, assets)}, tmp_path / "public.pt")
    assert main(["import-checkpoint", "--kind", kind, "--checkpoint", str(tmp_path / "public.pt"),
                 "--body", str(body), "--out", str(tmp_path / "ours.pt")]) == 0  # fmt: skip
    found = []
    save_weights(tmp_path / "same.pt", network, {"network": settings})
    for name in ("ours", "same"):
        out = tmp_path / name
        assert predict(tmp_path / f"{name}.pt", pictures / "a.jpg", body, out) == 0
        with np.load(out / "a/person1.npz") as held:
            found.append(held["vertices"])
    assert np.array_equal(*found)


@pytest.mark.parametrize("flag", ["--focal", "--box-factor", "--batch-size"])
def test_senseless_numbers(flag, body, pictures, tmp_path, capsys):
    assert predict(tmp_path / "model.pt", pictures, body, tmp_path / "out", flag, "0") == 1
    assert flag in capsys.readouterr().err


def test_other_networks_and_public_files_are_refused(body, assets, pictures, tmp_path, capsys):
    network = build_network(POSE, None)
    save_weights(tmp_path / "pose.pt", network, {"network": POSE})
    assert predict(tmp_path / "pose.pt", pictures, body, tmp_path / "out") == 1
    assert "predicts no body" in capsys.readouterr().err
    assert predict(checkpoint(tmp_path, "mesh", assets), pictures, body, tmp_path / "out") == 1
    assert "predicts no body" in capsys.readouterr().err
    torch.save(network.state_dict(), tmp_path / "public.pt")
    assert predict(tmp_path / "public.pt", pictures, body, tmp_path / "out") == 1
    assert "import-checkpoint" in capsys.readouterr().err


def test_folders_are_never_shared():
    names = ["a.jpg", "a.png", "b.jpg", "a_jpg.bmp"]
    folders = folder_names(names)
    assert len(set(folders.values())) == len(names) and folders["b.jpg"] == "b"
    assert folder_names(["index.html.jpg"])["index.html.jpg"] != "index.html"


def test_nothing_of_a_name_becomes_markup():
    links = Links(page([Card("<script>x</script>", 'a"b', 1, ".obj")], [("<b>", "<i>")], ["<u>"]))
    assert "<script>" in links.text and "<i>" in links.text and "<u>" in links.text
    assert "a%22b/overlay.png" in links.targets
