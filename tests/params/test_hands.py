"""Runs of hands in params.yaml: what they read, and what is refused for them."""

import pytest

from pipeline.errors import InputError
from pipeline.params import load
from pipeline.params.overlay import merge, read_file
from pipeline.workflow import phases
from tests.conftest import ROOT

TABLE = "mpt/table6"
CONFIG = {**read_file(ROOT / "params.yaml"), "scale": "demo", "source": "demo"}


def changed(overlay: dict, **top: object) -> dict:
    """The parameters with an overlay that wins over those of scale and source."""
    config = merge(CONFIG, top)
    return merge(config, {"scales": {config["scale"]: overlay}})


def test_the_table_is_made_from_both_data_sets_of_hands():
    params = load(changed({}, targets=[TABLE], figures={
        "curves": ["mpt_hand"], "overlays": {"runs": ["mpt_hand"], "protocol": "freihand"},
        "contact_sheets": ["freihand_train"]}))  # fmt: skip
    assert phases.used_pairs(params) == [] and phases.used_hand_pairs(params) == ["hand"]
    records = {"complement_train", "freihand_train", "freihand_evaluation"}
    assert set(phases.used_records(params)) == records
    assert "data/pairs/hands/hand.h5" in phases.targets(params, "synthesis")
    trained = phases.targets(params, "pretrain") + phases.targets(params, "finetune")
    names = {path.split("/")[2] for path in trained}
    assert names == {"pose2d_hand", "mesh_hand", "mean_hand", "mpt_hand",
                     "mpt_hand-regressor=none", "mpt_hand-steps=0"}  # fmt: skip


def test_the_papers_network_has_216_queries_and_starts_from_coco():
    params = load({**CONFIG, "scale": "paper", "source": "real"})
    regressor = params.runs["finetune/mpt_hand"].settings["network"]["regressor"]
    assert regressor["joints"] + regressor["vertices"] == 216
    assert regressor["mvm_max"] == 0 and regressor["upsample"] == "learned"
    assert params.runs["pretrain/pose2d_hand"].parents == {"features": "pretrain/pose2d"}
    for key in ("pretrain/mesh_hand", "finetune/mpt_hand", "pretrain/pose2d_hand"):
        augmentation = params.runs[key].settings["augmentation"]
        assert (augmentation["flip"], augmentation["rotation_deg"]) == (0, 90)


@pytest.mark.parametrize(
    ("overlay", "message"),
    [
        ({"finetune": {"mpt_hand": {"augmentation": {"flip": 0.5}}}}, "0 for hands"),
        ({"pretrain": {"mesh_hand": {"corruption": {"jitter": "coco_synth"}}}}, "isotropic"),
        ({"pretrain": {"mesh_hand": {"network": {"vertices": 431}}}}, "the hand"),
        ({"pretrain": {"mesh_hand": {"data": {"pairs": "default"}}}}, "one of hand"),
        ({"pretrain": {"mesh": {"data": {"pairs": "hand"}}}}, "one of default"),
        ({"synthesis": {"hand_pairs": {"hand": {"records": ["complement"]}}}}, "complement_train"),
        ({"synthesis": {"hand_pairs": {"hand": {"records": []}}}}, "records"),
        ({"synthesis": {"hand_pairs": {"hand": {"views": 0}}}}, "views"),
        ({"pretrain": {"mesh_hand": {"loss": {"preset": "hand"}}}}, "metro_hand"),
        ({"pretrain": {"pose2d_hand": {"init": {"features": "pretrain/mesh_hand"}}}}, "features"),
    ],
)
def test_contradictions_are_refused(overlay: dict, message: str):
    with pytest.raises(InputError, match=message):
        load(changed(overlay))
