"""Figures drawn by a crew are those drawn here."""

import pytest
from matplotlib import rc_context
from matplotlib.figure import Figure

from pgbench.grid.reader import parse_grid
from pgbench.harness.crew import Crew
from pgbench.harness.runner import execute
from pgbench.report import drawing, write_report
from pgbench.report.panels import save
from tests.support.runs import unpublished

GRID = """
name: small
horizon: 10
problems: [{problem: garnet, n_states: 5, gamma: 0.9}]
estimators: [reinforce, td]
batch_sizes: [1, 4]
replicates: 120
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    with unpublished():
        return execute(parse_grid(GRID), tmp_path_factory.mktemp("run")).tree


def files(directory):
    return {
        path.relative_to(directory): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_a_crew_writes_the_bytes_of_one_process(tree, tmp_path, monkeypatch):
    monkeypatch.setattr(drawing, "WORTH", 0)
    pages = [write_report(tree, tmp_path / "alone")]
    with Crew(2) as crew:
        pages.append(write_report(tree, tmp_path / "crew", crew))
    alone, shared = (files(page.parent) for page in pages)
    assert len(alone) > 10
    assert shared == alone


def _undrawn(title, figure, data, stem):
    return {"name": stem.name, "title": title, "missing": "Not drawn."}


def test_little_is_drawn_in_this_process(tree, tmp_path, monkeypatch):
    monkeypatch.setattr(drawing, "draw", _undrawn)
    with Crew(2) as crew:
        crew.submit = None
        write_report(tree, tmp_path, crew)


def test_powers_of_ten_on_axes_are_characters(tmp_path):
    """As a formula every label is parsed whenever it is measured, a seventh of all drawing."""
    figure = Figure()
    ax = figure.subplots()
    ax.set(xscale="log", yscale="log", xlim=(2e-3, 3e-3), ylim=(1e-12, 1e3))
    with rc_context({"savefig.dpi": 100}):
        save(figure, tmp_path / "powers")
    assert {"10⁻¹²", "10²"} <= {label.get_text() for label in ax.get_yticklabels()}
    assert "2·10⁻³" in {label.get_text() for label in ax.get_xticklabels(minor=True)}
