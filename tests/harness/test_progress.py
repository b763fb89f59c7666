"""Tests of progress: what a run reports in notebooks, and what it was made of."""

import sys
from types import ModuleType

import pytest

import pgbench as pg
from pgbench.grid.reader import grid_of
from pgbench.harness.progress import Lines, Notebook, Silent, showing
from pgbench.harness.runner import execute

GRID = {
    "name": "t",
    "problems": [{"problem": "chain", "length": 2}, "lqg"],
    "policies": "softmax",
    "estimators": ["td", "rloo"],
    "batch_sizes": [2, 4],
    "horizon": 4,
    "replicates": 20,
}


class Cell:
    """The output of a notebook's cell, which is drawn again and again."""

    def __init__(self):
        self.drawn: list[str] = []

    def update(self, html):
        self.drawn.append(html)


@pytest.fixture
def cell(monkeypatch):
    """A cell of a notebook around the test."""
    found, module = Cell(), ModuleType("IPython.display")
    monkeypatch.setattr(module, "HTML", str, raising=False)
    monkeypatch.setattr(module, "display", lambda html, display_id: found, raising=False)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    whole = ModuleType("IPython")
    monkeypatch.setattr(whole, "display", module, raising=False)
    monkeypatch.setitem(sys.modules, "IPython", whole)
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    return found


def test_a_notebook_sees_cells_time_and_what_became_of_them(cell, tmp_path):
    pg.run(GRID, output=tmp_path)
    first, *others, last = cell.drawn
    assert "..." in first or "measuring 8 cells" in first
    assert any("2 of 8 cells" in line or "4 of 8 cells" in line for line in others)
    assert "4 cells measured" in last
    assert "4 skipped" in last
    assert "lqg × softmax: 4 cells skipped: " in last
    assert last.count("<progress") == 1


def test_what_is_said_is_text_and_no_markup(cell):
    shown = Notebook()
    shown.start(1, 1, 1.0)
    shown.problem("<b>", 1, "failed", "a < b")
    shown.end("done")
    assert cell.drawn[-1].endswith("&lt;b&gt;: 1 cells failed: a &lt; b")


def test_nobody_is_told_anything_without_asking_but_in_notebooks(cell, monkeypatch):
    with showing(False) as shown:
        assert type(shown) is Silent
    with showing(None) as shown:
        assert type(shown) is Notebook
    monkeypatch.setattr("rich.console._is_jupyter", lambda: False)
    with showing(None) as shown:
        assert type(shown) is Silent
    with showing(True) as shown:
        assert type(shown) is Lines


def test_a_run_says_its_own_time_and_not_that_of_earlier_ones(tmp_path):
    execute(grid_of(GRID), tmp_path)
    again = execute(grid_of(GRID), tmp_path)
    assert (again.measured, again.reused) == (0, 4)
    words = f"0 cells measured in {again.seconds:.1f} s, 4 reused, 0 failed, 4 skipped"
    assert again.sentence.endswith(words)


def test_a_reason_is_told_once_and_counted_at_the_end(capsys):
    lines = Lines()
    for setting in ("a", "b", "c"):
        lines.problem(setting, 2, "skipped", "too few")
    lines.problem("c", 1, "failed", "broken")
    lines.end("done")
    assert capsys.readouterr().err.splitlines() == [
        "a: 2 cells skipped: too few",
        "c: 1 cells failed: broken",
        "in all 6 cells skipped: too few",
    ]


def test_python_is_warned_of_cells_that_failed(tmp_path):
    grid = GRID | {"problems": [{"problem": "file", "path": "nope.npz"}]}
    with pytest.warns(UserWarning, match=r"4 cells failed, the first because: ProblemError: nope"):
        pg.run(grid, output=tmp_path)
