"""What a run may take is known before anything is built; what is too much is to be confirmed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import pgbench
from pgbench.grid.plan import settings
from pgbench.grid.reader import parse_grid, read_grid
from pgbench.measure.cost import setting_cost
from pgbench.measure.forecast import Unconfirmed, forecasts, objections, require_confirmed

ROOT = Path(pgbench.__file__).parents[1]
SHIPPED = [ROOT / "grid.yaml", *sorted((ROOT / "grids").glob("*.yaml"))]

GRID = """
name: t
problems: [{problem: garnet, n_states: 200, gamma: 0.9}]
estimators: [reinforce, td]
batch_sizes: [4, 16]
replicates: 1000
"""
LONG = GRID.replace("16]", "1000000000]")
QUADRATIC = """
name: t
problems: {problem: lqg_random, n: [1, 64], m: 4, gamma: 0.9}
policies: gaussian
theta: {init: zeros}
horizon: 100
"""
CLIMBING = (
    GRID
    + """
ascent:
  steps: 100000000
  algorithms: [{algorithm: gradient, estimators: exact, step_sizes: [0.1, 1, 10]}]
"""
)


@pytest.fixture
def nothing_is_built(monkeypatch):
    monkeypatch.setattr("pgbench.grid.plan.make_problem", None)
    monkeypatch.setattr("pgbench.objectives.objective.evaluate", None)


@pytest.fixture
def memory(monkeypatch):
    """``memory(bytes)``: so much is available."""

    def given(free):
        monkeypatch.setattr("pgbench.measure.forecast.available", lambda: free)

    given(2**33)
    return given


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_grids_need_no_confirmation(path, memory, nothing_is_built):
    assert objections(read_grid(path)) == []


@pytest.mark.usefixtures("nothing_is_built", "memory")
@pytest.mark.parametrize(
    "text",
    [
        LONG,
        LONG.replace("garnet, n_states: 200", "gymnasium, id: Taxi-v4"),
        GRID.replace("replicates: 1000", "replicates: 1000000\nhorizon: 10000000"),
        CLIMBING,
    ],
    ids=["batches", "of unknown size", "replicates", "ascents"],
)
def test_a_long_run_is_to_be_confirmed(text):
    (reason,) = objections(parse_grid(text))
    assert reason.startswith("it may take about ")
    assert reason.endswith(" hours on one core, more than 24")
    with pytest.raises(
        Unconfirmed, match=r"^t needs --yes .* because it may take about [\d,]+ hou"
    ):
        require_confirmed(parse_grid(text))


def test_what_needs_more_memory_than_there_is_is_to_be_confirmed(memory, nothing_is_built):
    grid = parse_grid(GRID)
    (found,) = forecasts(grid, np.inf)
    memory(found.memory + 1)
    require_confirmed(grid)
    memory(found.memory - 1)
    (reason,) = objections(grid)
    assert reason.startswith("measuring garnet[n_states=200, gamma=0.9] × softmax may take about ")


def test_what_cannot_be_built_needs_no_confirmation(memory, nothing_is_built):
    memory(2**20)
    assert objections(parse_grid(LONG.replace("n_states: 200", "n_states: 1000000"))) == []
    assert objections(parse_grid(LONG))


def test_ascents_alone_have_a_forecast():
    climbing = "ascent: {algorithms: gradient, estimators: td, step_sizes: 0.1}\n"
    grid = replace(parse_grid(GRID + climbing), estimators=(), batch_sizes=())
    (found,) = forecasts(grid, np.inf)
    assert found.seconds > 0
    assert not found.least


def test_policies_that_make_no_sense_take_nothing():
    grid = parse_grid(GRID + "policies: [softmax, gaussian]\n")
    assert [forecast.label.split()[-1] for forecast in forecasts(grid, np.inf)] == ["softmax"]


@pytest.mark.parametrize(
    "work",
    [
        "estimators: td\nreplicates: 4000\n",
        "ascent: {algorithms: gradient, estimators: td, step_sizes: 0.1}\n",
    ],
    ids=["estimates", "ascents"],
)
def test_a_step_of_64_dimensions_is_told_to_take_longer_than_one_of_one(work):
    """Measured it is 15 to 30 times as long."""
    one, many = (found.seconds for found in forecasts(parse_grid(QUADRATIC + work), np.inf))
    assert 10 * one < many < 60 * one


@pytest.mark.parametrize(
    "text",
    [
        GRID,
        GRID + "policies: loglinear\n",
        GRID.replace("garnet, n_states: 200", "gridworld, size: 10, slip: 0.9"),
        GRID.replace("garnet, n_states: 200", "lqg_random, n: 6, m: 2")
        + "policies: gaussian\ntheta: {init: zeros}\n",
        GRID.replace("[reinforce, td]", "[reinforce, rloo, grpo]"),
        CLIMBING.replace("100000000", "500"),
    ],
    ids=["garnet", "loglinear", "gridworld", "quadratic", "batch estimators", "ascent"],
)
def test_it_is_about_what_is_known_of_problems_that_are_built(text):
    grid = parse_grid(text.replace("replicates: 1000", "replicates: 20000"))
    (setting,), (found,) = settings(grid), forecasts(grid, np.inf)
    cost = setting_cost(setting, setting.prepare())
    assert cost.seconds / 3 < found.seconds < 3 * cost.seconds
    assert cost.memory / 3 < found.memory < 3 * cost.memory
