"""Values bootstrapped wrongly, and sums that do not stop where an episode does."""

import numpy as np

from pgbench.arrays import BoolArray, FloatArray
from pgbench.estimators import Tables
from pgbench.estimators.parts.estimator import CRITIC_NOISE, noisy_critic, td_error, unmasked_critic
from pgbench.exact.truth import Truth
from pgbench.process.batch import Batch
from pgbench.trials.zoo.bug import table_bug, weight_bug

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


def _last(batch: Batch) -> BoolArray:
    """Whether a step is the last one of its trajectory, (m, n, T)."""
    return np.asarray(np.arange(batch.shape[2]) == batch.lengths[:, :, None] - 1)


def _cut(batch: Batch, truth: Truth) -> BoolArray:
    """Whether a time limit came after a step, (m, n, T)."""
    return _last(batch) & ~truth.mdp.terminal[batch.successors]


def _limit_is_terminal(batch: Batch, truth: Truth) -> FloatArray:
    """GAE whose last TD error has no value of the state after it."""
    gamma, following = truth.mdp.gamma, batch.next_value(truth.v)
    following[_last(batch)] = 0.0
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


def _before_limit(batch: Batch, truth: Truth) -> FloatArray:
    """GAE that bootstraps V(s_t) for V(s_{t+1}) where a rollout is cut off."""
    gamma, v = truth.mdp.gamma, batch.value(truth.v)
    following = np.where(_cut(batch, truth), v, batch.next_value(truth.v))
    error = batch.rewards + gamma * following - v
    return batch.discounts() * batch.backward(error, gamma * _LAMBDA)


value_before_time_limit = weight_bug(
    "value_before_time_limit",
    _before_limit,
    claims="gae",
    given={"lam": _LAMBDA},
    mistake="where a rollout is cut off the state before the last step is bootstrapped from, not"
    " the one after it",
    source="DexForce/EmbodiChain, issue 612",
)


def _twice(batch: Batch, truth: Truth) -> FloatArray:
    """GAE whose sum begins at V of the state after the last step, which δ has already."""
    decay = truth.mdp.gamma * _LAMBDA
    error = batch.td_errors(truth.v)
    error += decay * np.where(_last(batch), batch.next_value(truth.v), 0.0)
    return batch.discounts() * batch.backward(error, decay)


bootstrapped_twice = weight_bug(
    "bootstrapped_twice",
    _twice,
    claims="gae",
    given={"lam": _LAMBDA},
    mistake="the value after a time limit is in the last TD error, and once more in the sum",
    source="simonsays1980/rl-triton, issue 4",
)


def _next_flag(batch: Batch, truth: Truth) -> FloatArray:
    """GAE that ends where the step after is the last one."""
    gamma, live = truth.mdp.gamma, np.ones(batch.shape)
    live[:, :, :-1] = ~_last(batch)[:, :, 1:]
    error = batch.rewards + gamma * live * batch.next_value(truth.v) - batch.value(truth.v)
    return batch.discounts() * batch.backward(error, gamma * _LAMBDA * live)


done_of_next_step = weight_bug(
    "done_of_next_step",
    _next_flag,
    claims="gae",
    given={"lam": _LAMBDA},
    mistake="the flag of step t + 1 ends the sum at step t, so the last step is left out of it",
    source="rlevo, issue 342",
)


def _no_done(batch: Batch, truth: Truth) -> FloatArray:
    """GAE with a critic that has a value for terminal states."""
    error = batch.td_errors(unmasked_critic(truth))
    return batch.discounts() * batch.backward(error, truth.mdp.gamma * _LAMBDA)


done_missing = weight_bug(
    "done_missing",
    _no_done,
    claims="gae",
    given={"lam": _LAMBDA, "critic_noise": CRITIC_NOISE},
    mistake="TD errors lack (1 - done): what a critic says of terminal states is bootstrapped",
    source="thu-ml/tianshou, issue 869",
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
