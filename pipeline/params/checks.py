"""What has to agree between the sections of params.yaml."""

import re

from pipeline.body.part_of import HAND_LEVELS
from pipeline.errors import InputError
from pipeline.params.reader import Refused, one_of
from pipeline.params.runs import FEATURES, INIT_PARTS, IUV_LOSSES, WHOLE, has_iuv_loss
from pipeline.params.variants import Run, Runs

FREE = ("image_size", "dropout", "mvm_max", "mask_value", "input")  # shape no weight
TOLERANCE = 1e-6
TABLE_NAME = re.compile(r"[A-Za-z0-9_]+(/[A-Za-z0-9_]+)?")  # also of the Snakefile's wildcard


def records(tree: dict) -> list[str]:
    """Return `dataset_split` of every set of records that the section data defines."""
    datasets = tree["data"]["datasets"]
    return [f"{name}_{split}" for name, dataset in datasets.items() for split in dataset["splits"]]


def check_run(tree: dict, runs: Runs, run: Run, path: str) -> None:
    """Refuse a run whose parts contradict each other or the other sections.

    Raises:
        Refused: naming the key to change.
    """
    settings = run.settings
    _check_data(tree, run, f"{path}.data")
    _check_hand(run, path)
    _check_training(settings, f"{path}.training")
    _check_selection(tree, settings, f"{path}.training")
    _check_init(runs, run, f"{path}.init")
    _check_levels(tree, settings["network"], f"{path}.network")
    if settings["network"]["kind"] == "mpt":
        size, inner = settings["network"]["image_size"], settings["network"]["pose_network"]
        if inner["image_size"] != size:
            raise Refused(f"{path}.network.pose_network.image_size", inner["image_size"], size)
    if has_iuv_loss(settings):
        for key in IUV_LOSSES:
            if (settings.get("loss") or {}).get(key) is None:
                raise Refused(f"{path}.loss.{key}", "nothing", "a number, with auxiliary: "
                              f"{settings['network']['auxiliary']}")  # fmt: skip
        _check_annotation(settings, f"{path}.network.annotation")


def _check_hand(run: Run, path: str) -> None:
    """Refuse for hands what is of bodies only."""
    if run.part != "hand":
        return
    if run.settings["training"]["steps"] and run.settings["augmentation"]["flip"]:
        flip = run.settings["augmentation"]["flip"]
        raise Refused(f"{path}.augmentation.flip", flip, "0 for hands, all of them right ones")
    if run.settings.get("corruption", {}).get("jitter") == "coco_synth":
        raise Refused(f"{path}.corruption.jitter", "coco_synth", "isotropic or none for hands")


def check_hand_pairs(tree: dict) -> None:
    """Refuse pairs of hands from records that do not exist.

    Raises:
        Refused: naming the set of pairs.
    """
    names = records(tree)
    for pairs, content in tree["synthesis"]["hand_pairs"].items():
        for name in content["records"] or [None]:
            if name not in names:
                raise Refused(f"synthesis.hand_pairs.{pairs}.records", repr(name),
                              one_of(names, str(name)))  # fmt: skip


def _check_data(tree: dict, run: Run, path: str) -> None:
    data = run.settings["data"]
    if "pairs" in data:
        choices = tree["synthesis"]["hand_pairs" if run.part == "hand" else "pairs"]
        if data["pairs"] not in choices:
            raise Refused(f"{path}.pairs", repr(data["pairs"]), one_of(choices, data["pairs"]))
        return
    names = records(tree)
    for name in (*data["mixture"], data.get("validation")):
        if name is not None and name not in names:
            raise Refused(f"{path}.mixture.{name}", "unknown records", one_of(names, name))
    _check_protocol_of_validation(data, path)
    total = sum(data["mixture"].values())
    if abs(total - 1) > TOLERANCE:
        raise Refused(f"{path}.mixture", f"shares that sum to {total:g}", "a sum of 1")


def _check_annotation(settings: dict, path: str) -> None:
    """Refuse an output of the auxiliary head that no loss reads: it would never learn."""
    network, loss = settings["network"], settings["loss"]
    predicted = network["auxiliary"] == "iuv" and network.get("annotation", True)
    read = loss.get("annotation")
    if predicted and not (loss["preset"] == "official" if read is None else read):
        raise Refused(path, "true with a loss that does not read it (preset: paper)", "false")


def _check_protocol_of_validation(data: dict, path: str) -> None:
    """Refuse a protocol that does not measure bodies in records."""
    if "protocol" not in data:
        return
    from pipeline.evaluation.protocols import PROTOCOLS, HandProtocol, Protocol

    kinds = (Protocol, HandProtocol)
    choices = [name for name, protocol in PROTOCOLS.items() if isinstance(protocol, kinds)]
    if data["protocol"] not in choices:
        raise Refused(f"{path}.protocol", data["protocol"], one_of(choices, data["protocol"]))


def _check_training(settings: dict, path: str) -> None:
    training = settings["training"]
    if training.get("steps") is None:
        raise Refused(f"{path}.steps", "nothing", "a whole number")
    pieces = training["devices"] * training["accumulate"]
    if training["batch_size"] % pieces:
        raise Refused(f"{path}.batch_size", training["batch_size"],
                      f"a multiple of devices x accumulate = {pieces}")  # fmt: skip


def _check_selection(tree: dict, settings: dict, path: str) -> None:
    """Refuse a selection without records, and one on a benchmark that does not say so."""
    training, selection = settings["training"], settings["training"]["selection"]
    if selection == "last":
        return
    if not training["validate_every"]:
        raise Refused(f"{path}.validate_every", f"0 with selection: {selection}", "1 or more")
    if "mixture" not in settings["data"]:
        return
    chosen, benchmarks = settings["data"].get("validation"), tree["evaluation"]["protocols"]
    if chosen is None:
        raise Refused(f"{path}.selection", f"{selection} without data.validation", "last")
    if (chosen in benchmarks.values()) != (selection == "paper"):
        kind = "a benchmark" if selection == "validation" else "no benchmark"
        other = "paper" if selection == "validation" else "validation"
        raise Refused(f"{path}.selection", f"{selection} with {chosen}, {kind}", other)


def _check_init(runs: Runs, run: Run, path: str) -> None:
    """Refuse parts that the network does not have, or weights of a network of another shape."""
    network = run.settings["network"]
    parts = (*INIT_PARTS[network["kind"]], WHOLE)
    absent = "pose_network" if network.get("input") == "image_features" else "backbone"
    for part, source in run.parents.items():
        if part not in parts:
            raise Refused(f"{path}.{part}", "an unknown part", one_of(parts, part))
        if network["kind"] == "mpt" and part == absent:
            raise Refused(f"{path}.{part}", f"weights with input {network['input']}",
                          "backbone with image_features, pose_network with others")  # fmt: skip
        if source not in runs:
            continue
        inner = network if part in (WHOLE, FEATURES) else network.get(part)
        other = runs[source].settings["network"]
        if part == "backbone":
            inner = network.get("pose_network", network).get("backbone") or {}
            other = other.get("backbone")
        free = {*FREE, *(("joint_set", "output") if part == FEATURES else ())}
        for key in sorted({*inner, *(other or {})} - free):
            if (other or {}).get(key) != inner.get(key):
                raise Refused(f"{path}.{part}", f"{source} with {key} {(other or {}).get(key)}",
                              f"{key} {inner.get(key)} as in this run's network")  # fmt: skip


def _check_levels(tree: dict, network: dict, path: str) -> None:
    """Refuse a number of vertices that the body, or a hand, has no level of."""
    hand = network.get("part") == "hand"
    levels = list(HAND_LEVELS) if hand else tree["body"]["levels"]
    if "vertices" in network and network["vertices"] not in levels:
        expected = f"one of {'the hand' if hand else 'body.levels'} {levels}"
        raise Refused(f"{path}.vertices", network["vertices"], expected)
    for key, value in network.items():
        if isinstance(value, dict):
            _check_levels(tree, value, f"{path}.{key}")


def check_demo(tree: dict) -> None:
    """Refuse splits of subjects whose demo recordings are not made.

    Raises:
        Refused: naming the split.
    """
    made = tree["demo"].get("h36m", {})
    known = {*made.get("subjects_train", ()), *made.get("subjects_test", ())}
    for name, split in tree["data"]["datasets"].get("h36m", {}).get("splits", {}).items():
        missing = sorted(set(split["subjects"]) - known)
        if tree["source"] == "demo" and missing:
            raise Refused(f"data.datasets.h36m.splits.{name}.subjects", missing,
                          "subjects of demo.h36m")  # fmt: skip


def check_tables(tree: dict) -> None:
    """Refuse protocols, metrics and paper rows that do not exist, and rows of one name.

    Raises:
        Refused: naming the key to change.
    """
    from pipeline.evaluation.protocols import PROTOCOLS

    for name, source in tree["evaluation"]["protocols"].items():
        path = f"evaluation.protocols.{name}"
        if name not in PROTOCOLS:
            raise Refused(path, "an unknown protocol", one_of(PROTOCOLS, name))
        if source not in records(tree):
            raise Refused(path, repr(source), one_of(records(tree), source))
    for index, table in enumerate(tree["targets"]):
        if table not in tree["tables"]:
            raise Refused(f"targets[{index}]", repr(table), one_of(tree["tables"], table))
    for table, content in tree["tables"].items():
        path = f"tables.{table}"
        if not TABLE_NAME.fullmatch(table):
            raise Refused(path, repr(table), "a name of letters, digits and _, one folder before")
        methods = [row["method"] for row in content["rows"]]
        measured = [row["method"] for row in content["rows"] if row["run"]]
        for method in methods:
            if methods.count(method) > 1:
                raise Refused(f"{path}.rows", f"two rows {method!r}", "a method of its own each")
        for index, claim in enumerate(content.get("claims", [])):
            for role in ("better", "worse"):
                if claim[role] not in measured:
                    where = f"{path}.claims[{index}].{role}"
                    raise Refused(where, repr(claim[role]), one_of(measured, claim[role]))
        if not content["seeds"] or len(set(content["seeds"])) < len(content["seeds"]):
            raise Refused(f"{path}.seeds", content["seeds"], "different whole numbers")
        for index, column in enumerate(content["columns"]):
            check_protocol(tree, column["protocol"], f"{path}.columns[{index}].protocol")
            known = PROTOCOLS[column["protocol"]].metrics
            for metric in column["metrics"]:
                if metric not in known:
                    raise Refused(
                        f"{path}.columns[{index}].metrics", metric, one_of(known, metric)
                    )
        _check_references(content, path)


def _check_references(table: dict, path: str) -> None:
    """Refuse references to other than one row of a paper's table, and quoted tables not there."""
    from pipeline.evaluation import reference

    narrowed = [column.get("where") or {} for column in table["columns"]]
    try:
        for index, row in enumerate(table["rows"]):
            place = f"{path}.rows[{index}].reference"
            for where in narrowed if "reference" in row else ():
                quoted = row["reference"]
                reference.lookup(quoted["table"], {**quoted["where"], **where})
        if table.get("quoted"):
            place, quoted = f"{path}.quoted", table["quoted"]
            label, found = quoted.get("label", "method"), quoted.get("where") or {}
            for row in reference.rows(quoted["table"], found):
                reference.lookup(quoted["table"], {**found, label: row.get(label)})
    except InputError as error:
        raise Refused(place, error.saw, error.expected) from None


def check_protocol(tree: dict, name: str, path: str) -> None:
    """Refuse a protocol for which the section evaluation names no records."""
    known = tree["evaluation"]["protocols"]
    if name not in known:
        raise Refused(path, repr(name), one_of(known, name))


def check_figures(tree: dict, runs: Runs, rows: dict[str, list[Run]]) -> None:
    """Refuse figures of runs that no target has, and of datasets that are not there.

    Raises:
        Refused: naming the key to change.
    """
    figures = tree["figures"]
    known = {run.name for table in tree["targets"] for run in rows[table] if run}
    for path, names in (
        ("curves", figures["curves"]),
        ("overlays.runs", figures["overlays"]["runs"]),
    ):
        for name in names:
            key = f"finetune/{name}"
            if (runs[key].name if key in runs else None) not in known:
                raise Refused(f"figures.{path}", repr(name), one_of(sorted(known), name))
    if figures["finetuning"] not in rows:
        saw = figures["finetuning"]
        raise Refused("figures.finetuning", repr(saw), one_of(rows, saw))
    check_protocol(tree, figures["overlays"]["protocol"], "figures.overlays.protocol")
    for name in figures["contact_sheets"]:
        if name not in records(tree):
            raise Refused("figures.contact_sheets", repr(name), one_of(records(tree), name))
