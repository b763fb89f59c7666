"""Values bootstrapped wrongly, and sums that do not stop where an episode does."""

import numpy as np

from pgbench.batch import Batch
from pgbench.estimators import Tables
from pgbench.estimators.estimator import FloatArray, noisy_critic, td_error
from pgbench.exact.truth import Truth
from pgbench.zoo.bug import table_bug, weight_bug

_NOISE, _LAMBDA = 0.5, 0.95


def _without_gamma(truth: Truth) -> Tables:
    """GAE whose TD errors are summed with decay λ."""
    sigma = td_error(truth, noisy_critic(truth, _NOISE))
    return Tables.build(truth.process, sigma=sigma, kappa=_LAMBDA, delta=truth.mdp.gamma)


gae_without_gamma = table_bug(
    "gae_without_gamma",
    _without_gamma,
    claims="gae",
    given={"lam": _LAMBDA, "critic_noise": _NOISE},
    mistake="TD errors are summed with decay λ, not γλ",
    source="a factor lost from Schulman et al. 2016, eq. 16",
)


def _undiscounted_value(truth: Truth) -> Tables:
    """r + v(s') - v(s)."""
    v = truth.v
    sigma = truth.mdp.reward + v[truth.mdp.successor] - v[:, None, None]
    return Tables.build(truth.process, sigma=sigma, delta=truth.mdp.gamma)


td_without_gamma = table_bug(
    "td_without_gamma",
    _undiscounted_value,
    claims="td",
    mistake="the value of the next state is not multiplied by γ",
    source="a factor lost from the TD error",
)


def _ends_at(truth: Truth, value: float) -> FloatArray:
    """TD errors with a value for terminal states."""
    return td_error(truth, np.where(truth.mdp.terminal, value, truth.v))


def _terminal(truth: Truth) -> Tables:
    """TD error with the mean value of all states for a terminal one."""
    value = float(truth.v[~truth.mdp.terminal].mean())
    return Tables.build(truth.process, sigma=_ends_at(truth, value), delta=truth.mdp.gamma)


terminal_state_has_value = table_bug(
    "terminal_state_has_value",
    _terminal,
    claims="td",
    mistake="the last step bootstraps from a terminal state, at whatever a network says of it",
    source="a missing (1 - done)",
)


def _reset(truth: Truth) -> Tables:
    """GAE with the value of a start state for a terminal one."""
    mdp = truth.mdp
    sigma = _ends_at(truth, float(mdp.mu0 @ truth.v))
    return Tables.build(truth.process, sigma=sigma, kappa=mdp.gamma * _LAMBDA, delta=mdp.gamma)


bootstraps_from_reset_state = table_bug(
    "bootstraps_from_reset_state",
    _reset,
    claims="gae",
    given={"lam": _LAMBDA},
    mistake="the last step bootstraps from the start of the next episode",
    source="environments that reset themselves: openai/gym, issue 3177; hill-a/stable-baselines,"
    " issue 245",
)


def _limit_is_terminal(batch: Batch, truth: Truth) -> FloatArray:
    """GAE whose last TD error has no value of the state after it."""
    gamma, following = truth.mdp.gamma, batch.next_value(truth.v)
    last = np.arange(batch.shape[2]) == batch.lengths[:, :, None] - 1
    following[last] = 0.0
    error = batch.rewards + gamma * following - batch.value(truth.v)
    return batch.discounts() * batch.backward(error, gamma * _LAMBDA)


time_limit_as_terminal = weight_bug(
    "time_limit_as_terminal",
    _limit_is_terminal,
    claims="gae",
    given={"lam": _LAMBDA},
    mistake="a rollout that is cut off counts as ended: nothing is bootstrapped after it",
    source="Pardo, Tavakoli, Levdik & Kormushev 2018; Toni-SM/skrl, issue 449; vwxyzjn/cleanrl,"
    " issue 198",
)


def _leaking(batch: Batch, truth: Truth) -> FloatArray:
    """Reward-to-go that runs on into the next trajectory of the batch."""
    gamma, total = truth.mdp.gamma, batch.to_go.copy()
    left = batch.lengths[:, :, None] - np.arange(batch.shape[2])
    for i in range(batch.shape[1] - 2, -1, -1):
        further = gamma ** np.maximum(left[:, i], 0) * total[:, i + 1, :1]
        total[:, i] += np.where(batch.mask[:, i], further, 0.0)
    return batch.discounts() * total


returns_leak_across_episodes = weight_bug(
    "returns_leak_across_episodes",
    _leaking,
    fewest=2,
    claims="reward_to_go",
    mistake="rewards to go of a flattened batch run on into the next episode",
    source="Toni-SM/skrl, issue 449",
)
