"""Do the papers' claims hold on demo data? Trains every row of the tables of claims, three seeds.

    python -m benchmarks.gpu_claims --folder DIR [--scale gpu] [--jobs 3] [--budget 540]
    python -m benchmarks.gpu_claims --device cpu --quick

Makes its own data and needs neither network nor Snakemake. When the time is over it stops and
prints what is decided so far; the same call goes on from there, trainings from their checkpoints.
`--scale desk --jobs 6` is for a GPU that is lent for minutes: small networks, several at a time.
The table printed last is computed from the metrics files by `python -m pipeline claims`.
"""

import argparse
import os
import tempfile
from pathlib import Path

from benchmarks.workplace import OutOfTime, Workplace
from pipeline.evaluation import claims
from pipeline.evaluation.tables import read_metrics
from pipeline.params import jobs
from pipeline.workflow import phases


def tables_of(place: Workplace, names: list[str] | None) -> list[str]:
    known = [name for name, table in place.params.tree["tables"].items() if table.get("claims")]
    return [name for name in known if names is None or name in names]


def decided(place: Workplace, table: str, seeds: list[int]) -> list[dict]:
    """Lines of a table's claims over the seeds that all of its rows have."""
    settings = jobs.claims(place.params, {"table": table})
    runs = {row["run"] for row in settings["rows"]}
    protocols = [column["protocol"] for column in settings["columns"]]
    output = phases.STEPS["evaluate"].output
    files = {
        seed: [place.folder / output.format(run=run, seed=seed, protocol=protocol)
               for run in runs for protocol in protocols] for seed in seeds
    }  # fmt: skip
    whole = [seed for seed in seeds if all(path.exists() for path in files[seed])]
    if not whole:
        return []
    found = read_metrics([path for seed in whole for path in files[seed]])
    return claims.build({**settings, "seeds": whole}, found)


def show(place: Workplace, tables: list[str], seeds: list[int], all_metrics: bool) -> None:
    head = f"{'claim':<58} {'metric':<22} {'seeds':<6} {'gain':>7} {'sd':>6} {'interval':>17}"
    print(head, "verdict")
    for table in tables:
        lines = decided(place, table, seeds)
        if not lines:
            print(f"{table}: no seed of which all rows are measured")
        for line in lines:
            if all_metrics or line["metric"] == "pa_mpjpe":
                span = f"[{line['low']}, {line['high']}]" if line["low"] else ""
                metric = f"{line['metric']} {line['protocol']}"
                print(f"{line['claim']:<58} {metric:<22} {line['seeds']:<6} {line['gain']:>7}"
                      f" {line['gain_sd']:>6} {span:>17} {line['verdict']}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--folder", type=Path, help="kept between calls; a temporary one if absent"
    )
    parser.add_argument("--scale", default="gpu")
    parser.add_argument("--tables", nargs="+", help="of claims; all if absent")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=3, help="trainings at a time")
    parser.add_argument("--budget", type=float, default=540, help="seconds")
    parser.add_argument("--device", choices=["auto", "cpu"], default="auto")
    parser.add_argument("--quick", action="store_true", help="scale mini, two seeds: a rehearsal")
    parser.add_argument("--all-metrics", action="store_true", help="not PA-MPJPE alone")
    args = parser.parse_args()
    if args.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    scale, seeds = ("mini", [0, 1]) if args.quick else (args.scale, list(range(args.seeds)))
    folder = args.folder or Path(tempfile.mkdtemp(prefix="claims-"))
    place = Workplace(folder, scale, args.jobs, args.budget)
    tables = tables_of(place, args.tables)
    runs = list(
        {run.key: run for name in tables for run in place.params.table_runs(name)}.values()
    )
    content = [place.params.tree["tables"][name] for name in tables]
    protocols = list({c["protocol"]: 0 for table in content for c in table["columns"]})
    try:
        place.data(place.with_parents(runs), protocols)
        place.study(runs, seeds, protocols)
    except OutOfTime as error:
        print(f"stopped before {error}: the time is over")
    models = [phases.TRAINED.format(group="finetune", run=run.name, seed=seed)
              for run in runs for seed in seeds]  # fmt: skip
    left = sum(not (place.folder / model).exists() for model in models)
    print(f"{folder}: scale {scale}, {len(runs)} runs x {len(seeds)} seeds, {left} left to train")
    show(place, tables, seeds, args.all_metrics)


if __name__ == "__main__":
    main()
