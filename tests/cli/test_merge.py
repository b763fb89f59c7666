"""Runs are joined by the command: parts of a grid, grids that overlap, and what is refused."""

from pathlib import Path

import pytest

from pgbench.__main__ import main
from pgbench.results import dataset as results
from pgbench.results.journal import Journal
from tests.support.runs import unpublished

GRID = """
name: t
problems: corridor
estimators: [td, reinforce]
batch_sizes: [1, 2]
replicates: 20
"""
PARTS = {"a": GRID.replace("[td, reinforce]", "td"), "b": GRID.replace("[1, 2]", "1")}
"""Grids that overlap in a cell, and lack one of the whole."""


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """The directory in which both parts and the whole were run."""
    root = tmp_path_factory.mktemp("parts")
    for name, text in {**PARTS, "whole": GRID}.items():
        (root / f"{name}.yaml").write_text(text, encoding="utf-8")
        run(root / f"{name}.yaml", root / name)
    return root


@pytest.fixture(autouse=True)
def _here(parts, monkeypatch):
    monkeypatch.chdir(parts)


def run(grid, output):
    with unpublished():
        return main(["run", str(grid), "--output", str(output), "--no-report", "--quiet"])


def merge(*arguments):
    return main(["merge", *map(str, arguments)])


def test_parts_are_joined_and_the_rest_is_measured(tmp_path, capsys):
    arguments = ("a/t", "b/t", "--output", tmp_path, "--grid", "whole.yaml")
    for _ in range(2):  # the same again changes nothing
        assert merge(*arguments) == 0
        assert "of 4 cells 3 done, 1 missing, 0 failed, 0 skipped" in capsys.readouterr().out
    time = results.read(tmp_path / "t").attrs["environment_steps"]
    assert time == sum(results.read(Path(p, "t")).attrs["environment_steps"] for p in PARTS)
    assert run("whole.yaml", tmp_path) == 0
    assert "1 cells measured" in capsys.readouterr().out
    joined, whole = (results.read_noted(path / "t")[0] for path in (tmp_path, Path("whole")))
    assert results.same_numbers(joined, whole) == []


@pytest.mark.usefixtures("unpublished")
def test_grids_that_differ_are_noted_and_the_first_is_taken(tmp_path, capsys):
    assert merge("b/t", "a/t", "--output", tmp_path) == 0
    printed = capsys.readouterr()
    assert "note: the grids of these runs differ: b/t/grid.yaml is taken" in printed.err
    assert "of 2 cells 2 done" in printed.out
    assert len(Journal.read(tmp_path / "t").records) == 4
    assert merge("b/t", "b/t", "--output", tmp_path) == 2


@pytest.mark.usefixtures("unpublished")
def test_another_run_is_not_joined_unless_it_is_named(tmp_path, capsys):
    run("a.yaml", tmp_path)
    before = (tmp_path / "t" / "journal.jsonl").read_bytes()
    assert merge("b/t", "--output", tmp_path) == 2
    assert "holds a run with 1 records that none of those to be joined has" in (
        capsys.readouterr().err
    )
    assert (tmp_path / "t" / "journal.jsonl").read_bytes() == before
    assert merge("b/t", tmp_path / "t", "--output", tmp_path, "--grid", "whole.yaml") == 0
    assert (tmp_path / "t" / "journal.jsonl").read_bytes().startswith(before)


def test_what_contradicts_is_refused_by_name(tmp_path, capsys):
    run("a.yaml", tmp_path)
    journal = Journal.open(tmp_path / "t")
    record = next(r for r in journal.records.values() if r["kind"] == "cell")
    journal.append([{**record, "values": {**record["values"], "bias": 7.0}}])
    assert merge("a/t", tmp_path / "t", "--output", tmp_path / "o") == 2
    error = capsys.readouterr().err
    assert error.startswith("corridor × softmax, estimator td, batch size 1: bias is ")
    assert f"7.0 in {tmp_path / 't'}" in error
    assert not (tmp_path / "o" / "t" / "journal.jsonl").exists()


@pytest.mark.parametrize("directory", ["nowhere", "."])
def test_a_directory_without_a_run_is_refused(tmp_path, capsys, directory):
    assert merge("a/t", directory, "--output", tmp_path) == 2
    assert f"{directory} holds no run" in capsys.readouterr().err
