"""What the rules ask of the parameters: settings, code versions, inputs. The Snakefile's side."""

import itertools
import json
import os
import sys
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

from pipeline.errors import InputError
from pipeline.params import Run, jobs, load
from pipeline.params.overlay import read_file
from pipeline.workflow import adopt, phases, versions
from pipeline.workflow.launch import gpus

Asked = Callable[[Any], Any]  # of the wildcards of a job


class Plan:
    """The parameters of this execution and what each job gets of them."""

    def __init__(self, config: dict) -> None:
        """Resolve the parameters; inside `adopt` take the code versions of the locked files too.

        Raises:
            InputError: if the parameters do not fit the schema.
        """
        self.params = load(config)
        self._config = config
        guard = os.environ.get(adopt.GUARD)
        self._locked = json.loads(Path(guard).read_text()) if guard else None

    @cached_property
    def miniatures(self) -> "Plan":
        """The plan of a few demo samples of every dataset."""
        return Plan({**self._config, "source": "demo", "scale": "mini"})

    def raw(self, wildcards: Any, input: Any) -> str:
        """Return the folder of the raw files whose list is the job's first input."""
        return self._folder(input[0])

    def _folder(self, manifest: str) -> str:
        folder = "data/demo" if self.params.tree["source"] == "demo" else "data/raw"
        return f"{folder}/{Path(manifest).name.removesuffix('.manifest.json')}"

    @property
    def listed(self) -> str:
        """Folder that holds the lists of raw files."""
        return f"data/{self.params.tree['source']}"

    def settings(self, rule: str) -> Asked:
        """Return the function that gives a job's settings as one JSON object."""
        return lambda wildcards: versions.settings(self.params, rule, _job(rule, wildcards))

    def code(self, rule: str) -> Asked:
        """Return the function that gives the version of a job's code."""

        def version(wildcards: Any) -> str:
            job = _job(rule, wildcards)
            if self._locked is not None:
                return self._locked.get(versions.label(rule, job), "not in dvc.lock")
            return versions.code(self.params, rule, job)

        return version

    def told(self, rule: str) -> Callable[[Any, Any], str]:
        """Return the function that gives all that a training is told.

        It asks for the job's resources, which hold what changes no result, so that Snakemake
        takes the text for derived and reruns nothing when it changes.
        """

        def text(wildcards: Any, resources: Any) -> str:
            content = jobs.training(self.params, _job(rule, wildcards))
            passive = json.loads(resources.passive)
            return versions.canonical({**content, "training": {**content["training"], **passive}})

        return text

    def passive(self, rule: str) -> Asked:
        """Return the function that gives what of a training changes no result."""
        return lambda w: versions.canonical(jobs.passive(self.params, _job(rule, w)))

    def threads(self, rule: str) -> Asked:
        """Return the function that gives a training's threads."""
        return lambda w: jobs.passive(self.params, _job(rule, w))["threads"]

    def gpus(self, rule: str) -> Asked:
        """Return the function that gives a training's GPUs; none on a machine without."""
        many = bool(gpus())
        return lambda w: (
            jobs.training(self.params, _job(rule, w))["training"]["devices"] if many else 0
        )

    @property
    def gpu(self) -> int:
        """One GPU where the machine has any."""
        return 1 if gpus() else 0

    def training_inputs(self, rule: str) -> Callable[[Any], dict[str, Any]]:
        """Return the function that gives the files that a training reads, by their flag."""

        def files(wildcards: Any) -> dict[str, Any]:
            job = _job(rule, wildcards)
            run = self.params.runs[f"{rule}/{job['run']}"]
            names = [*run.records, *run.validation]
            found = {
                "records": [f"data/records/{name}.h5" for name in names],
                "iuv": [f"data/iuv/{name}.h5" for name in run.iuv],
                "init": [_weights(source, job["seed"]) for source in run.parents.values()],
                "pairs": _pairs(run),
            }
            return {flag: paths for flag, paths in found.items() if paths}

        return files

    def pair_records(self, wildcards: Any) -> list[str]:
        """Return the records that pairs of hands are made from."""
        return [
            f"data/records/{name}.h5" for name in phases.pair_records(self.params, wildcards.pairs)
        ]

    def pair_flags(self, wildcards: Any) -> str:
        """Return the flag that names them."""
        names = phases.pair_records(self.params, wildcards.pairs)
        return " ".join(["--records", *(f"{name}=data/records/{name}.h5" for name in names)])

    def training_flags(self, rule: str) -> Callable[[Any, Any], str]:
        """Return the function that gives the flags naming those files."""

        def flags(wildcards: Any, input: Any) -> str:
            run = self.params.runs[f"{rule}/{_job(rule, wildcards)['run']}"]
            names = {
                "records": [*run.records, *(["validation"] if run.validation else [])],
                "iuv": run.iuv,
                "init": list(run.parents),
            }
            words = []
            for flag, parts in names.items():
                paths = _listed(input.get(flag))
                words += [f"--{flag}"] if paths else []
                words += (f"{part}={path}" for part, path in zip(parts, paths, strict=True))
            return " ".join([*words, *(f"--pairs {path}" for path in _listed(input.get("pairs")))])

        return flags

    def protocol_records(self, wildcards: Any) -> str:
        """Return the records that a protocol reads."""
        return f"data/records/{phases.protocol_records(self.params, _job('', wildcards))}.h5"

    def protocol_inputs(self, wildcards: Any) -> dict[str, str]:
        """Return the records that a protocol reads, and the list of its raw files if it does."""
        found = {"records": self.protocol_records(wildcards)}
        dataset = phases.protocol_raw(self.params, _job("", wildcards))
        if dataset:
            found["manifest"] = f"{self.listed}/{dataset}.manifest.json"
        return found

    def protocol_flags(self, wildcards: Any, input: Any) -> str:
        """Return the flag that names the raw files."""
        manifest = input.get("manifest")
        return f"--raw {self._folder(manifest)}" if manifest else ""

    def on_miniatures(self, asked: Asked) -> Asked:
        """Return what `asked` says of the evaluation of a network as it is by a protocol."""
        return lambda w: asked({**phases.floor(w.protocol), "protocol": w.protocol})

    def miniature_protocol(self, wildcards: Any) -> dict[str, str]:
        """Return the files that a protocol reads of the miniatures."""
        job = {"protocol": wildcards.protocol}
        floor = phases.floor(wildcards.protocol)
        records = phases.protocol_records(self.params, job)
        found = {
            "records": f"data/miniatures/records/{records}.h5",
            "weights": f"data/miniatures/runs/{floor['run']}/seed{floor['seed']}/model.pt",
        }
        dataset = phases.protocol_raw(self.params, job)
        if dataset:
            found["manifest"] = f"data/miniatures/{dataset}.manifest.json"
        return found

    def table_metrics(self, wildcards: Any) -> list[str]:
        """Return the metrics files that a table shows."""
        runs = self.params.table_runs(wildcards.table)
        evaluations = (phases.evaluations(self.params, wildcards.table, run) for run in runs)
        output = phases.STEPS["evaluate"].output
        return [output.format(**job) for group in evaluations for job in group]

    def table_references(self, wildcards: Any) -> list[str]:
        """Return the files of the papers' tables that a table quotes."""
        rows = self.params.tree["tables"][wildcards.table]["rows"]
        quoted = dict.fromkeys(row["reference"]["table"] for row in rows if "reference" in row)
        return [f"pipeline/reference/{name}.csv" for name in quoted]

    def drawn(self, section: str, pattern: str) -> list[str]:
        """Return the pattern filled for the runs and seeds that a section of figures draws."""
        runs = phases.drawn(self.params, section)
        return [pattern.format(run=run, seed=seed) for run, seed in runs]

    def finetuned(self, pattern: str) -> list[str]:
        """Return the pattern filled for the runs and seeds of the figure of fine-tuning."""
        return [pattern.format(run=run, seed=seed) for run, seed in phases.finetuned(self.params)]

    def overlaid(self, pattern: str) -> list[str]:
        """Return the pattern filled for the runs of the overlays, each at its first seed."""
        protocol = self.params.tree["figures"]["overlays"]["protocol"]
        runs = phases.overlaid(self.params)
        return [pattern.format(run=run, seed=seed, protocol=protocol) for run, seed in runs]

    def inside_inputs(self, wildcards: Any) -> dict[str, str]:
        """Return the files of a picture of what happens inside a network, by their flag."""
        found = phases.looked_into(self.params, _job("", wildcards))
        run = f"{found['run']}/seed{found['seed']}"
        files = {
            "weights": f"runs/finetune/{run}/model.pt",
            "metrics": f"results/metrics/{run}/{found['protocol']}.json",
            "records": f"data/records/{found['records']}.h5",
            "body": "data/body/smpl.npz",
        }
        return {**files, **({"iuv": f"data/iuv/{found['iuv']}.h5"} if "iuv" in found else {})}

    def inside_flags(self, wildcards: Any, input: Any) -> str:
        """Return the flags naming those files."""
        return " ".join(f"--{flag} {path}" for flag, path in input.items())

    def table(self, shells: dict[str, str]) -> str:
        """Return the content of versions.yaml."""
        return json.dumps(versions.table(self.params, shells), indent=1)


def open_plan(config: dict, main: bool) -> Plan:
    """Return the plan of a Snakemake configuration.

    In the main process, what DVC has restored is made known to Snakemake. `python` in the rules'
    commands is the one that runs Snakemake, unless a conda environment comes first.
    """
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    try:
        plan = Plan(config)
    except InputError as error:
        stop(error)
    if main:
        adopt.adopt_if_needed(lambda line: print(line, file=sys.stderr))
    return plan


def check_file() -> None:
    """Refuse a params.yaml with a mistake anywhere, in overlays that are not chosen too."""
    if adopt.GUARD in os.environ:
        return
    try:
        config = read_file()
        overlays = [config.get(table) for table in ("sources", "scales")]
        names = (overlay if isinstance(overlay, dict) else () for overlay in overlays)
        for source, scale in itertools.product(*names):
            load({**config, "source": source, "scale": scale})
    except InputError as error:
        stop(error)


def stop(error: InputError) -> NoReturn:
    """End this process with the error as one line; Snakemake would print a traceback."""
    print(f"error: {error}", file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(1)


def _job(rule: str, wildcards: Any) -> dict[str, str]:
    job = dict(wildcards.items()) if hasattr(wildcards, "items") else dict(wildcards)
    return {**job, "group": rule} if rule in ("pretrain", "finetune") else job


def _pairs(run: Run) -> list[str]:
    """Return the file of pairs that a run trains on, if it does."""
    if run.hand_pairs:
        return [phases.STEPS["hand_pairs"].output.format(pairs=run.hand_pairs)]
    return [phases.STEPS["pairs"].output.format(pairs=run.pairs)] if run.pairs else []


def _weights(source: str, seed: str) -> str:
    if source.startswith("weights/"):
        return f"data/raw/{source}"
    group, _, run = source.partition("/")
    return phases.TRAINED.format(group=group, run=run, seed=seed)


def _listed(value: Any) -> list[str]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)
