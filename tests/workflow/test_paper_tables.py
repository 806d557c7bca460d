"""The papers' tables: the jobs of each, and one in a folder built for real."""

import csv
import dataclasses
import json
import os
from collections.abc import Iterator

import pytest

from pipeline.checkpoints import load_weights
from pipeline.params import Params, load
from pipeline.params.overlay import read_file
from pipeline.workflow import phases
from tests.conftest import ROOT, Workspace, clone_files

MAIN = {"hmr", "pymaf-auxiliary=none", "pymaf"}
ALONE = "pymaf_h36m-auxiliary=none"  # Human3.6M alone, no auxiliary supervision
RUNS = {
    1: MAIN,
    2: MAIN,
    3: MAIN,
    4: {"hmr_h36m", "hmr_h36m-supervise=all", ALONE, f"{ALONE}-feedback=grid",
        f"{ALONE}-pyramid=false", f"{ALONE}-feedback=grid-pyramid=false"},
    5: {ALONE, "pymaf_h36m-auxiliary=parts", "pymaf_h36m-auxiliary=parts-input=auxiliary",
        "pymaf_h36m-auxiliary=parts-input=feature_x_mask", "pymaf_h36m-input=auxiliary",
        "pymaf_h36m"},
    6: {"pymaf_h36m-initial=mean_mesh", "pymaf_h36m"},
    7: {"hmr", "pymaf"},
}  # fmt: skip
PROTOCOLS = {
    1: {"pw3d_spin", "h36m_p2"}, 2: {"lsp_silhouette", "lsp_parts"}, 3: {"coco_keypoints"},
    4: {"h36m_p2"}, 5: {"h36m_p2"}, 6: {"h36m_p2_iterations"}, 7: {"oh3d", "ssp3d_silhouette"},
}  # fmt: skip
DEMO = {1: {"pw3d"}, 2: {"lsp"}, 7: {"oh3d", "ssp3d"}}  # besides coco and h36m


@pytest.fixture(scope="module")
def params() -> Params:
    return load({**read_file(ROOT / "params.yaml"), "scale": "demo", "source": "demo"})


def files(params: Params, table: str) -> set[str]:
    """Return every main output that a table alone asks for."""
    alone = dataclasses.replace(params, tree={**params.tree, "targets": [table]})
    found = {path for step in ("pretrain", "finetune", "evaluate", "table", "demo")
             for path in phases.STEPS[step].targets(alone)}  # fmt: skip
    return {path for path in found if "figures" not in path}


@pytest.mark.parametrize("number", RUNS)
def test_a_table_asks_for_its_own_runs_and_protocols(params: Params, number: int) -> None:
    table = f"pymaf/table{number}"
    found = files(params, table)
    trained = {p.split("/")[2] for p in found if p.startswith("runs/finetune")}
    assert trained == RUNS[number]
    metrics = {tuple(p.split("/")[2:]) for p in found if p.startswith("results/metrics")}
    assert metrics == {(run, f"seed{seed}", f"{protocol}.json") for run in RUNS[number]
                       for seed in (0, 1) for protocol in PROTOCOLS[number]}  # fmt: skip
    assert {p for p in found if p.startswith("results/p")} == {f"results/{table}.csv"}


def test_dry_run_of_all_of_a_paper(made: Workspace, params: Params) -> None:
    """What a plain run has made already is not made again."""
    tables = [f"pymaf/table{number}" for number in RUNS]
    jobs = set(made.jobs(*(f"results/{table}.csv" for table in tables)))
    asked = set().union(*(files(params, table) for table in tables))
    done = {path for path in asked if (made.path / path).exists()}
    assert {path for path in done if path.startswith("runs/finetune")} == {
        f"runs/finetune/{run}/seed{seed}/model.pt" for run in MAIN for seed in (0, 1)
    }
    records = {"data/records/lsp_test.h5", "data/records/coco_val.h5", "data/records/oh3d_test.h5",
               "data/records/ssp3d_test.h5"}  # fmt: skip
    assert jobs == asked - done | records
    demo = {f"data/demo/{name}.manifest.json" for more in DEMO.values() for name in more}
    assert demo - jobs == {"data/demo/pw3d.manifest.json"}


@pytest.fixture
def workspace(finished: Workspace, tmp_path) -> Iterator[Workspace]:
    yield clone_files(finished.path, tmp_path / "copy")


TWO_STAGES = {
    "title": "Two stages",
    "columns": [{"protocol": "h36m_p2_iterations", "metrics": ["mpjpe_m0", "mpjpe_m3"],
                 "where": {"metric": "mpjpe"}}],
    "quoted": {"table": "pymaf/table6", "where": {"metric": "mpjpe"}, "label": "initial_feature"},
    "rows": [{"method": "Two stages", "run": "pymaf",
              "set": {"init.network": "finetune/pymaf_h36m", "init.backbone": None,
                      "training.steps": 0},
              "reference": {"table": "pymaf/table6",
                            "where": {"initial_feature": "Grid Points"}}}],
}  # fmt: skip


def test_table_in_a_folder_of_a_run_in_two_stages(workspace: Workspace) -> None:
    workspace.put("tables.folder/stages", TWO_STAGES)
    workspace.run("snakemake", "--cores", "1", "--quiet", "all", "--", "results/folder/stages.csv")
    with open(workspace.path / "results/folder/stages.csv", newline="") as file:
        quoted, ours = csv.DictReader(file)
    assert quoted["method"] == "Mean-pose Mesh" and quoted["paper_mpjpe_m3_h36m_mm"] == "77.3"
    assert ours["paper_mpjpe_m3_h36m_mm"] == "75.1" and float(ours["mpjpe_m0_h36m_mm"]) > 0
    assert ours["mpjpe_m0_h36m_mm"] != ours["mpjpe_m3_h36m_mm"]
    first, second = (load_weights(workspace.path / f"runs/finetune/{run}/seed0/model.pt")
                     for run in ("pymaf_h36m", ours["run"]))  # fmt: skip
    assert first.keys() == second.keys() and all(first[k].equal(second[k]) for k in first)
    assert (workspace.path / "results/folder/stages.md").exists()
    assert workspace.jobs() == {} and workspace.jobs("results/folder/stages.csv") == {}


@pytest.mark.slow
def test_the_papers_mixture_in_two_stages(workspace: Workspace) -> None:
    """Every dataset of PyMAF's training, made, converted, rendered and learnt from."""
    mixture = read_file(ROOT / "params.yaml")["finetune"]["hmr"]["data"]["mixture"]
    workspace.put("finetune.pymaf.data", {"mixture": mixture})
    workspace.put("finetune.pymaf.init", {"network": "finetune/pymaf_h36m", "backbone": None})
    table = "results/pymaf/table7.csv"
    workspace.run("snakemake", "--cores", str(os.cpu_count()), "--quiet", "all", "--", table)
    with open(workspace.path / table, newline="") as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    assert rows["SPIN"]["run"] == "quoted" and float(rows["PyMAF"]["pve_oh3d_mm"]) > 0
    settings = json.loads((workspace.path / "runs/finetune/pymaf/seed0/settings.json").read_text())
    assert settings["data"]["mixture"] == mixture and len(mixture) == 6
    rendered = {path.stem for path in (workspace.path / "data/iuv").glob("*.h5")}
    assert mixture.keys() <= rendered
