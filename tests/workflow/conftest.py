"""A workspace in which the whole workflow has really run, at the miniature scale."""

from pathlib import Path

import pytest

from tests.conftest import Workspace, clone_files, copy_repository


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The workspace after `snakemake`; tests work on copies of it."""
    workspace = copy_repository(tmp_path_factory.mktemp("finished") / "copy", "mini")
    workspace.run("snakemake", "--cores", "1")
    return workspace


@pytest.fixture(scope="session")
def reproduced(finished: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The same after `dvc repro`, committed, and pushed to a folder."""
    workspace = clone_files(finished.path, tmp_path_factory.mktemp("reproduced") / "copy")
    done = workspace.run("dvc", "repro")
    (workspace.path / "repro.txt").write_text(done.stdout)
    (workspace.path / ".git/info/exclude").write_text("repro.txt\n")
    workspace.run("dvc", "remote", "add", "-d", "folder", str(workspace.path.parent / "remote"))
    workspace.run("dvc", "push")
    workspace.commit("reproduced")
    return workspace


@pytest.fixture
def copy(reproduced: Workspace, tmp_path: Path) -> Workspace:
    """A copy of the reproduced workspace to work on."""
    return clone_files(reproduced.path, tmp_path / "copy")


@pytest.fixture
def clone(reproduced: Workspace, tmp_path: Path) -> Workspace:
    """A fresh clone of it: Git's files only."""
    reproduced.run("git", "clone", "-q", str(reproduced.path), str(tmp_path / "clone"))
    return Workspace(tmp_path / "clone")
