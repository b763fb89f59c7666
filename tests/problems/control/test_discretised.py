"""Finite problems on grids: where values are linear they are those of the continuous system."""

import numpy as np
import pytest

from benchmarks.control import played, uniform
from pgbench.exact import evaluate
from pgbench.policies import make_policy
from pgbench.problems import ProblemError, cartpole, make_problem, mountain_car
from pgbench.problems.control.discretised import dimensions_of, discretised
from pgbench.problems.control.interpolation import Axis
from pgbench.problems.control.system import System

A, SLOPE = np.array([[0.7, 0.2], [-0.3, 0.6]]), np.array([1.0, -2.0])
LINEAR = System(
    axes=(Axis(-1.0, 1.0), Axis(-1.0, 1.0)),
    actions=(-0.1, 0.1),
    start=((-0.5, 0.3), (0.1, 0.7)),
    step=lambda x, u: A @ x + u,
    reward=lambda before, u, after: SLOPE @ before,
    observe=np.transpose,
)


@pytest.mark.parametrize("resolution", [3, 8])
@pytest.mark.parametrize("repeat", [1, 3])
def test_linear_values_are_exact(resolution, repeat):
    """V(x) = c·(I - γA)⁻¹x of x' = Ax ± .1, each as likely, in a box that is never left."""
    mdp = discretised(LINEAR, resolution, repeat, 0.9)
    policy = make_policy("softmax", mdp)
    truth = evaluate(mdp, policy, policy.initial(init="zeros"))
    value = np.linalg.solve(np.eye(2) - 0.9 * A.T, SLOPE)
    np.testing.assert_allclose(truth.v, mdp.coordinates @ value, atol=1e-12)
    assert truth.objective == pytest.approx(value @ [-0.1, 0.4], abs=1e-12)
    assert mdp.gamma == 0.9**repeat


@pytest.mark.parametrize(("system", "n"), [(cartpole.SYSTEM, 6), (mountain_car.SYSTEM, 30)])
@pytest.mark.parametrize("repeat", [1, 2])
def test_the_chain_moves_as_the_system_on_average(system, n, repeat):
    mdp = discretised(system, n, repeat, 0.99)
    low, high = np.transpose([(axis.low, axis.high) for axis in system.axes])
    points = mdp.coordinates[:-1].T
    seen = 0
    for a in range(mdp.n_actions):
        after, reward, ended = system.repeated(points, a, repeat, 0.99)
        goes_on = np.flatnonzero(~ended & ~mdp.terminal[:-1])
        weight, successor = mdp.probability[goes_on, a], mdp.successor[goes_on, a]
        mean = (weight[:, :, None] * mdp.coordinates[successor]).sum(axis=1)
        np.testing.assert_allclose(mean, np.clip(after.T[goes_on], low, high), atol=1e-12)
        np.testing.assert_allclose(mdp.expected_reward[goes_on, a], reward[goes_on])
        stops = np.flatnonzero(ended & ~mdp.terminal[:-1])
        np.testing.assert_array_equal(mdp.successor[stops, a, 0], mdp.n_states - 1)
        np.testing.assert_array_equal(mdp.probability[stops, a, 0], 1)
        seen += stops.size
    assert seen > 0


def test_points_where_episodes_end_are_terminal():
    """Mountain car: the goal moving right; the acrobot: what is above the line."""
    mdp = make_problem("mountain_car", resolution=5)
    ends = np.flatnonzero(mdp.terminal)
    np.testing.assert_array_equal(ends, [22, 23, 24, 25])
    np.testing.assert_allclose(mdp.coordinates[22:25], [[0.5, 0], [0.5, 0.035], [0.5, 0.07]])
    mdp = make_problem("acrobot", resolution=4)
    cos1, sin1, cos2, sin2 = mdp.coordinates[:-1, :4].T
    height = -cos1 - (cos1 * cos2 - sin1 * sin2)
    np.testing.assert_array_equal(mdp.terminal[:-1], height > 1 + 1e-9)


def test_the_pendulum_has_no_end():
    mdp = make_problem("pendulum", resolution=5, n_actions=3)
    assert (mdp.n_states, mdp.n_actions) == (25, 3)
    assert not mdp.terminal.any()
    with pytest.raises(ProblemError, match="gamma is 1 but no state is terminal"):
        make_problem("pendulum", resolution=5, gamma=1.0)


def test_holding_an_action_discounts_its_rewards():
    """The pendulum at rest upright: full torque from there, and from where that leads."""
    mdp = make_problem("pendulum", resolution=5, n_actions=2, repeat=2, gamma=0.5)
    assert mdp.gamma == 0.25
    spin = 0.05 * 3 * -2.0
    second = (0.05 * spin) ** 2 + 0.1 * spin**2 + 0.004
    assert mdp.expected_reward[12, 0] == pytest.approx(-(0.004 + 0.5 * second))


@pytest.mark.parametrize("name", ["acrobot", "cartpole", "mountain_car"])
def test_the_end_leaves_the_ranges_of_coordinates(name):
    mdp = make_problem(name, resolution=4)
    places = mdp.coordinates
    np.testing.assert_array_equal(np.ptp(places[:-1], axis=0), np.ptp(places, axis=0))


def test_a_fine_grid_has_the_value_of_the_system():
    """Cart-pole under the uniform policy, against simulation; a coarse grid is seen to be off."""
    system = cartpole.SYSTEM
    returns = played(system, uniform(system, 1), 20_000, repeat=3, seed=0)
    error = returns.std() / np.sqrt(returns.size)
    values = []
    for n in (6, 18):
        mdp = make_problem("cartpole", resolution=n, repeat=3)
        policy = make_policy("softmax", mdp)
        values.append(evaluate(mdp, policy, policy.initial(init="zeros")).objective)
    z = (np.array(values) - returns.mean()) / error
    assert abs(z[1]) < 4
    assert z[0] < -20


def test_dimensions_count_the_end():
    assert dimensions_of(cartpole.SYSTEM, 5).n_states == 626
    assert dimensions_of(LINEAR, 5).n_states == 25
