"""The report: every figure, one self-contained page, escaped, steady, honest about gaps."""

import re
from dataclasses import replace

import numpy as np
import pytest

from pgbench import results
from pgbench.grid import parse_grid
from pgbench.journal import Journal
from pgbench.measure import Subject
from pgbench.report import write_report
from pgbench.report.page import FIGURES
from pgbench.report.style import styles
from pgbench.report.tables import number
from pgbench.runner import execute

GRID = """
name: t
problems: [{problem: garnet, n_states: [3, 8], gamma: 0.7}, corridor]
policies: [softmax, loglinear]
estimators: [reward_to_go, {estimator: reward_to_go, discounted: false}, {estimator: gae, lam: 0.9}]
batch_sizes: [1, 4]
replicates: 80
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return execute(parse_grid(GRID), tmp_path_factory.mktemp("run")).tree


@pytest.fixture(scope="module")
def page(tree, tmp_path_factory):
    return write_report(tree, tmp_path_factory.mktemp("report"))


def test_every_figure_is_there_as_png_and_svg(page):
    for name in FIGURES:
        assert (page.parent / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert b"<svg" in (page.parent / "figures" / f"{name}.svg").read_bytes()


def test_the_page_holds_everything_it_shows(page):
    text = page.read_text(encoding="utf-8")
    sources = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert len([s for s in sources if s.startswith("data:")]) == len(FIGURES) + 3
    assert all(s.startswith(("data:", "#")) for s in sources)
    assert "<script" not in text
    assert "@import" not in text


def test_the_page_says_what_was_found(page):
    text = page.read_text(encoding="utf-8")
    assert "3 of 3 estimators behave as they declare" in text
    assert "<b>36</b> measured" in text
    assert "garnet[n_states=8, gamma=0.7] × loglinear" in text
    assert "Baxter &amp; Bartlett 2001" in text
    assert GRID.splitlines()[2].split(":")[0] in text


def test_a_wrong_estimator_is_called_wrong(tmp_path, monkeypatch):
    """The verdict is not yes whatever happens: here the kernel weighs rewards twice."""
    make = Subject.make

    def doubled(prepared, tables):
        subject = make(prepared, tables)
        return replace(subject, tables=replace(tables, sigma=2 * tables.sigma))

    monkeypatch.setattr(Subject, "make", doubled)
    tree = execute(parse_grid(GRID.replace("80", "400")), tmp_path).tree
    text = write_report(tree, tmp_path / "r").read_text(encoding="utf-8")
    assert "3 of 3 estimators" not in text
    assert "its mean is not its own exact expectation" in text


def test_text_from_the_data_is_escaped(tree, tmp_path):
    labels = ["<script>x</script>", *tree["problem"].values[1:]]
    summary = tree.to_dataset().assign_coords(problem=labels)
    summary.attrs["cpu"] = "<script>alert(1)</script>"
    text = write_report(type(tree).from_dict({"/": summary}), tmp_path).read_text(encoding="utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_the_same_run_gives_the_same_figures(tree, page, tmp_path):
    again = write_report(tree, tmp_path)
    for name in FIGURES:
        relative = f"figures/{name}.svg"
        assert (again.parent / relative).read_bytes() == (page.parent / relative).read_bytes()
    assert again.read_bytes() == page.read_bytes()


def test_an_estimator_looks_the_same_whatever_the_order(tree):
    summary = tree.to_dataset()
    turned = summary.isel(estimator=[2, 0, 1])
    assert styles(turned) == styles(summary)
    looks = [(s.colour, s.marker, str(s.line)) for s in styles(summary).values()]
    assert len(set(looks)) == 3


def test_a_partial_run_has_a_report(tree, tmp_path):
    grid = parse_grid(GRID)
    empty = results.build(grid, Journal(tmp_path / "j", [], []))
    text = write_report(empty, tmp_path / "empty").read_text(encoding="utf-8")
    assert "<b>36</b> missing" in text
    assert "No cell was measured" in text
    assert text.count("Not drawn:") == len(FIGURES)


def test_failed_cells_are_listed_with_their_messages(tmp_path, monkeypatch):
    def broken(prepared, tables):
        raise ArithmeticError("a < b & c")

    monkeypatch.setattr(Subject, "make", broken)
    tree = execute(parse_grid(GRID), tmp_path).tree
    text = write_report(tree, tmp_path / "r").read_text(encoding="utf-8")
    assert "<b>36</b> failed" in text
    assert "ArithmeticError: a &lt; b &amp; c" in text


@pytest.mark.parametrize(
    "change", ["batch_sizes: [1, 4]/batch_sizes: 2", "n_states: [3, 8]/n_states: 3"]
)
def test_a_missing_axis_is_explained(tmp_path, change):
    tree = execute(parse_grid(GRID.replace(*change.split("/"))), tmp_path).tree
    text = write_report(tree, tmp_path / "r").read_text(encoding="utf-8")
    assert "Not drawn:" in text
    assert (tmp_path / "r" / "figures" / "bias.png").exists()


def test_a_gradient_of_zero_has_a_report(tmp_path):
    """With one arm the gradient vanishes and everything relative to it is undefined."""
    text = (
        "name: t\nproblems: {problem: bandit, n_actions: 1}\nestimators: [reinforce, td]\n"
        "batch_sizes: [1, 2]\nreplicates: 40\n"
    )
    tree = execute(parse_grid(text), tmp_path).tree
    assert np.isnan(tree["relative_bias"]).all()
    write_report(tree, tmp_path / "r")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (np.nan, "—"),
        (-np.inf, "−∞"),
        (0.01234, "0.0123"),
        (23040.0, "23040"),
        (-1.5, "−1.5"),
        (1.84e-12, "1.84·10⁻¹²"),
        (1.8e8, "1.80·10⁸"),
    ],
)
def test_numbers_are_short(value, text):
    assert number(value) == text
