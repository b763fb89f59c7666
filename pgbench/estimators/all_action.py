"""All actions of every visited state, each with its probability: no sampling of actions."""

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.estimators.parts.estimator import (
    BatchEstimator,
    CriticNoise,
    Discounted,
    Exact,
    noisy_critic,
    step_discount,
    step_power,
)
from pgbench.estimators.td import bias
from pgbench.exact.finite.scores import state_gradients
from pgbench.exact.finite.values import action_values
from pgbench.exact.finite.visits import reward_variance, visit_variance
from pgbench.exact.finite.walk import Walk
from pgbench.exact.remember import remembered
from pgbench.exact.table_moments import TooLarge
from pgbench.exact.truth import Truth
from pgbench.rollout.simulator import Simulator

ENTRIES = 2**26
"""Largest table (S, d) of the gradients of single states."""


def estimate(
    simulator: Simulator, *, critic_noise: CriticNoise = 0.0, discounted: Discounted = True
) -> FloatArray:
    """Σ_a π(a|s_t) Q(s_t,a) ψ(s_t,a) of every step, with exact Q or that of a noisy critic.

    With noise Q is r(s,a) + γ E[v(s')] of the critic v. Actions are still drawn, since they lead
    from state to state, but add nothing to the variance of a step.
    """
    truth = simulator.truth
    weights = simulator.once("weights", lambda: weights_of_actions(truth, critic_noise))
    batch = simulator.batch()
    visits = batch.state_tables(batch.discounts(step_discount(truth, discounted)))
    return simulator.pull_back(visits[:, :, None] * weights)


def weights_of_actions(truth: Truth, critic_noise: float) -> FloatArray:
    """``action_weights`` (S, A) of a policy, or (m, S, A) of each of several."""
    shape = truth.mdp.n_states, truth.mdp.n_actions
    return np.asarray(truth.each(lambda one: action_weights(one, critic_noise), *shape))


def action_weights(truth: Truth, critic_noise: float) -> FloatArray:
    """π(s,a) (q(s,a) - Σ_b π q(s,b)) (S, A); what is taken off adds nothing to a pull-back."""
    q = action_values(truth.mdp, noisy_critic(truth, critic_noise))
    return truth.pi * (q - (truth.pi * q).sum(axis=1, keepdims=True))


@remembered
def one_trajectory(truth: Truth, horizon: int, critic_noise: float, discounted: bool) -> Exact:
    """Exact mean and variance (d,) of one trajectory's estimate; no variance where too large."""
    weights = action_weights(truth, critic_noise)
    delta = step_discount(truth, discounted)
    visits = Walk.of(truth.mdp, truth.process.pi).forward(delta).sum(horizon)
    mean = truth.policy.pull_back(truth.theta, visits[:, None] * weights)
    try:
        return Exact(mean, _variance(truth, weights, delta, horizon))
    except TooLarge:
        return Exact(mean)


def _variance(truth: Truth, weights: FloatArray, delta: float, horizon: int) -> FloatArray:
    """Variance (d,) of reward processes whose rewards are φ_k(s) = Σ_a weights ψ_k(s,a)."""
    local = truth.policy.local_scores(truth.theta)
    if local is not None:
        # A coordinate is a multiple of the discounted visits of its one state.
        phi = np.einsum("sa,sak->sk", weights, local)
        return (phi**2 * visit_variance(truth, delta, horizon)[:, None]).ravel()
    if truth.v.size * truth.gradient.size > ENTRIES:
        raise TooLarge("too large for exact moments: more than 512 MiB of rewards")
    phi = state_gradients(truth.policy, truth.theta, weights)
    return reward_variance(truth, phi, delta, horizon)


def moments(
    truth: Truth, horizon: int, batch_size: float, *, critic_noise: float, discounted: bool
) -> Exact:
    """Mean, and 1/n of the variance of one trajectory."""
    mean, variance = one_trajectory(truth, horizon, critic_noise, discounted)
    return Exact(mean, None if variance is None else variance / batch_size)


estimator = BatchEstimator(
    name="all_action",
    estimate=estimate,
    moments=moments,
    bias=bias,
    formula=lambda discounted, **_: (
        r"\frac{1}{n}\sum_i\sum_t "
        + step_power(discounted)
        + r"\sum_a \pi(s_t,a)\,Q(s_t,a)\,\psi(s_t,a)"
    ),
    reference="Sutton, Singh & McAllester 2001; Asadi et al. 2017; Ciosek & Whiteson 2018",
    cures={"critic": {"critic_noise": 0.0}, "discount": {"discounted": True}},
    anywhere=True,
    alone="",
)
