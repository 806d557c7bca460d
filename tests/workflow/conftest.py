"""A workspace in which the whole workflow has really run, at the miniature scale."""

from pathlib import Path

import pytest

from tests.conftest import Workspace, built_once, clone_files, copy_repository


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The workspace after `snakemake`."""

    def build(path: Path) -> None:
        copy_repository(path, "mini").run("snakemake", "--cores", "1")

    return built_once(tmp_path_factory, "finished", build)


@pytest.fixture(scope="session")
def reproduced(finished: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The same after `dvc repro`, committed, and pushed to a folder."""

    def build(path: Path) -> None:
        workspace = clone_files(finished.path, path)
        done = workspace.run("dvc", "repro")
        (path / "repro.txt").write_text(done.stdout)
        (path / ".git/info/exclude").write_text("repro.txt\n")
        workspace.run("dvc", "remote", "add", "-d", "folder", str(path.parent / "remote"))
        workspace.run("dvc", "push")
        workspace.commit("reproduced")

    return built_once(tmp_path_factory, "reproduced", build)


@pytest.fixture
def copy(reproduced: Workspace, tmp_path: Path) -> Workspace:
    """A copy of the reproduced workspace to work on."""
    return clone_files(reproduced.path, tmp_path / "copy")


@pytest.fixture
def clone(reproduced: Workspace, tmp_path: Path) -> Workspace:
    """A fresh clone of it: Git's files only."""
    reproduced.run("git", "clone", "-q", str(reproduced.path), str(tmp_path / "clone"))
    return Workspace(tmp_path / "clone")
