"""Tests of figures as functions: all there are, of whatever a run is given as."""

from typing import get_args

import numpy as np
import pytest

import pgbench as pg
from pgbench.grid.reader import parse_grid
from pgbench.harness.runner import execute
from pgbench.report.panels import Drawing, NothingToDraw
from pgbench.report.plots import Subject, plots

GRID = """
name: t
problems: [corridor, {problem: chain, length: 3}]
policies: [softmax, loglinear]
estimators: [reward_to_go, td, {estimator: gae, lam: [0, 0.5, 1], critic_noise: 1}]
batch_sizes: [1, 4]
horizon: 8
replicates: 60
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return execute(parse_grid(GRID), tmp_path_factory.mktemp("run"))


def test_every_figure_of_the_report_is_a_function_of_its_name():
    every = [name for of in get_args(Subject) for name in plots(of)]
    assert sorted(every) == pg.plot.__all__
    for name in every:
        assert getattr(pg.plot, name).__doc__


@pytest.mark.parametrize("given", ["tree", "dataset", "directory"])
def test_a_run_may_be_given_in_any_way(run, given):
    data = {"tree": run.tree, "dataset": run.tree.to_dataset(), "directory": run.directory}[given]
    drawing = pg.plot.bias(data)
    assert isinstance(drawing, Drawing)
    assert len(drawing.figure.axes) == 4
    assert "Relative bias" in drawing.caption


def test_what_is_selected_is_what_is_drawn(run):
    own = run.tree.to_dataset().sel(policy=["softmax"], problem=["corridor"])
    assert len(pg.plot.bias(own).figure.axes) == 1


def test_a_sweep_is_drawn_against_its_parameter(run):
    drawing = pg.plot.sweeps(run.tree)
    bias, variance, _ = drawing.figure.axes
    assert bias.get_xlabel() == "lam"
    np.testing.assert_array_equal(bias.get_lines()[0].get_xdata(), [0, 0.5, 1])
    own = run.tree.to_dataset().isel(batch_size=-1)
    own = own.sel(estimator=own.estimator_name == "gae")
    exact = own.exact_relative_variance.values.reshape(-1, 3)
    np.testing.assert_allclose(
        variance.get_lines()[0].get_ydata(), np.exp(np.log(exact).mean(axis=0)), rtol=1e-9
    )


@pytest.mark.parametrize("ending", ["pdf", "svg", "png"])
def test_figures_are_saved_for_papers(run, tmp_path, ending):
    path = tmp_path / f"figure.{ending}"
    pg.plot.ranking(run.tree).save(path)
    beginning = {"pdf": b"%PDF", "svg": b"<?xml", "png": b"\x89PNG"}[ending]
    assert path.read_bytes().startswith(beginning)
    if ending == "svg":
        assert b"reward_to_go</text>" in path.read_bytes()


def test_a_notebook_shows_the_figure(run):
    assert pg.plot.ranking(run.tree)._repr_png_().startswith(b"\x89PNG")


def test_it_is_said_why_there_is_nothing(run):
    with pytest.raises(NothingToDraw, match="the run has no ascents"):
        pg.plot.ascent_returns(run.tree)
    with pytest.raises(ValueError, match="drawn from the tree of a run"):
        pg.plot.landscape(run.tree.to_dataset())


def test_an_axis_that_was_selected_away_is_named(run):
    summary = run.tree.to_dataset()
    with pytest.raises(ValueError, match=r"policy is a single label.*sel\(policy=\['softmax'\]\)"):
        pg.plot.bias(summary.sel(policy="softmax"))
    averaged = summary[["relative_bias"]].drop_vars("problem").mean("problem")
    with pytest.raises(ValueError, match="the dataset has no axis problem"):
        pg.plot.bias(averaged)


def test_the_whole_bias_is_drawn_of_the_problems_whose_parts_are(tmp_path):
    """On the corridor, where γ = 1, no discount is missing: it has no say in either mark."""
    text = GRID.replace("[reward_to_go, td,", "[{estimator: reward_to_go, discounted: false}, td,")
    text = text.replace("[corridor,", "[corridor, {problem: garnet, n_states: 5, gamma: 0.8},")
    summary = execute(parse_grid(text), tmp_path).tree.to_dataset()
    own = summary.sel(problem=["corridor", str(summary.problem.values[1])]).isel(estimator=[0])
    drawing = pg.plot.causes(own)
    whole, *_ = drawing.figure.axes[0].get_lines()
    bias = own.exact_bias.values / own.target_norm.values
    np.testing.assert_allclose(whole.get_xdata(), [bias[1, 0, 0, 0]])
