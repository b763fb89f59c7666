"""A linear critic at its fixed point in place of Q."""

from typing import Annotated

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.parameters import Choice, Range
from pgbench.estimators.parts.estimator import Discounted, TableEstimator, step_discount, step_power
from pgbench.exact.finite import fisher
from pgbench.exact.finite.horizon import truncated_visitation
from pgbench.exact.truth import Truth
from pgbench.process.tables import Tables

Critic = Annotated[
    str,
    Choice(("td", "least_squares", "compatible")),
    "fixed point of SARSA(0), least squares of Q, or least squares with the scores as features",
]


def tables(
    truth: Truth,
    horizon: int | None,
    *,
    critic: Critic = "td",
    n_features: Annotated[int, Range(1), "fixed random features of pairs; not of compatible"] = 3,
    discounted: Discounted = True,
) -> Tables:
    """Q_w(s,a) of a linear critic, at the weights to which learning would lead, times each score.

    Pairs are weighed as rollouts visit them, by Σ_t γ^t Pr(s_t, a_t). With the scores as features
    the critic's error has no say in the mean: w is (1-γ) F†∇J where the horizon is infinite.
    """
    shape = truth.mdp.n_states, truth.mdp.n_actions
    q = truth.each(lambda one: critic_values(one, horizon, critic, n_features), *shape)
    return Tables.build(truth.process, beta=-q, delta=step_discount(truth, discounted))


def critic_values(truth: Truth, horizon: int | None, critic: str, n_features: int) -> FloatArray:
    """Q_w(s, a), (S, A), at the critic's fixed point."""
    mdp = truth.mdp
    d = truth.visitation if horizon is None else truncated_visitation(mdp, truth.pi, horizon)
    if critic == "compatible":
        weights = d[:, None] * truth.pi * truth.advantage
        g = truth.policy.pull_back(truth.theta, weights)
        return truth.policy.push_forward(truth.theta, fisher.solve(truth.policy, truth.theta, d, g))
    phi = pair_features(truth, n_features).reshape(truth.pi.size, n_features)
    weighed = (d[:, None] * truth.pi).reshape(-1, 1) * phi
    if critic == "least_squares":
        w = np.linalg.lstsq(weighed.T @ phi, weighed.T @ truth.q.ravel(), rcond=None)[0]
    else:
        mean = (truth.pi[:, :, None] * phi.reshape(*truth.pi.shape, -1)).sum(axis=1)
        mean[mdp.terminal] = 0.0
        following = mdp.transitions @ mean
        A = weighed.T @ (phi - mdp.gamma * following)
        w = np.linalg.lstsq(A, weighed.T @ mdp.expected_reward.ravel(), rcond=None)[0]
    return np.asarray((phi @ w).reshape(truth.pi.shape), np.float64)


def pair_features(truth: Truth, n: int) -> FloatArray:
    """Fixed standard normal features of pairs (S, A, n)."""
    shape = truth.mdp.n_states, truth.mdp.n_actions, n
    return np.random.default_rng(19990711).standard_normal(shape)


def bias(critic: str, n_features: int, discounted: bool) -> tuple[str, ...]:
    """Causes of bias."""
    return ("critic",) * (critic != "compatible") + ("discount",) * (not discounted) + ("tail",)


estimator = TableEstimator(
    name="actor_critic",
    tables=tables,
    bias=bias,
    formula=lambda discounted, **_: rf"\sum_t {step_power(discounted)}Q_w(s_t,a_t)\,\psi_t",
    reference="Sutton, McAllester, Singh & Mansour 2000, Theorem 2; Konda & Tsitsiklis 2000",
    cures={"critic": {"critic": "compatible"}, "discount": {"discounted": True}},
    alone="",
)
