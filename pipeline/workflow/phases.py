"""The jobs that the parameters ask for: each rule's phase, output, code and instances.

Asked for are the tables of `targets`; the jobs of another table exist when its file is asked for.

A phase is a stage of dvc.yaml and a target `phase_NAME` of the Snakefile.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from pipeline.__main__ import VERBS
from pipeline.evaluation.protocols import PROTOCOLS
from pipeline.evaluation.shape_protocols import HandProtocol
from pipeline.params import Params, Run
from pipeline.params.jobs import Job

Jobs = Iterator[dict[str, str]]


@dataclass(frozen=True)
class Step:
    """One rule of the workflow.

    Attributes:
        phase: the stage of dvc.yaml that it belongs to.
        output: its main output with wildcards, as in the rule.
        verb: verb of the command line, or a module, that the job runs.
        jobs: wildcards of every job that the parameters ask for.
        modules: those that the verb imports by a computed name.
        edges: what decides which files a job reads, beyond its settings and wildcards.
    """

    phase: str
    output: str
    verb: str
    jobs: Callable[[Params], Jobs]
    modules: Callable[[Params, Job], list[str]] = lambda params, job: []
    edges: Callable[[Params, Job], object] = lambda params, job: None

    def code(self, params: Params, job: Job) -> tuple[str, ...]:
        """Return the modules that a job runs, those that they import left out."""
        return (VERBS.get(self.verb, self.verb), *self.modules(params, job))

    def targets(self, params: Params) -> list[str]:
        """Return the main outputs of all jobs."""
        return [self.output.format(**job) for job in self.jobs(params)]


def once(params: Params) -> Jobs:
    """Yield the one job of a rule without wildcards."""
    yield {}


def sources(params: Params) -> list[str]:
    """Return the raw folders that the parameters ask for, the body models apart."""
    datasets = {name.rpartition("_")[0] for name in used_records(params)}
    return sorted(datasets | ({"amass"} if used_pairs(params) else set()))


def wanted(params: Params) -> dict[str, set[int]]:
    """Return `group/name` of every run that the targets need and the seeds at which they do."""
    seeds: dict[str, set[int]] = {}

    def want(run: Run, needed: set[int]) -> None:
        seeds.setdefault(run.key, set()).update(needed)
        for source in run.parents.values():
            if source in params.runs:
                want(params.runs[source], needed)

    for table in params.targets:
        for run in params.table_runs(table):
            want(run, set(params.tree["tables"][table]["seeds"]))
    return seeds


def used_records(params: Params) -> list[str]:
    """Return `dataset_split` of the records that some job reads."""
    runs = [params.runs[key] for key in wanted(params)]
    names = {name for run in runs for name in (*run.records, *run.validation)}
    names |= {name for pairs in used_hand_pairs(params) for name in pair_records(params, pairs)}
    tables = [params.tree["tables"][name] for name in params.targets]
    protocols = {column["protocol"] for table in tables for column in table["columns"]}
    protocols.add(params.tree["figures"]["overlays"]["protocol"])
    names |= {params.tree["evaluation"]["protocols"][name] for name in protocols}
    return sorted(names | set(params.tree["figures"]["contact_sheets"]))


def used_iuv(params: Params) -> list[str]:
    """Return `dataset_split` of the records whose rendered IUV some job reads."""
    names = {name for key in wanted(params) for name in params.runs[key].iuv}
    if any(job["kind"] == "iuv" for job in _inside(params)):
        names.add(protocol_records(params, {}))
    return sorted(names | set(params.tree["figures"]["contact_sheets"]))


def used_pairs(params: Params) -> list[str]:
    """Return the sets of pairs that some run learns from."""
    return sorted({run.pairs for run in map(params.runs.__getitem__, wanted(params)) if run.pairs})


def used_hand_pairs(params: Params) -> list[str]:
    """Return the sets of pairs of hands that some run learns from."""
    runs = map(params.runs.__getitem__, wanted(params))
    return sorted({run.hand_pairs for run in runs if run.hand_pairs})


def pair_records(params: Params, pairs: str) -> list[str]:
    """Return `dataset_split` of the records that a set of pairs of hands is made from."""
    return params.tree["synthesis"]["hand_pairs"][pairs]["records"]


def claimed(params: Params) -> list[str]:
    """Return the targets whose rows claim to beat each other."""
    return [name for name in params.targets if params.tree["tables"][name].get("claims")]


def _demo(params: Params) -> Jobs:
    if params.tree["source"] == "demo":
        yield from ({"dataset": name} for name in sources(params))


def _body_demo(params: Params) -> Jobs:
    if params.tree["source"] == "demo":
        yield {}


def _manifests(params: Params) -> Jobs:
    if params.tree["source"] == "real":
        yield from ({"dataset": name} for name in ("body_models", *sources(params)))


def _conversions(params: Params) -> Jobs:
    for name in used_records(params):
        dataset, _, split = name.rpartition("_")
        yield {"dataset": dataset, "split": split}


def _trainings(group: str) -> Callable[[Params], Jobs]:
    def jobs(params: Params) -> Jobs:
        for key, seeds in wanted(params).items():
            if key.startswith(f"{group}/"):
                name = key.partition("/")[2]
                for seed in sorted(seeds):
                    yield {"group": group, "run": name, "seed": str(seed)}

    return jobs


def _evaluations(params: Params) -> Jobs:
    found: dict[tuple, dict[str, str]] = {}
    for table in params.targets:
        for run in params.table_runs(table):
            for job in evaluations(params, table, run):
                found[tuple(job.values())] = job
    yield from found.values()


def evaluations(params: Params, table: str, run: Run) -> Jobs:
    """Yield the evaluations of one run that a table shows."""
    content = params.tree["tables"][table]
    for seed in content["seeds"]:
        for column in content["columns"]:
            yield {"run": run.name, "seed": str(seed), "protocol": column["protocol"]}


def _converter(params: Params, job: Job) -> list[str]:
    return [f"pipeline.convert.{params.tree['data']['datasets'][job['dataset']]['converter']}"]


def _networks(params: Params, job: Mapping) -> list[str]:
    run = params.runs[f"{job.get('group', 'finetune')}/{job['run']}"]
    return [f"pipeline.models.{kind}" for kind in run.kinds]


def _measuring(params: Params, job: Job) -> list[str]:
    return [*_networks(params, job), PROTOCOLS[job["protocol"]].module]


def _training(params: Params, job: Job) -> list[str]:
    objective = params.runs[f"{job['group']}/{job['run']}"].settings["objective"]
    return [f"pipeline.objectives.{objective}", *_networks(params, job)]


def _drawn(params: Params, job: Job) -> list[str]:
    runs = params.tree["figures"]["overlays"]["runs"]
    return sorted({module for run in runs for module in _networks(params, {"run": run})})


def protocol_records(params: Params, job: Job) -> str:
    """Return the records that a job's protocol reads, or the one of the overlays."""
    protocol = job.get("protocol") or params.tree["figures"]["overlays"]["protocol"]
    return params.tree["evaluation"]["protocols"][protocol]


def protocol_raw(params: Params, job: Job) -> str | None:
    """Return the dataset whose raw files a job's protocol reads, None if it reads none."""
    if not getattr(PROTOCOLS[job["protocol"]], "needs_raw", False):
        return None
    return protocol_records(params, job).rpartition("_")[0]


UNTRAINED = ("pipeline.evaluation.iterations", "pipeline.evaluation.capacity")  # look inside


def floor(protocol: str) -> dict[str, str]:
    """Return the run that needs no training and that a protocol can measure, and its seed."""
    asked = PROTOCOLS[protocol]
    run = "mean_hand" if isinstance(asked, HandProtocol) else "mean_pose"
    return {"run": "untrained" if asked.module in UNTRAINED else run, "seed": "0"}


def drawn(params: Params, section: str) -> list[tuple[str, int]]:
    """Return (run, seed) of the runs that a section of figures draws."""
    chosen = params.tree["figures"][section]
    names = chosen["runs"] if isinstance(chosen, dict) else chosen
    runs = [params.runs[f"finetune/{name}"] for name in names]
    return [(run.name, seed) for run in runs for seed in params.seeds(run)]


def overlaid(params: Params) -> list[tuple[str, int]]:
    """Return (run, seed) of the runs whose predictions are drawn, each at its first seed."""
    first = {run: seed for run, seed in reversed(drawn(params, "overlays"))}
    return [
        (run, first[run]) for run in dict.fromkeys(run for run, _ in drawn(params, "overlays"))
    ]


def finetuned(params: Params) -> list[tuple[str, int]]:
    """Return (run, seed) of the runs in the figure of fine-tuning."""
    table = params.tree["figures"]["finetuning"]
    seeds = params.tree["tables"][table]["seeds"]
    return [(run.name, seed) for run in params.table_runs(table) for seed in seeds]


def _finetuning(params: Params) -> Jobs:
    if params.tree["figures"]["finetuning"] in params.targets:
        yield {}


def _inside(params: Params) -> Jobs:
    """Yield the pictures of what happens inside the networks of the overlays."""
    for run, _ in overlaid(params):
        network = params.runs[f"finetune/{run}"].settings["network"]
        if "iterations" in network:
            yield {"kind": "iterations", "run": run}
        auxiliary = network.get("auxiliary", "none") != "none"
        if auxiliary:
            yield {"kind": "iuv", "run": run}
        if auxiliary or network.get("feedback", "global") != "global":
            yield {"kind": "features", "run": run}


def looked_into(params: Params, job: Job) -> dict[str, str]:
    """Return run, seed and protocol of such a picture, and the records with `iuv` where read."""
    seeds, records = dict(overlaid(params)), protocol_records(params, {})
    found = {"run": job["run"], "seed": str(seeds[job["run"]]), "records": records}
    found["protocol"] = params.tree["figures"]["overlays"]["protocol"]
    return {**found, **({"iuv": records} if job["kind"] == "iuv" else {})}


def figures(params: Params) -> list[str]:
    """Return every figure."""
    rules = ("curves", "finetuning", "overlays", "inside", "contact_sheet")
    return [path for rule in rules for path in STEPS[rule].targets(params)]


def _each(key: str, names: Callable[[Params], list[str]]) -> Callable[[Params], Jobs]:
    return lambda params: ({key: name} for name in names(params))


TRAINED = "runs/{group}/{run}/seed{seed}/model.pt"
STEPS: dict[str, Step] = {
    "body_demo": Step("source", "data/demo/body_models.manifest.json", "body-demo", _body_demo),
    "body": Step("source", "data/body/smpl.npz", "body", once),
    "demo": Step("source", "data/demo/{dataset}.manifest.json", "demo", _demo,
                 lambda params, job: [f"pipeline.demo.{job['dataset']}"]),
    "manifest": Step("source", "data/real/{dataset}.manifest.json", "manifest", _manifests),
    "convert": Step("records", "data/records/{dataset}_{split}.h5", "convert", _conversions,
                    _converter),
    "mocap": Step("synthesis", "data/mocap/mocap.h5", "mocap",
                  lambda params: iter([{}] if used_pairs(params) else [])),
    "pairs": Step("synthesis", "data/pairs/{pairs}.h5", "pairs", _each("pairs", used_pairs)),
    "hand_pairs": Step("synthesis", "data/pairs/hands/{pairs}.h5", "hand-pairs",
                       _each("pairs", used_hand_pairs)),
    "iuv": Step("iuv", "data/iuv/{records}.h5", "iuv", _each("records", used_iuv)),
    "pretrain": Step("pretrain", TRAINED, "train", _trainings("pretrain"), _training),
    "finetune": Step("finetune", TRAINED, "train", _trainings("finetune"), _training),
    "evaluate": Step("results", "results/metrics/{run}/seed{seed}/{protocol}.json", "evaluate",
                     _evaluations, _measuring, protocol_records),
    "table": Step("results", "results/{table}.csv", "table",
                  _each("table", lambda params: params.targets)),
    "claims": Step("results", "results/{table}.claims.csv", "claims",
                   _each("table", claimed)),
    "metrics": Step("results", "results/metrics.json", "pipeline.workflow.summary", once,
                    edges=lambda params, job: params.targets),
    "curves": Step("results", "results/figures/curves.png", "pipeline.evaluation.curves", once,
                   edges=lambda params, job: drawn(params, "curves")),
    "finetuning": Step("results", "results/figures/mpt_finetuning.png",
                       "pipeline.evaluation.finetuning", _finetuning,
                       edges=lambda params, job: finetuned(params)),
    "views": Step("results", "results/figures/virtual_views.png", "pipeline.synthesis.views_plot",
                  lambda params: iter(())),  # made when asked for
    "overlays": Step("results", "results/figures/overlays.png", "pipeline.evaluation.overlays",
                     once, _drawn, lambda params, job: [overlaid(params),
                                                        protocol_records(params, job)]),
    "inside": Step("results", "results/figures/{kind}_{run}.png", "pipeline.evaluation.inside",
                   _inside, _networks, looked_into),
    "contact_sheet": Step("results", "results/figures/contact_{records}.png", "contact-sheet",
                          _each("records", lambda p: p.tree["figures"]["contact_sheets"])),
    "report": Step("results", "results/report.html", "report", once,
                   edges=lambda params, job: figures(params)),
}  # fmt: skip
PHASES = {
    phase: [rule for rule, step in STEPS.items() if step.phase == phase]
    for phase in dict.fromkeys(step.phase for step in STEPS.values())
}


def targets(params: Params, phase: str) -> list[str]:
    """Return the main outputs of a phase."""
    return [path for rule in PHASES[phase] for path in STEPS[rule].targets(params)]
