"""The commands of the README: their speed with nothing to do, their errors, their form."""

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.conftest import Workspace


@contextmanager
def seconds_below(limit: float) -> Iterator[None]:
    """Refuse more CPU time than that in the commands run (a busy machine stretches the clock)."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    yield
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < limit


@pytest.fixture
def workspace(made: Workspace) -> Iterator[Workspace]:
    yield made
    made.run("git", "checkout", "-q", ".")


def test_dry_run_of_the_whole_workflow_is_quick(workspace: Workspace) -> None:
    with seconds_below(5):
        text = workspace.run("snakemake", "-n", "--forceall").stdout
    assert "evaluate" in text


def test_second_make_runs_nothing_and_is_quick(workspace: Workspace) -> None:
    ready = f"{sys.prefix}/.ok"
    with seconds_below(10):
        text = workspace.run("make", "-o", ready, f"VENV={sys.prefix}", "table1").stdout
    assert "Nothing to be done" in text


def test_lint_and_format(workspace: Workspace) -> None:
    assert "in a good condition" in workspace.run("snakemake", "--lint").stdout
    workspace.run("snakefmt", "--check", "Snakefile", "pipeline/rules")


def test_snakefile_is_short(workspace: Workspace) -> None:
    assert len((workspace.path / "Snakefile").read_text().splitlines()) <= 60


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("feedback: mesh", "feedbak: mesh", "finetune.pymaf.network.feedbak: saw an unknown key"),
        ("\nseed: 0", "\nseed: zero", "seed: saw 'zero', expected a whole number"),
        ("\nseed: 0", "\nseed: 0\nseed: 1", "saw the key 'seed' a second time"),
        ("\nseed: 0", "\nseed: [0", "expected YAML"),
    ],
    ids=["unknown", "type", "twice", "syntax"],
)
def test_mistake_is_one_line(workspace: Workspace, old: str, new: str, line: str) -> None:
    workspace.edit("params.yaml", old, new)
    done = workspace.run("snakemake", "-n", "results/table1.csv", ok=False)
    assert done.returncode == 1 and "Traceback" not in done.stdout
    said = [text for text in done.stdout.splitlines() if not text.startswith("Using workflow")]
    assert len(said) == 1 and said[0].startswith("error: params.yaml: ") and line in said[0]


def test_mistake_on_the_command_line_is_one_line(workspace: Workspace) -> None:
    done = workspace.run("snakemake", "-n", "--config", "scale=huge", ok=False)
    assert done.returncode == 1 and "Traceback" not in done.stdout
    assert "error: params.yaml: scale: saw 'huge', expected one of demo" in done.stdout


def test_real_data_that_are_not_there_are_named(workspace: Workspace) -> None:
    words = ("snakemake", "--cores", "1", "--config", "source=real", "--", "data/body/smpl.npz")
    done = workspace.run(*words, ok=False)
    assert done.returncode == 1
    assert "error: data/raw/body_models: saw no such folder, expected the files" in done.stdout
