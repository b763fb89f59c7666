"""Actor-critic step by step: actor and critic are updated at every step of every rollout.

One xoshiro256++ generator per rollout, placed as those of ``streams``; the counter is (k, r, 1, 0)
for rollout k of replicate r. Logits and the critic are linear in features that may lie in a part of
the parameters of their own for every state, so that tables are the special case of unit features.
"""

from typing import NamedTuple

import numpy as np
from numba import uint64

from pgbench.kernels.copying import copy_to
from pgbench.kernels.driven import outcome
from pgbench.kernels.jit import parallel_kernel, part
from pgbench.kernels.partition import spans
from pgbench.kernels.streams import next_word, seed_state

SARSA, TD, MONTE_CARLO = 0, 1, 2


class Environment(NamedTuple):
    """The problem as the loop reads it.

    start (S,) and moves (S, A, B), distribution functions as of ``driven``; successor (S, A, B),
    reward (S, A, B), terminal (S,), and γ.
    """

    start: np.ndarray
    moves: np.ndarray
    successor: np.ndarray
    reward: np.ndarray
    terminal: np.ndarray
    gamma: float


class Linear(NamedTuple):
    """Features (S or 1, A, k) float64, and where the parameters of a state begin: (S,) int64.

    ``exists`` (S, A) bool says which actions a state has; of a critic it is not read.
    """

    features: np.ndarray
    begin: np.ndarray
    exists: np.ndarray


@part
def _uniform(state):
    """The next number in [0, 1) of a generator's state (4,) uint64."""
    return float(next_word(state) >> uint64(11)) * 2.0**-53


@part
def _value(linear, weights, s, a):
    row = linear.features[0 if linear.features.shape[0] == 1 else s, a]
    begin, total = linear.begin[s], 0.0
    for j in range(row.size):
        total += row[j] * weights[begin + j]
    return total


@part
def _add_value_gradient(linear, weights, s, a, step):
    row = linear.features[0 if linear.features.shape[0] == 1 else s, a]
    begin = linear.begin[s]
    for j in range(row.size):
        weights[begin + j] += step * row[j]


@part
def _probabilities(linear, theta, s, p):
    """π(s, ·) into p (A,)."""
    largest = -np.inf
    for a in range(p.size):
        p[a] = _value(linear, theta, s, a) if linear.exists[s, a] else -np.inf
        largest = max(largest, p[a])
    total = 0.0
    for a in range(p.size):
        p[a] = np.exp(p[a] - largest)
        total += p[a]
    for a in range(p.size):
        p[a] /= total


@part
def _act(p, u):
    """An action from π(s, ·), never one of probability 0."""
    last, total = 0, 0.0
    for a in range(p.size):
        if p[a] > 0.0:
            last = a
            total += p[a]
            if u < total:
                return a
    return last


@part
def _add_score(linear, theta, s, a, p, step):
    """θ += step ∇ log π(a|s)."""
    if step == 0.0:
        return
    for b in range(p.size):
        _add_value_gradient(linear, theta, s, b, step * ((1.0 if a == b else 0.0) - p[b]))


@part
def _finite(x):
    """Whether all numbers are finite: 0·∞ and 0·NaN are NaN."""
    total = 0.0
    for value in x:
        total += value * 0.0
    return total == 0.0


def actor_critic(
    environment, actor, critic, kind, discounted, horizon, seed, stream, first, actor_steps,
    critic_steps, theta, w, stopped, taken,
) -> None:  # fmt: skip
    """Rollouts ``first``, ``first + 1``, ... of every replicate.

    Parameters
    ----------
    environment, actor, critic
        The problem, and what π and the critic are linear in.
    kind
        SARSA: w += α_w (r + γQ' - Q)∇Q, θ += α γ^t Q ψ, the actor with the older w; TD: V in place
        of Q, and the actor takes the TD error; MONTE_CARLO: after the rollout, at every step in
        order, with G - V in place of the TD error.
    discounted
        Whether the actor's steps carry γ^t.
    actor_steps, critic_steps
        (K,) float64, step sizes α and α_w of the K rollouts.
    theta, w
        (m, d), (m, k) float64, changed in place.
    stopped
        (m,) int64, -1 or the rollout in which a number ceased to be finite, which is undone.
    taken
        (m,) int64, receives the environment steps.
    """
    _actor_critic_span(
        spans(len(theta)),
        environment, actor, critic, kind, discounted, horizon, seed, stream, first, actor_steps,
        critic_steps, theta, w, stopped, taken,
    )  # fmt: skip


@parallel_kernel
def _actor_critic_span(
    environment, actor, critic, kind, discounted, horizon, seed, stream, first, actor_steps,
    critic_steps, theta, w, stopped, taken, begin, end,
):  # fmt: skip
    gamma, A = environment.gamma, environment.moves.shape[1]
    for r in range(begin, end):
        taken[r] = 0
        p, state = np.empty(A), np.empty(4, np.uint64)
        states, actions = np.empty((2, horizon), np.int64)
        rewards = np.empty(horizon)
        own, value = theta[r], w[r]
        for i in range(actor_steps.size):
            if stopped[r] >= 0:
                break
            kept, kept_value = own.copy(), value.copy()
            alpha, beta = actor_steps[i], critic_steps[i]
            seed_state(state, seed, stream, r, first + i, 1)
            s = outcome(environment.start, _uniform(state))
            _probabilities(actor, own, s, p)
            a = _act(p, _uniform(state))
            carry, t, estimate = 1.0, 0, 0.0
            while t < horizon:
                slot = outcome(environment.moves[s, a], _uniform(state))
                after, reward = environment.successor[s, a, slot], environment.reward[s, a, slot]
                ended = environment.terminal[after]
                states[t], actions[t], rewards[t] = s, a, reward
                t += 1
                if kind == TD:
                    error = reward - _value(critic, value, s, 0)
                    if not ended:
                        error += gamma * _value(critic, value, after, 0)
                    _add_value_gradient(critic, value, s, 0, beta * error)
                    _add_score(actor, own, s, a, p, alpha * carry * error)
                elif kind == SARSA:
                    estimate = _value(critic, value, s, a)
                    _add_score(actor, own, s, a, p, alpha * carry * estimate)
                if ended:
                    if kind == SARSA:
                        _add_value_gradient(critic, value, s, a, beta * (reward - estimate))
                    break
                _probabilities(actor, own, after, p)
                following = _act(p, _uniform(state))
                if kind == SARSA:
                    error = reward + gamma * _value(critic, value, after, following) - estimate
                    _add_value_gradient(critic, value, s, a, beta * error)
                if discounted:
                    carry *= gamma
                s, a = after, following
            if kind == MONTE_CARLO:
                for j in range(t - 2, -1, -1):
                    rewards[j] += gamma * rewards[j + 1]
                carry = 1.0
                for j in range(t):
                    s, a = states[j], actions[j]
                    error = rewards[j] - _value(critic, value, s, 0)
                    _add_value_gradient(critic, value, s, 0, beta * error)
                    _probabilities(actor, own, s, p)
                    _add_score(actor, own, s, a, p, alpha * carry * error)
                    if discounted:
                        carry *= gamma
            taken[r] += t
            if not (_finite(own) and _finite(value)):
                copy_to(own, kept)
                copy_to(value, kept_value)
                stopped[r] = first + i
