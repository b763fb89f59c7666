"""Tests of coordinates: every parameter of whatever stands along an axis, defaults included."""

import numpy as np
import pytest
import xarray as xr

from pgbench.estimators import estimators
from pgbench.grid.reader import parse_grid
from pgbench.harness.runner import execute
from pgbench.results.coordinates import (
    TAKEN,
    ascent_coordinates,
    estimator_coordinates,
    parameter_coordinate,
    setting_coordinates,
)

SWEPT = """
name: t
problems: [{problem: garnet, n_states: [4, 6], gamma: 0.7, seed: 3}, corridor]
policies: [softmax, {policy: loglinear, n_features: 3}]
estimators: [td, {estimator: gae, lam: [0, 0.5, 1], critic_noise: 0.4}, {estimator: reward_to_go,
  baseline: [1, optimal]}]
samplers: [on_policy, {sampler: temperature, value: 0.7}]
theta: [{scale: 2, seed: 1}, {init: zeros}, {values: [1, 2]}, {file: t.npy}]
horizon: [5, auto]
seed: [7, 1]
"""


def of(text):
    return parse_grid(text)


def test_every_parameter_of_every_estimator_is_a_coordinate():
    grid = of(SWEPT)
    found = xr.Dataset(coords=estimator_coordinates(grid))
    assert {str(name) for name in found.coords} == {
        "estimator",
        "estimator_name",
        *(
            parameter_coordinate(p)
            for e in grid.estimators
            for p in estimators()[e.name].parameters
        ),
    }
    np.testing.assert_array_equal(found["lam"], [np.nan, 0, 0.5, 1, np.nan, np.nan])
    # td has a critic too, and its noise is the default.
    np.testing.assert_array_equal(found["critic_noise"], [0, 0.4, 0.4, 0.4, np.nan, np.nan])
    assert found["baseline"].values.tolist() == ["", "", "", "", "1", "optimal"]
    assert set(found["discounted"].values.tolist()) == {"true"}


def test_parameters_of_settings_go_by_their_axis():
    found = xr.Dataset(coords=setting_coordinates(of(SWEPT)))
    np.testing.assert_array_equal(found["problem_n_states"], [4, 6, np.nan])
    np.testing.assert_array_equal(found["problem_seed"], [3, 3, np.nan])
    assert found["family"].values.tolist() == ["garnet", "garnet", "corridor"]
    np.testing.assert_array_equal(found["policy_n_features"], [np.nan, 3])
    np.testing.assert_array_equal(found["sampler_value"], [np.nan, 0.7])
    assert found["sampler_name"].values.tolist() == ["on_policy", "temperature"]
    assert found["initial_name"].values.tolist() == ["normal", "zeros", "values", "file"]
    np.testing.assert_array_equal(found["initial_scale"], [2, 1, np.nan, np.nan])
    np.testing.assert_array_equal(found["initial_seed"], [1, np.nan, np.nan, np.nan])
    assert found["initial_file"].values.tolist() == ["", "", "", "t.npy"]
    np.testing.assert_array_equal(found["cutoff_horizon"], [5, np.nan])
    np.testing.assert_array_equal(found["seed"], [7, 1])


def test_ascents_have_parameters_of_algorithms_and_of_what_they_follow():
    text = """
name: t
problems: corridor
ascent:
  step_sizes: [0.1, {step_size: kl, radius: 0.01}, {step_size: decaying, step: 0.5}]
  algorithms:
    - {algorithm: momentum, beta: [0.5, 0.9], estimators: [exact, {estimator: gae, lam: 0.3}]}
    - {algorithm: gradient, estimators: {estimator: spsa, step: 0.2}}
"""
    grid = of(text)
    assert grid.ascent is not None
    found = xr.Dataset(coords=ascent_coordinates(grid.ascent))
    np.testing.assert_array_equal(found["algorithm_beta"], [0.5, 0.5, 0.9, 0.9, np.nan])
    np.testing.assert_array_equal(found["lam"], [np.nan, 0.3, np.nan, 0.3, np.nan])
    assert found["follows_name"].values.tolist() == ["", "gae", "", "gae", "spsa"]
    # The dataset has an axis of steps, so the parameter of that name says whose it is.
    np.testing.assert_array_equal(found["estimator_step"], [np.nan] * 4 + [0.2])
    np.testing.assert_array_equal(found["step_size_step"], [0.1, np.nan, 0.5])
    np.testing.assert_array_equal(found["step_size_radius"], [np.nan, 0.01, np.nan])
    np.testing.assert_array_equal(found["step_size_power"], [np.nan, np.nan, 0.5])


def test_a_number_that_a_float_cannot_hold_stays_text():
    text = "name: t\nproblems: {problem: garnet, n_states: 4, seed: [1, 9007199254740993]}\n"
    found = xr.Dataset(coords=setting_coordinates(of(text + "estimators: td\n")))
    assert found["problem_seed"].values.tolist() == ["1", "9007199254740993"]


def test_no_parameter_hides_a_variable():
    for record in estimators().values():
        for name in record.parameters:
            assert (parameter_coordinate(name) == name) == (name not in TAKEN)


@pytest.fixture(scope="module")
def summary(tmp_path_factory):
    """The summary of a run as anybody opens it."""
    folder = tmp_path_factory.mktemp("run")
    text = (
        "name: t\nproblems: [corridor, {problem: chain, length: 3}]\nreplicates: 40\nhorizon: 6\n"
    )
    lams = "estimators: [td, {estimator: gae, lam: [0, 0.3, 0.6, 1], critic_noise: 1}]\n"
    execute(of(text + lams + "seed: [0, 1, 2]\n"), folder)
    with xr.open_dataset(folder / "t" / "results.nc") as found:
        return found.load()


def test_bias_is_drawn_against_a_parameter(summary):
    import matplotlib.pyplot as plt

    own = summary.isel(problem=0, policy=0, seed=1, batch_size=0)
    own = own.sel(estimator=own.estimator_name == "gae")
    (line,) = own.exact_relative_bias.plot(x="lam")
    np.testing.assert_array_equal(line.get_xdata(), [0, 0.3, 0.6, 1])
    np.testing.assert_array_equal(line.get_ydata(), own.exact_relative_bias.values)
    assert (np.diff(line.get_ydata()) < 0).all()  # λ near 1 leans on the critic less
    plt.close()


def test_seeds_are_numbers_to_select_and_average_over(summary):
    assert summary.variance.dims == ("problem", "policy", "seed", "estimator", "batch_size")
    own = summary.sel(seed=2).variance.values
    assert np.isfinite(own).all()
    assert not np.array_equal(own, summary.sel(seed=1).variance.values)
    np.testing.assert_allclose(summary.variance.mean("seed")[0, 0, 0, 0],
                               summary.variance.values[0, 0, :, 0, 0].mean())  # fmt: skip
    assert summary.attrs["seed"].tolist() == [0, 1, 2]
