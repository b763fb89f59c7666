"""Problem families: a contract for all of them, and the constants of each."""

import numpy as np
import pytest

from pgbench.declared.parameters import ParameterError
from pgbench.declared.sources import digest_of
from pgbench.problems import ProblemError, families, make_problem
from pgbench.problems.family import content_of
from pgbench.problems.garnet import _distinct

RANDOM = [name for name, family in families().items() if family.random]


def dense(mdp):
    """P as an array (S, A, S)."""
    return mdp.transitions.toarray().reshape(mdp.n_states, mdp.n_actions, -1)


@pytest.mark.parametrize("name", families())
def test_same_parameters_give_the_same_problem(name, make_small):
    assert make_small(name).digest == make_small(name).digest


@pytest.mark.parametrize("name", RANDOM)
def test_another_seed_gives_another_instance(name, make_small):
    if name == "gridworld":
        problems = [make_small(name, size=6, walls=0.5, seed=seed) for seed in range(4)]
    else:
        problems = [make_small(name, seed=seed) for seed in range(4)]
    assert len({mdp.digest for mdp in problems}) == 4


@pytest.mark.parametrize(
    ("name", "given_parameters", "expected"),
    [
        ("chain", {"length": 3}, [[0], [1], [2], [3], [4]]),
        ("riverswim", {"n_states": 4}, [[0], [1], [2], [3]]),
        ("corridor", {}, [[0], [1], [2], [3]]),
        ("gridworld", {"size": 2}, [[0, 0], [0, 1], [1, 0], [1, 1]]),
    ],
)
def test_coordinates_say_where_states_lie(name, given_parameters, expected):
    np.testing.assert_array_equal(make_problem(name, **given_parameters).coordinates, expected)


@pytest.mark.parametrize("slip", [0.0, 0.3])
def test_gridworld_moves_change_one_coordinate_by_at_most_one(slip):
    mdp = make_problem("gridworld", size=7, walls=0.4, slip=slip, seed=3)
    places = mdp.coordinates
    assert len(np.unique(places, axis=0)) == mdp.n_states
    source, target = mdp.transitions.nonzero()
    moved = np.abs(places[source // 4] - places[target]).sum(axis=1)
    assert moved.max() == 1
    np.testing.assert_array_equal(places[mdp.mu0 > 0], [[0, 0]])
    assert [6, 6] in places[mdp.terminal].tolist()


@pytest.mark.parametrize("name", ["garnet", "random", "bandit"])
def test_problems_without_a_space_have_no_coordinates(name, make_small):
    assert make_small(name).coordinates is None


@pytest.mark.parametrize("name", families())
def test_family_describes_itself(name):
    family = families()[name]
    assert family.name == name
    assert family.summary
    assert family.reference
    assert family.size is None or family.size in family.parameters


def test_name_of_a_problem_shows_what_was_chosen(make_small):
    assert make_small("garnet", gamma=0.5).name == "garnet[n_states=4, gamma=0.5]"


def test_content_is_that_of_every_file_that_is_given(tmp_path):
    for name in "ab":
        (tmp_path / name).write_text(name, encoding="utf-8")
    a, b = (str(tmp_path / name) for name in "ab")
    content = content_of("path", "more")
    assert content({"path": a}) == digest_of(a) == content({"path": a, "more": None}) != ""
    assert content({"path": a, "more": b, "other": a}) == f"{digest_of(a)},{digest_of(b)}"
    assert content({"path": a, "more": b}) != content({"path": b, "more": a})
    assert content({"path": str(tmp_path / "none")}) == ""


def test_unknown_names_get_a_suggestion():
    with pytest.raises(ValueError, match=r"unknown problem 'garnett', did you mean garnet\?"):
        make_problem("garnett")
    with pytest.raises(ParameterError, match=r"garnet\.n_state: .*did you mean n_states\?"):
        make_problem("garnet", n_state=4)


@pytest.mark.parametrize("n", [10, 36, 40], ids=["by keys", "border", "by redrawing"])
def test_garnet_successors_are_uniform_subsets(n):
    k, rows = 3, 4000
    chosen = _distinct(np.random.default_rng(0), rows, n, k)
    assert (np.diff(np.sort(chosen, axis=1), axis=1) > 0).all()
    share = k / n
    counts = np.bincount(chosen.ravel(), minlength=n)
    z = (counts - rows * share) / np.sqrt(rows * share * (1 - share))
    assert np.abs(z).max() < 4


@pytest.mark.parametrize(("n_states", "branching"), [(10, 3), (40, 3), (5, 5), (3, 1)])
def test_garnet_has_the_stated_number_of_successors(n_states, branching):
    mdp = make_problem("garnet", n_states=n_states, branching=branching)
    np.testing.assert_array_equal((dense(mdp) > 0).sum(axis=2), branching)
    np.testing.assert_allclose(mdp.mu0, 1 / n_states)
    assert (mdp.reward >= 0).all()
    assert (mdp.reward <= 1).all()
    np.testing.assert_array_equal(mdp.reward, mdp.reward[:, :, :1].repeat(branching, axis=2))


def test_garnet_refuses_more_successors_than_states():
    with pytest.raises(ProblemError, match=r"garnet\.branching is 5, must be at most n_states = 4"):
        make_problem("garnet", n_states=4, branching=5)


def z_of_second_moment(p):
    """Distance of the mean of p² from that of Dirichlet(1), 2/(b(b+1)), in standard errors."""
    b = p.shape[1]
    second, fourth = 2 / (b * (b + 1)), 24 / (b * (b + 1) * (b + 2) * (b + 3))
    return (np.mean(p[:, 0] ** 2) - second) / np.sqrt((fourth - second**2) / len(p))


def test_garnet_probabilities_are_spacings():
    """Spacings of b-1 sorted uniforms are Dirichlet(1, ..., 1) (Devroye 1986, Theorem V.2.1)."""
    mdp = make_problem("garnet", n_states=4000, n_actions=4, branching=3)
    assert abs(z_of_second_moment(mdp.probability.reshape(-1, 3))) < 4


def test_normalised_uniforms_are_told_from_spacings():
    draws = np.random.default_rng(0).random((16000, 3))
    assert abs(z_of_second_moment(draws / draws.sum(axis=1, keepdims=True))) > 8


def test_random_is_dense_with_rewards_per_successor():
    mdp = make_problem("random", n_states=5, n_actions=2)
    assert (dense(mdp) > 0).all()
    assert np.unique(mdp.reward).size == 50


@pytest.mark.parametrize("slip", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("walls", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("size", [2, 3, 4, 7])
def test_gridworld_goal_is_reachable_around_the_pit(size, walls, slip):
    for seed in range(5):
        mdp = make_problem("gridworld", size=size, walls=walls, slip=slip, seed=seed, gamma=1.0)
        step = (mdp.transitions.toarray().reshape(mdp.n_states, 4, -1) > 0).any(axis=1)
        reached = mdp.mu0 > 0
        for _ in range(mdp.n_states):
            reached = reached | (reached @ step)
        assert reached.all()
        assert mdp.reward.max() == pytest.approx(0.99)  # paid on entering the goal


def test_gridworld_moves_and_pays():
    """A 2×2 room without walls or pit: cells 0 1 / 2 3; the goal is cell 3."""
    mdp = make_problem("gridworld", size=2, walls=0.0, slip=0.2, step_reward=-0.5)
    P = dense(mdp)
    np.testing.assert_allclose(P[0, 0], [0.9, 0.1, 0, 0])  # up: the edge; aside: left, right
    np.testing.assert_allclose(P[0, 1], [0.1, 0.8, 0.1, 0])  # right; aside: up, down
    np.testing.assert_allclose(P[1, 2], [0.1, 0.1, 0, 0.8])  # down; aside: right, left
    np.testing.assert_allclose(mdp.expected_reward[1, 2], -0.5 + 0.8)
    np.testing.assert_array_equal(mdp.terminal, [False, False, False, True])


def test_gridworld_pit_costs_one():
    mdp = make_problem("gridworld", size=4, walls=0.0, slip=0.0)
    np.testing.assert_array_equal(np.flatnonzero(mdp.terminal), [10, 15])
    assert mdp.expected_reward[6, 2] == pytest.approx(-1.01)  # down into cell 10
    assert mdp.expected_reward[11, 2] == pytest.approx(0.99)  # down into cell 15


def test_riverswim_constants():
    """Strehl & Littman 2008, Figure 1, with the rewards 5/1000 and 1."""
    mdp = make_problem("riverswim")
    left = np.eye(6)[[0, 0, 1, 2, 3, 4]]
    right = np.diag([0.4, 0.6, 0.6, 0.6, 0.6, 0.6])
    right += np.diag([0.6, 0.35, 0.35, 0.35, 0.35], 1)
    right += np.diag([0.05, 0.05, 0.05, 0.05, 0.4], -1)
    np.testing.assert_allclose(dense(mdp), np.stack([left, right], axis=1), rtol=1e-15)
    expected = np.zeros((6, 2))
    expected[0, 0], expected[5, 1] = 0.005, 1.0
    np.testing.assert_allclose(mdp.expected_reward, expected, rtol=1e-15)
    np.testing.assert_array_equal(mdp.mu0, [1, 0, 0, 0, 0, 0])


def test_two_state_constants():
    """Kakade 2001, Section 4: self-loops pay 1 and 2, the moves between pay nothing."""
    mdp = make_problem("two_state")
    np.testing.assert_array_equal(dense(mdp)[0], [[1, 0], [0, 1]])
    np.testing.assert_array_equal(dense(mdp)[1], [[0, 1], [1, 0]])
    np.testing.assert_array_equal(mdp.expected_reward, [[1, 0], [2, 0]])
    np.testing.assert_allclose(mdp.mu0, [0.8, 0.2])


def test_chain_constants():
    """Agarwal et al. 2021, Proposition 4.1: H + 2 states, γ = H/(H+1), the last one pays."""
    mdp = make_problem("chain", length=3)
    np.testing.assert_array_equal(mdp.successor[:, 0, 0], [1, 2, 3, 4, 4])
    for a in (1, 2, 3):
        np.testing.assert_array_equal(mdp.successor[:, a, 0], [0, 0, 1, 2, 4])
    np.testing.assert_array_equal(mdp.expected_reward, np.eye(5)[4][:, None] * np.ones(4))
    np.testing.assert_array_equal(mdp.mu0, [1, 0, 0, 0, 0])
    assert mdp.gamma == 0.75
    assert make_problem("chain", length=3, gamma=0.5).gamma == 0.5


def test_corridor_constants():
    """Sutton & Barto 2018, Example 13.1: the second state swaps the actions; -1 on every step."""
    mdp = make_problem("corridor")
    np.testing.assert_array_equal(mdp.successor[:3, :, 0], [[1, 0], [0, 2], [3, 1]])
    np.testing.assert_array_equal(mdp.expected_reward[:3], -1)
    np.testing.assert_array_equal(mdp.terminal, [False, False, False, True])
    np.testing.assert_array_equal(mdp.features, np.broadcast_to(np.eye(2), (4, 2, 2)))
    assert mdp.gamma == 1


def test_bandit_arms_pay_one_with_uniform_probability():
    mdp = make_problem("bandit", n_actions=3000)
    p = mdp.expected_reward[0]
    np.testing.assert_array_equal(np.unique(mdp.reward[0]), [0, 1])
    np.testing.assert_array_equal(mdp.successor[0], 1)
    np.testing.assert_array_equal(mdp.terminal, [False, True])
    z = np.array([p.mean() - 1 / 2, (p**2).mean() - 1 / 3]) * np.sqrt(
        3000 / np.array([1 / 12, 4 / 45])
    )
    assert np.abs(z).max() < 4


def test_a_name_does_not_copy_the_arrays():
    mdp = make_problem("garnet", n_states=10)
    other = mdp.named("other")
    assert (mdp.name, other.name) == ("garnet[n_states=10]", "other")
    assert other.probability is mdp.probability
    assert other.digest == mdp.digest
