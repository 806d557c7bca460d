"""What each job of a phase is made with, in short: versions.yaml, which DVC's stages depend on.

One line a job: the rule and its wildcards, a hash of its settings, a hash of its code. DVC reruns
a phase when one of its lines changes, and `dvc params diff` names the jobs that do.
"""

import hashlib
import json

from pipeline.params import Params
from pipeline.params.jobs import SETTINGS, Job
from pipeline.workflow import codehash
from pipeline.workflow.phases import PHASES, STEPS

FILE = "versions.yaml"


def canonical(content: object) -> str:
    """Return JSON that is equal for equal content."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


def settings(params: Params, rule: str, job: Job) -> str:
    """Return the settings of a job that its rerun depends on, as JSON."""
    kind = "train" if rule in ("pretrain", "finetune") else rule
    return canonical(SETTINGS[kind](params, job))


def code(params: Params, rule: str, job: Job) -> str:
    """Return the version of the package's code that a job runs."""
    return codehash.version(*STEPS[rule].code(params, job))


def label(rule: str, job: Job) -> str:
    """Return the name of a job in versions.yaml: its main output says it all."""
    return STEPS[rule].output.format(**job)


def table(params: Params, shells: dict[str, str]) -> dict[str, dict[str, str]]:
    """Return {phase: {job: "settings code"}}.

    Args:
        params: the parameters.
        shells: rule -> its shell command, which is part of the code.
    """
    found: dict[str, dict[str, str]] = {}
    for phase, rules in PHASES.items():
        lines = found.setdefault(phase, {})
        for rule in rules:
            command = _digest(" ".join(shells.get(rule, "").split()))
            for job in STEPS[rule].jobs(params):
                made = code(params, rule, job)
                edges = canonical(STEPS[rule].edges(params, job))
                line = f"{_digest(settings(params, rule, job) + edges)} {made} {command}"
                lines[label(rule, job)] = line
    return found


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[: codehash.DIGITS]
