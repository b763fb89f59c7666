"""Files that a grid names lie where the grid lies."""

import re

import pytest

from pgbench.__main__ import main
from pgbench.grid.plan import make_problem
from pgbench.grid.reader import read_grid
from pgbench.problems import ProblemError
from pgbench.problems import make_problem as problem

GRID = """
name: own
problems: {problem: file, path: data/two.npz}
estimators: reward_to_go
horizon: 4
replicates: 10
"""


def test_files_are_found_beside_the_grid_wherever_one_stands(tmp_path, monkeypatch, capsys):
    place, elsewhere = tmp_path / "study", tmp_path / "elsewhere"
    (place / "data").mkdir(parents=True)
    elsewhere.mkdir()
    mdp = problem("two_state")
    mdp.to_npz(place / "data" / "two.npz")
    (place / "grid.yaml").write_text(GRID, encoding="utf-8")
    contents = []
    for folder, path in ((elsewhere, "../study/grid.yaml"), (place, "grid.yaml")):
        monkeypatch.chdir(folder)
        grid = read_grid(path)
        contents.append(grid.problems[0].content)
        assert make_problem(grid.problems[0]).digest == mdp.digest
        assert main(["run", path, "--no-report", "--quiet", "--output", str(tmp_path / "o")]) == 0
    assert contents[0] == contents[1] != ""
    assert "1 reused" in capsys.readouterr().out


def test_a_missing_file_is_named_where_it_was_looked_for(tmp_path):
    (tmp_path / "grid.yaml").write_text(GRID, encoding="utf-8")
    (chosen,) = read_grid(tmp_path / "grid.yaml").problems
    with pytest.raises(ProblemError, match=re.escape(str(tmp_path / "data" / "two.npz"))):
        make_problem(chosen)
