"""Import from Gymnasium against quantecon, which is given the transition tables directly."""

from typing import ClassVar

import gymnasium
import numpy as np
import pytest

from pgbench.exact import evaluate, optimal_value
from pgbench.policies import make_policy
from pgbench.problems import ProblemError, make_problem

CASES = {
    "lake": ("FrozenLake-v1", {"map_name": "4x4"}),
    "large lake": ("FrozenLake-v1", {"map_name": "8x8"}),
    "dry lake": ("FrozenLake-v1", {"is_slippery": False}),
    "taxi": ("Taxi-v4", {}),
    "cliff": ("CliffWalking-v1", {}),
}


class Lamp(gymnasium.Env):
    """State 1 is entered both with and without ``done``."""

    observation_space = gymnasium.spaces.Discrete(2)
    action_space = gymnasium.spaces.Discrete(2)
    initial_state_distrib = np.array([1.0, 0.0])
    P: ClassVar = {
        0: {0: [(0.5, 1, 1.0, False), (0.5, 1, 3.0, True)], 1: [(1.0, 0, 0.25, False)]},
        1: {0: [(1.0, 0, 2.0, False)], 1: [(0.25, 1, -1.0, True), (0.75, 0, 5.0, False)]},
    }


@pytest.fixture(autouse=True, scope="module")
def lamp():
    """Register an environment that needs an added terminal state."""
    gymnasium.register("Lamp-v0", Lamp)
    yield
    del gymnasium.registry["Lamp-v0"]


def decision_problem(id, options, gamma):
    """Dense tables of ``env.P`` for quantecon, its start, and which states a start can lead to.

    A transition with ``done`` leads to one absorbing state without reward.
    """
    environment = gymnasium.make(id, **options).unwrapped
    S, A = len(environment.P), len(environment.P[0])
    R, Q = np.zeros((S + 1, A)), np.zeros((S + 1, A, S + 1))
    Q[S, :, S] = 1.0
    for s, actions in environment.P.items():
        for a, entries in actions.items():
            for p, successor, reward, done in entries:
                R[s, a] += p * reward
                Q[s, a, S if done else successor] += p
    reached = np.append(environment.initial_state_distrib, 0.0) > 0
    follows = (Q > 0).any(axis=1)
    while (reached @ follows & ~reached).any():
        reached = reached | (reached @ follows)
    return R, Q, environment.initial_state_distrib, np.flatnonzero(reached[:S])


@pytest.mark.parametrize("gamma", [0.9, 0.99])
@pytest.mark.parametrize(("id", "options"), [*CASES.values(), ("Lamp-v0", {})], ids=str)
def test_values_are_those_of_quantecon(discrete_dp, id, options, gamma):
    mdp = make_problem("gymnasium", id=id, gamma=gamma, options=options)
    R, Q, start, reached = decision_problem(id, options, gamma)

    policy = make_policy("softmax", mdp)
    uniform = evaluate(mdp, policy, policy.initial(init="zeros"))
    averaged = discrete_dp(R.mean(axis=1)[:, None], Q.mean(axis=1)[:, None, :], gamma)
    v = averaged.evaluate_policy(np.zeros(len(R), int))
    np.testing.assert_allclose(uniform.v[reached], v[reached], rtol=1e-10, atol=1e-12)
    assert uniform.objective == pytest.approx(start @ v[:-1], rel=1e-10)

    optimum = optimal_value(mdp)
    v = discrete_dp(R, Q, gamma).solve(method="policy_iteration").v
    np.testing.assert_allclose(optimum.v[reached], v[reached], rtol=1e-10, atol=1e-12)
    assert optimum.objective == pytest.approx(start @ v[:-1], rel=1e-10)


def test_states_entered_both_ways_get_an_added_terminal_state():
    mdp = make_problem("gymnasium", id="Lamp-v0")
    np.testing.assert_array_equal(mdp.terminal, [False, False, True])
    np.testing.assert_array_equal(mdp.transitions.toarray()[0], [0, 0.5, 0.5])


@pytest.mark.parametrize(("case", "columns"), [("large lake", 8), ("cliff", 12)])
def test_coordinates_of_grids_are_row_and_column(case, columns):
    id, options = CASES[case]
    mdp = make_problem("gymnasium", id=id, options=options)
    rows = mdp.coordinates[: mdp.n_states] @ [columns, 1]
    np.testing.assert_array_equal(rows, np.arange(mdp.n_states))


def test_coordinates_of_taxi_are_what_it_decodes():
    mdp = make_problem("gymnasium", id="Taxi-v4")
    taxi = gymnasium.make("Taxi-v4").unwrapped
    for s in (0, 123, 499):
        assert taxi.encode(*mdp.coordinates[s].astype(int)) == s


def test_added_terminal_state_lies_in_the_middle():
    Lamp.shape = (1, 2)
    try:
        mdp = make_problem("gymnasium", id="Lamp-v0")
    finally:
        del Lamp.shape
    np.testing.assert_array_equal(mdp.coordinates, [[0, 0], [0, 1], [0, 0.5]])
    assert make_problem("gymnasium", id="Lamp-v0").coordinates is None


def test_cliff_is_crossed_in_thirteen_steps():
    """Sutton & Barto 2018, Example 6.6: the optimal path along the edge takes 13 steps."""
    mdp = make_problem("gymnasium", id="CliffWalking-v1", gamma=1.0)
    assert optimal_value(mdp).objective == pytest.approx(-13)


@pytest.mark.parametrize(
    ("id", "options", "message"),
    [
        ("NoSuchLake-v1", {}, "gymnasium cannot make 'NoSuchLake-v1'.*doesn't exist"),
        ("FrozenLake-v1", {"colour": 1}, "cannot make 'FrozenLake-v1' with options .*colour"),
        ("CartPole-v1", {}, "'CartPole-v1' exposes no transition table P"),
    ],
)
def test_what_cannot_be_imported_is_said_clearly(id, options, message):
    with pytest.raises(ProblemError, match=message):
        make_problem("gymnasium", id=id, options=options)
