"""Runs: their names, what they share, what they start from."""

import dataclasses
from collections.abc import Callable

import pytest
import yaml

from pipeline.convert.run import CONVERTERS
from pipeline.demo.generate import DATASETS as DEMO_WRITERS
from pipeline.errors import InputError
from pipeline.params import Params, jobs, load
from pipeline.params.overlay import merge, read_file, with_bases
from pipeline.params.reader import Refused
from pipeline.params.runs import influences
from pipeline.schedules import learning_rate
from pipeline.workflow import phases
from tests.conftest import ROOT

FILE = ROOT / "params.yaml"


@pytest.fixture(scope="module")
def config() -> dict:
    return {**read_file(FILE), "scale": "demo", "source": "demo"}


def with_rows(config: dict, *rows: dict) -> Params:
    """The parameters with a table of these rows, and the one that a figure shows."""
    rows = [{"method": f"row {i}", **row} for i, row in enumerate(rows)]
    table = {**config["tables"]["table1"], "rows": rows}
    runs = list(dict.fromkeys(row["run"] for row in rows if "set" not in row))
    figures = {"curves": runs, "overlays": {**config["figures"]["overlays"], "runs": runs}}
    shown = config["figures"]["finetuning"]
    tables = {"table1": table, shown: config["tables"][shown]}
    return load({**config, "tables": tables, "figures": {**config["figures"], **figures}})


def names(params: Params) -> list[str]:
    return [run.name for run in params.rows["table1"]]


def test_every_source_and_scale_is_without_contradiction(config: dict) -> None:
    for source in config["sources"]:
        for scale in config["scales"]:
            assert load({**config, "source": source, "scale": scale}).rows["table1"]


def test_changed_runs_have_short_names(config: dict) -> None:
    rows = (
        {"run": "pymaf"},
        {"run": "pymaf", "set": {"network.auxiliary": "none"}},
        {"run": "mpt", "set": {"init.regressor": None}},
        {"run": "mpt", "set": {"pretrain/mesh.corruption.sigma": 1.5, "training.steps": 0}},
        {"run": "hmr", "set": {"data.mixture": {"h36m_train": 0.5, "coco_train": 0.5}}},
    )
    params = with_rows(config, *rows)
    assert names(params)[:4] == [
        "pymaf",
        "pymaf-auxiliary=none",
        "mpt-regressor=none",
        "mpt-sigma=1.5-steps=0",
    ]
    assert names(params)[4].startswith("hmr-mixture=")


def test_an_output_that_no_loss_reads_is_refused(config: dict) -> None:
    paper = {"run": "pymaf", "set": {"loss.preset": "paper", "network.annotation": False}}
    assert names(with_rows(config, paper))
    with pytest.raises(InputError, match="annotation: saw true .*expected false"):
        with_rows(config, {**paper, "set": {"loss.preset": "paper"}})
    kept = {"loss.preset": "paper", "loss.annotation": True, "loss.iuv_annotation": 0.3}
    assert names(with_rows(config, {**paper, "set": kept}))


def test_selection_on_a_benchmark_has_to_say_so(config: dict) -> None:
    def row(selection: str, records: str) -> dict:
        training = {"training.selection": selection, "training.validate_every": 10}
        return {"run": "hmr", "set": {**training, "data.validation": records}}

    assert names(with_rows(config, row("validation", "pw3d_validation")))
    assert names(with_rows(config, row("paper", "pw3d_test")))
    with pytest.raises(InputError, match="pw3d_test, a benchmark, expected paper"):
        with_rows(config, row("validation", "pw3d_test"))
    with pytest.raises(InputError, match="pw3d_validation, no benchmark, expected validation"):
        with_rows(config, row("paper", "pw3d_validation"))


def test_equal_settings_are_one_run(config: dict) -> None:
    params = with_rows(
        config,
        {"run": "pymaf"},
        {"run": "pymaf", "set": {"network.feedback": "mesh"}},
        {"run": "pymaf", "set": {"training.workers": 3}},
        {"run": "pymaf", "set": {"network.auxiliary": "none"}},
        {"run": "pymaf", "set": {"network.auxiliary": "none", "loss.iuv_uv": 9.0}},
    )
    assert names(params) == ["pymaf"] * 3 + ["pymaf-auxiliary=none"] * 2


def test_same_last_key_gets_a_longer_name(config: dict) -> None:
    params = with_rows(
        config,
        {"run": "mpt"},
        {"run": "mpt", "set": {"loss.joints": 900.0}},
        {"run": "mpt", "set": {"pretrain/mesh.loss.joints": 900.0}},
    )
    first, second = names(params)[1:]
    assert first == "mpt-joints=900.0"
    assert second == "mpt-loss.joints=900.0"


def test_change_of_a_run_that_it_starts_from(config: dict) -> None:
    changes = {"pretrain/mesh.network.query": "pooled"}
    params = with_rows(config, {"run": "mpt"}, {"run": "mpt", "set": changes})
    run = params.rows["table1"][1]
    assert run.parents["regressor"] == "pretrain/mesh-query=pooled"
    assert run.settings["network"]["regressor"]["query"] == "pooled"
    assert params.runs["pretrain/mesh-query=pooled"].pairs == "default"


def test_network_of_another_shape_than_the_weights_is_refused(config: dict) -> None:
    changes = {"network.regressor.query": "pooled"}
    with pytest.raises(Refused, match=r"rows\[1\]\.init\.regressor: saw pretrain/mesh with query"):
        with_rows(config, {"run": "mpt"}, {"run": "mpt", "set": changes})


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("network.auxilary", "none", r"rows\[1\]\.set\.network\.auxilary: saw an unknown key"),
        ("netwerk.auxiliary", "none", r"set\.netwerk\.auxiliary: saw no settings 'netwerk'"),
        ("pretrain/pose3d.training.steps", 1, r"saw a run that this one does not start from"),
        ("init.backbone", "pretrain/pose3d", r"init\.backbone: saw 'pretrain/pose3d'"),
        ("init.head", "pretrain/pose2d", r"init\.head: saw an unknown part"),
        ("data.mixture.h36m_tran", 0.1, r"h36m_tran: saw unknown records, expected h36m_train"),
        ("data.mixture.coco_train", 0.6, r"mixture: saw shares that sum to 0\.9"),
        ("network.vertices", 400, r"network\.vertices: saw 400, expected one of body\.levels"),
        ("loss.iuv_uv", None, r"loss\.iuv_uv: saw nothing, expected a number"),
        ("training.accumulate", 5, r"batch_size: saw 32, expected a multiple of devices x"),
        ("training.selection", "validation", r"validate_every: saw 0 with selection: validation"),
    ],
)
def test_contradictions_are_refused(config: dict, key: str, value: object, line: str) -> None:
    with pytest.raises(Refused, match=line):
        with_rows(config, {"run": "pymaf"}, {"run": "pymaf", "set": {key: value}})


def test_untrained_run_depends_on_no_data(config: dict) -> None:
    params = with_rows(config, {"run": "mpt"}, {"run": "mpt", "set": {"training.steps": 0}})
    run = params.rows["table1"][1]
    assert run.records == [] and run.iuv == []
    assert "loss" not in influences(run.at(0))


def test_shares_of_nothing_leave_a_dataset_out(config: dict) -> None:
    mixture = {"h36m_train": 1.0, "coco_train": 0}
    params = with_rows(config, {"run": "hmr"}, {"run": "hmr", "set": {"data.mixture": mixture}})
    run = params.rows["table1"][1]
    assert run.records == ["h36m_train"] and run.settings["data"]["mixture"] == {"h36m_train": 1.0}


def test_sets_in_the_wild_share_by_their_size(config: dict) -> None:
    params = load({**config, "scale": "paper", "source": "real"})
    mixture = params.runs["finetune/pymaf"].settings["data"]["mixture"]
    assert mixture["h36m_train"] == 0.3 and mixture["mpi_inf_3dhp_train"] == 0.1
    wild = ("coco", "mpii", "lspet", "lsp")
    sizes = [params.tree["data"]["datasets"][d]["splits"]["train"]["expected"] for d in wild]
    for dataset, size in zip(wild, sizes, strict=True):
        assert abs(mixture[f"{dataset}_train"] - 0.6 * size / sum(sizes)) < 1e-4


def test_both_stages_of_the_paper_have_one_network(config: dict) -> None:
    params = load({**config, "scale": "paper", "source": "real"})
    method = "PyMAF w/o AS"
    rows = params.tree["tables"]["pymaf/table1"]["rows"]
    run = params.rows["pymaf/table1"][[row["method"] for row in rows].index(method)]
    first = params.runs[run.parents["network"]]
    assert first.key == "finetune/pymaf_h36m-auxiliary=none" and first.records == ["h36m_train"]
    assert run.settings["network"] == first.settings["network"]
    assert run.iuv == first.iuv == []
    assert first.parents == {"backbone": "weights/resnet50-imagenet.pth"}
    assert first in params.rows["pymaf/table4"] and first in params.rows["pymaf/table5"]
    alone = dataclasses.replace(params, tree={**params.tree, "targets": ["pymaf/table1"]})
    assert phases.wanted(alone)[first.key] == phases.wanted(alone)[run.key] == {0, 1, 2}


def test_quoted_rows_are_the_papers_others(config: dict) -> None:
    params = load(config)
    rows = params.tree["tables"]["pymaf/table3"]["rows"]
    assert [row["method"] for row in rows] == [
        "OpenPose", "SMPLify", "HMR", "GraphCMR", "SPIN", "Baseline", "PyMAF w/o AS", "PyMAF",
    ]  # fmt: skip
    assert params.rows["pymaf/table3"][:5] == [None] * 5
    assert [run.name for run in params.table_runs("pymaf/table3")] == [
        "hmr", "pymaf-auxiliary=none", "pymaf",
    ]  # fmt: skip


def change(config: dict, key: str, value: object) -> dict:
    """The configuration with one value replaced in its overlay."""
    tree: dict = {}
    node = tree
    *parents, last = f"scales.demo.{key}".split(".")
    for part in parents:
        node = node.setdefault(part, {})
    node[last] = value
    return merge(config, tree)


def test_base_that_leads_back_is_refused() -> None:
    with pytest.raises(Refused, match="the loop a -> b -> a"):
        with_bases({"a": {"base": "b"}, "b": {"base": "a"}}, "finetune")
    with pytest.raises(Refused, match=r"finetune\.a\.base: saw 'c'"):
        with_bases({"a": {"base": "c"}}, "finetune")


@pytest.mark.parametrize(
    ("edit", "line"),
    [
        (lambda c: c | {"extra": 1}, "params.yaml: extra: saw an unknown key"),
        (lambda c: c | {"scale": "dmo"}, "params.yaml: scale: saw 'dmo', expected demo, or"),
        (lambda c: {k: v for k, v in c.items() if k != "iuv"}, "iuv: saw nothing"),
        (lambda c: change(c, "iuv.size", 3), "params.yaml: scales.demo.iuv.size: saw an unknown"),
        (lambda c: change(c, "finetune.hmr.hiden", 3), "scales.demo.finetune.hmr.hiden: saw an"),
        (lambda c: change(c, "evaluation.protocols.pw3d", "pw3d_test"), "an unknown protocol"),
        (lambda c: change(c, "figures.curves", ["resnet"]), "figures.curves: saw 'resnet'"),
        (lambda c: change(c, "tables.table1.seeds", [1, 1]), "tables.table1.seeds: saw [1, 1]"),
        (lambda c: change(c, "tables.claims/mpt.claims", [
            {"claim": "a", "better": "MPT", "worse": "Mean"}]), "claims[0].worse: saw 'Mean'"),
        (lambda c: c | {"targets": ["table1", "table99"]}, "targets[1]: saw 'table99', expected"),
        (lambda c: change(c, "tables.pymaf/table6.columns", [{"protocol": "h36m_p2",
            "metrics": ["mpjpe"]}]), "tables.pymaf/table6.rows[0].reference: saw {'initial_feat"),
        (lambda c: change(c, "tables.table1.quoted", {"table": "mpt/table2"}),
         "table1.quoted: saw {'method': 'MPT'} (4 rows), expected one row"),
        (lambda c: change(c, "tables.table1.rows", [{"method": "a", "run": None}]),
         "tables.table1.rows[0].run: saw null, expected a run, or a reference"),
        (lambda c: c | {"targets": []}, "figures.curves: saw 'hmr'"),
        (lambda c: change(c, "tables.a/b/c", c["tables"]["table1"]), "tables.a/b/c: saw 'a/b/c'"),
        (lambda c: change(c, "demo.h36m.subjects_test", [9]), "subjects: saw [11], expected"),
    ],
)  # fmt: skip
def test_mistakes_are_refused(config: dict, edit: Callable[[dict], dict], line: str) -> None:
    with pytest.raises(InputError) as refused:
        load(edit(config))
    assert line in str(refused.value)


def test_key_that_stands_twice_is_refused(tmp_path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("a: 1\nb: {c: 1,\n    c: 2}\n")
    with pytest.raises(InputError, match="line 3: saw the key 'c' a second time"):
        read_file(path)
    path.write_text("a: [1\nb: 2\n")
    with pytest.raises(InputError, match=r"params\.yaml: line \d: .*, expected YAML"):
        read_file(path)


def test_bare_no_of_yaml_1_1_stays_a_word(config: dict) -> None:
    text = yaml.safe_dump(config).replace("'no'", "no")
    params = load(yaml.safe_load(text))
    rows = params.tree["tables"]["table1"]["rows"]
    wheres = [row["reference"]["where"] for row in rows if "reference" in row]
    assert not any(isinstance(value, bool) for where in wheres for value in where.values())


def test_datasets_that_no_table_reads_are_no_jobs(config: dict) -> None:
    params = load(config)
    assert "lsp_test" in params.records and "lsp" in params.tree["demo"]
    assert phases.sources(params) == ["amass", "coco", "h36m", "pw3d"]
    assert phases.used_records(params) == ["coco_train", "h36m_test", "h36m_train", "pw3d_test"]


@pytest.mark.parametrize("dataset", list(read_file(FILE)["data"]["datasets"]))
def test_every_dataset_has_a_converter_demo_data_and_settings(config: dict, dataset: str) -> None:
    params = load(config)
    section = params.tree["data"]["datasets"][dataset]
    assert section["converter"] in CONVERTERS and dataset in DEMO_WRITERS
    for split in section["splits"]:
        job = {"dataset": dataset, "split": split}
        assert split in jobs.convert(params, job)["splits"]
        assert jobs.demo(params, job).keys() == {"seed", "heading_deg", dataset}


def test_mpt_is_trained_as_its_supplement_says(config: dict) -> None:
    """Adam, 2e-4, linear warm-up over a tenth of the steps, linear decay to 0; 2 M meshes."""
    params = load({**config, "scale": "paper"})
    for key in ("pretrain/mesh", "finetune/mpt_mixed", "finetune/mpt_h36m"):
        training = params.runs[key].settings["training"]
        assert training["optimizer"] == "adam" and training["weight_decay"] == 0
        steps = training["steps"]
        rates = [learning_rate(training, step) for step in (0, steps // 10 - 1, steps - 1)]
        assert rates[1] == pytest.approx(2e-4, rel=1e-3)
        assert 0 < rates[0] < 1e-7 and 0 < rates[2] < 1e-8
    assert params.tree["mocap"]["count"] == 2_000_000


def test_open_points_of_mpt_have_a_default(config: dict) -> None:
    """What the paper leaves open, as params.yaml reads it."""
    network = load({**config, "scale": "paper"}).runs["finetune/mpt_mixed"].settings["network"]
    regressor = network["regressor"]
    assert (network["pose_network"]["kind"], network["pose_network"]["width"]) == (
        "higher_hrnet", 48)  # fmt: skip
    assert {"hidden": [1024, 256, 64], "layers": 4, "heads": 4}.items() <= regressor.items()
    open_points = {
        "query": "template", "positions": "learned", "feedforward": 3072, "camera": "linear",
        "upsample": "learned", "dropout": 0.1, "mvm_max": 0.3, "mask_value": 0.01,
        "joints": 14, "vertices": 431, "token_dims": [2051, 512, 128],
    }  # fmt: skip
    assert open_points.items() <= regressor.items()
    assert regressor["heatmap"] == {"size": 224, "patch": 8, "joint_set": "coco17",
                                    "grid_projection": "linear"}  # fmt: skip
    assert not network["freeze_backbone"] and not network["freeze_batchnorm"]


@pytest.mark.parametrize("key", ["data.protocol", "init.backbone", "data.fraction"])
def test_parts_of_mpt_that_do_not_go_together(config: dict, key: str) -> None:
    wrong = {"data.protocol": "mupots", "init.backbone": "pretrain/pose2d", "data.fraction": 2.0}
    row = {"run": "mpt", "set": {key: wrong[key]}}
    with pytest.raises(Refused, match=key.split(".")[-1]):
        with_rows(config, {"run": "mpt"}, row)


def test_a_share_of_0_leaves_a_dataset_of_the_base_out(config: dict) -> None:
    params = load(config)
    assert params.runs["finetune/mpt_h36m"].records == ["h36m_train"]
    assert params.runs["finetune/mpt_pw3d"].records == ["pw3d_train"]
    assert params.runs["finetune/mpt_mixed"].key == "finetune/mpt"  # the demo's are one
    real = load({**config, "source": "real", "scale": "paper"})
    assert len(real.runs["finetune/mpt_mixed"].records) == 5
    weights = real.runs["pretrain/higher_hrnet"]
    assert weights.records == [] and list(weights.parents) == ["network"]
