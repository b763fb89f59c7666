"""The study of horizons: exact numbers at every horizon, honest about what it leaves out."""

import os

import numpy as np
import pytest
import xarray as xr

from pgbench.declared.horizon_study import STUDY
from pgbench.exact import moments
from pgbench.exact.table_moments import LIMIT, Size, table_moments
from pgbench.grid.plan import settings
from pgbench.grid.reader import parse_grid
from pgbench.harness import horizon_study as horizons
from pgbench.trials.user_file import PlugIns, plug_in
from tests.support.plugins import OWN

GRID = """
name: t
max_horizon: 300
problems: [{problem: garnet, n_states: 5, gamma: 0.8}, {problem: garnet, n_states: 5, gamma: 0.95}]
policies: [softmax, loglinear]
estimators:
  - reward_to_go
  - {estimator: reward_to_go, discounted: false}
  - {estimator: gae, lam: 0.9}
  - visitation_mc
"""


@pytest.fixture(scope="module")
def grid():
    return parse_grid(GRID)


@pytest.fixture(scope="module")
def found(grid):
    return horizons.study(grid)


@pytest.mark.parametrize(("policy", "estimator"), [(0, 0), (1, 1), (1, 2)])
def test_numbers_are_those_of_the_moments_at_each_horizon(grid, found, policy, estimator):
    setting = settings(grid)[policy]
    truth = setting.prepare().truth
    norm = np.linalg.norm(truth.gradient)
    chosen = grid.estimators[estimator]
    curve = found.isel(problem=0, policy=policy, estimator=estimator)
    compared = 0
    for i, horizon in enumerate(curve["horizon"].values):
        if np.isnan(horizon):
            continue
        exact = moments(
            truth.mdp,
            truth.policy,
            truth.theta,
            chosen.name,
            horizon=int(horizon),
            **chosen.values,
        )
        at = curve.isel(point=i)
        np.testing.assert_allclose(at["relative_variance"], exact.trace / norm**2)
        for name in ("bias", "truncation_bias", "remaining_bias"):
            expected = np.linalg.norm(getattr(exact, name)) / norm
            np.testing.assert_allclose(at[f"relative_{name}"], expected)
        assert at["expected_steps"] == horizon
        compared += 1
    assert compared >= 8


def test_the_bias_falls_and_an_automatic_horizon_meets_one_percent(found):
    bias = found["relative_truncation_bias"].isel(estimator=0).values
    for place in np.ndindex(bias.shape[:2]):
        H = found["horizon"].values[place]
        own = bias[place][np.isfinite(H)]
        assert (np.diff(own) < 0).all()
        assert own[0] > 0.1
        at = H[np.isfinite(H)] == found["grid_horizon"].values[place]
        assert at.sum() == 1
        assert 0.005 < own[at][0] <= 0.01
        shorter = H[np.isfinite(H)] < found["grid_horizon"].values[place]
        assert (own[shorter] > 0.01).all()


def test_what_a_longer_horizon_does_not_remove_remains(found):
    last = found.isel(problem=0, policy=0, point=slice(None))
    remaining = last["relative_remaining_bias"].values
    assert np.nanmax(remaining[0]) < 1e-9
    assert np.nanmax(remaining[1]) > 0.1


@pytest.mark.parametrize(
    ("own", "longest", "last"), [(1, 1000, 4), (1, 1, 1), (45, 1000, 180), (600, 1000, 1000)]
)
def test_horizons_go_from_one_step_to_beyond_the_own_one(own, longest, last):
    swept = horizons.swept(own, longest)
    assert swept[0] == 1
    assert swept[-1] == last
    assert own in swept
    assert swept == sorted(set(swept))
    assert len(swept) <= 12


def test_a_fixed_horizon_above_the_longest_automatic_one_is_kept():
    assert horizons.swept(500, 100)[-1] == 500


def test_estimators_with_a_horizon_of_their_own_are_skipped(found):
    left_out = found.isel(estimator=3)
    assert (left_out["status"] == 3).all()
    assert set(left_out["message"].values.ravel()) == {"it draws its horizon at random"}
    assert np.isnan(left_out["relative_variance"]).all()


def test_what_is_too_large_ends_a_curve_and_says_so(grid, monkeypatch):
    def small(truth, tables, horizon, **options):
        own = Size(LIMIT.memory_bytes, 3e4) if horizon > 20 else LIMIT
        return table_moments(truth, tables, horizon, limit=own)

    monkeypatch.setattr(horizons, "table_moments", small)
    curve = horizons.study(grid).isel(problem=1, policy=0, estimator=0)
    known = np.isfinite(curve["relative_variance"].values)
    assert known[0]
    assert not known[-1]
    assert (np.diff(known.astype(int)) <= 0).all()
    last = curve["horizon"].values[known][-1]
    assert str(curve["message"].values).startswith(f"nothing beyond H = {last:g}: too large")
    assert curve["status"] == 1


def test_a_gradient_of_zero_leaves_no_relative_numbers():
    text = "name: t\nproblems: {problem: bandit, n_actions: 1}\nestimators: reinforce\n"
    found = horizons.study(parse_grid(text))
    assert (found["status"] == 1).all()
    assert np.isnan(found["relative_variance"]).all()
    assert "cannot be told from zero" in str(found["message"].item())


def test_a_problem_that_cannot_be_made_fails_alone():
    text = GRID.replace("problems: [", "problems: [{problem: gymnasium, id: No-v0}, ")
    found = horizons.study(
        parse_grid(text.replace(", {problem: garnet, n_states: 5, gamma: 0.95}", ""))
    )
    assert (found["status"].isel(problem=0) == 2).all()
    assert "cannot make 'No-v0'" in str(found["message"].values[0, 0, 0])
    assert (found["status"].isel(problem=1, estimator=0) == 1).all()


def test_the_file_gives_back_what_was_written(found, tmp_path):
    path = horizons.write(found, tmp_path / "new" / "t")
    with xr.open_dataset(path, engine="h5netcdf") as opened:
        again = opened.load()
    assert set(again.data_vars) == set(STUDY)
    for name in STUDY:
        np.testing.assert_array_equal(again[name], found[name])
        assert again[name].attrs["units"] == STUDY[name].units
    assert [p.name for p in path.parent.iterdir()] == ["horizons.nc"]


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A file of users' estimators that is plugged in."""
    path = tmp_path_factory.mktemp("own") / "own.py"
    path.write_text(OWN, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pgbench.estimators._added", {})
        plug_in(path)
        yield PlugIns.of([path])


SMALL = """
name: t
horizon: 5
problems: [{problem: garnet, n_states: 5, gamma: 0.8}, corridor]
estimators: [ends, raises, like_td, td]
"""


@pytest.fixture(scope="module")
def of_users(own):
    """A study of users' estimators."""
    return horizons.study(parse_grid(SMALL), set_up=own)


def test_users_code_that_ends_its_process_is_a_failed_curve(of_users):
    assert of_users["status"].values.squeeze().tolist() == [[2, 2, 1, 1]] * 2
    assert [str(text) for text in of_users["message"].values[0, 0, :2]] == [
        "ends ended its process, with exit code 3",
        "TypeError: no",
    ]


def test_curves_of_users_code_are_those_of_this_process(of_users):
    """Its twin is worked out here."""
    for name in ("relative_bias", "relative_variance", "expected_steps"):
        like, td = (of_users[name].sel(estimator=label).values for label in ("like_td", "td"))
        assert like.tobytes() == td.tobytes()


def test_users_code_works_with_linear_algebra_on_one_thread(own, monkeypatch):
    monkeypatch.setitem(os.environ, "OPENBLAS_NUM_THREADS", "2")
    grid = parse_grid(SMALL.replace("ends, raises, like_td, td", "counts_threads"))
    assert set(horizons.study(grid, set_up=own)["message"].values.ravel()) == {"ValueError: [1]"}


def test_an_error_that_nobody_expects_is_a_failed_curve(grid, monkeypatch):
    def broken(*arguments):
        raise TypeError("no")

    monkeypatch.setattr(horizons, "table_moments", broken)
    found = horizons.study(grid)
    assert set(found["message"].values[:, :, :3].ravel()) == {"TypeError: no"}
