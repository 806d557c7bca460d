"""A few samples of every dataset: all asked for, apart from the data that the tables read."""

import csv
from pathlib import Path

import pytest

from pipeline.evaluation.protocols import PROTOCOLS
from pipeline.params import load
from pipeline.params.overlay import read_file
from pipeline.records import Records
from tests.conftest import ROOT, Workspace, copy_repository

pytestmark = pytest.mark.xdist_group("edits")


def measured() -> set[str]:
    return {f"results/miniatures/{name}.json" for name in PROTOCOLS}


def sheets() -> set[str]:
    params = load({**read_file(ROOT / "params.yaml"), "source": "demo", "scale": "mini"})
    return {f"results/miniatures/contact_{name}.png" for name in params.records}


@pytest.mark.parametrize("source", ["demo", "real"])
def test_every_split_is_drawn_and_nothing_else_is_made(made: Workspace, source: str) -> None:
    jobs = made.jobs("--config", f"source={source}", "--", "miniatures")
    found = {job for job in jobs if job.startswith("results/")}
    assert found == sheets() | measured() | {"results/miniatures/protocols.csv"}
    body = {"data/real/body_models.manifest.json", "data/body/smpl.npz"}
    assert all(job.startswith("data/miniatures/") for job in jobs.keys() - found - body)


@pytest.mark.slow
def test_miniatures(tmp_path: Path) -> None:
    """Every dataset is made in its official layout, converted, drawn, and measured."""
    workspace = copy_repository(tmp_path / "copy", "demo")
    workspace.run("snakemake", "--cores", "2", "miniatures")
    assert all((workspace.path / sheet).stat().st_size for sheet in sheets())
    for path in (workspace.path / "data/miniatures/records").glob("*.h5"):
        assert len(Records(path)) > 0
    with (workspace.path / "results/miniatures/protocols.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    values = {(row["protocol"], row["metric"]): row["value"] for row in rows}
    assert values.keys() == {(p.name, metric) for p in PROTOCOLS.values() for metric in p.metrics}
    undefined = {metric for (_, metric), value in values.items() if value == "undefined"}
    assert undefined <= {"ap_m", "ap_l", "pck_visible", "pck_hidden"}
    assert all(float(value) >= 0 for value in values.values() if value != "undefined")
    assert all(int(row["count"]) > 0 or row["unit"] == "parameters" for row in rows)
    assert workspace.jobs("miniatures") == {}
