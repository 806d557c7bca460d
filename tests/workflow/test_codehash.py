"""Versions of code follow imports and ignore what cannot change a result."""

import shutil
import subprocess

import pytest

from pipeline.workflow import codehash
from pipeline.workflow.codehash import closure, essence
from tests.conftest import ROOT


def test_layout_comments_and_docstrings_do_not_count() -> None:
    first = '"""One."""\nimport os\n\n\ndef f(a, b):  # why\n    """Two."""\n    return a + b\n'
    second = "import os\ndef f(\n    a,\n    b):\n    return (  a + b\n)\n"
    assert essence(first) == essence(second.replace("(  a + b\n)", "a + b"))
    assert essence(first) != essence(first.replace("a + b", "a - b"))


def test_strings_that_do_something_count() -> None:
    assert essence("x = 'a'\n") != essence("x = 'b'\n")
    assert essence("x = f'{y} a'\n") != essence("x = f'{y} b'\n")
    assert essence("x = f'{y!r:>{w}}'\n") == ["x", "=", "f'{y!r:>{w}}'", ";"]


def test_depth_counts() -> None:
    assert essence("if a:\n    b\n    c\n") != essence("if a:\n    b\nc\n")


def test_closure_follows_imports_inside_functions() -> None:
    assert "pipeline.objectives.build" in closure("pipeline.train")
    assert "pipeline.training" in closure("pipeline.train")


def test_closure_leaves_modules_named_at_run_time_to_the_caller() -> None:
    assert "pipeline.models.pymaf" not in closure("pipeline.train")
    assert "pipeline.models.pymaf" in closure("pipeline.train", "pipeline.models.pymaf")


def test_package_that_passes_names_on_is_looked_through() -> None:
    assert "pipeline.losses.mesh" not in closure("pipeline.objectives.parametric")
    assert "pipeline.losses.parametric" in closure("pipeline.objectives.parametric")


@pytest.mark.parametrize("name", ["python3.12", "python3.13", "python3.14"])
def test_every_python_gives_the_same_version(name: str) -> None:
    program = shutil.which(name)
    if program is None or subprocess.run([program, "-V"], capture_output=True).returncode:
        pytest.skip(f"no {name} here")
    words = "from pipeline.workflow.codehash import version; print(version('pipeline.train'))"
    done = subprocess.run([program, "-c", words], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == codehash.version("pipeline.train")


def test_unknown_module_is_refused() -> None:
    with pytest.raises(FileNotFoundError, match="no module pipeline.nothing"):
        codehash.version("pipeline.nothing")
