"""Features by name: coordinates, tiles, polynomials, and their crossing with actions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pgbench.exact import evaluate
from pgbench.policies import LogLinear, make_policy
from pgbench.policies.features import coordinates, crossed, polynomial, tiles
from pgbench.problems import FiniteMDP, make_problem
from tests.support.numbers import close

points = arrays(np.float64, (7, 2), elements=st.floats(-1, 1))


def line(n):
    """n points from -1 to 1, shape (n, 1)."""
    return np.linspace(-1, 1, n)[:, None]


def placed(coordinates):
    """A problem whose states have the given coordinates."""
    S = len(coordinates)
    P = np.full((S, 1, S), 1 / S)
    return FiniteMDP.from_arrays(
        P, np.zeros((S, 1)), np.full(S, 1 / S), 0.5, coordinates=coordinates
    )


def test_coordinates_are_scaled_to_the_unit_interval():
    mdp = placed([[0.0, 5.0, 7.0], [1.0, 5.0, -1.0], [4.0, 5.0, 3.0]])
    expected = [[-1, 0, 1], [-0.5, 0, -1], [1, 0, 0]]
    np.testing.assert_allclose(coordinates(mdp), expected, rtol=1e-15)


def test_huge_coordinates_do_not_overflow():
    np.testing.assert_array_equal(coordinates(placed([[-1.7e308], [1.7e308]])), [[-1], [1]])


def test_states_without_coordinates_lie_on_a_line():
    np.testing.assert_allclose(coordinates(make_problem("garnet", n_states=5)), line(5))


def test_one_tiling_aggregates_states():
    np.testing.assert_array_equal(tiles(line(8), 4, 1), np.eye(4).repeat(2, axis=0))
    rows = make_problem("gridworld", size=4, walls=0.0)
    x = tiles(coordinates(rows), 2, 1)
    place = rows.coordinates // 2
    np.testing.assert_array_equal(x @ x.T, (place[:, None] == place).all(axis=2))


@pytest.mark.parametrize("n", range(2, 60))
def test_as_many_tiles_as_states_are_a_table(n):
    np.testing.assert_array_equal(tiles(line(n), n, 1), np.eye(n))


@pytest.mark.parametrize("n", range(2, 60))
def test_states_on_borders_lie_in_the_upper_tile(n):
    """n points cut into n-1 tiles: each begins one, and the last point joins the last tile."""
    place = tiles(line(n), n - 1, 1).argmax(axis=1)
    np.testing.assert_array_equal(place, np.minimum(np.arange(n), n - 2))


@given(points, st.integers(1, 5), st.integers(1, 5))
def test_every_state_has_one_tile_per_tiling_and_no_tile_is_empty(x, n_tiles, n_tilings):
    table = tiles(x, n_tiles, n_tilings)
    assert set(np.unique(table)) <= {0.0, 1.0}
    np.testing.assert_array_equal(table.sum(axis=1), n_tilings)
    assert (table.sum(axis=0) > 0).all()


def test_tilings_are_displaced_by_parts_of_a_tile():
    """Two tilings of two tiles: borders at 0, and at -1/2 and 1/2 (half a tile further)."""
    x = np.array([[-0.9], [-0.4], [0.4], [0.9]])
    expected = [[1, 0, 1, 0, 0], [1, 0, 0, 1, 0], [0, 1, 0, 1, 0], [0, 1, 0, 0, 1]]
    np.testing.assert_array_equal(tiles(x, 2, 2), expected)


def test_displacement_differs_between_coordinates():
    """One tile, four tilings: displaced borders at (½, -½), (0, 0), (-½, ½) of (x, y).

    Were both coordinates displaced alike, the last point would share three tiles with the first.
    """
    x = np.array([[-1.0, -1.0], [-0.4, -1.0], [-1.0, -0.4], [-0.4, -0.4]])
    table = tiles(x, 1, 4)
    np.testing.assert_array_equal(table @ table[0], [4, 3, 3, 2])


def test_polynomial_holds_all_monomials():
    x = np.random.default_rng(0).uniform(-1, 1, (5, 2))
    a, b = x.T
    expected = np.stack([a**0, a, b, a * a, a * b, b * b], axis=1)
    np.testing.assert_allclose(polynomial(x, 2), expected, rtol=1e-15)
    assert polynomial(np.ones((3, 4)), 3).shape == (3, 35)
    np.testing.assert_array_equal(polynomial(x, 0), np.ones((5, 1)))


def test_every_action_has_its_own_copy():
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    phi = crossed(x, 3)
    assert phi.shape == (2, 3, 6)
    for s in range(2):
        for a in range(3):
            np.testing.assert_array_equal(phi[s, a], np.kron(np.eye(3)[a], x[s]))


def test_policies_by_name_have_these_features():
    mdp = make_problem("gridworld", size=4)
    x = coordinates(mdp)
    for given_parameters, table in (
        ({"features": "tiles"}, tiles(x, 4, 1)),
        ({"features": "tiles", "n_tiles": 2, "n_tilings": 3}, tiles(x, 2, 3)),
        ({"features": "polynomial"}, polynomial(x, 2)),
        ({"features": "polynomial", "degree": 3}, polynomial(x, 3)),
    ):
        policy = make_policy("loglinear", mdp, **given_parameters)
        np.testing.assert_array_equal(policy.features, crossed(table, 4))


def test_aggregated_states_share_their_policy():
    mdp = make_problem("chain", length=6)
    policy = make_policy("loglinear", mdp, features="tiles", n_tiles=2)
    pi = policy.probabilities(policy.initial(seed=1))
    np.testing.assert_array_equal(pi, pi[[0, 0, 0, 0, 4, 4, 4, 4]])
    assert not np.allclose(pi[0], pi[4])


def test_enough_tiles_are_tabular_softmax():
    mdp = make_problem("chain", length=6)
    tiled = make_policy("loglinear", mdp, features="tiles", n_tiles=8)
    table = make_policy("softmax", mdp)
    theta = table.initial(seed=1)
    copied = theta.reshape(8, 4).T.ravel()  # features are ordered by action first
    linear, tabular = evaluate(mdp, tiled, copied), evaluate(mdp, table, theta)
    close(linear.gradient.reshape(4, 8).T.ravel(), tabular.gradient)


@pytest.mark.parametrize(
    "given_parameters",
    [{"features": "tiles", "n_tiles": 10_000}, {"features": "polynomial", "degree": 100}],
)
def test_absurd_sizes_are_refused(given_parameters):
    mdp = make_problem("garnet", n_states=20_000, n_actions=20)
    with pytest.raises(ValueError, match=r"feature entries each need .* GiB, more than 1 GiB"):
        make_policy("loglinear", mdp, **given_parameters)


def test_features_of_many_coordinates_are_refused_before_they_are_made():
    with pytest.raises(ValueError, match="choose fewer features"):
        polynomial(np.zeros((10, 50)), 50)


def test_log_linear_scores_do_not_need_a_table_per_pair():
    """Scores of 5000 states, of which a unit table per pair would take 3 GiB."""
    policy = LogLinear(np.ones((5000, 4, 2)))
    assert policy.scores(np.zeros(2)).shape == (5000, 4, 2)
