"""An edit reruns exactly what depends on it: the job list of dry runs."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.conftest import Workspace

SEEDS, PROTOCOLS = (0, 1), ("pw3d_rooted", "h36m_p2")
TABLE = {"results/table1.csv", "results/metrics.json", "results/report.html"}
CURVES, OVERLAYS = "results/figures/curves.png", "results/figures/overlays.png"
INSIDE = {f"results/figures/{kind}_pymaf.png" for kind in ("iterations", "iuv", "features")}
PARAMS = "params.yaml"


OWN = ("Params have changed", "Code has changed", "Set of input files", "Missing output")


@dataclass(frozen=True)
class Edited(Workspace):
    """The finished workspace, to be edited.

    Attributes:
        before: lines of versions.yaml before the edit.
    """

    before: dict[str, str]

    def rerun(self) -> set[str]:
        """Return the jobs that would rerun; DVC has to see the first of each chain, no others."""
        jobs = self.jobs()
        lines = self.versions()
        changed = {job for job, line in lines.items() if self.before.get(job) != line}
        first = {job for job, why in jobs.items() if any(own in why for own in OWN)}
        assert first <= changed <= set(jobs)
        return set(jobs)


@pytest.fixture(scope="module")
def lines(made: Workspace) -> dict[str, str]:
    return made.versions()


@pytest.fixture
def workspace(made: Workspace, lines: dict[str, str]) -> Iterator[Edited]:
    """The finished workspace; edits are undone after the test."""
    yield Edited(made.path, lines)
    made.run("git", "checkout", "-q", ".")


def trained(group: str, *runs: str) -> set[str]:
    """Weights of the runs at every seed."""
    return {f"runs/{group}/{run}/seed{seed}/model.pt" for run in runs for seed in SEEDS}


def evaluated(*runs: str, protocols: tuple[str, ...] = PROTOCOLS) -> set[str]:
    """Metrics of the runs at every seed."""
    return {
        f"results/metrics/{run}/seed{seed}/{protocol}.json"
        for run in runs
        for seed in SEEDS
        for protocol in protocols
    }


def test_sigma(workspace: Edited) -> None:
    workspace.put("pretrain.mesh.corruption.sigma", 2.5)
    expected = trained("pretrain", "mesh") | trained("finetune", "mpt", "mpt-steps=0")
    expected |= evaluated("mpt", "mpt-steps=0") | TABLE | {CURVES, OVERLAYS}
    assert workspace.rerun() == expected  # mpt-regressor=none does not start from the pre-trained


def test_mask_ratio(workspace: Edited) -> None:
    workspace.put("pretrain.mesh.corruption.mhm_max", 0.17)
    expected = trained("pretrain", "mesh") | trained("finetune", "mpt", "mpt-steps=0")
    expected |= evaluated("mpt", "mpt-steps=0") | TABLE | {CURVES, OVERLAYS}
    assert workspace.rerun() == expected


def test_loss_weight(workspace: Edited) -> None:
    workspace.put("finetune.pymaf.loss.iuv_uv", 0.61)
    expected = trained("finetune", "pymaf") | evaluated("pymaf") | TABLE | {CURVES, OVERLAYS}
    expected |= INSIDE
    assert workspace.rerun() == expected  # pymaf-auxiliary=none computes no IUV loss


def test_loss_weight_of_a_base(workspace: Edited) -> None:
    workspace.put("finetune.hmr.loss.betas", 0.071)
    runs = ("hmr", "pymaf", "pymaf-auxiliary=none")
    expected = trained("finetune", *runs) | evaluated(*runs) | TABLE | {CURVES, OVERLAYS}
    expected |= INSIDE | {"results/figures/iterations_hmr.png"}
    assert workspace.rerun() == expected


def test_added_row(workspace: Edited) -> None:
    row = {"method": "Grid", "run": "pymaf", "set": {"network.feedback": "grid"}}
    workspace.add_row("table1", row)
    expected = trained("finetune", "pymaf-feedback=grid") | evaluated("pymaf-feedback=grid")
    assert workspace.rerun() == expected | TABLE


def test_added_row_of_a_changed_pretraining(workspace: Edited) -> None:
    row = {"method": "No mask", "run": "mpt", "set": {"pretrain/mesh.corruption.mhm_max": 0}}
    workspace.add_row("table1", row)
    expected = trained("pretrain", "mesh-mhm_max=0") | trained("finetune", "mpt-mhm_max=0")
    assert workspace.rerun() == expected | evaluated("mpt-mhm_max=0") | TABLE


def test_row_equal_to_another_runs_nothing_but_the_table(workspace: Edited) -> None:
    row = {"method": "Again", "run": "pymaf", "set": {"network.feedback": "mesh"}}
    workspace.add_row("table1", row)
    assert workspace.rerun() == TABLE


def test_evaluation_protocol(workspace: Edited) -> None:
    workspace.put("evaluation.protocols.h36m_p1", "h36m_test")
    columns = [{"protocol": "h36m_p1", "metrics": ["mpjpe"]}]
    workspace.put("tables.table1.columns", columns)
    runs = ("mean_pose", "hmr", "pymaf-auxiliary=none", "pymaf", "mpt-regressor=none",
            "mpt-steps=0", "mpt")  # fmt: skip
    assert workspace.rerun() == evaluated(*runs, protocols=("h36m_p1",)) | TABLE


def test_protocol_that_reads_raw_files(workspace: Edited) -> None:
    """Its dataset is made and converted; code that measures it is no other protocol's."""
    columns = [{"protocol": "lsp_parts", "metrics": ["part_seg_acc"]},
               {"protocol": "pw3d_rooted", "metrics": ["pve"]}]  # fmt: skip
    workspace.put("tables.table1.columns", columns)
    measured = evaluated("pymaf", "mpt", protocols=("lsp_parts",))
    jobs = workspace.rerun()
    assert {"data/demo/lsp.manifest.json", "data/records/lsp_test.h5", *measured} <= jobs
    assert not {job for job in jobs if job.startswith("runs/") or "pw3d" in job}
    text = workspace.run("snakemake", "-n", "-p", sorted(measured)[0]).stdout
    assert "--records data/records/lsp_test.h5" in text and "--raw data/demo/lsp " in text
    before = workspace.versions()
    path = workspace.path / "pipeline/evaluation/lsp.py"
    path.write_text(path.read_text() + "\nEDITED = 1\n")
    changed = {job for job, line in workspace.versions().items() if before[job] != line}
    assert measured <= changed and all(job.endswith("/lsp_parts.json") for job in changed)


def test_added_seed(workspace: Edited) -> None:
    workspace.put("tables.table1.seeds", [*SEEDS, 7])
    jobs = workspace.rerun()
    assert {job for job in jobs if "/seed" in job} == {job for job in jobs if "/seed7/" in job}
    assert "runs/pretrain/mesh/seed7/model.pt" in jobs and CURVES in jobs


def test_keys_that_change_no_result(workspace: Edited) -> None:
    text = (workspace.path / PARAMS).read_text()
    (workspace.path / PARAMS).write_text(f"# A comment.\n{text}")
    workspace.put("training.workers", 3)
    workspace.put("training.threads", 2)
    workspace.put("training.checkpoint_every", 17)
    workspace.put("training.checkpoint_activations", True)
    assert workspace.rerun() == set()


def test_unrelated_key(workspace: Edited) -> None:
    workspace.put("finetune.unused", {"base": "hmr", "training": {"steps": 5}})
    assert workspace.rerun() == set()


def test_iuv_resolution(workspace: Edited) -> None:
    workspace.put("iuv.resolution", 72)
    jobs = workspace.rerun()
    assert {job for job in jobs if job.startswith("data/")} == {
        f"data/iuv/{name}.h5" for name in ("h36m_train", "coco_train", "pw3d_test")
    }
    assert {job for job in jobs if job.startswith("runs/")} == trained("finetune", "pymaf")


def test_one_dataset(workspace: Edited) -> None:
    workspace.put("data.datasets.coco.box_factor", 1.3)
    jobs = workspace.rerun()
    assert {job for job in jobs if job.startswith("data/")} == {
        "data/records/coco_train.h5",
        "data/iuv/coco_train.h5",
    }


def test_code_of_one_network(workspace: Edited) -> None:
    path = workspace.path / "pipeline/models/pymaf.py"
    path.write_text(path.read_text() + "\nEDITED = 1\n")
    runs = ("pymaf", "pymaf-auxiliary=none")
    expected = trained("finetune", *runs) | evaluated(*runs) | TABLE | {CURVES, OVERLAYS}
    expected |= INSIDE
    assert workspace.rerun() == expected


def test_code_of_one_converter(workspace: Edited) -> None:
    path = workspace.path / "pipeline/convert/pw3d.py"
    path.write_text(path.read_text() + "\nEDITED = 1\n")
    jobs = workspace.rerun()
    assert {job for job in jobs if job.startswith("data/records")} == {"data/records/pw3d_test.h5"}
    assert not {job for job in jobs if job.startswith("runs/")}


def test_code_of_the_evaluation(workspace: Edited) -> None:
    path = workspace.path / "pipeline/evaluation/evaluate.py"
    path.write_text(path.read_text() + "\nEDITED = 1\n")
    jobs = workspace.rerun()
    assert jobs and all(job.startswith("results/") for job in jobs)


def test_comment_and_docstring_in_code(workspace: Edited) -> None:
    path = workspace.path / "pipeline/models/pymaf.py"
    path.write_text(
        '"""Another docstring."""\n' + path.read_text().split('"""', 2)[2] + "\n# so\n"
    )
    assert workspace.rerun() == set()


OTHER = {
    "title": "Other",
    "columns": [{"protocol": "h36m_p1", "metrics": ["mpjpe"]}],
    "rows": [{"method": "Grid", "run": "pymaf", "set": {"network.feedback": "grid"}}],
}


def test_table_that_is_no_target_is_made_when_asked_for(workspace: Edited) -> None:
    workspace.put("tables.folder/other", OTHER)
    assert workspace.rerun() == set()
    run = "pymaf-feedback=grid"
    made = trained("finetune", run) | evaluated(run, protocols=("h36m_p1",))
    assert set(workspace.jobs("results/folder/other.csv")) == made | {"results/folder/other.csv"}
    assert {"results/folder/other.csv"} | made <= set(workspace.jobs("tables"))


def test_table_of_hands(workspace: Edited) -> None:
    """From both data sets of hands, through pairs, without anything of bodies."""
    runs = ("mean_hand", "mpt_hand", "mpt_hand-steps=0", "mpt_hand-regressor=none")
    records = ("complement_train", "freihand_train", "freihand_evaluation")
    made = {"results/mpt/table6.csv", "data/pairs/hands/hand.h5"}
    made |= {f"data/demo/{name}.manifest.json" for name in ("complement", "freihand")}
    made |= {f"data/records/{name}.h5" for name in records}
    made |= trained("pretrain", "pose2d_hand", "mesh_hand") | trained("finetune", *runs)
    made |= evaluated(*runs, protocols=("freihand",))
    assert set(workspace.jobs("results/mpt/table6.csv")) == made


def test_table_that_becomes_a_target(workspace: Edited) -> None:
    workspace.put("tables.folder/other", {**OTHER, "seeds": [1]})
    workspace.put("targets", ["table1", "folder/other"])
    run = "runs/finetune/pymaf-feedback=grid/seed1/model.pt"
    metrics = "results/metrics/pymaf-feedback=grid/seed1/h36m_p1.json"
    expected = {run, metrics, "results/folder/other.csv"}
    assert workspace.rerun() == expected | TABLE - {"results/table1.csv"}


def test_claims_of_a_target(workspace: Edited) -> None:
    claim = {"claim": "it learns", "better": "PyMAF", "worse": "Mean pose"}
    workspace.put("tables.table1.claims", [claim])
    assert workspace.rerun() == {"results/table1.claims.csv"}
