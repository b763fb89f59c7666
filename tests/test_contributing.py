"""CONTRIBUTING to the letter: its estimators in a copy of the package, by the commands it names."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutations import ROOT, copied

SECTION = (
    (ROOT / "CONTRIBUTING.md")
    .read_text(encoding="utf-8")
    .split("\n## Adding an estimator\n")[1]
    .split("\n## ")[0]
)
CODE = re.compile(r"```python\n(.*?)```", re.DOTALL)
FILES = {
    name[1]: text for text in CODE.findall(SECTION) if (name := re.search(r'name="(\w+)"', text))
}
"""The printed files by the name of their estimator, which is that of the file."""

COMMANDS = re.findall(r"^    (.+)$", CODE.sub("", SECTION), re.MULTILINE)
(DEFINITION,) = (text for text in CODE.findall(SECTION) if text not in FILES.values())


def to_run(command: str, name: str) -> str:
    """A printed command for another estimator; in place of a target of make what it runs."""
    command = command.replace("quarter_baseline", name)
    if command.startswith("make "):
        target, given = command.split()[1:]
        rule = re.search(rf"^{target}:.*\n\t(.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
        command = rule[1].replace("$(BIN)/", "").replace("$(NAME)", given.removeprefix("NAME="))
    return command.replace("python", shlex.quote(sys.executable), 1)


def added(place: Path, name: str, text: str) -> str:
    """What the commands print once the file is in the copy, of the first that fails or the last."""
    (place / "pgbench" / "estimators" / f"{name}.py").write_text(text, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(place), "PYTHONDONTWRITEBYTECODE": "1"}
    for command in COMMANDS:
        done = subprocess.run(
            to_run(command, name), shell=True, cwd=place, env=environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        if done.returncode:
            break
    return done.stdout


def changed(path: Path, old: str, new: str) -> None:
    """A text that stands once in a file becomes another."""
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")


def passed(printed: str) -> int:
    """How many tests passed, where none failed."""
    last = printed.splitlines()[-1]
    assert re.fullmatch(r"(\d+) passed, \d+ deselected in .*", last), printed
    return int(last.split()[0])


def test_the_page_shows_every_shape():
    assert list(FILES) == ["quarter_baseline", "others_baseline", "group_median"]
    assert [command.split()[0] for command in COMMANDS] == ["python", "make"]


@pytest.mark.parametrize("options", [["check"], ["format", "--check"]], ids=" ".join)
def test_the_files_are_as_the_linter_has_them(options, tmp_path):
    pytest.importorskip("ruff")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    package = tmp_path / "pgbench"
    package.mkdir()
    (package / "__init__.py").write_text('"""A package of its own."""\n', encoding="utf-8")
    for name, text in FILES.items():
        (package / f"{name}.py").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "ruff", *options, "--no-cache", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_an_estimator_is_added_by_one_file_and_two_commands(tmp_path):
    copied(tmp_path)
    assert passed(added(tmp_path, "quarter_baseline", FILES["quarter_baseline"])) > 50


@pytest.mark.slow
@pytest.mark.parametrize("name", ["others_baseline", "group_median"])
def test_so_are_those_of_other_shapes(name, tmp_path):
    copied(tmp_path)
    assert passed(added(tmp_path, name, FILES[name])) > 30


@pytest.mark.slow
def test_one_may_be_for_a_single_policy(tmp_path):
    copied(tmp_path)
    text = FILES["quarter_baseline"].replace("[..., None]", "[:, None]")
    assert passed(added(tmp_path, "quarter_baseline", text.replace('    alone="",\n', ""))) > 50


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("quarter_baseline", '("truncation",)', "()"),
        ("quarter_baseline", "[..., None]", "[:, None]"),
        ("others_baseline", " - batch.returns) / (simulator.n - 1)", ") / simulator.n"),
        ("group_median", '("batch", "truncation")', '("truncation",)'),
    ],
)
def test_wrong_ones_fail(name, old, new, tmp_path):
    copied(tmp_path)
    text = FILES[name]
    assert old in text
    assert re.search(r"\d+ failed", added(tmp_path, name, text.replace(old, new)))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "words"), [("gea", "'gea', did you mean gae?"), ("", "''")])
def test_an_estimator_that_there_is_not_is_named(name, words):
    command = to_run(COMMANDS[1], name)
    done = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert done.stderr == f"ERROR: --estimator: unknown estimator {words}\n\n"


@pytest.mark.slow
def test_one_that_the_gallery_names_has_a_definition(tmp_path):
    copied(tmp_path)
    name = "quarter_baseline"
    changed(tmp_path / "docs" / "gallery.md", "| baselines | ", f"| baselines | `{name}`, ")
    assert "1 failed" in added(tmp_path, name, FILES[name])
    definitions = tmp_path / "tests" / "estimators" / "test_definitions.py"
    changed(definitions, "DEFINITIONS = {\n", f"DEFINITIONS = {{\n{DEFINITION}")
    before = passed(added(tmp_path, name, FILES[name]))
    wrong = FILES[name].replace("share * truth.v", "0.9 * share * truth.v")
    printed = added(tmp_path, name, wrong)
    assert "test_weights_are_those_of_the_definition" in printed
    assert f"10 failed, {before - 10} passed" in printed
