"""MPT's tables: which jobs each asks for, and one of them made at the miniature scale."""

import csv
import re
from collections.abc import Iterator

import pytest

from tests.conftest import Workspace, clone_files

PROTOCOL = ("h36m_p2_metro",)
ABLATION = "mpt_ablation"
UNTUNED = "mpt_untuned"
SEEDS = (0, 1)


def runs(group: str, *names: str) -> set[str]:
    """Weights of the runs at every seed of the demo."""
    return {f"runs/{group}/{name}/seed{seed}/model.pt" for name in names for seed in SEEDS}


def metrics(*names: str) -> set[str]:
    """What is measured of the runs at every seed of the demo."""
    return {f"results/metrics/{n}/seed{s}/h36m_p2_metro.json" for n in names for s in SEEDS}


def chain(changes: list[str]) -> set[str]:
    """Jobs of networks that are pre-trained with each change, and tested as they are."""
    pretrained = [f"mesh_ablation{change}" for change in changes]
    tested = [f"{UNTUNED}{change}" for change in changes]
    return runs("pretrain", *pretrained) | runs("finetune", *tested) | metrics(*tested)


@pytest.fixture(scope="module")
def workspace(made: Workspace) -> Iterator[Workspace]:
    """A workspace in which the jobs of table1 are done."""
    yield made


def asked(workspace: Workspace, *tables: str) -> set[str]:
    """Jobs that a dry run of these tables would start, the tables themselves apart."""
    targets = {f"results/mpt/{table}.csv" for table in tables}
    jobs = set(workspace.jobs(*sorted(targets)))
    assert targets <= jobs
    return jobs - targets


def test_pre_trainings_that_differ_in_their_pairs(workspace: Workspace) -> None:
    names = [*(f"percent{n}" for n in (20, 40, 60, 80)), "views1", "views2", "views8"]
    expected = chain(["", *(f"-pairs={name}" for name in names)])
    expected |= {f"data/pairs/{name}.h5" for name in names}
    assert asked(workspace, "table5", "table7", "table9") == expected


def test_inputs_and_pose_networks(workspace: Workspace) -> None:
    """Table 3: both networks read coordinates, and image features start without a regressor.

    Table 4 has a run of table 3, table 8 one of table1, which is there.
    """
    two = "-input=coordinates"
    expected = chain(["", "-mhm_max=0.0"]) | runs("pretrain", f"mesh_ablation{two}")
    other = "mpt_mixed-pose_network=higher_hrnet-pose_network=higher_hrnet-regressor=none"
    expected |= runs("pretrain", "higher_hrnet") | metrics("mpt-regressor=none")
    tuned = (
        *(f"{UNTUNED}{two}{two}", ABLATION, f"{ABLATION}-regressor=none", "mpt_image_features"),
        *(f"{ABLATION}-freeze_backbone=true", other),
    )
    expected |= runs("finetune", *tuned) | metrics(*tuned)
    assert asked(workspace, "table3", "table4", "table8") == expected


def test_silhouettes_and_the_figure_of_fine_tuning(workspace: Workspace) -> None:
    figure = "results/figures/mpt_finetuning.png"
    text = workspace.run("snakemake", "-n", "-p", "results/mpt/supp_table4.csv", figure).stdout
    assert "--iuv h36m_train=data/iuv/h36m_train.h5 coco_train=data/iuv/coco_train.h5" in text
    shares = [f"{ABLATION}{none}{share}" for none in ("", "-regressor=none")
              for share in ("", "-fraction=0.05", "-fraction=0.2")]  # fmt: skip
    expected = runs("pretrain", "segmentation", "mesh_silhouette", "mesh_ablation")
    expected |= runs("finetune", "mpt_silhouette", "mpt_maps", *shares)
    made = set(re.findall(r"output: (runs/\S+/model.pt)", text))
    assert made == expected and f"--out {figure}" in text


def make(finished: Workspace, path: object, *targets: str) -> tuple[Workspace, list[list[str]]]:
    """Return a workspace with a table made in it, and the rows of the first target."""
    workspace = clone_files(finished.path, path)
    workspace.run("snakemake", "--cores", "1", *targets)
    with open(workspace.path / targets[0], newline="") as file:
        return workspace, list(csv.DictReader(file))


def test_capacity_is_counted(finished: Workspace, tmp_path: object) -> None:
    workspace, rows = make(finished, tmp_path / "copy", "results/mpt/supp_table1.csv")
    quoted, ours = rows
    assert quoted["method"] == "METRO" and quoted["run"] == "quoted"
    assert quoted["paper_encoder_params_network_count"] == "128000000"
    assert float(ours["encoder_params_network_count"]) > 1000
    assert float(ours["regressor_params_network_count"]) > 1000
    assert ours["paper_mpjpe_h36m_mm"] == "45.3" and float(ours["mpjpe_h36m_mm"]) > 0
    text = (workspace.path / "results/mpt/supp_table1.md").read_text()
    assert "| METRO [1] | n/a | n/a | n/a | n/a | 128000000 | 102000000 | 54.0 | 36.7 |" in text


@pytest.mark.slow
def test_every_table_and_the_figure(finished: Workspace, tmp_path: object) -> None:
    names = [f"table{n}" for n in (1, 2, 3, 4, 5, 7, 8, 9, 10)]
    targets = [f"results/mpt/{n}.csv" for n in (*names, "supp_table1", "supp_table4", "figure4")]
    workspace, _ = make(
        finished, tmp_path / "copy", *targets, "results/figures/mpt_finetuning.png"
    )
    for target in targets:
        with open(workspace.path / target, newline="") as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            ours = [
                v for k, v in row.items() if k.startswith(("mpjpe", "pa_mpjpe")) and "sd" not in k
            ]
            assert all(ours) or row["run"] == "quoted", (target, row["method"])
