"""Published values, and values derived from published problems."""

from collections import deque
from dataclasses import replace
from fractions import Fraction

import gymnasium
import numpy as np
import pytest
from scipy import stats

from pgbench.exact import evaluate, moments, optimal_regulator, optimal_value
from pgbench.policies import Softmax, make_policy
from pgbench.problems import FiniteMDP, make_problem


def corridor(p):
    """Exact quantities of the short corridor when right is chosen with probability p."""
    mdp = make_problem("corridor")
    return evaluate(mdp, make_policy("loglinear", mdp), [np.log(p / (1 - p)), 0.0])


@pytest.mark.parametrize(
    ("p", "J"), [(0.05, -82.105), (0.5, -12.0), (2 - np.sqrt(2), -11.656854), (0.95, -44.211)]
)
def test_corridor_objective(p, J):
    """Sutton & Barto 2018, Example 13.1 and Figure 13.1, to the digits given."""
    assert corridor(p).objective == pytest.approx(J, abs=5e-4)


@pytest.mark.parametrize("p", np.linspace(0.02, 0.98, 25))
def test_corridor_objective_in_closed_form(p):
    """J(p) = (2p - 4)/(p(1 - p)); its slope in the logit is p(1 - p) dJ/dp; derived."""
    truth = corridor(p)
    assert truth.objective == pytest.approx((2 * p - 4) / (p * (1 - p)), rel=1e-12)
    slope = (2 * p * (1 - p) - (2 * p - 4) * (1 - 2 * p)) / (p * (1 - p))
    np.testing.assert_allclose(truth.gradient, [slope, -slope], rtol=1e-10, atol=1e-11)


def test_corridor_optimum_is_stationary():
    """p* = 2 - √2 and J* = -(6 + 4√2) = -11.656854 (Sutton & Barto 2018, Example 13.1)."""
    best = corridor(2 - np.sqrt(2))
    np.testing.assert_allclose(best.gradient, 0, atol=1e-12)
    assert best.objective == pytest.approx(-(6 + 4 * np.sqrt(2)), rel=1e-13)
    others = [corridor(p).objective for p in np.linspace(0.01, 0.99, 99)]
    assert best.objective > max(others)


def test_corridor_at_one_half():
    """Visits (6, 4, 2), V = (-12, -10, -6) and slope 2 in the scalar logit; derived."""
    truth = corridor(0.5)
    np.testing.assert_allclose(truth.visitation, [6, 4, 2, 0], rtol=1e-13)
    np.testing.assert_allclose(truth.v, [-12, -10, -6, 0], rtol=1e-13)
    np.testing.assert_allclose(truth.gradient, [2, -2], rtol=1e-12)


@pytest.mark.parametrize("eta", [0.01, 1.0, 10.0])
@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("random", {"n_states": 5}),
        ("garnet", {"n_states": 20, "gamma": 0.95}),
        ("two_state", {}),
        ("chain", {"length": 3}),
        ("gridworld", {"size": 4}),
    ],
)
def test_natural_gradient_of_softmax_is_multiplicative_weights(name, given, eta):
    """π⁺ ∝ π exp(η A/(1-γ)) (Kakade 2001; Agarwal et al. 2021, Lemma 5.1)."""
    mdp = make_problem(name, **given)
    policy = Softmax(mdp.n_states, mdp.n_actions)
    truth = evaluate(mdp, policy, policy.initial(seed=3, scale=0.5))
    eta *= 1 - mdp.gamma
    stepped = policy.probabilities(truth.theta + eta * truth.natural_gradient())
    exponent = eta * truth.advantage / (1 - mdp.gamma)
    weighted = truth.pi * np.exp(exponent - exponent.max(axis=1, keepdims=True))
    weighted /= weighted.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(stepped, weighted, rtol=0, atol=1e-12)


def chain_gradient_norms(advance, lengths):
    """‖∇J‖ of tabular softmax on the chain when every state advances with a given probability."""
    norms = []
    for length in lengths:
        mdp = make_problem("chain", length=length)
        theta = np.zeros((length + 2, 4))
        theta[:, 0] = np.log(3 * advance / (1 - advance))
        norms.append(np.linalg.norm(evaluate(mdp, Softmax(length + 2, 4), theta.ravel()).gradient))
    return np.array(norms)


@pytest.mark.parametrize("advance", [0.1, 0.2, 0.24])
def test_chain_gradient_vanishes_exponentially(advance):
    """Agarwal et al. 2021, Proposition 4.1: with π(s, 0) < 1/4, ‖∇J‖ ≤ (1/3)^(H/4).

    In softmax parameters the norm is smaller still, and its logarithm falls linearly in H.
    """
    lengths = np.arange(4, 17)
    logs = np.log(chain_gradient_norms(advance, lengths))
    assert (logs <= -lengths / 4 * np.log(3)).all()
    fit = stats.linregress(lengths, logs)
    assert fit.slope < -np.log(3) / 4
    assert fit.rvalue**2 > 0.99


def test_chain_gradient_grows_where_the_policy_advances():
    assert (np.diff(chain_gradient_norms(0.8, np.arange(4, 17))) > 0).all()


def tridiagonal(lower, diagonal, upper, b):
    """x with T x = b in rational arithmetic, T of three diagonals."""
    diagonal, x = list(diagonal), list(b)
    for i in range(1, len(x)):
        factor = lower[i] / diagonal[i - 1]
        diagonal[i] -= factor * upper[i - 1]
        x[i] -= factor * x[i - 1]
    x[-1] /= diagonal[-1]
    for i in reversed(range(len(x) - 1)):
        x[i] = (x[i] - upper[i] * x[i + 1]) / diagonal[i]
    return x


def rational_chain(H, up):
    """V, d and ∇J along the simplex of the chain with four actions, π(s, 0) = up everywhere."""
    n, gamma, zero, one = H + 2, Fraction(H, H + 1), Fraction(0), Fraction(1)
    rise = [-gamma * up] * (n - 1) + [zero]
    fall = [zero] + [-gamma * (1 - up)] * (n - 2) + [zero]
    stay = [1 - gamma * (1 - up)] + [one] * (n - 2) + [1 - gamma]
    v = tridiagonal(fall, stay, rise, [zero] * (n - 1) + [one])
    d = tridiagonal([zero, *rise[:-1]], stay, [*fall[1:], zero], [one] + [zero] * (n - 1))
    gradient = []
    for s in range(n - 1):
        gain = d[s] * gamma * (v[s + 1] - v[max(s - 1, 0)])
        gradient += [gain * 3 / 4] + [-gain / 4] * 3
    return v, d, [*gradient, *[zero] * 4]


@pytest.mark.parametrize("H", [4, 28, 32, 40, 100])
def test_a_vanishing_gradient_has_all_its_digits(H):
    """The chain of Agarwal et al. 2021, Proposition 4.1, `direct`, against rational arithmetic.

    At H = 40 the norm is 8.48e-18 beside values of 41; elimination with subtraction finds 2.3e-14,
    and a negative J although no reward is.
    """
    v, d, gradient = rational_chain(H, Fraction(24, 100))
    mdp = make_problem("chain", length=H)
    theta = np.tile([0.24, *[0.76 / 3] * 3], H + 2)
    truth = evaluate(mdp, make_policy("direct", mdp), theta)
    for found, exact in ((truth.v, v), (truth.visitation, d), (truth.gradient, gradient)):
        for x, y in zip(found, exact, strict=True):
            assert abs(Fraction(x) - y) <= abs(y) * Fraction(1, 10**12)
    norm = np.linalg.norm(truth.gradient)
    known = {28: 3.718e-12, 32: 5.056e-14, 40: 8.478e-18}
    assert norm == pytest.approx(known.get(H, norm), rel=1e-3)
    assert truth.objective > 0
    error = sum((Fraction(x) - y) ** 2 for x, y in zip(truth.gradient, gradient, strict=True))
    assert float(error) ** 0.5 <= truth.gradient_bound <= 1e-10 * norm
    assert truth.resolved


def sign_flip(p):
    """The problem with one shared parameter, at the probability p of saying yes."""
    mdp = make_problem("sign_flip")
    return mdp, make_policy("loglinear", mdp), np.array([np.log(p / (1 - p))])


def followed(p, discounted):
    """Exact expectation of the update by reward-to-go, with or without γ^t."""
    mdp, policy, theta = sign_flip(p)
    exact = moments(mdp, policy, theta, "reward_to_go", horizon=3, discounted=discounted)
    return exact.mean.item()


@pytest.mark.parametrize("p", [0.05, 0.5, 0.9])
def test_without_discounting_the_slope_has_the_wrong_sign(p):
    """Missing γ^t: true slope p(1-p)/4, slope followed -p(1-p)/2; derived."""
    mdp, policy, theta = sign_flip(p)
    truth = evaluate(mdp, policy, theta)
    assert truth.objective == pytest.approx(p / 4, rel=1e-13)
    assert truth.gradient.item() == pytest.approx(p * (1 - p) / 4, rel=1e-12)
    assert followed(p, discounted=True) == pytest.approx(p * (1 - p) / 4, rel=1e-12)
    assert followed(p, discounted=False) == pytest.approx(-p * (1 - p) / 2, rel=1e-12)
    undiscounted = evaluate(replace(mdp, gamma=1.0), policy, theta)
    assert undiscounted.objective == pytest.approx(2 * p, rel=1e-13)


def test_the_two_ascents_part():
    """Both start at p = 1/2 and follow their exact expectations: one ends best, the other worst."""
    probability = {}
    for discounted in (True, False):
        theta = 0.0
        for _ in range(600):
            p = 1 / (1 + np.exp(-theta))
            theta += 4 * followed(p, discounted)
        probability[discounted] = p
    assert probability[True] > 0.98
    assert probability[False] < 0.002


ORDER = ("reinforce", "reward_to_go", "baseline_value", "advantage_oracle")


def total_variances(mdp, theta, horizon):
    """Traces of the exact covariance of one-trajectory estimates, in the order of ``ORDER``."""
    policy = make_policy("softmax", mdp)
    return [moments(mdp, policy, theta, name, horizon=horizon).variance.sum() for name in ORDER]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    ("name", "given"), [("random", {"n_states": 4}), ("garnet", {"n_states": 6, "gamma": 0.9})]
)
def test_variance_falls_along_the_usual_order(name, given, seed):
    """Total return > reward-to-go > less V > exact advantage, on random MDPs near uniform policies.

    It is no theorem: V is not the best baseline (see the next test). Of 360 random instances with θ
    up to N(0, 9), the V baseline raised the variance of reward-to-go in 29, of which 23 had γ = 1/2
    and none a uniform policy; the first and the last inequality held in all.
    """
    mdp = make_problem(name, seed=seed, **given)
    theta = make_policy("softmax", mdp).initial(seed=seed, scale=0.1)
    variances = total_variances(mdp, theta, horizon=40)
    assert (np.diff(variances) < 0).all()


@pytest.mark.parametrize(("p", "better"), [(0.2, False), (1 / 3, None), (0.5, True)])
def test_value_baseline_can_raise_the_variance(p, better):
    """One decision, arm 0 (chosen with p) pays 0, arm 1 pays 1: derived.

    tr Var with baseline b is 2p(1-p)(b - p)² + const, and V = 1 - p; so V is worse than no baseline
    exactly for p < 1/3.
    """
    mdp = FiniteMDP(
        successor=np.ones((2, 2, 1), int),
        probability=np.ones((2, 2, 1)),
        reward=np.array([[[0.0], [1.0]], [[0.0], [0.0]]]),
        mu0=np.array([1.0, 0.0]),
        gamma=1.0,
        terminal=np.array([False, True]),
    )
    theta = np.array([np.log(p / (1 - p)), 0, 0, 0])
    _, plain, with_value, _ = total_variances(mdp, theta, horizon=1)
    expected = 2 * p * (1 - p) * ((1 - 2 * p) ** 2 - p**2)
    assert with_value - plain == pytest.approx(expected, rel=1e-10, abs=1e-14)
    if better is not None:
        assert (with_value < plain) == better


def test_frozen_lake_is_crossed_fourteen_times_in_seventeen():
    """The best chance to reach the goal of the slippery 4×4 lake, without a time limit; derived."""
    mdp = make_problem("gymnasium", id="FrozenLake-v1", gamma=1.0)
    assert optimal_value(mdp).objective == pytest.approx(14 / 17, rel=1e-12)


def taxi_steps():
    """Fewest steps from each start of Taxi to the delivery, by breadth-first search backwards."""
    environment = gymnasium.make("Taxi-v4").unwrapped
    before, found, todo = {}, {}, deque()
    for s, actions in environment.P.items():
        for ((_, successor, _, done),) in actions.values():
            if done:
                found[s] = 1
            else:
                before.setdefault(successor, set()).add(s)
    todo.extend(found)
    while todo:
        s = todo.popleft()
        for previous in before.get(s, set()) - found.keys():
            found[previous] = found[s] + 1
            todo.append(previous)
    start = environment.initial_state_distrib
    return np.array([found[s] for s in np.flatnonzero(start)]), start[start > 0]


def test_taxi_takes_the_shortest_way():
    """Every step costs 1 but the last, which pays 20: J* = E[21 - steps] at γ = 1; derived."""
    steps, weights = taxi_steps()
    mdp = make_problem("gymnasium", id="Taxi-v4", gamma=1.0)
    assert optimal_value(mdp).objective == pytest.approx(weights @ (21 - steps), rel=1e-12)


def test_riverswim_to_the_right_pays_its_stationary_share():
    """Birth-death chain of the constants .6, .35 up and .05, .4 down (Strehl & Littman 2008).

    By detailed balance the stationary weights are 1, 12, 84, 588, 4116, 3601.5; started from them
    the chain stays there, and only the top pays.
    """
    weights = np.array([1, 12, 84, 588, 4116, 3601.5])
    mdp = replace(make_problem("riverswim", gamma=0.99), mu0=weights / weights.sum())
    truth = evaluate(mdp, Softmax(6, 2), np.tile([-1e3, 1e3], 6))
    np.testing.assert_allclose(truth.visitation / 100, mdp.mu0, rtol=1e-11)
    assert truth.objective / 100 == pytest.approx(weights[-1] / weights.sum(), rel=1e-11)


def test_riverswim_to_the_left_pays_the_bank():
    """5/1000 per step from the start on."""
    mdp = make_problem("riverswim", gamma=0.9)
    truth = evaluate(mdp, Softmax(6, 2), np.tile([1e3, -1e3], 6))
    assert truth.objective == pytest.approx(0.05, rel=1e-12)


def test_garnet_probabilities_have_the_law_of_spacings():
    """One of b spacings of uniforms is Beta(1, b - 1); normalised uniforms are not."""
    b = 4
    p = make_problem("garnet", n_states=500, n_actions=4, branching=b).probability[:, :, 0]
    assert stats.kstest(p.ravel(), stats.beta(1, b - 1).cdf).pvalue > 1e-3
    draws = np.random.default_rng(0).random((2000, b))
    normalised = (draws / draws.sum(axis=1, keepdims=True))[:, 0]
    assert stats.kstest(normalised, stats.beta(1, b - 1).cdf).pvalue < 1e-6


@pytest.mark.parametrize(("gamma", "gain"), [(0.95, -0.6037321), (0.99, -0.6152513)])
def test_scalar_regulator(gamma, gain):
    """A = B = Q = R = 1; from the discounted Riccati equation, to one in the last digit given.

    Iterated in 30 digits the second is -0.61525124566.
    """
    best = optimal_regulator(make_problem("lqg", gamma=gamma))
    assert best.gain[0, 0] == pytest.approx(gain, abs=1e-7)
    if gamma == 0.99:
        assert best.gain[0, 0] == pytest.approx(-0.61525124566301, rel=1e-12)
    if gamma == 0.95:
        assert best.P[0, 0] == pytest.approx(1.6037321, abs=5e-8)
    # P solves P = Q + γA²P - (γABP)²/(R + γB²P).
    P = best.P[0, 0]
    assert pytest.approx(1 + gamma * P - (gamma * P) ** 2 / (1 + gamma * P), rel=1e-12) == P


def test_the_optimal_gain_depends_on_the_ratio_of_costs_alone():
    one, twice, other = (
        optimal_regulator(make_problem("lqg", Q=Q, R=R)).gain[0, 0]
        for Q, R in ((1.0, 1.0), (7.0, 7.0), (7.0, 1.0))
    )
    assert twice == pytest.approx(one, rel=1e-12)
    assert abs(other - one) > 0.1
