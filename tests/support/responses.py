"""Token sequences as small problems, outcome weights, and their moments by listing all batches."""

from collections.abc import Callable
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from pgbench.exact import Truth
from pgbench.exact.finite.tallies import Looks
from pgbench.problems import FiniteMDP
from pgbench.process.process import Process
from pgbench.process.responses import Responses, Weights
from pgbench.rollout.enumeration import trajectories


def tokens(
    length: int = 2,
    vocabulary: int = 2,
    modulus: int = 2,
    starts: tuple[int, ...] = (0, 1),
    merged: bool = False,
    cost: float = 0.0,
    said: bool = True,
) -> FiniteMDP:
    """Responses that are right if prompt and tokens sum to 0; the last action ends a response.

    States are (prompt, tokens so far), or merged (prompt, sum, position). Three terminal states:
    right, wrong, and cut by the limit.
    """
    K, levels = vocabulary, []
    for start in starts:
        sums = np.array([start % modulus])
        for _ in range(length):
            levels.append(sums)
            after = (sums[:, None] + np.arange(K)) % modulus
            sums = np.arange(modulus) if merged else after.ravel()
    sizes = np.array([level.size for level in levels])
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    S = int(offsets[-1])
    successor = np.full((S + 3, K + 1, 1), S)
    reward = np.full((S + 3, K + 1, 1), -cost)
    for i, sums in enumerate(levels):
        own = np.arange(offsets[i], offsets[i + 1])
        after = (sums[:, None] + np.arange(K)) % modulus
        place = after if merged else np.arange(after.size).reshape(after.shape)
        last = (i + 1) % length == 0
        successor[own, :K, 0] = S + 2 if last else offsets[i + 1] + place
        successor[own, K, 0] = np.where(sums == 0, S, S + 1)
        reward[own, K, 0] += sums == 0
    mu0 = np.zeros(S + 3)
    mu0[offsets[np.arange(len(starts)) * length]] = np.arange(1.0, len(starts) + 1)
    terminal = np.arange(S + 3) >= S
    outcomes = np.zeros((S + 3, 2))
    outcomes[S:] = [[1, 1], [0, 1], [0, 0]]
    return FiniteMDP(
        successor,
        np.ones((S + 3, K + 1, 1)),
        reward,
        mu0 / mu0.sum(),
        1.0,
        terminal,
        outcomes=outcomes if said else None,
        truncated=np.arange(S + 3) == S + 2 if said else None,
    )


def centred(r: Responses) -> Any:
    """R less the group's mean."""
    return (r.returns - r.returns.mean(axis=-1, keepdims=True)) / r.returns[0].size


def left_out(r: Responses) -> Any:
    """R less the mean of the group's others."""
    G = r.returns.shape[-1]
    return centred(r) * G / (G - 1)


def scaled(r: Responses) -> Any:
    """Over the group's deviation."""
    return centred(r) / (r.returns.std(axis=-1, keepdims=True) + 0.1)


def per_token(r: Responses) -> Any:
    """Over the response's own length."""
    return centred(r) / r.lengths


def token_mean(r: Responses) -> Any:
    """Summed over tokens, and divided by all tokens of the group."""
    P, G = r.returns.shape[-2:]
    return centred(r) * P * G / r.lengths.sum(axis=-1, keepdims=True) / P


def batch_token_mean(r: Responses) -> Any:
    """Divided by all tokens of the batch."""
    return centred(r) * r.returns[0].size / r.lengths.sum(axis=(-2, -1), keepdims=True)


def length_weighted(r: Responses) -> Any:
    """R less the mean of R over the group's tokens."""
    b = (r.lengths * r.returns).sum(axis=-1) / r.lengths.sum(axis=-1)
    return (r.returns - b[..., None]) / r.returns[0].size


def batch_standardised(r: Responses) -> Any:
    """R less the batch's mean, over its deviation."""
    mean = r.returns.mean(axis=(-2, -1), keepdims=True)
    deviation = r.returns.std(axis=(-2, -1), keepdims=True)
    return (r.returns - mean) / (deviation + 0.1) / r.returns[0].size


def best_of_two(r: Responses) -> Any:
    """Counts of pairs of the group with a success, with this response and without."""
    wins = (r.returns > 0.5).sum(axis=-1, keepdims=True)
    own = r.returns > 0.5
    return np.where(own, r.returns.shape[-1] - wins + 1.0, -wins) / r.returns[0].size


def uncut(r: Responses) -> Any:
    """R less the group's mean, where no limit cut the response."""
    return np.where(r.truncated, 0.0, centred(r))


def said(r: Responses) -> Any:
    """What is said of a response less the group's mean, a bonus for short ones."""
    value = r.outcomes @ [1.0, 0.3] + 0.2 * (r.limit - r.lengths) / r.limit
    rest = r.outcomes @ [1.0, 0.3]
    return (value - rest.mean(axis=-1, keepdims=True)) / value[0].size


KEY = Looks(key=("returns",))
LENGTHS = Looks(key=("returns",), sums=("lengths",))


class Case(NamedTuple):
    """A weight and what it looks at."""

    weights: Weights
    looks: Looks


CASES = {
    "centred": Case(centred, KEY),
    "centred by sums": Case(centred, Looks(sums=("returns",))),
    "left out": Case(left_out, KEY),
    "scaled": Case(scaled, KEY),
    "per token": Case(per_token, KEY),
    "token mean": Case(token_mean, LENGTHS),
    "length weighted": Case(
        length_weighted, Looks(key=("returns",), sums=("lengths",), apart=True)
    ),
    "best of two": Case(best_of_two, KEY),
    "uncut": Case(uncut, KEY),
}
"""Weights that look at their group."""

BATCHES = {
    "batch token mean": Case(
        batch_token_mean,
        Looks(key=("returns",), sums=("lengths",), beyond=Looks(sums=("lengths",))),
    ),
    "batch standardised": Case(batch_standardised, Looks(key=("returns",), beyond=KEY)),
}
"""Weights that look at the whole batch."""

SAID = Case(said, Looks(key=("outcomes",)))
"""A weight of what the problem says of responses."""


class Listed(NamedTuple):
    """All responses of a process: what came of them, chances and starts, score sums (F, n, d)."""

    classes: Responses
    chance: np.ndarray
    start: np.ndarray
    scores: np.ndarray


def listed(truth: Truth, process: Process, horizon: int, factors: np.ndarray) -> Listed:
    """Every trajectory, one after another."""
    mdp, A = process.mdp, process.mdp.n_actions
    score = truth.policy.scores(truth.theta).reshape(-1, truth.theta.size)
    rows, chances, starts, sums = [], [], [], []
    for chance, pairs, slots in trajectories(process, horizon):
        last = mdp.successor.ravel()[slots[-1]]
        paid = sum(mdp.gamma**t * mdp.reward.ravel()[slot] for t, slot in enumerate(slots))
        cut = not mdp.terminal[last] or (mdp.truncated is not None and mdp.truncated[last])
        rows.append((paid, len(pairs), cut, last))
        chances.append(chance)
        starts.append(pairs[0] // A)
        sums.append([factor.ravel()[pairs] @ score[pairs] for factor in factors])
    returns, lengths, cut, last = map(np.array, zip(*rows, strict=True))
    outcomes = None if mdp.outcomes is None else mdp.outcomes[last]
    classes = Responses(returns, lengths.astype(float), cut, outcomes, horizon)
    return Listed(classes, np.array(chances), np.array(starts), np.moveaxis(np.array(sums), 1, 0))


def listed_moments(
    truth: Truth,
    horizon: int,
    weights: Weights,
    *,
    group_size: int | None,
    batch_size: int,
    keep: Callable[[Responses], Any] | None = None,
    process: Process | None = None,
    factor: np.ndarray | None = None,
    channel: Callable[[Responses, Any], Any] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of ĝ, summed over all batches of responses that there are."""
    process = process or truth.process
    factors = np.ones((1, *truth.pi.shape)) if factor is None else factor
    every = listed(truth, process, horizon, factors.reshape(-1, *truth.pi.shape))
    G = group_size or batch_size
    states = np.unique(every.start) if group_size else [None]
    mu = process.mdp.mu0
    groups, chances = [], []
    for state in states:
        own = np.flatnonzero(every.start == state) if group_size else np.arange(every.start.size)
        given = mu[state] if group_size else 1.0
        for group in product(own, repeat=G):
            groups.append(group)
            chances.append(given * np.prod(every.chance[list(group)] / given))
    chance, batches = np.array(chances), np.array(groups)[:, None]

    def responses(rows: np.ndarray) -> Responses:
        c = every.classes
        said = None if c.outcomes is None else c.outcomes[rows]
        return Responses(c.returns[rows], c.lengths[rows], c.truncated[rows], said, c.limit)

    if keep is not None:
        kept = keep(responses(batches))[:, 0]
        batches, chance = batches[kept], chance[kept] / chance[kept].sum()
    single, p = batches, chance
    for _ in range(batch_size // G - 1):
        pairs = np.array(list(product(range(len(batches)), range(len(single)))))
        batches = np.concatenate([batches[pairs[:, 0]], single[pairs[:, 1]]], axis=1)
        chance = chance[pairs[:, 0]] * p[pairs[:, 1]]
    seen = responses(batches)
    w = weights(seen)
    takes = np.zeros(w.shape, int) if channel is None else channel(seen, w)
    g = (w[..., None] * every.scores[takes, batches]).sum(axis=(1, 2))
    mean = chance @ g
    return mean, chance @ (g - mean) ** 2
