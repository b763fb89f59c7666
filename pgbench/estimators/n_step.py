"""n-step advantages: n rewards, then the critic."""

from typing import Annotated

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.parameters import Range
from pgbench.estimators.parts.estimator import (
    EVERYWHERE,
    BatchEstimator,
    CriticNoise,
    Discounted,
    Exact,
    noisy_critic,
    step_discount,
    step_power,
    td_error,
)
from pgbench.estimators.td import bias as td_bias
from pgbench.exact.finite.horizon import occupancies
from pgbench.exact.linear_quadratic import QuadraticTruth
from pgbench.exact.linear_quadratic.values import finite_sums, following, mean_over_actions
from pgbench.exact.truth import Truth
from pgbench.rollout.simulator import Simulator

N = Annotated[
    int, Range(1), "rewards that are waited for; trades bias for variance where v is not exact"
]


def estimate(
    simulator: Simulator,
    *,
    n: N = 5,
    critic_noise: CriticNoise = 0.0,
    discounted: Discounted = True,
) -> FloatArray:
    """n rewards and γ^n v(s_{t+n}) less v(s_t), times each score; v exact unless critic_noise > 0.

    With an exact critic n changes the variance alone, with a noisy one it trades bias for variance.
    Where fewer than n steps are left the value of the state after the last one takes over; it is 0
    where the episode has ended.
    """
    truth, batch = simulator.truth, simulator.batch()
    gamma, v = truth.mdp.gamma, noisy_critic(truth, critic_noise)
    advantage = batch.backward(batch.td_errors(v), gamma)
    later = advantage[:, :, n:].copy()
    advantage[:, :, : later.shape[2]] -= gamma**n * later
    discounts = batch.discounts(step_discount(truth, discounted))
    return simulator.pull_back(batch.tables(discounts * advantage))


def moments(
    truth: Truth, horizon: int, batch_size: float, *, n: int, critic_noise: float, discounted: bool
) -> Exact:
    """The mean: expected advantages of min(n, H-t) steps at the states of every step t."""
    if isinstance(truth, QuadraticTruth):
        return Exact(_quadratic_mean(truth, horizon, n, critic_noise, discounted))
    mdp, pi = truth.mdp, truth.pi
    error = (mdp.probability * td_error(truth, noisy_critic(truth, critic_noise))).sum(axis=2)
    error[mdp.terminal] = 0.0
    longest = min(n, horizon)
    advantages = [error]
    while len(advantages) < longest:
        following = mdp.transitions @ (pi * advantages[-1]).sum(axis=1)
        advantages.append(error + mdp.gamma * following.reshape(pi.shape))
    weights = np.zeros(pi.shape)
    visits = occupancies(mdp, pi, step_discount(truth, discounted))
    for t in range(horizon):
        weights += next(visits)[:, None] * pi * advantages[min(longest, horizon - t) - 1]
    return Exact(truth.policy.pull_back(truth.theta, weights))


def _quadratic_mean(
    truth: QuadraticTruth, horizon: int, n: int, critic_noise: float, discounted: bool
) -> FloatArray:
    mdp, law = truth.mdp, truth.pi
    step = td_error(truth, noisy_critic(truth, critic_noise))
    error = step.here + following(mdp, step.after)
    advantages = [error]
    while len(advantages) < min(n, horizon):
        later = mean_over_actions(advantages[-1], law)
        advantages.append(error + mdp.gamma * following(mdp, later))
    by_steps_to_go = [advantages[min(n, h) - 1] for h in range(1, horizon + 1)]
    delta = step_discount(truth, discounted)
    weights = finite_sums(mdp, law, by_steps_to_go, delta)[1]
    return truth.policy.pull_back(truth.theta, weights)


estimator = BatchEstimator(
    name="n_step",
    estimate=estimate,
    moments=moments,
    bias=lambda n, critic_noise, discounted: td_bias(critic_noise, discounted),
    formula=lambda n, discounted, **_: (
        rf"\sum_t {step_power(discounted)}(\sum_{{l<{n}}} \gamma^l r_{{t+l}}"
        rf" + \gamma^{{{n}}} v(s_{{t+{n}}}) - v(s_t))\,\psi_t"
    ),
    reference="Mnih et al. 2016, Algorithm S3; Sutton & Barto 2018, Section 7.1",
    cures={"critic": {"critic_noise": 0.0}, "discount": {"discounted": True}},
    on=EVERYWHERE,
    alone="",
)
