"""Sums of scores over responses that are listed one by one, each token with a weight of its own.

``response_scores`` follows nodes, in which responses meet, and so knows nothing of a response as a
whole but its class. Where the weight of a token looks at all tokens of its response, such as the
product of their ratios, every response is gone through:

    Σ_c f(c) ∇P_c = Σ_τ P(τ) f(c(τ)) Z(τ),   Z(τ) = Σ_t u_t(τ) ψ_t

They grow in number as actions to the power of steps; what is too many is refused before it begins.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import sparse

from pgbench.arrays import BoolArray, FloatArray, IntArray
from pgbench.exact.finite.responses import Layer, Unrolled
from pgbench.exact.finite.scores import score_columns
from pgbench.exact.table_moments import SUMS_LIMIT, Size, require_fitting
from pgbench.exact.truth import Truth

COLUMN_NUMBERS = 2**23
"""Numbers that the scores of all responses may take at a time, 64 MiB."""


@dataclass(frozen=True, eq=False)
class Listed:
    """N responses of at most T steps; arrays of steps are (N, T).

    Attributes
    ----------
    start, ends
        (N,) int64, which start and which class each has.
    probability
        (N,) float64, given the start.
    states, actions
        int64, zero where no step is taken.
    taken
        bool, whether step t is taken.
    """

    start: IntArray
    ends: IntArray
    probability: FloatArray
    states: IntArray
    actions: IntArray
    taken: BoolArray


TokenWeights = Callable[[Listed], FloatArray]
"""Weights of the tokens of every response, (F, N, T), of which the response takes one of F."""


def listed(paths: Unrolled, pi: FloatArray, limit: Size = SUMS_LIMIT) -> Listed:
    """Every trajectory of a process; TooLarge where there are too many.

    Parameters
    ----------
    paths
        The trajectories as nodes.
    pi
        (S, A) float64, what draws their actions.
    limit
        Memory and operations allowed.
    """
    T, N = max(len(paths.layers) - 1, 1), number(paths)
    require_fitting(Size(N * (40.0 * T + 24), 100.0 * N * T), limit)
    node = np.arange(paths.layers[0].state.size)
    chance, steps = paths.layers[0].reach, np.zeros((2, node.size, 0), np.int64)
    found = []
    for layer in paths.layers:
        ended = layer.ends[node] >= 0
        if ended.any():
            over = steps[:, ended], chance[ended], layer.start[node[ended]], layer.ends[node[ended]]
            found.append(over)
        node, chance, steps = _further(layer, pi, node[~ended], chance[~ended], steps[:, ~ended])
    return _joined(found, T)


def number(paths: Unrolled) -> float:
    """How many trajectories there are; a float, for there may be 10^100."""
    many, total = np.ones(paths.layers[0].state.size), 0.0
    for layer, after in pairwise(paths.layers):
        total += float(many[layer.ends >= 0].sum())
        moves, actions = layer.moves.tocoo(), layer.moves.shape[0] // layer.state.size
        many = np.asarray(np.bincount(moves.col, many[moves.row // actions], after.state.size))
    return total + float(many.sum())


def _further(
    layer: Layer, pi: FloatArray, node: IntArray, chance: FloatArray, steps: IntArray
) -> tuple[IntArray, FloatArray, IntArray]:
    """Nodes (n',), probabilities (n',) and steps (2, n', t+1) of responses with one more token."""
    A = pi.shape[1]
    rows = node[:, None] * A + np.arange(A)
    moves = layer.moves[rows.ravel()].tocoo()
    own, action = np.divmod(moves.row, A)
    state = layer.state[node[own]]
    token = np.stack([state, action])[:, :, None]
    further = np.concatenate([steps[:, own], token], axis=2)
    return moves.col.astype(np.int64), chance[own] * pi[state, action] * moves.data, further


def _joined(found: list[tuple[IntArray, FloatArray, IntArray, IntArray]], T: int) -> Listed:
    """Responses of every length in one."""
    steps, chance, start, ends = zip(*found, strict=True)
    padded = [np.pad(s, ((0, 0), (0, 0), (0, T - s.shape[2]))) for s in steps]
    lengths = np.concatenate([np.full(s.shape[1], s.shape[2]) for s in steps])
    states, actions = np.concatenate(padded, axis=1)
    return Listed(
        start=np.concatenate(start),
        ends=np.concatenate(ends),
        probability=np.concatenate(chance),
        states=states,
        actions=actions,
        taken=np.arange(T) < lengths[:, None],
    )


@dataclass(frozen=True, eq=False)
class ListedScores:
    """The sums that are asked of ``ResponseScores``.

    Attributes
    ----------
    gradients, squared
        (K, C, F, d) float64, E[Z 1{c} | k] and E[Z² 1{c} | k] of each start, class and factor.
    """

    gradients: FloatArray
    squared: FloatArray

    @property
    def n_factors(self) -> int:
        """F."""
        return self.gradients.shape[2]

    def mean(self, f: FloatArray) -> FloatArray:
        """Σ_k Σ_{c,u} f(k,c,u,·) ∇P_c(k;u), (r, d), of functions f (K, C, F, r)."""
        return np.asarray(np.tensordot(f, self.gradients, ((0, 1, 2), (0, 1, 2))), np.float64)

    def squares(self, f: FloatArray, scale: FloatArray) -> FloatArray:
        """Σ_k Σ_r scale(k,r) (Σ_{c,u} f(k,c,u,r) ∇P_c(k;u))², (d,); scale is (K, r)."""
        g = np.einsum("kcfr,kcfd->krd", f, self.gradients, optimize=True)
        return np.asarray(np.einsum("kr,krd->d", scale, g**2), np.float64)

    def second(self, f: FloatArray) -> FloatArray:
        """Σ_k Σ_{c,u} f(k,c,u) E[Z² 1{c} | k], (d,), of a function f (K, C, F)."""
        return np.asarray(np.einsum("kcf,kcfd->d", f, self.squared), np.float64)


def listed_scores(
    truth: Truth, paths: Unrolled, pi: FloatArray, tokens: TokenWeights, limit: Size = SUMS_LIMIT
) -> ListedScores:
    """Score sums of every class of responses, whose tokens have weights of their own.

    Parameters
    ----------
    truth
        Whose policy is scored, at its θ.
    paths
        The trajectories.
    pi
        (S, A) float64, what draws their actions.
    tokens
        Weights (F, N, T) of the tokens of the N responses.
    limit
        Memory and operations allowed.
    """
    every = listed(paths, pi, limit)
    (N, T), (K, C), d = every.states.shape, paths.size, truth.theta.size
    weights = tokens(every)
    F = len(weights)
    numbers = float(K * C * F * d)
    require_fitting(Size(16 * numbers, F * (2.0 * T + 4) * N * d), limit)
    place = every.start * C + every.ends
    gather = sparse.csr_array((every.probability, (place, np.arange(N))), shape=(K * C, N))
    sums = [_token_sums(every, own, pi.shape) for own in weights]
    width = max(1, COLUMN_NUMBERS // max(N, pi.size))
    columns = [
        [(gather @ z, gather @ z**2) for z in (B @ psi for B in sums)]
        for psi in score_columns(truth.policy, truth.theta, width)
    ]
    # Parts of the coordinates, factors, and the two powers of Z.
    found = np.concatenate([np.array(part) for part in columns], axis=3)
    return ListedScores(*found.transpose(1, 2, 0, 3).reshape(2, K, C, F, d))


def _token_sums(every: Listed, weights: FloatArray, shape: tuple[int, ...]) -> sparse.csr_array:
    """The matrix (N, S·A) that makes sums Z over tokens of scores of pairs, from weights (N, T)."""
    S, A = shape
    row, step = np.nonzero(every.taken)
    pair = every.states[row, step] * A + every.actions[row, step]
    return sparse.csr_array((weights[row, step], (row, pair)), shape=(len(weights), S * A))
