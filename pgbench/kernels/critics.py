"""Temporal-difference learning, step by step along trajectories.

    w += α (r + γ q_w(following) - q_w(index)) φ(index),   q_w = φ·w

``index`` says which entry (a state, or a pair) a step updates and ``following`` which one it
bootstraps from: -1 from nothing, for an episode has ended; -2 leaves the step out.
"""

from pgbench.kernels.jit import parallel_kernel
from pgbench.kernels.partition import spans

NOTHING, LEFT_OUT = -1, -2


def tabular(index, following, rewards, lengths, gamma, step, values) -> None:
    """Learn a table of values (m, entries) from (m, n, T) steps, one replicate after another."""
    _tabular_span(spans(len(index)), index, following, rewards, lengths, gamma, step, values)


@parallel_kernel
def _tabular_span(index, following, rewards, lengths, gamma, step, values, begin, end):
    n = index.shape[1]
    for r in range(begin, end):
        for i in range(n):
            for t in range(lengths[r, i]):
                after = following[r, i, t]
                if after == LEFT_OUT:
                    continue
                target = rewards[r, i, t]
                if after != NOTHING:
                    target += gamma * values[r, after]
                entry = index[r, i, t]
                values[r, entry] += step * (target - values[r, entry])


def linear(index, following, rewards, lengths, features, gamma, step, weights) -> None:
    """Learn weights (m, k) of features (entries, k)."""
    own = index, following, rewards, lengths, features, gamma, step, weights
    _linear_span(spans(len(index)), *own)


@parallel_kernel
def _linear_span(index, following, rewards, lengths, features, gamma, step, weights, begin, end):
    n, k = index.shape[1], features.shape[1]
    for r in range(begin, end):
        for i in range(n):
            for t in range(lengths[r, i]):
                after = following[r, i, t]
                if after == LEFT_OUT:
                    continue
                error = rewards[r, i, t]
                for j in range(k):
                    if after != NOTHING:
                        error += gamma * features[after, j] * weights[r, j]
                    error -= features[index[r, i, t], j] * weights[r, j]
                for j in range(k):
                    weights[r, j] += step * error * features[index[r, i, t], j]
