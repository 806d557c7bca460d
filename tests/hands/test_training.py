"""Networks of hands from pairs and pictures to a number, each at a few steps."""

import json

import pytest
import torch

from pipeline.__main__ import main
from pipeline.checkpoints import load_into, load_weights
from pipeline.errors import InputError
from pipeline.files import read_json
from pipeline.models.build import build_network
from tests.hands.test_data import SETTINGS, make_pairs
from tests.hands.test_network import HAND
from tests.objectives.settings import AUGMENTATION, CORRUPTION, TRAINING

TURNED = AUGMENTATION | {"flip": 0.0, "rotation_deg": 90}
LOSS = {"preset": "metro_hand", "vertices": 1.0, "joints": 1.0, "regressed_joints": 1.0,
        "projection": 1.0, "level_weights": [0.5, 0.5]}  # fmt: skip
POSE = {"kind": "simple_baseline", "image_size": 64, "backbone": {"depth": 18, "width": 0.125},
        "deconv": [16, 16], "joint_set": "freihand21"}  # fmt: skip
TRANSFORMER = HAND | {"vertices": 49, "upsample": "fixed"}
MPT = {"kind": "mpt", "image_size": 64, "pose_network": POSE, "regressor": TRANSFORMER,
       "input": "pose_maps", "freeze_backbone": False}  # fmt: skip
COMMON = {"seed": 0, "training": TRAINING | {"steps": 2}, "augmentation": TURNED}
IMAGES = {"mixture": {"freihand_train": 1.0}}
RUNS = {
    "pose": {"objective": "pose2d", "network": POSE, "data": IMAGES, "loss": {"sigma": 1.0}},
    "mesh": {"objective": "mesh_pretrain", "network": TRANSFORMER, "data": {"pairs": "hand"},
             "corruption": CORRUPTION, "loss": LOSS},
    "mpt": {"objective": "mesh_finetune", "network": MPT, "data": IMAGES, "loss": LOSS},
}  # fmt: skip
RUNS = {name: run | COMMON for name, run in RUNS.items()}


def train(hands, out, settings, *more, code=0):
    places = ["--checkpoints", str(out / "checkpoints"), "--out", str(out)]
    arguments = ["--settings", json.dumps(settings), "--body", str(hands.body), *places]
    assert main(["train", *arguments, *more]) == code
    return out / "model.pt"


@pytest.fixture(scope="module")
def trained(hands, tmp_path_factory):
    """Pose network, mesh transformer, and the network fine-tuned from both, validated."""
    folder = tmp_path_factory.mktemp("runs")
    assert SETTINGS["views"] == 3 and make_pairs(hands, folder / "pairs.h5") == 0
    images = ["--records", f"freihand_train={hands.train.path}"]
    pose = train(hands, folder / "pose", RUNS["pose"], *images)
    mesh = train(hands, folder / "mesh", RUNS["mesh"], "--pairs", str(folder / "pairs.h5"))
    starts = {"pose_network": "pretrain/pose", "regressor": "pretrain/mesh"}
    init = ["--init", f"pose_network={pose}", f"regressor={mesh}"]
    judged = [*images, f"validation={hands.evaluation.path}", *init]
    train(hands, folder / "mpt", RUNS["mpt"] | {"init": starts}, *judged)
    return folder


def test_the_whole_path_is_validated_as_freihand_is(hands, trained):
    scores = read_json(trained / "mpt/metrics.json")["validation"]
    assert set(scores) == {"pa_mpvpe", "pa_mpjpe", "f_5", "f_15"} and scores["pa_mpvpe"] > 1
    first = load_weights(trained / "mesh/model.pt")
    assert load_weights(trained / "mpt/model.pt").keys() > {f"regressor.{k}" for k in first}
    out = trained / "freihand.json"
    settings = {"run": "mpt", "seed": 0, "network": MPT, "protocol": "freihand",
                "batch_size": 4, "bootstrap": 10}  # fmt: skip
    assert main(["evaluate", "--settings", json.dumps(settings), "--weights",
                 str(trained / "mpt/model.pt"), "--records", str(hands.evaluation.path),
                 "--body", str(hands.body), "--out", str(out)]) == 0  # fmt: skip
    value = read_json(out)["metrics"]["pa_mpjpe"]["value"]
    assert value == pytest.approx(scores["pa_mpjpe"], abs=1e-3)


@pytest.mark.parametrize("kind", ["simple_baseline", "higher_hrnet"])
def test_features_are_all_but_the_layers_that_depend_on_joints(kind, tmp_path):
    from pipeline.checkpoints import save_weights

    sizes = {"simple_baseline": POSE, "higher_hrnet": {"kind": kind, "image_size": 64, "width": 8,
             "modules": [1, 1, 1]}}[kind]  # fmt: skip
    torch.manual_seed(0)
    body = build_network(sizes | {"joint_set": "coco17"}, None)
    save_weights(tmp_path / "body.pt", body, {})
    hand = build_network(sizes | {"joint_set": "freihand21"}, None)
    fresh = {key: value.clone() for key, value in hand.state_dict().items()}
    assert "not needed" in load_into(hand, tmp_path / "body.pt", "features")
    taken, given = hand.state_dict(), body.state_dict()
    own = {key for key in taken if key.startswith(hand.joint_layers)}
    differing = {key for key in taken if taken[key].shape != given[key].shape}
    assert differing <= own < set(taken)
    assert all(torch.equal(taken[key], fresh[key]) for key in own)
    assert all(torch.equal(taken[key], given[key]) for key in set(taken) - own)
    with pytest.raises(InputError, match="of other shape"):
        load_into(hand, tmp_path / "body.pt")


def test_what_is_of_bodies_only_is_refused(hands, tmp_path, capsys):
    images = ["--records", f"freihand_train={hands.train.path}"]

    def line(name: str, **changes: object) -> str:
        settings = RUNS[name] | changes
        given = ["--pairs", str(hands.train.path)] if name == "mesh" else images
        train(hands, tmp_path / "run", settings, *given, code=1)
        text = capsys.readouterr().err
        assert not (tmp_path / "run/model.pt").exists()
        return text

    assert "0 for hands" in line("mpt", augmentation=TURNED | {"flip": 0.5})
    assert "of COCO's joints" in line("mesh", corruption=CORRUPTION | {"jitter": "coco_synth"})
    body = POSE | {"joint_set": "coco17"}
    assert "records of hands" in line("pose", network=body)
