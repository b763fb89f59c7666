"""The compiled actor-critic against the same in plain Python, number by number."""

import numpy as np
import pytest

from pgbench.ascent.sources import Numbers
from pgbench.kernels.driven import cumulative
from pgbench.kernels.reference import philox4x64, xoshiro256pp
from pgbench.policies import NotApplicable, make_policy
from pgbench.problems import make_problem
from tests.support.ascents import ascend
from tests.support.truths import make_kind

SEED, STREAM, HORIZON = 3, 5, 20


def pick(distribution, u):
    return int(np.argmax(u < distribution))


def plain(mdp, policy, theta, kind, rollouts, r, alpha, beta, discounted, rows):
    """One replicate, written from the definition with the policy's own scores."""
    key = (SEED, Numbers(HORIZON, SEED, STREAM).at(0, "online"))
    start, moves = cumulative(mdp.mu0), cumulative(mdp.probability)
    S, A = mdp.n_states, mdp.n_actions
    theta, w, taken = theta.copy(), np.zeros((S, A) if kind == "sarsa" else S), 0
    w = np.zeros(1) if rows == "constant" else w

    def v(s):
        return w[0] if rows == "constant" else w[s]

    def learn(s, step):
        w[0 if rows == "constant" else s] += step

    def psi(s, a):
        table = np.zeros((S, A))
        table[s, a] = 1.0
        return policy.pull_back(theta, table)

    for k in range(rollouts):
        generator = list(philox4x64((k, r, 1, 0), key))

        def uniform(generator=generator):
            return (xoshiro256pp(generator) >> 11) * 2.0**-53

        s = pick(start, uniform())
        a = pick(np.cumsum(policy.probabilities(theta)[s]), uniform())
        path, carry = [], 1.0
        for _ in range(HORIZON):
            slot = pick(moves[s, a], uniform())
            after, reward = mdp.successor[s, a, slot], mdp.reward[s, a, slot]
            ended, taken = mdp.terminal[after], taken + 1
            path.append((s, a, reward))
            score = psi(s, a)
            if kind == "td":
                error = reward + (0 if ended else mdp.gamma * v(after)) - v(s)
                learn(s, beta * error)
                theta += alpha * carry * error * score
            if kind == "sarsa":
                old = w[s, a]
                theta += alpha * carry * old * score
            if ended:
                if kind == "sarsa":
                    w[s, a] += beta * (reward - old)
                break
            following = pick(np.cumsum(policy.probabilities(theta)[after]), uniform())
            if kind == "sarsa":
                w[s, a] += beta * (reward + mdp.gamma * w[after, following] - old)
            carry *= mdp.gamma if discounted else 1.0
            s, a = after, following
        if kind == "monte_carlo":
            carry = 1.0
            for t, (s, a, _) in enumerate(path):
                G = sum(mdp.gamma**j * reward for j, (_, _, reward) in enumerate(path[t:]))
                error = G - v(s)
                learn(s, beta * error)
                theta += alpha * carry * error * psi(s, a)
                carry *= mdp.gamma if discounted else 1.0
    return theta, taken


@pytest.mark.parametrize("critic", ["sarsa", "td", "monte_carlo"])
@pytest.mark.parametrize("discounted", [True, False])
@pytest.mark.parametrize(
    ("problem", "kind"),
    [("riverswim", "softmax"), ("corridor", "loglinear"), ("sign_flip", "softmax")],
)
def test_every_number_is_that_of_the_definition(problem, kind, critic, discounted):
    mdp = make_problem(problem)
    policy = make_policy(kind, mdp)
    theta = policy.initial(seed=2)
    trace = ascend(
        mdp, policy, theta, "actor_critic", step=0.05, steps=15, horizon=HORIZON, replicates=2,
        critic=critic, critic_step=0.2, discounted=discounted,
    )  # fmt: skip
    for r in range(2):
        expected, taken = plain(mdp, policy, theta, critic, 15, r, 0.05, 0.2, discounted, "table")
        np.testing.assert_allclose(trace.theta[r], expected, rtol=1e-11, atol=1e-12)
        assert trace.environment_steps[r, -1] == taken


def test_one_number_for_all_states():
    mdp = make_problem("corridor")
    policy = make_policy("loglinear", mdp)
    theta = policy.initial(init="zeros")
    trace = ascend(
        mdp, policy, theta, "actor_critic", step=0.01, steps=10, horizon=HORIZON, replicates=1,
        critic="monte_carlo", critic_step=0.1, features="constant",
    )  # fmt: skip
    expected, _ = plain(mdp, policy, theta, "monte_carlo", 10, 0, 0.01, 0.1, True, "constant")
    np.testing.assert_allclose(trace.theta[0], expected, rtol=1e-11)


def test_step_sizes_may_fall():
    """Where the critic does not move the actor of SARSA, which begins at Q = 0, does not either."""
    mdp = make_problem("riverswim")
    policy = make_policy("softmax", mdp)
    still = ascend(mdp, policy, algorithm="actor_critic", critic_step=0.0, steps=5)
    np.testing.assert_array_equal(still.theta, 0)
    fast = ascend(mdp, policy, algorithm="actor_critic", critic_step=0.5, steps=50)
    slow = ascend(
        mdp, policy, algorithm="actor_critic", critic_step=0.5, critic_power=3.0, steps=50
    )
    assert np.linalg.norm(slow.theta) < np.linalg.norm(fast.theta)


def test_divergence_is_recorded_where_it_happens():
    """A step of 100 is beyond 2/(1-γ), where even a state that follows itself is unstable."""
    mdp = make_problem("riverswim")
    policy = make_policy("softmax", mdp)
    trace = ascend(mdp, policy, algorithm="actor_critic", critic_step=100.0, step=1e-3, steps=400)
    assert (trace.stopped > 0).all()
    assert np.isfinite(trace.theta).all()
    for r, stopped in enumerate(trace.stopped):
        before = trace.steps <= stopped
        assert np.isfinite(trace.objective[r, before]).all()
        assert np.isnan(trace.objective[r, ~before]).all()


@pytest.mark.parametrize(
    ("kind", "rule", "given", "words"),
    [
        ("direct", "constant", {}, "compiled for softmax and log-linear"),
        ("softmax", "kl", {}, "constant or decaying step sizes"),
        ("softmax", "constant", {"features": "own"}, "no features of its own"),
    ],
)
def test_refusals(kind, rule, given, words):
    mdp = make_problem("riverswim")
    with pytest.raises(NotApplicable, match=words):
        ascend(
            mdp, make_kind(kind, mdp), algorithm="actor_critic", critic_step=0.1, rule=rule, **given
        )
