"""The runs of `scale: gpu` at their own sizes: one step of two samples, on whatever is there."""

import pytest

from pipeline.params import load
from pipeline.params.overlay import read_file
from tests.objectives.test_verb import train

RUNS = (
    "pretrain/pose2d", "pretrain/mesh", "finetune/hmr", "finetune/pymaf", "finetune/mpt",
    "finetune/pymaf-auxiliary=none", "finetune/mpt-freeze_backbone=true",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("key", RUNS)
def test_one_step(files, tmp_path, key):
    settings = load({**read_file(), "scale": "gpu"}).runs[key].at(0)
    few = {"steps": 1, "batch_size": 2, "accumulate": 1, "threads": 1, "workers": 0}
    settings = {**settings, "init": {}, "training": settings["training"] | few}
    if "mixture" in settings["data"]:
        settings["data"] = {"mixture": {"toy_train": 1.0}}
    out = train(files, tmp_path, settings)
    assert (out / "model.pt").is_file()
