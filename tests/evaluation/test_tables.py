import csv
import json

import pytest

from pipeline.__main__ import main
from pipeline.errors import InputError
from pipeline.evaluation import reference, tables


def _metrics(tmp_path, run, seed, protocol, **means):
    path = tmp_path / f"{run}-{seed}-{protocol}.json"
    content = {"run": run, "seed": seed, "protocol": {"name": protocol},
               "metrics": {k: {"value": v, "unit": "mm"} for k, v in means.items()}}  # fmt: skip
    path.write_text(json.dumps(content))
    return str(path)


@pytest.fixture
def settings():
    return {
        "title": "T", "seeds": [0, 1], "scale": "demo", "source": "demo",
        "columns": [{"protocol": "pw3d_rooted", "metrics": ["pve", "pa_mpjpe"]},
                    {"protocol": "h36m_p2", "metrics": ["mpjpe"]}],
        "rows": [{"method": "Baseline", "run": "hmr",
                  "reference": {"table": "pymaf/table1", "where": {"method": "Baseline"}}},
                 {"method": "Mean pose", "run": "mean", "seeds": [0]}],
    }  # fmt: skip


@pytest.fixture
def metric_files(tmp_path):
    return [
        _metrics(tmp_path, "hmr", 0, "pw3d_rooted", pve=100.0, pa_mpjpe=60.0),
        _metrics(tmp_path, "hmr", 1, "pw3d_rooted", pve=104.0, pa_mpjpe=62.0),
        _metrics(tmp_path, "hmr", 0, "h36m_p2", mpjpe=70.0),
        _metrics(tmp_path, "hmr", 1, "h36m_p2", mpjpe=71.0),
        _metrics(tmp_path, "mean", 0, "pw3d_rooted", pve=200.0, pa_mpjpe=90.0),
        _metrics(tmp_path, "mean", 0, "h36m_p2", mpjpe=210.0),
    ]


def test_table_holds_means_spreads_and_the_papers_numbers(tmp_path, settings, metric_files):
    out, summary = tmp_path / "t.csv", tmp_path / "m.json"
    code = main(["table", "--settings", json.dumps(settings), "--metrics", *metric_files,
                 "--out", str(out), "--summary", str(summary)])  # fmt: skip
    assert code == 0
    first, second = csv.DictReader(out.open(newline=""))
    assert first["pve_pw3d_mm"] == "102.0"
    assert first["pve_pw3d_sd"] == "2.8"  # sqrt(((100-102)^2 + (104-102)^2) / 1)
    assert first["mpjpe_h36m_mm"] == "70.5"
    assert first["paper_pve_pw3d_mm"] == "117.9"
    assert first["paper_mpjpe_h36m_mm"] == "64.8"
    assert first["seeds"] == "0 1" and second["seeds"] == "0"
    assert second["pve_pw3d_sd"] == "" and second["paper_pve_pw3d_mm"] == ""
    assert json.loads(summary.read_text())["hmr"]["h36m_p2"]["mpjpe"] == 70.5
    text = out.with_suffix(".md").read_text()
    assert "| Baseline | 102.0 ± 2.8 | 61.0 ± 1.4 | 70.5 ± 0.7 | 117.9 | 60.9 | 64.8 |" in text


def test_a_missing_seed_is_an_error_not_an_empty_cell(tmp_path, settings, metric_files, capsys):
    code = main(["table", "--settings", json.dumps(settings), "--metrics", *metric_files[:3],
                 "--out", str(tmp_path / "t.csv")])  # fmt: skip
    assert code == 1
    assert "hmr seed 1" in capsys.readouterr().err
    assert not (tmp_path / "t.csv").exists()


def test_reference_rows_are_found_by_their_columns():
    row = reference.lookup("mpt/table2", {"method": "MPT", "mesh_pretraining": "no",
                                          "finetune_data": "Mixed Datasets"})  # fmt: skip
    assert reference.value(row, "h36m", "mpjpe") == 46.6
    assert reference.value(row, "h36m", "pa_mpjpe") == 32.4
    assert reference.value(row, "pw3d", "pve") is None
    row = reference.lookup("mpt/table1", {"method": "MPT (Ours)"})
    assert reference.value(row, "pw3d", "pve") == 79.4


@pytest.mark.parametrize(
    ("table", "where", "message"),
    [("pymaf/table99", {}, "one of"), ("mpt/table2", {"method": "MPT"}, "4 rows")],
)
def test_unknown_or_ambiguous_references_are_refused(table, where, message):
    with pytest.raises(InputError, match=message):
        reference.lookup(table, where)


def test_every_reference_row_named_in_params_exists():
    import yaml

    with open("params.yaml") as file:
        declared = yaml.safe_load(file)["tables"]
    rows = [r["reference"] for t in declared.values() for r in t["rows"] if "reference" in r]
    assert rows
    for row in rows:
        assert reference.lookup(row["table"], row["where"])


def test_two_cells_of_the_same_metric_name_do_not_collide(settings, metric_files):
    from pathlib import Path

    found = tables.read_metrics([Path(p) for p in metric_files])
    header, _ = tables.build(settings, found)
    assert len(header) == len(set(header))
