"""Requirements, conda environments, profiles and stages say the same as what they belong to."""

import re

import pytest
import yaml

from pipeline.__main__ import VERBS
from pipeline.workflow import codehash
from pipeline.workflow.phases import PHASES, STEPS
from tests.conftest import ROOT

RULES = "".join(path.read_text() for path in sorted((ROOT / "pipeline/rules").glob("*.smk")))


def pins(name: str) -> dict[str, str]:
    """Package -> version of a requirements file."""
    lines = (ROOT / "envs" / name).read_text().splitlines()
    found = (line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    return {package.lower().replace("_", "-"): version for package, version in found}


def test_direct_requirements_are_frozen() -> None:
    frozen = pins("requirements.txt")
    assert pins("requirements.in").items() <= frozen.items()
    assert pins("requirements-test.in").items() <= pins("requirements-test.txt").items()
    assert not frozen.keys() & pins("requirements-test.txt").keys()
    assert not any("+" in version for version in frozen.values())


def test_no_file_of_requirements_names_a_host() -> None:
    for path in (ROOT / "envs").iterdir():
        assert "://" not in path.read_text() and "--index" not in path.read_text()


def test_newcomers_do_not_install_the_builder_of_the_body() -> None:
    assert not {"anny", "warp-lang"} & (
        pins("requirements.txt").keys() | pins("requirements-test.txt").keys()
    )


@pytest.mark.parametrize("name", sorted(set(re.findall(r"envs/(\w+)\.yaml", RULES))))
def test_conda_environment_installs_the_same_requirements(name: str) -> None:
    content = yaml.safe_load((ROOT / f"envs/{name}.yaml").read_text())
    assert content["dependencies"] == ["python=3.11", "pip", {"pip": ["-r requirements.txt"]}]
    assert "3.11" in (ROOT / "pyproject.toml").read_text()


def test_every_rule_has_what_a_rule_needs() -> None:
    texts = re.split(r"^(?:use )?rule ", RULES, flags=re.MULTILINE)[1:]
    working = [text for text in texts if "output:" in text]
    for text in working:
        head = text.splitlines()[0]
        wanted = ["log:", "benchmark:"] + (["conda:"] if " as " not in head else [])
        assert all(directive in text for directive in wanted), head
        assert "localrule:" in text or "resources:" in text or " as " in head
    names = {re.search(r"(\w+)(?: with)?:", text).group(1) for text in working}
    assert STEPS.keys() <= names


def test_every_verb_exists() -> None:
    for module in VERBS.values():
        assert codehash.closure(module)


def test_stages_are_the_phases() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert list(stages) == ["versions", *PHASES]
    for phase in PHASES:
        stage = stages[phase]
        assert stage["cmd"] == f"snakemake phase_{phase} $SNAKEMAKE_ARGS"
        assert stage["params"] == [{"versions.yaml": [phase]}]
        assert all(out[path]["persist"] for out in stage["outs"] for path in out)
        folders = tuple(path.replace("${source}", "") for out in stage["outs"] for path in out)
        for rule in PHASES[phase]:
            assert STEPS[rule].output.replace("{group}", phase).startswith(folders), rule


def test_profiles_name_rules_that_exist() -> None:
    for path in (ROOT / "profiles").glob("*/config.yaml"):
        profile = yaml.safe_load(path.read_text())
        assert profile["rerun-incomplete"] is True
        assert set(profile.get("set-resources", {})) <= STEPS.keys()
