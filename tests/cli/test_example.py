"""Shipped grids, as they are printed."""

from dataclasses import replace
from pathlib import Path

import pytest

from pgbench.__main__ import main
from pgbench.cli.example import DEFAULT, SHIPPED, examples, title
from pgbench.cli.streams import spelt
from pgbench.grid.reader import parse_grid

ROOT = Path(__file__).parents[2]


def test_every_grid_of_the_tree_is_shipped_under_its_own_name():
    """None names a file, which would not lie beside a printed grid."""
    files = [ROOT / "grid.yaml", *sorted(ROOT.glob("grids/*.yaml"))]
    assert list(examples().values()) == files
    grids = {name: parse_grid(file.read_text("utf-8")) for name, file in examples().items()}
    assert [grid.name for grid in grids.values()] == list(grids)
    chosen = [one for grid in grids.values() for one in (*grid.problems, *grid.policies)]
    assert {one.name for one in chosen} & {"file", "torch", "jax"} == set()


@pytest.mark.parametrize("name", examples())
def test_what_is_printed_is_the_file(name, capsys):
    assert main(["example", name]) == 0
    assert capsys.readouterr().out == examples()[name].read_text("utf-8")


def test_the_default_is_the_grid_at_the_top(capsys):
    assert main(["example"]) == 0
    assert capsys.readouterr().out == (ROOT / "grid.yaml").read_text("utf-8")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
@pytest.mark.parametrize("name", examples())
def test_a_grid_printed_in_any_encoding_is_the_same_grid(name, encoding):
    """Characters that an encoding lacks are spelt, and one that it has would be no UTF-8."""
    text = examples()[name].read_text("utf-8")
    printed = spelt(text, encoding).encode(encoding).decode("utf-8")
    assert replace(parse_grid(printed), text=text) == parse_grid(text)


def test_the_list_has_a_line_for_each_that_says_what_it_shows(capsys):
    assert main(["example", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(examples())
    assert lines[0].startswith(f"{DEFAULT} ")
    for line, file in zip(lines, examples().values(), strict=True):
        first = file.read_text("utf-8").splitlines()[0]
        assert first == f"# {line[13:]}"
        assert len(line) > 13
        assert "grids/" not in line


def test_a_title_is_the_first_line():
    assert title("# What it shows\n# and more\nname: t\n") == "What it shows"


def test_an_unknown_name_is_answered_with_the_closest_and_all(capsys):
    assert main(["example", "pleateau"]) == 2
    told = capsys.readouterr()
    known = ", ".join(examples())
    line = f"unknown example 'pleateau', did you mean plateau? (known: {known})\n"
    assert (told.out, told.err) == ("", line)


def test_a_name_and_the_list_are_one_too_many(capsys):
    with pytest.raises(SystemExit) as end:
        main(["example", "demo", "--list"])
    assert end.value.code == 2
    assert "not allowed with argument" in capsys.readouterr().err


def test_here_grids_are_those_of_the_tree():
    assert SHIPPED == ROOT
