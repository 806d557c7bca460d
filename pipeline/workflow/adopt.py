"""Tells Snakemake what DVC knows about the files in the workspace.

DVC restores files (pull, checkout, exp apply, the copies that queued experiments run in) but not
Snakemake's records of how they were made. For every stage of dvc.lock whose outputs are there as
locked, `snakemake --touch` is run with the parameters of dvc.lock and the code versions locked
with each job. That writes the records that those files had, so that the next run redoes exactly
what differs from them. `PIPELINE_ADOPT=never` switches it off.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from pipeline.errors import InputError
from pipeline.workflow.phases import PHASES

GUARD = "PIPELINE_ADOPTING"  # path of a JSON file {job: code version} while records are written
LONG_AGO = 946684800  # 2000-01-01
SEEN = Path(".snakemake/adopted")
LOCK, PARAMS, VERSIONS = Path("dvc.lock"), "params.yaml", "versions.yaml"
OTHER = "made with other settings"
Log = Callable[[str], None]


@dataclass
class Adoption:
    """What dvc.lock says about one phase.

    Attributes:
        phase: the stage's name.
        code: job -> version of the code that made it.
        problem: why the phase is left to Snakemake's own records; empty if it is not.
    """

    phase: str
    code: dict[str, str] = field(default_factory=dict)
    problem: str = ""


def adopt_if_needed(log: Log) -> None:
    """Write Snakemake's records of restored files, if DVC has restored any since the last time.

    Inside a stage of DVC its outputs are made older than any input instead: DVC may have given
    them new times (it copies linked outputs before a stage runs), and Snakemake compares the
    contents only of inputs newer than the outputs.
    """
    if GUARD in os.environ or os.environ.get("PIPELINE_ADOPT") == "never":
        return
    if "DVC_STAGE" in os.environ and not _fresh():
        backdate(os.environ["DVC_STAGE"])
        return
    if not LOCK.exists():
        return
    lock = yaml.safe_load(LOCK.read_text())["stages"]
    if SEEN.exists() and SEEN.read_text() == _signature(lock):
        return
    try:
        adopt(lock, log)
    except (OSError, subprocess.CalledProcessError, InputError) as error:
        log(f"adopt: failed ({error}); jobs may rerun although their outputs are up to date")


def adopt(lock: dict, log: Log) -> None:
    """Write the records of every phase that is in the workspace as locked."""
    locked = _locked_params(lock)
    done: dict[str, str] = {}
    phases, fresh = [], _fresh()
    for adoption in examine(lock, locked, _changed(), fresh):
        if adoption.problem:
            if fresh:  # elsewhere Snakemake's own records say how the files were made
                log(f"adopt: {adoption.phase} left alone, {adoption.problem}")
            continue
        phases.append(adoption.phase)
        done |= adoption.code
    if phases:
        log(f"adopt: {', '.join(phases)}")
        _touch(phases, locked, done)
    SEEN.parent.mkdir(exist_ok=True)
    SEEN.write_text(_signature(lock))


def examine(lock: dict, params: dict, changed: list[str], fresh: bool) -> Iterator[Adoption]:
    """Yield what can be said about each phase.

    Args:
        lock: stages of dvc.lock.
        params: content of params.yaml when dvc.lock was written.
        changed: paths whose content is not the one in dvc.lock.
        fresh: whether Snakemake has no records here. Then jobs made from other settings or
            inputs than the locked ones are recorded as such; otherwise its own records hold.
    """
    from pipeline.params import load
    from pipeline.workflow import versions

    made = versions.table(load(params), {})
    md5 = {out["path"]: out.get("md5") for out in _outputs(lock)}
    for phase in (name for name in PHASES if name in lock):
        written = lock[phase].get("params", {}).get(VERSIONS, {}).get(phase) or {}
        found = Adoption(phase, problem=_missing(lock[phase], md5, changed))
        for job, line in made[phase].items():
            settings, code = (*written.get(job, "").split(), "", "")[:2]
            found.code[job] = code if settings == line.split()[0] else OTHER
        deps = lock[phase].get("deps", [])
        other = [dep["path"] for dep in deps if _differs(dep, md5, changed)]
        if other:
            found.code = dict.fromkeys(found.code, f"made from another {other[0]}")
        if not fresh and not found.problem and OTHER in found.code.values():
            found.problem = OTHER
        if not fresh and not found.problem and other:
            found.problem = f"{other[0]} is not what it was made from"
        yield found


def _missing(stage: dict, md5: dict[str, str | None], changed: list[str]) -> str:
    """Return which file of a stage is not there as locked; empty if all are."""
    for out in stage.get("outs", []):
        state = _state(out["path"], md5[out["path"]], changed)
        if state != "locked":
            return f"{out['path']} is {state}"
    for dep in stage.get("deps", []):
        if not os.path.exists(dep["path"]):
            return f"its input {dep['path']} is missing; `dvc pull` gets all"
    return ""


def backdate(stage: str) -> None:
    """Give the stage's outputs a time before that of any input."""
    stages = yaml.safe_load(Path("dvc.yaml").read_text())["stages"]
    if stage not in stages:
        return
    source = yaml.safe_load(Path(PARAMS).read_text())["source"]
    for out in stages[stage].get("outs", []):
        top = Path(
            (next(iter(out)) if isinstance(out, dict) else out).replace("${source}", source)
        )
        for file in _files(top):
            if not file.is_symlink() and file.stat().st_nlink == 1:
                os.utime(file, (LONG_AGO, LONG_AGO))


def _outputs(lock: dict) -> list[dict]:
    return [out for stage in lock.values() for out in stage.get("outs", [])]


def _locked_params(lock: dict) -> dict:
    """Return params.yaml as it was when dvc.lock was written.

    Raises:
        InputError: if dvc.lock was not written by this project's stages.
    """
    try:
        return lock["versions"]["params"][PARAMS]
    except KeyError:
        raise InputError(LOCK, "versions", "no parameters", "a file of `dvc repro`") from None


def _changed() -> list[str]:
    """Return the paths whose content is not the one in dvc.lock.

    `dvc data status` also works inside a stage, where `dvc status` finds the project busy.
    """
    words = [sys.executable, "-m", "dvc", "data", "status", "--granular", "--json"]
    answer = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    dirty = json.loads(answer).get("uncommitted", {})
    kinds = ("modified", "deleted", "added", "unknown")
    return [path for kind in kinds for path in dirty.get(kind, [])]


def _state(path: str, md5: str | None, changed: list[str]) -> str:
    if not os.path.exists(path):
        return "missing"
    if any(c.rstrip("/") == path or c.startswith(f"{path}/") for c in changed):
        return "modified"
    if os.path.isfile(path) and _md5(path) != md5:
        return "modified"
    return "locked"


def _differs(dep: dict, md5: dict[str, str | None], changed: list[str]) -> bool:
    """Tell whether a stage's input, another's output, is not the one that it was made from."""
    path = dep["path"]
    if path not in md5:
        return False
    return md5[path] != dep.get("md5") or _state(path, md5[path], changed) == "modified"


def _md5(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def _signature(lock: dict) -> str:
    """Return a text that changes whenever DVC, Git or Snakemake touched an output."""
    digest = hashlib.sha256(LOCK.read_bytes())
    for out in sorted(out["path"] for out in _outputs(lock)):
        for file in _files(Path(out)):
            stat = file.stat()
            digest.update(f"{file} {stat.st_size} {stat.st_mtime_ns}".encode())
    return digest.hexdigest()


def _files(top: Path) -> list[Path]:
    if top.is_dir():
        return sorted(path for path in top.rglob("*") if path.is_file())
    return [top] if top.is_file() else []


def _fresh() -> bool:
    return not any(Path(".snakemake/metadata").glob("*"))


def _touch(phases: list[str], params: dict, code: dict[str, str]) -> None:
    """Write the records of all jobs of the phases, with these versions of their code."""
    rules = [rule for phase in phases for rule in PHASES[phase]]
    targets = [f"phase_{phase}" for phase in phases]
    with tempfile.TemporaryDirectory() as folder:
        for name, content in (("params.json", params), ("code.json", code)):
            Path(folder, name).write_text(json.dumps(content))
        words = ["--touch", "--cores", "1", "--quiet", "all", "--scheduler", "greedy",
                 "--configfile", f"{folder}/params.json", "--replace-workflow-config",
                 "--forcerun", *rules, "--allowed-rules", *rules, *targets,
                 "--", *targets]  # fmt: skip
        subprocess.run(
            [sys.executable, "-m", "pipeline.workflow.adopt", *words],
            check=True,
            stdout=subprocess.DEVNULL,
            env={**os.environ, GUARD: f"{folder}/code.json"},
        )


def main(words: list[str]) -> None:
    """Run Snakemake's touch without its pause of 0.1 s a job."""
    import snakemake.executors.touch as touch
    from snakemake.cli import main as snakemake

    touch.Executor.SLEEPING_TIME = 0
    snakemake(words)


if __name__ == "__main__":
    main(sys.argv[1:])
