"""Sums of scores over responses of a class: ∇P_c = E[Z 1{c}] and M_c = E[Z² 1{c}], contracted.

Z = Σ_t u(s_t, a_t) ψ_t with a factor u per token, 1 unless the actions come from another law. What
is asked for are sums Σ_c f(c) ∇P_c and Σ_c f(c) M_c. The sum over classes is taken first, by a
sweep backward over the nodes with f at their ends, so that ∇P_c itself is never held:

    Σ_c f(c) ∇P_c = Σ_{s,a} ψ(s,a) Σ_{nodes in s} Pr(node) π(a|s) u(s,a) E[f(c) | node, a]

E[Z² f(c)] needs pairs of steps as well. Where every parameter belongs to one state and no state is
visited twice there are none; else E[Z f(c) | node] follows the nodes backward, coordinate by
coordinate.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import sparse

from pgbench.arrays import FloatArray, IntArray
from pgbench.exact.finite.responses import Unrolled
from pgbench.exact.finite.scores import score_columns
from pgbench.exact.table_moments import SUMS_LIMIT, Size, require_fitting
from pgbench.exact.truth import Truth

COLUMN_BYTES = 64 * 2**20
"""Size of the arrays of functions or of coordinates that are followed at a time."""


@dataclass(frozen=True, eq=False)
class ResponseScores:
    """Score sums of the responses of a policy.

    Attributes
    ----------
    truth
        Whose policy is scored, at its θ.
    paths
        The trajectories.
    pi
        (S, A) float64, what draws their actions.
    factors
        (F, S, A) float64, factors u of a token; a response takes one of the F for all its tokens.
    limit
        Memory and operations allowed.
    """

    truth: Truth
    paths: Unrolled
    pi: FloatArray
    factors: FloatArray
    limit: Size = SUMS_LIMIT

    @property
    def n_factors(self) -> int:
        """F."""
        return len(self.factors)

    def mean(self, f: FloatArray) -> FloatArray:
        """Σ_k Σ_{c,u} f(k,c,u,·) ∇P_c(k;u), (r, d), of functions f (K, C, F, r)."""
        found = [part.sum() for part in self._gradients(f)]
        return np.concatenate([np.zeros((0, self.truth.theta.size)), *found])

    def squares(self, f: FloatArray, scale: FloatArray) -> FloatArray:
        """Σ_k Σ_r scale(k,r) (Σ_{c,u} f(k,c,u,r) ∇P_c(k;u))², (d,); scale is (K, r)."""
        total, begin = np.zeros(self.truth.theta.size), 0
        for part in self._gradients(f):
            total += part.squares(scale[:, begin : begin + part.columns])
            begin += part.columns
        return total

    def second(self, f: FloatArray) -> FloatArray:
        """Σ_k Σ_{c,u} f(k,c,u) E[Z² 1{c} | k], (d,), of a function f (K, C, F)."""
        local = self.truth.policy.local_scores(self.truth.theta)
        if local is None or not self.paths.once:
            return self._second_by_columns(f)
        weights = np.zeros(self.pi.shape)
        for layer, q in self.paths.expected(self.pi, f):
            u = np.moveaxis(self.factors[:, layer.state], 0, -1)
            own = layer.reach[:, None] * self.pi[layer.state] * (u**2 * q).sum(axis=2)
            weights += gathered(layer.state, own, len(weights))
        return np.einsum("sa,sak->sk", weights, local**2).ravel()

    def _gradients(self, f: FloatArray) -> Iterator["_Gradients"]:
        """The sums of ψ, some of the functions f (K, C, F, r) at a time."""
        rows, A = self.paths.row_state.size, self.pi.shape[1]
        own = max(rows, max(layer.state.size for layer in self.paths.layers)) * A * f.shape[2]
        tabular = self.truth.policy.local_scores(self.truth.theta) is not None
        width = max(1, COLUMN_BYTES // (8 * (own if tabular else own + self.truth.theta.size)))
        self._require(rows * A * min(width, f.shape[3]), self._slots * f.shape[2] * f.shape[3])
        for begin in range(0, f.shape[3], width):
            weights = self._weights(f[..., begin : begin + width])
            kind = _LocalGradients if tabular else _SharedGradients
            yield kind(self.truth, self.paths.row_start, self.paths.row_state, weights)

    def _weights(self, f: FloatArray) -> FloatArray:
        """Σ Pr(node) π u E[f | node, a] of the nodes of each start and state, (rows, A, r)."""
        K, C, F, r = f.shape
        rows, A = self.paths.row_state.size, self.pi.shape[1]
        total = np.zeros((rows, A, r))
        for layer, q in self.paths.expected(self.pi, f.reshape(K, C, F * r)):
            w = layer.reach[:, None] * self.pi[layer.state] * (layer.ends < 0)[:, None]
            u = w * self.factors[:, layer.state]
            own = np.einsum("una,naur->nar", u, q.reshape(*w.shape, F, r))
            total += gathered(layer.row, own, rows)
        return total

    def _second_by_columns(self, f: FloatArray) -> FloatArray:
        """E[Z² f] (d,) with E[Z f | node] followed for each coordinate."""
        d, S, A = self.truth.theta.size, *self.pi.shape
        largest = max([S, *(layer.state.size for layer in self.paths.layers)])
        width = min(d, max(1, COLUMN_BYTES // (8 * largest * A)))
        self._require(5 * largest * A * width, 6 * self._slots * f.shape[2] * d)
        parts = []
        for psi in score_columns(self.truth.policy, self.truth.theta, width):
            pairs = psi.reshape(S, A, -1)
            found = [
                self._squared(f[..., u : u + 1], factor[:, :, None] * pairs)
                for u, factor in enumerate(self.factors)
            ]
            parts.append(np.sum(found, axis=0))
        return np.concatenate(parts)

    def _squared(self, f: FloatArray, psi: FloatArray) -> FloatArray:
        """E[Z² f] (c,) of one function f (K, C, 1) and scores (S, A, c), factors included."""
        total, later = np.zeros(psi.shape[2]), np.zeros((0, psi.shape[2]))
        for layer, q in self.paths.expected(self.pi, f):
            own, pi = psi[layer.state], self.pi[layer.state]
            lifted = (layer.moves @ later).reshape(own.shape)
            total += np.einsum("na,nac->c", layer.reach[:, None] * pi, own * (own * q + 2 * lifted))
            later = np.einsum("na,nac->nc", pi, own * q + lifted)
        return total

    @property
    def _slots(self) -> float:
        return float(sum(layer.moves.nnz for layer in self.paths.layers))

    def _require(self, numbers: float, operations: float) -> None:
        require_fitting(Size(8.0 * numbers, 4.0 * operations), self.limit)


def gathered(place: IntArray, values: FloatArray, size: int) -> FloatArray:
    """Σ of the rows of values (n, ...) that have each place of (n,), shape (size, ...)."""
    n = place.size
    matrix = sparse.csc_array((np.ones(n), place, np.arange(n + 1)), shape=(size, n))
    total = matrix @ values.reshape(n, math.prod(values.shape[1:]))
    return np.asarray(total.reshape(size, *values.shape[1:]), np.float64)


@dataclass(frozen=True, eq=False)
class _Gradients(ABC):
    """r vectors for each start, as weights (rows, A, r) of the pairs of a start and a state."""

    truth: Truth
    row_start: IntArray
    row_state: IntArray
    weights: FloatArray

    @property
    def columns(self) -> int:
        return self.weights.shape[2]

    def sum(self) -> FloatArray:
        """Their sum over starts, (r, d)."""
        table = gathered(self.row_state, self.weights, self.truth.policy.shape[0])
        return self.truth.policy.pull_back(self.truth.theta, np.moveaxis(table, 2, 0))

    @abstractmethod
    def squares(self, scale: FloatArray) -> FloatArray:
        """Σ_k Σ_r scale(k,r) g(k,r)², (d,)."""


class _LocalGradients(_Gradients):
    """Of a policy whose parameters belong to one state each."""

    def squares(self, scale: FloatArray) -> FloatArray:
        """Row by row: a start's gradient lies in the rows of the states that it reaches."""
        local = self.truth.policy.local_scores(self.truth.theta)
        g = np.einsum("nar,nak->nkr", self.weights, local[self.row_state], optimize=True)
        own = np.einsum("nkr,nr->nk", g**2, scale[self.row_start])
        return gathered(self.row_state, own, local.shape[0]).ravel()


class _SharedGradients(_Gradients):
    """Of any policy."""

    def squares(self, scale: FloatArray) -> FloatArray:
        """Start by start, by the pull-back of the states that it reaches."""
        total = np.zeros(self.truth.theta.size)
        edges = np.searchsorted(self.row_start, np.arange(len(scale) + 1))
        for k, (begin, end) in enumerate(pairwise(edges)):
            weights = np.moveaxis(self.weights[begin:end], 2, 0)
            g = self.truth.policy.pull_back(self.truth.theta, weights, self.row_state[begin:end])
            total += scale[k] @ g**2
        return total
