"""What is said about the package in several places is the same in all of them."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from pgbench import __version__
from pgbench.cli.example import DEFAULT, PACKAGE, examples
from pgbench.cli.program import SCRIPT, script

ROOT = Path(__file__).parents[1]
BUILT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT = BUILT["project"]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))
PYTHONS = re.findall(r"Python :: (3\.\d+)", " ".join(PROJECT["classifiers"]))


def read(file):
    return yaml.safe_load((ROOT / file).read_text("utf-8"))


WORKFLOW = read(".github/workflows/tests.yml")["jobs"]["tests"]


def made(text):
    """Targets of make that lines of a script name."""
    calls = re.findall(r"\bmake ((?:[a-z][a-z-]* ?)+)", text)
    return {target for call in calls for target in call.split()}


def test_calls_of_make_are_found():
    assert made("make lint test PYTHON=python3\n  - run: make package\nremake it") == {
        "lint",
        "test",
        "package",
    }


@pytest.mark.parametrize("steps", [WORKFLOW["steps"]])
def test_hosted_tests_call_targets_of_make(steps):
    commands = "\n".join(step.get("run", "") for step in steps)
    assert made(commands) == {"lint", "test", "package"}
    assert made(commands) <= TARGETS
    assert made((ROOT / ".ci" / "run").read_text("utf-8")) <= TARGETS


def test_every_target_that_is_no_file_is_declared_so():
    (phony,) = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert set(phony.split()) == TARGETS


def test_hosted_tests_run_on_the_pythons_of_the_classifiers():
    assert WORKFLOW["strategy"]["matrix"]["python"] == PYTHONS
    assert PROJECT["requires-python"] == f">={PYTHONS[0]}"
    assert [*map(int, re.findall(r"3\.(\d+)", " ".join(PYTHONS)))] == [11, 12, 13, 14]
    assert BUILT["tool"]["ruff"]["target-version"] == f"py{PYTHONS[0].replace('.', '')}"


def test_hooks_are_tools_of_the_tree():
    (repository,) = read(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    assert {hook["language"] for hook in repository["hooks"]} == {"system"}
    lint = MAKEFILE.partition("\nlint:")[2].partition("\n\n")[0].replace("$(BIN)", ".venv/bin")
    for hook in repository["hooks"]:
        assert hook["entry"].removesuffix(" --force-exclude") in lint


def test_the_citation_is_of_this_package():
    citation = read("CITATION.cff")
    assert (citation["version"], citation["license"]) == (__version__, PROJECT["license"])
    assert [{"name": author["name"]} for author in citation["authors"]] == PROJECT["authors"]


def test_the_readme_says_how_to_install_and_names_every_extra_for_users():
    text = (ROOT / "README.md").read_text("utf-8")
    install = text.partition("\n## Install\n")[2].partition("\n## ")[0]
    assert made("\n".join(re.findall(r"^    (.*)$", install, re.MULTILINE))) == {"demo", "test"}
    extras = set(PROJECT["optional-dependencies"]) - {"dev", "docs", "peers", "test"}
    assert set(re.findall(r"\[(\w+)\]`", install)) == extras
    assert f"    {SCRIPT} example > grid.yaml" in install
    assert f"Python {PYTHONS[0]} or newer" in install


def test_the_script_is_the_program():
    module, _, function = PROJECT["scripts"][SCRIPT].partition(":")
    assert (module, function) == (script.__module__, script.__name__)


def test_wheels_have_the_grids_where_they_are_looked_for():
    """As in the tree, below ``examples``."""
    mapped = BUILT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert mapped == {place: f"pgbench/examples/{place}" for place in ("grid.yaml", "grids")}
    assert {file.relative_to(ROOT).parts[0] for file in examples().values()} == set(mapped)
    assert examples()[DEFAULT] == ROOT / "grid.yaml"
    assert (PACKAGE / "py.typed").exists()
