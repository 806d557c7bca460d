"""Snakemake and DVC agree about what is up to date, whichever of them ran."""

import json
import re

from tests.conftest import Workspace

STARTED = re.compile(r"^(?:local)?rule (\w+):$", re.MULTILINE)
NOTHING = "Nothing to be done"
STAGES = 8
EDIT = "finetune.hmr.loss.keypoints_3d"  # at the miniature scale only pymaf learns from it
EDITED = {
    "runs/finetune/pymaf/seed0/model.pt",
    "results/metrics/pymaf/seed0/pw3d_rooted.json",
    "results/metrics/pymaf/seed0/h36m_p2.json",
    "results/table1.csv",
    "results/metrics.json",
    "results/figures/curves.png",
    "results/figures/overlays.png",
    *(f"results/figures/{kind}_pymaf.png" for kind in ("iterations", "iuv", "features")),
    "results/report.html",
}


def skipped(text: str) -> int:
    """Number of stages that DVC did not run."""
    return text.count("didn't change, skipping")


def test_every_result_is_there(finished: Workspace) -> None:
    table = (finished.path / "results/table1.csv").read_text().splitlines()
    assert len(table) == 4 and table[1].startswith("Mean pose,mean_pose,0,")
    assert (finished.path / "results/report.html").stat().st_size > 10_000
    assert finished.jobs() == {}
    assert not list(finished.path.glob("checkpoints/*/*/*"))


def test_repro_after_snakemake_runs_no_job(reproduced: Workspace) -> None:
    text = (reproduced.path / "repro.txt").read_text()
    assert set(STARTED.findall(text)) == {"versions"}
    assert text.count(NOTHING) == STAGES - 1


def test_repro_again_runs_no_stage(copy: Workspace) -> None:
    text = copy.run("dvc", "repro").stdout
    assert skipped(text) == STAGES and "up to date" in text
    assert copy.run("git", "status", "--porcelain").stdout == ""
    assert copy.jobs() == {}


def test_clone_and_pull_has_nothing_to_do(clone: Workspace) -> None:
    clone.run("dvc", "pull")
    assert clone.jobs() == {}
    assert skipped(clone.run("dvc", "repro").stdout) == STAGES
    assert clone.jobs() == {}
    assert clone.run("git", "status", "--porcelain").stdout == ""


def test_clone_pull_and_edit_before_the_first_run(clone: Workspace) -> None:
    clone.run("dvc", "pull")
    clone.put(EDIT, 123.0)
    assert clone.jobs().keys() == EDITED
    clone.run("git", "checkout", "-q", ".")
    path = clone.path / "pipeline/models/pymaf.py"
    path.write_text(path.read_text() + "\nEDITED = 1\n")
    assert clone.jobs().keys() == EDITED


def test_pull_of_the_results_alone_says_what_is_missing(clone: Workspace) -> None:
    clone.run("dvc", "pull", "results")
    text = clone.run("snakemake", "-n", "results/table1.csv").stdout
    assert "adopt: records left alone, data/records is missing" in text
    assert "adopt: results left alone, its input" in text and "adopt: failed" not in text


def test_experiment(copy: Workspace) -> None:
    before = json.loads((copy.path / "results/metrics.json").read_text())["table1"]
    text = copy.run("dvc", "exp", "run", "-S", f"{EDIT}=123.0").stdout
    ran = set(STARTED.findall(text)) - {"versions"}
    expected = {"finetune", "evaluate", "table", "metrics", "report"}
    expected |= {"curves", "overlays", "inside"}
    assert {rule for rule in ran if not rule.startswith("phase_")} == expected
    assert copy.jobs() == {}
    assert skipped(copy.run("dvc", "repro").stdout) == STAGES
    after = json.loads((copy.path / "results/metrics.json").read_text())["table1"]
    assert before["pymaf"] != after["pymaf"] and before["mpt"] == after["mpt"]
    changes = json.loads(copy.run("dvc", "metrics", "diff", "--json").stdout)
    assert all(".pymaf." in name for name in changes["results/metrics.json"])
    params = json.loads(copy.run("dvc", "params", "diff", "--json").stdout)
    assert params["params.yaml"] == {EDIT: {"old": 300.0, "new": 123.0, "diff": -177.0}}
    assert {name.partition(".")[2] for name in params["versions.yaml"]} == {
        "runs/finetune/pymaf/seed0/model.pt"
    }
    copy.run("dvc", "plots", "diff", "-o", "plots")
    page = (copy.path / "plots/index.html").read_text()
    assert "mpjpe_pw3d_mm" in page and "vegaEmbed('#training_loss'" in page
    assert '"rev": "HEAD"' in page and '"rev": "workspace"' in page


def test_code_edit_is_seen_by_both(copy: Workspace) -> None:
    path = copy.path / "pipeline/evaluation/curves.py"
    path.write_text(path.read_text() + "\nEDITED = 1\n")
    assert copy.jobs().keys() == {"results/figures/curves.png", "results/report.html"}
    text = copy.run("dvc", "repro").stdout
    started = {rule for rule in STARTED.findall(text) if not rule.startswith("phase_")}
    assert "curves" in started and started <= {"versions", "curves", "report"}
    assert skipped(text) == STAGES - 2
    assert copy.jobs() == {}


def test_comment_in_code_is_seen_by_neither(copy: Workspace) -> None:
    path = copy.path / "pipeline/evaluation/curves.py"
    path.write_text(path.read_text() + "\n# A comment.\n")
    assert copy.jobs() == {}
    assert skipped(copy.run("dvc", "repro").stdout) == STAGES - 1


def test_older_input_with_other_content_is_seen(copy: Workspace) -> None:
    import os

    path = copy.path / "data/records/pw3d_test.h5"
    path.unlink()
    path.write_bytes((copy.path / "data/records/h36m_test.h5").read_bytes())
    os.utime(path, (1e9, 1e9))
    status = json.loads(copy.run("dvc", "status", "--json").stdout)
    assert "results" in status and "records" in status
