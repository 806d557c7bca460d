"""The settings of every job: exactly the part of the parameters that its outputs depend on."""

from collections.abc import Callable, Mapping

from pipeline.evaluation.protocols import PROTOCOLS
from pipeline.params.resolve import Params
from pipeline.params.runs import PASSIVE, influences

Job = Mapping[str, str]  # wildcards of the job


def body(params: Params, job: Job) -> dict:
    """Return the section body."""
    return params.tree["body"]


def demo(params: Params, job: Job) -> dict:
    """Return what the demo data of one dataset are made with: its own settings and the shared."""
    section = params.tree["demo"]
    shared = {k: v for k, v in section.items() if not isinstance(v, dict)}
    dataset = job["dataset"]
    return {**shared, dataset: section[dataset], "seed": params.tree["seed"]}


def convert(params: Params, job: Job) -> dict:
    """Return one dataset's section with one of its splits and what all conversions share.

    Demo data have no published number of samples to be compared with.
    """
    data = params.tree["data"]
    dataset = data["datasets"][job["dataset"]]
    split = dict(dataset["splits"][job["split"]])
    shared = {k: v for k, v in data.items() if k != "datasets"}
    if params.tree["source"] == "demo":
        split.pop("expected", None)
        shared.pop("count_tolerance")
    return {**shared, **dataset, "splits": {job["split"]: split}}


def mocap(params: Params, job: Job) -> dict:
    """Return the section mocap and the seed."""
    return {**params.tree["mocap"], "seed": params.tree["seed"]}


def pairs(params: Params, job: Job) -> dict:
    """Return one set of pairs, the cameras and the seed."""
    synthesis = params.tree["synthesis"]
    chosen = synthesis["pairs"][job["pairs"]]
    return {**chosen, "cameras": synthesis["cameras"], "seed": params.tree["seed"]}


def hand_pairs(params: Params, job: Job) -> dict:
    """Return one set of pairs of hands and the seed."""
    return {**params.tree["synthesis"]["hand_pairs"][job["pairs"]], "seed": params.tree["seed"]}


def iuv(params: Params, job: Job) -> dict:
    """Return the section iuv."""
    return params.tree["iuv"]


def train(params: Params, job: Job) -> dict:
    """Return what can change the outcome of a training."""
    return influences(training(params, job))


def training(params: Params, job: Job) -> dict:
    """Return all that a training is told, what changes no result included."""
    return params.runs[f"{job['group']}/{job['run']}"].at(int(job["seed"]))


def passive(params: Params, job: Job) -> dict:
    """Return the settings of a training that change no result."""
    settings = training(params, job)["training"]
    return {key: settings[key] for key in PASSIVE}


def evaluate(params: Params, job: Job) -> dict:
    """Return the network, the protocol and how it is measured."""
    run = params.runs[f"finetune/{job['run']}"]
    evaluation = params.tree["evaluation"]
    averaged = getattr(PROTOCOLS[job["protocol"]], "test_time", False)
    return {
        **({"test_time": evaluation["test_time"]} if averaged else {}),
        "run": run.name,
        "seed": int(job["seed"]),
        "network": run.settings["network"],
        "protocol": job["protocol"],
        "batch_size": evaluation["batch_size"],
        "bootstrap": evaluation["bootstrap"],
    }


def table(params: Params, job: Job) -> dict:
    """Return a table's rows with the names of their runs."""
    content = params.tree["tables"][job["table"]]
    rows = [
        {**{k: v for k, v in row.items() if k != "set"}, "run": run.name if run else None}
        for row, run in zip(content["rows"], params.rows[job["table"]], strict=True)
    ]
    place = {key: params.tree[key] for key in ("scale", "source")}
    shown = {k: v for k, v in content.items() if k != "claims"}
    return {**shown, "rows": rows, **place}


def claims(params: Params, job: Job) -> dict:
    """Return a table's rows, its claims and the resamples of their intervals."""
    own = params.tree["tables"][job["table"]].get("claims", [])
    bootstrap = params.tree["evaluation"]["bootstrap"]
    return {**table(params, job), "claims": own, "bootstrap": bootstrap}


def overlays(params: Params, job: Job) -> dict:
    """Return the networks whose predictions are drawn."""
    section = params.tree["figures"]["overlays"]
    runs = {name: params.runs[f"finetune/{name}"] for name in section["runs"]}
    networks = {name: run.settings["network"] for name, run in runs.items()}
    return {"protocol": section["protocol"], "count": section["count"], "networks": networks}


def inside(params: Params, job: Job) -> dict:
    """Return the network into which a picture looks."""
    network = params.runs[f"finetune/{job['run']}"].settings["network"]
    count = params.tree["figures"]["overlays"]["count"]
    return {"kind": job["kind"], "count": count, "network": network}


def report(params: Params, job: Job) -> dict:
    """Return the titles and what the numbers were measured on."""
    tables = params.tree["tables"]
    titles = {name: {"title": tables[name]["title"]} for name in params.targets}
    place = {key: params.tree[key] for key in ("scale", "source", "seed")}
    return {**place, "tables": titles}


def curves(params: Params, job: Job) -> dict:
    """Return the runs whose losses are drawn."""
    return {"runs": params.tree["figures"]["curves"]}


def finetuning(params: Params, job: Job) -> dict:
    """Return the runs whose scores are drawn, with what tells them apart."""
    table = params.tree["figures"]["finetuning"]
    rows = params.table_runs(table)
    return {
        "seeds": params.tree["tables"][table]["seeds"],
        "rows": [
            {
                "run": run.name,
                "pretrained": "regressor" in run.parents,
                "fraction": run.settings["data"].get("fraction", 1.0),
            }
            for run in rows
        ],
    }


def views(params: Params, job: Job) -> dict:
    """Return the virtual cameras."""
    return {"cameras": params.tree["synthesis"]["cameras"]}


def nothing(params: Params, job: Job) -> dict:
    """Return no settings: the job depends on its inputs alone."""
    return {}


SETTINGS: dict[str, Callable[[Params, Job], dict]] = {
    "body_demo": nothing,
    "body": body,
    "demo": demo,
    "manifest": nothing,
    "convert": convert,
    "mocap": mocap,
    "pairs": pairs,
    "hand_pairs": hand_pairs,
    "iuv": iuv,
    "train": train,
    "evaluate": evaluate,
    "table": table,
    "claims": claims,
    "metrics": nothing,
    "curves": curves,
    "finetuning": finetuning,
    "views": views,
    "overlays": overlays,
    "inside": inside,
    "contact_sheet": nothing,
    "report": report,
}
