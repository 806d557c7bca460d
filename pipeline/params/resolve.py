"""params.yaml resolved: overlays laid on, every section checked, runs and tables named."""

from dataclasses import dataclass
from typing import Any

from pipeline.evaluation import reference
from pipeline.params import checks, demo_sections, sections
from pipeline.params.overlay import merge, with_bases
from pipeline.params.reader import Refused, one_of, read
from pipeline.params.variants import Run, Runs

SECTIONS = {
    "body": sections.Body,
    "demo": demo_sections.Demo,
    "data": sections.Data,
    "mocap": sections.Mocap,
    "synthesis": sections.Synthesis,
    "iuv": sections.Iuv,
    "augmentation": sections.Augmentation,
    "training": sections.Training,
    "evaluation": sections.Evaluation,
    "targets": list[str],
    "tables": dict[str, sections.Table],
    "figures": sections.Figures,
}
KEYS = ("scale", "source", "seed", *SECTIONS, "pretrain", "finetune", "sources", "scales")


@dataclass(frozen=True)
class Params:
    """The parameters of one execution of the workflow.

    Attributes:
        tree: plain values, the overlays of source and scale laid on.
        runs: every run that is defined or that a table derives.
        rows: table -> the run of each of its rows, None for one that is only quoted.
    """

    tree: dict
    runs: Runs
    rows: dict[str, list[Run | None]]

    @property
    def targets(self) -> list[str]:
        """The tables that are made unless others are asked for by name."""
        return self.tree["targets"]

    @property
    def records(self) -> list[str]:
        """`dataset_split` of every set of records."""
        return checks.records(self.tree)

    def table_runs(self, table: str) -> list[Run]:
        """Return the distinct runs of a table, in the order of its rows."""
        return list({run.key: run for run in self.rows[table] if run}.values())

    def seeds(self, run: Run) -> list[int]:
        """Return the seeds at which the tables made by default want a run."""
        return sorted({
            seed
            for table in self.targets
            if run in self.rows[table]
            for seed in self.tree["tables"][table]["seeds"]
        })  # fmt: skip


def load(config: dict) -> Params:
    """Return the resolved parameters.

    Args:
        config: the content of params.yaml.

    Raises:
        InputError: at the first key or value that does not fit, naming its full path.
    """
    for key in config:
        if key not in KEYS:
            raise Refused(str(key), "an unknown key", one_of(KEYS, key))
    for key in KEYS:
        if key not in config:
            raise Refused(key, "nothing", "this section")
    tree = {key: config[key] for key in KEYS if key not in ("sources", "scales")}
    overlays = {}
    for choice, table in (("source", "sources"), ("scale", "scales")):
        options, chosen = read(dict[str, dict[str, Any]], config[table], table), config[choice]
        if chosen not in options:
            raise Refused(choice, repr(chosen), one_of(options, chosen))
        overlays[f"{table}.{chosen}"] = options[chosen]
    for overlay in overlays.values():
        tree = merge(tree, overlay)
    try:
        return _resolve(tree)
    except Refused as error:
        raise _at_its_place(error, config, overlays) from None


def _resolve(tree: dict) -> Params:
    for key in tree:
        if key not in KEYS:
            raise Refused(key, "an unknown key", one_of(KEYS, key))
    read(sections.Count, tree["seed"], "seed")
    _restore_words({"tables": tree["tables"]})
    tree["synthesis"] = _pairs_with_bases(tree["synthesis"])
    for section, schema in SECTIONS.items():
        read(schema, tree[section], section)
    for table in tree["tables"].values():
        table.setdefault("seeds", tree["evaluation"]["seeds"])
    checks.check_demo(tree)
    checks.check_hand_pairs(tree)
    runs = Runs(tree)
    for run in list(runs):
        checks.check_run(tree, runs, run, run.key.replace("/", "."))
    rows = {name: _rows(tree, runs, name) for name in tree["tables"]}
    checks.check_tables(tree)
    for name, table in tree["tables"].items():
        quoted = _quoted(table)
        table["rows"] = [*quoted, *table["rows"]]
        rows[name] = [*[None] * len(quoted), *rows[name]]
    checks.check_figures(tree, runs, rows)
    return Params(tree, runs, rows)


def _pairs_with_bases(synthesis: Any) -> Any:
    """Return the section synthesis with each set of pairs laid over its `base`."""
    if not isinstance(synthesis, dict) or "pairs" not in synthesis:
        return synthesis  # the schema says what is missing
    return {**synthesis, "pairs": with_bases(synthesis["pairs"], "synthesis.pairs")}


def _restore_words(node: Any) -> None:
    """Turn truth values that pick a paper's row (`where`) back into the words of its table.

    `dvc exp run -S` writes the file anew by the rules of YAML 1.2, where a bare no is a word; to
    YAML 1.1, which Snakemake reads, it is false.
    """
    words = {"True": "yes", "False": "no"}
    if isinstance(node, dict) and isinstance(where := node.get("where"), dict):
        node["where"] = {k: words.get(str(v), v) for k, v in where.items()}
    for child in node.values() if isinstance(node, dict) else node:
        if isinstance(child, dict | list):
            _restore_words(child)


def _quoted(table: dict) -> list[dict]:
    """Return the rows that a table quotes without a run of ours, in the paper's order."""
    asked = table.pop("quoted", None)
    if asked is None:
        return []
    label = asked.get("label", "method")
    own = [row["reference"] for row in table["rows"] if "reference" in row]
    found = []
    for row in reference.rows(asked["table"], asked.get("where") or {}):
        taken = any(
            ref["table"] == asked["table"] and ref["where"].items() <= row.items() for ref in own
        )
        if not taken:
            where = {**(asked.get("where") or {}), label: row[label]}
            quoted = {"table": asked["table"], "where": where}
            found.append({"method": row[label], "run": None, "reference": quoted})
    return found


def _rows(tree: dict, runs: Runs, table: str) -> list[Run | None]:
    """Return the run of each row of a table."""
    found = []
    for index, row in enumerate(tree["tables"][table]["rows"]):
        path = f"tables.{table}.rows[{index}]"
        if row["run"] is None:
            if "reference" not in row or row.get("set"):
                raise Refused(f"{path}.run", "null", "a run, or a reference and nothing set")
            found.append(None)
            continue
        if f"finetune/{row['run']}" not in runs:
            raise Refused(f"{path}.run", repr(row["run"]), one_of(tree["finetune"], row["run"]))
        run = runs.variant(f"finetune/{row['run']}", row.get("set") or {}, f"{path}.set")
        checks.check_run(tree, runs, run, path)
        found.append(run)
    return found


def _at_its_place(error: Refused, config: dict, overlays: dict[str, dict]) -> Refused:
    """Return the error under the overlay that holds the refused key, if one does."""
    for prefix, overlay in reversed(overlays.items()):
        if _holds(overlay, error.path):
            return Refused(f"{prefix}.{error.path}", error.saw, error.expected)
    return error


def _holds(tree: Any, dotted: str) -> bool:
    for part in dotted.split("[")[0].split("."):
        if not isinstance(tree, dict) or part not in tree:
            return False
        tree = tree[part]
    return True
