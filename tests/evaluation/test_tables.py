import csv
import json
from pathlib import Path

import pytest
import torch

from pipeline.__main__ import main
from pipeline.errors import InputError
from pipeline.evaluation import capacity, reference, tables
from pipeline.evaluation.predictions import Task
from pipeline.evaluation.protocols import PROTOCOLS


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
    assert second["pve_pw3d_sd"] == "n/a" and second["paper_pve_pw3d_mm"] == "n/a"
    assert not any(
        value == "" for row in (first, second) for k, value in row.items() if k != "notes"
    )
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


PAPERS = sorted(p for f in ("pymaf", "mpt") for p in (reference.FOLDER / f).glob("*.csv"))


@pytest.mark.parametrize("path", PAPERS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_number_of_the_papers_tables_can_be_looked_up(path):
    with path.open(newline="") as file:
        header = next(csv.reader(file))
    columns = [c for c in header if c.endswith(("_mm", "_pct", "_f1")) or c.startswith("f_at_")]
    row = {name: str(k) for k, name in enumerate(columns, 1)} | {"metric": "mpjpe"}
    asked = [(p.dataset, metric) for p in PROTOCOLS.values() for metric in p.metrics]
    asked += [("h36m", f"mpjpe_m{k}") for k in range(4)]
    found = {reference.value(row, dataset, metric) for dataset, metric in asked} - {None}
    assert found == set(range(1, len(columns) + 1))


def test_numbers_of_one_iteration_belong_to_their_metric():
    where = {"initial_feature": "Grid Points", "metric": "pampjpe"}
    row = reference.lookup("pymaf/table6", where)
    assert reference.value(row, "h36m", "pa_mpjpe_m2") == 49.9
    assert reference.value(row, "h36m", "mpjpe_m2") is None


@pytest.mark.parametrize(
    ("protocol", "metric", "title", "value"),
    [
        ("lsp_silhouette", "fb_seg_acc", "FB seg. accuracy LSP (%)", "12.35"),
        ("lsp_parts", "part_seg_f1", "part seg. F1 LSP", "12.35"),
        ("coco_keypoints", "ap_m", "AP M COCO (%)", "12.3"),
        ("freihand", "f_15", "F@15 mm FreiHAND", "12.346"),
        ("freihand", "pa_mpvpe", "PA-MPVPE FreiHAND", "12.3"),
        ("ssp3d", "miou_pooled", "mIoU pooled SSP-3D (%)", "12.3"),
        ("ssp3d", "pve_t_sc", "PVE-T-SC SSP-3D", "12.3"),
        ("mpi_inf_3dhp", "pa_auc", "PA-AUC MPI-INF-3DHP (%)", "12.3"),
        ("mupots", "pck_all", "3DPCK all MuPoTS-3D (%)", "12.3"),
        ("mupots", "auc_matched_own_bones_pooled",
         "3DAUC matched, own bones, pooled MuPoTS-3D (%)", "12.3"),
    ],
)  # fmt: skip
def test_headers_say_what_a_number_is_and_in_which_unit(
    settings, tmp_path, protocol, metric, title, value
):
    path = Path(_metrics(tmp_path, "hmr", 0, protocol, **{metric: 12.3456}))
    columns = [{"protocol": protocol, "metrics": [metric]}]
    settings |= {"seeds": [0], "columns": columns, "rows": [{"method": "Ours", "run": "hmr"}]}
    header, rows = tables.build(settings, tables.read_metrics([path]))
    text = tables.markdown(settings, header, rows)
    assert f"| Method | {title} | paper: {title} |" in text
    assert f"| Ours | {value} | n/a |" in text


def test_every_metric_of_every_protocol_has_a_title():
    metrics = {metric for protocol in PROTOCOLS.values() for metric in protocol.metrics}
    assert metrics <= tables.TITLES.keys()
    assert {protocol.dataset for protocol in PROTOCOLS.values()} <= tables.BENCHMARKS.keys()


def test_two_protocols_of_one_benchmark_are_told_apart(settings, tmp_path):
    paths = [_metrics(tmp_path, "hmr", 0, p, mpjpe=v) for p, v in (("h36m_p1", 1), ("h36m_p2", 2))]
    columns = [{"protocol": p, "metrics": ["mpjpe"]} for p in ("h36m_p1", "h36m_p2")]
    settings |= {"seeds": [0], "columns": columns, "rows": [{"method": "Ours", "run": "hmr"}]}
    found = tables.read_metrics([Path(p) for p in paths])
    header, rows = tables.build(settings, found)
    row = dict(zip(header, rows[0], strict=True))
    assert (row["mpjpe_h36m_p1_mm"], row["mpjpe_h36m_p2_mm"]) == ("1.0", "2.0")
    assert "MPJPE h36m_p2" in tables.markdown(settings, header, rows)


@pytest.mark.parametrize(
    ("table", "where", "message"),
    [("pymaf/table99", {}, "one of"), ("mpt/table2", {"method": "MPT"}, "4 rows")],
)
def test_unknown_or_ambiguous_references_are_refused(table, where, message):
    with pytest.raises(InputError, match=message):
        reference.lookup(table, where)


def test_a_quoted_row_shows_the_papers_numbers_alone(settings, metric_files):
    source = {"table": "pymaf/table1", "where": {"method": "SPIN"}}
    settings["rows"].insert(0, {"method": "SPIN", "run": None, "reference": source})
    header, rows = tables.build(settings, tables.read_metrics([Path(p) for p in metric_files]))
    row = dict(zip(header, rows[0], strict=True))
    assert row["run"] == "quoted" and row["seeds"] == row["pve_pw3d_mm"] == "n/a"
    assert row["paper_pve_pw3d_mm"] == "116.4"
    assert row["notes"] == "quoted from pymaf/table1, not run here"
    text = tables.markdown(settings, header, rows)
    assert "| SPIN [1] | n/a | n/a | n/a | 116.4 | 59.2 | 62.5 |" in text
    assert "\n[1] quoted from pymaf/table1, not run here.\n" in text
    assert "| Baseline | 102.0 ± 2.8 |" in text


def test_a_metric_that_is_not_defined_is_not_available_with_a_reason(settings, tmp_path):
    path = _metrics(tmp_path, "hmr", 0, "coco_keypoints", ap=12.0, ap_l=10.0)
    columns = [{"protocol": "coco_keypoints", "metrics": ["ap", "ap_m"]}]
    settings |= {"seeds": [0], "rows": [{"method": "Ours", "run": "hmr"}], "columns": columns}
    header, rows = tables.build(settings, tables.read_metrics([Path(path)]))
    row = dict(zip(header, rows[0], strict=True))
    assert (row["ap_coco_pct"], row["ap_m_coco_pct"], row["ap_m_coco_sd"]) == (
        "12.0",
        "n/a",
        "n/a",
    )
    assert row["notes"] == "not defined on these data: ap_m_coco"


def test_columns_pick_their_own_row_of_the_paper(settings, tmp_path):
    means = {f"{metric}_m{k}": 10.0 + k for metric in ("mpjpe", "pa_mpjpe") for k in range(4)}
    path = _metrics(tmp_path, "pymaf", 0, "h36m_p2_iterations", **means)
    columns = [
        {"protocol": "h36m_p2_iterations", "metrics": ["mpjpe_m0", "mpjpe_m3"],
         "where": {"metric": "mpjpe"}},
        {"protocol": "h36m_p2_iterations", "metrics": ["pa_mpjpe_m3"],
         "where": {"metric": "pampjpe"}},
    ]  # fmt: skip
    source = {"table": "pymaf/table6", "where": {"initial_feature": "Grid Points"}}
    rows = [{"method": "Grid", "run": "pymaf", "reference": source}]
    settings |= {"seeds": [0], "columns": columns, "rows": rows}
    header, rows = tables.build(settings, tables.read_metrics([Path(path)]))
    text = tables.markdown(settings, header, rows)
    assert "| Method | MPJPE M0 Human3.6M | MPJPE M3 Human3.6M | PA-MPJPE M3 Human3.6M |" in text
    assert "| Grid | 10.0 | 13.0 | 13.0 | 274.0 | 75.1 | 48.9 |" in text
    assert "; protocols `h36m_p2_iterations`. " in text


def test_two_cells_of_the_same_metric_name_do_not_collide(settings, metric_files):
    found = tables.read_metrics([Path(p) for p in metric_files])
    header, _ = tables.build(settings, found)
    assert len(header) == len(set(header))


def test_parts_of_a_table_and_counts_of_parameters(tmp_path):
    where = {"table": "mpt/supp_table1_model_capacity", "where": {"method": "Ours"}}
    settings = {
        "title": "T", "seeds": [0], "scale": "demo", "source": "demo",
        "columns": [{"protocol": "capacity", "metrics": ["encoder_params", "regressor_params"]}],
        "rows": [{"method": "Ours", "run": "mpt", "group": "a", "reference": where},
                 {"method": "Other", "run": "hmr"}],
    }  # fmt: skip
    measured = [_metrics(tmp_path, run, 0, "capacity", encoder_params=28e6, regressor_params=55e6)
                for run in ("mpt", "hmr")]  # fmt: skip
    found = tables.read_metrics([Path(path) for path in measured])
    header, rows = tables.build(settings, found)
    first, second = (dict(zip(header, row, strict=True)) for row in rows)
    assert first["group"] == "a" and second["group"] == ""
    assert first["encoder_params_network_count"] == "28000000"
    assert first["paper_regressor_params_network_count"] == "102000000"
    text = tables.markdown(settings, header, rows)
    assert "| (a) Ours | 28000000 | 55000000 | 28000000 | 102000000 |" in text
    assert "parameters of the image network (trained)" in text and "| Other | 28000000 |" in text


def test_capacity_is_that_of_the_built_network():
    network = torch.nn.ModuleDict(
        {"backbone": torch.nn.Linear(3, 2), "head": torch.nn.Linear(2, 1)}
    )
    found = capacity.measure(Task(network, "", PROTOCOLS["capacity"], None, {}))
    assert found.pooled == {"encoder_params": 8.0, "regressor_params": 3.0}
    with pytest.raises(InputError, match="capacity: network"):
        capacity.measure(Task(torch.nn.Identity(), "", PROTOCOLS["capacity"], None, {}))
