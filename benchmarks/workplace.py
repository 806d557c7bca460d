"""The workflow's data, runs and metrics without Snakemake, where there is torch and little more.

Every verb is called as its rule calls it, in a folder laid out like the repository's. What is
there is not made again, since outputs appear whole; a training that was stopped goes on from its
checkpoint.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from pipeline.params import Run
from pipeline.params.overlay import read_file
from pipeline.workflow import phases
from pipeline.workflow.plan import Plan

ROOT = Path(__file__).resolve().parents[1]
BODY = "data/body/smpl.npz"
POLL = 0.2  # seconds


class OutOfTime(Exception):
    """The time that was given is over."""


class Workplace:
    """A folder in which the jobs of one scale are done on demo data."""

    def __init__(self, folder: Path, scale: str, jobs: int = 1, budget: float = 540) -> None:
        """Resolve params.yaml.

        Args:
            folder: holds data, runs, results and logs; kept between calls.
            scale: of params.yaml.
            jobs: verbs that may run at a time.
            budget: seconds after which running verbs are stopped and no other begins.
        """
        config = {**read_file(ROOT / "params.yaml"), "scale": scale, "source": "demo"}
        self.plan, self.folder = Plan(config), folder.resolve()
        self.params, self.jobs = self.plan.params, jobs
        self.end = time.monotonic() + budget
        self._making: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    def make(self, output: str, *words: str) -> None:
        """Run a verb unless its output is there.

        Raises:
            OutOfTime: if the time is over before the verb is done.
            RuntimeError: if the verb fails, with the end of its log.
        """
        with self._guard:
            lock = self._making.setdefault(output, threading.Lock())
        with lock:
            if (self.folder / output).exists():
                return
            if time.monotonic() > self.end:
                raise OutOfTime(output)
            log = self.folder / "logs" / f"{output.replace('/', '.')}.log"
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("w") as file:
                self._wait(subprocess.Popen(
                    [sys.executable, "-m", "pipeline", *words], cwd=self.folder, stdout=file,
                    stderr=subprocess.STDOUT, env={**os.environ, "PYTHONPATH": self._path()},
                ), output, log)  # fmt: skip

    def _path(self) -> str:
        return os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))

    def _wait(self, process: subprocess.Popen, output: str, log: Path) -> None:
        while process.poll() is None:
            if time.monotonic() > self.end:
                process.kill()
                process.wait()
                raise OutOfTime(output)
            time.sleep(POLL)
        if process.returncode:
            raise RuntimeError(f"{output}: {log.read_text()[-2000:]}")

    def settings(self, rule: str, **job: str) -> str:
        """Return a job's settings as JSON."""
        return self.plan.settings(rule)(job)

    def data(self, runs: Iterable[Run], protocols: Iterable[str] = ()) -> None:
        """Make what the runs learn from and the protocols read."""
        runs = list(runs)
        sources = self.params.tree["evaluation"]["protocols"]
        records = {name for run in runs for name in (*run.records, *run.validation)}
        records |= {sources[name] for name in protocols}
        pairs = {run.pairs for run in runs if run.pairs}
        self.make("data/demo/body_models/smpl", "body-demo", "--out", "data/demo/body_models")
        self.make(BODY, "body", "--raw", "data/demo/body_models", "--settings",
                  self.settings("body"), "--out", BODY)  # fmt: skip
        for name in sorted(
            {name.rpartition("_")[0] for name in records} | ({"amass"} & _any(pairs))
        ):
            self._demo(name)
        for name in sorted(records):
            self._records(name)
        for name in sorted({name for run in runs for name in run.iuv}):
            out = f"data/iuv/{name}.h5"
            self.make(out, "iuv", "--records", f"data/records/{name}.h5", "--body", BODY,
                      "--settings", self.settings("iuv"), "--workers", str(os.cpu_count()),
                      "--out", out)  # fmt: skip
        for name in sorted(pairs):
            self._pairs(name)

    def _demo(self, dataset: str) -> None:
        listed = f"data/demo/{dataset}.manifest.json"
        self.make(listed, "demo", dataset, "--body", BODY, "--settings",
                  self.settings("demo", dataset=dataset), "--workers", str(os.cpu_count()),
                  "--out", f"data/demo/{dataset}", "--manifest", listed)  # fmt: skip

    def _records(self, name: str) -> None:
        dataset, _, split = name.rpartition("_")
        out = f"data/records/{name}.h5"
        self.make(out, "convert", dataset, "--split", split, "--raw", f"data/demo/{dataset}",
                  "--body", BODY, "--settings",
                  self.settings("convert", dataset=dataset, split=split), "--workers",
                  str(os.cpu_count()), "--allow-partial", "--out", out)  # fmt: skip

    def _pairs(self, name: str) -> None:
        mocap, out = "data/mocap/mocap.h5", f"data/pairs/{name}.h5"
        self.make(mocap, "mocap", "--raw", "data/demo/amass", "--manifest",
                  "data/demo/amass.manifest.json", "--settings", self.settings("mocap"),
                  "--workers", str(os.cpu_count()), "--out", mocap)  # fmt: skip
        self.make(out, "pairs", "--mocap", mocap, "--body", BODY, "--settings",
                  self.settings("pairs", pairs=name), "--out", out)  # fmt: skip

    def train(self, run: Run, seed: int) -> None:
        """Train a run whose parents are trained."""
        job = {"run": run.name, "seed": str(seed), "group": run.group}
        out = phases.TRAINED.format(**job)
        inputs = self.plan.training_inputs(run.group)(job)
        flags = self.plan.training_flags(run.group)(job, inputs).split()
        settings = self.plan.told(run.group)(job, _Passive(self.plan.passive(run.group)(job)))
        self.make(out, "train", "--settings", settings, "--body", BODY, *flags, "--checkpoints",
                  f"checkpoints/{run.group}/{run.name}/seed{seed}", "--out",
                  str(Path(out).parent))  # fmt: skip

    def evaluate(self, run: Run, seed: int, protocol: str) -> Path:
        """Measure a trained run; returns the metrics file."""
        job = {"run": run.name, "seed": str(seed), "protocol": protocol}
        out = phases.STEPS["evaluate"].output.format(**job)
        weights = phases.TRAINED.format(group="finetune", **job)
        self.make(out, "evaluate", "--settings", self.settings("evaluate", **job), "--weights",
                  weights, "--records", self.plan.protocol_records(job), "--body", BODY, "--out",
                  out)  # fmt: skip
        return self.folder / out

    def study(self, runs: list[Run], seeds: list[int], protocols: list[str]) -> None:
        """Train and measure all runs, one seed after the other, as far as the time goes."""
        done: dict[tuple[str, int], Future] = {}
        with ThreadPoolExecutor(self.jobs) as pool:
            for seed in seeds:
                for run in self.with_parents(runs):
                    waits = [done[source, seed] for source in run.parents.values()]
                    measured = protocols if run in runs else []
                    done[run.key, seed] = pool.submit(self._one, run, seed, waits, measured)
        for future in done.values():
            error = future.exception()
            if error is not None and not isinstance(error, OutOfTime):
                raise error

    def _one(self, run: Run, seed: int, waits: list[Future], protocols: list[str]) -> None:
        for parent in waits:  # submitted earlier, so one of them is running or done
            parent.result()
        self.train(run, seed)
        for protocol in protocols:
            self.evaluate(run, seed, protocol)

    def with_parents(self, runs: list[Run]) -> list[Run]:
        """Return the runs and those that they start from, parents first, each once."""
        found: dict[str, Run] = {}

        def add(run: Run) -> None:
            for source in run.parents.values():
                add(self.params.runs[source])
            found.setdefault(run.key, run)

        for run in runs:
            add(run)
        return list(found.values())


class _Passive:
    """Stands for the resources of a Snakemake job."""

    def __init__(self, passive: str) -> None:
        self.passive = passive


def _any(names: set) -> set[str]:
    return {"amass"} if names else set()
