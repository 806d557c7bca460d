"""What the tests of the workflow share: copies of this repository to edit and run."""

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
JOB = re.compile(
    r"^(?:local)?rule \w+:\n(?:    .*\n)*?"
    r"    output: ([^,\n]+).*\n(?:    .*\n)*?    reason: (.*)\n",
    re.MULTILINE,
)
TABLE = """
import json
from pipeline.params import load
from pipeline.params.overlay import read_file
from pipeline.workflow import versions
print(json.dumps(versions.table(load(read_file()), {})))
"""


@dataclass(frozen=True)
class Workspace:
    """A copy of the repository.

    Attributes:
        path: its root.
    """

    path: Path

    def run(self, *words: str, ok: bool = True, **env: str) -> subprocess.CompletedProcess:
        """Run a command there, its output as text; `ok`: it has to succeed."""
        done = subprocess.run(
            list(words), cwd=self.path, env=self.environment(**env), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert not ok or done.returncode == 0, done.stdout[-4000:]
        return done

    def environment(self, **extra: str) -> dict[str, str]:
        """Return an environment in which `snakemake` and `dvc` are those of this Python."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "DVC", "GIT"))}
        return {
            **kept,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "OMP_NUM_THREADS": "1",
            "DVC_NO_ANALYTICS": "1",
            "DVC_SITE_CACHE_DIR": str(self.path.parent / "dvc-site"),
            **extra,
        }

    def jobs(self, *words: str) -> dict[str, str]:
        """Return the first output of every job that a dry run would start, and its reason."""
        text = self.run("snakemake", "-n", *words).stdout
        return {output.strip(): reason for output, reason in JOB.findall(text)}

    def versions(self) -> dict[str, str]:
        """Return what versions.yaml would hold, {first output of a job: line}."""
        table = json.loads(self.run(sys.executable, "-c", TABLE).stdout)
        return {job: line for lines in table.values() for job, line in lines.items()}

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace the one occurrence of a text in a file."""
        path = self.path / file
        text = path.read_text()
        assert text.count(old) == 1, f"{text.count(old)} times in {file}: {old}"
        path.write_text(text.replace(old, new))

    def put(self, key: str, value: object) -> None:
        """Set a value of params.yaml by its dotted key, in the overlay of its scale."""
        path = self.path / "params.yaml"
        tree = yaml.safe_load(path.read_text())
        node = tree["scales"][tree["scale"]]
        *parents, last = key.split(".")
        for part in parents:
            node = node.setdefault(part, {})
        assert node.get(last) != value
        node[last] = value
        path.write_text(yaml.safe_dump(tree, sort_keys=False))

    def add_row(self, table: str, row: dict) -> None:
        """Append a row to a table of params.yaml."""
        tree = yaml.safe_load((self.path / "params.yaml").read_text())
        overlay = tree["scales"][tree["scale"]].get("tables", {}).get(table, {})
        self.put(
            f"tables.{table}.rows", [*(overlay.get("rows") or tree["tables"][table]["rows"]), row]
        )

    def commit(self, message: str) -> None:
        """Commit all that Git does not ignore."""
        self.run("git", "add", "-A")
        self.run("git", "commit", "-qm", message)


def copy_repository(target: Path, scale: str) -> Workspace:
    """Return a copy, at a scale and under a Git of its own, of the files that Git would take."""
    words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target / name)
    workspace = Workspace(target)
    params = target / "params.yaml"
    params.write_text(re.sub(r"^scale: \w+", f"scale: {scale}", params.read_text(), flags=re.M))
    workspace.run("git", "init", "-q")
    workspace.run("git", "config", "user.name", "tests")
    workspace.run("git", "config", "user.email", "tests@localhost")
    workspace.commit("copy")
    return workspace


def clone_files(source: Path, target: Path) -> Workspace:
    """Return a copy of a whole workspace, times and all; large files share their bytes."""
    subprocess.run(["cp", "-a", "--reflink=auto", str(source), str(target)], check=True)
    return Workspace(target)


def built_once(
    factory: pytest.TempPathFactory, name: str, build: Callable[[Path], None]
) -> Workspace:
    """Return a copy of a workspace that one of the test processes builds for all of them."""
    shared = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder = shared / name
    folder.mkdir(exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            build(folder / "copy")
            (folder / "done").touch()
    return clone_files(folder / "copy", factory.mktemp(name) / "copy")


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace at demo scale whose files are all there and up to date, though empty."""

    def build(path: Path) -> None:
        workspace = copy_repository(path, "demo")
        text = workspace.run("snakemake", "-n").stdout
        for line in re.findall(r"^    output: (.*)$", text, re.MULTILINE):
            for name in line.split(", "):
                (path / name).parent.mkdir(parents=True, exist_ok=True)
                (path / name).touch()
        touch = (sys.executable, "-m", "pipeline.workflow.adopt", "--touch", "--forceall")
        workspace.run(*touch, "--cores", "1")
        assert workspace.jobs() == {}

    return built_once(tmp_path_factory, "made", build)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the longest file first, so that the others fill the time beside it."""
    items.sort(key=lambda item: item.path.name != "test_dvc.py")
