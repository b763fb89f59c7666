"""Exact mean and variance of outcome estimators ĝ = Σ_{p,i} w_{p,i} Z_{p,i}, without sampling.

A weight w_i is a function of classes of responses: of its own, and of what it looks at in the
others. Given the start of a group,

    E ĝ  = Σ_c ∇P_c a(c)                                a(c)    = Σ_i E[w_i | c_i = c]
    E ĝ² = Σ_c M_c a2(c) + Σ_{c,c'} ∇P_c ∇P_c' b(c,c')  a2(c)   = Σ_i E[w_i² | c_i = c]
                                                        b(c,c') = Σ_{i≠j} E[w_i w_j | c_i, c_j]

and groups are independent. Where weights look beyond their group, pairs of responses of different
groups are summed in the same way. The others are summed over as tallies of what is looked at. The
weight function is the one that is used on samples: it is asked about one batch for each class and
tallies, with representatives of the others. Weights must treat the responses of a group alike, and
the groups of a batch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from pgbench.arrays import FloatArray, IntArray
from pgbench.exact.finite.listed_scores import ListedScores, TokenWeights, listed_scores
from pgbench.exact.finite.representatives import Representatives
from pgbench.exact.finite.response_scores import ResponseScores
from pgbench.exact.finite.responses import Unrolled, unrolled
from pgbench.exact.finite.tallies import (
    Looks,
    Tallies,
    Tally,
    View,
    distinct,
    number,
    repeated,
    table_of,
)
from pgbench.exact.finite.values import FiniteTruth
from pgbench.exact.table_moments import Size, fits, require_fitting
from pgbench.process.process import Process
from pgbench.process.responses import Keep, Responses, Weights
from pgbench.rounding import UNIT

MOST = Size(memory_bytes=2**31, operations=1.5e10)
"""The largest sums that are worked out unless more is allowed; some ten seconds at most."""

ALONE = Size(memory_bytes=2**30, operations=1e9)
"""The same where they give a mean and no variance; two seconds at most."""

AT_A_TIME = 2**17
"""Products of weights that are held at a time: they stay in the cache."""

Channel = Callable[[Responses, FloatArray], IntArray]
"""Which factor the tokens of each response take, (..., P, G), given the weights."""

Scores = ResponseScores | ListedScores
"""Score sums by classes, from nodes or from the list of all responses."""


class OutcomeMoments(NamedTuple):
    """Mean and variance of an estimate from a whole batch, (d,) each.

    The variance is None where its sums alone are too long.
    """

    mean: FloatArray
    variance: FloatArray | None


def outcome_moments(
    truth: FiniteTruth,
    horizon: int,
    weights: Weights,
    looks: Looks,
    *,
    group_size: int | None,
    batch_size: int,
    keep: Keep | None = None,
    process: Process | None = None,
    factor: FloatArray | None = None,
    channel: Channel | None = None,
    tokens: TokenWeights | None = None,
    limit: Size = MOST,
) -> OutcomeMoments:
    """Mean and variance (d,) of ĝ = Σ_{p,i} w_{p,i} Σ_t u_t ψ_t over a batch.

    Parameters
    ----------
    truth
        Whose policy is scored.
    horizon
        Most steps of a trajectory.
    weights
        Responses (..., P, G) to weights (..., P, G), of which the estimate's 1/(PG) is part. They
        treat the responses of a group alike, and the groups.
    looks
        What they look at in the other responses. Where they look beyond their group they are asked
        about all P groups; else about one, and the estimate is the mean of P independent ones.
    group_size
        Responses G to each of P = batch_size / G start states; None for one group of all, each with
        a start of its own.
    batch_size
        Number of responses.
    keep
        Which groups are kept, (..., P); others are drawn again until P are there. It looks at no
        more of a group than weights do.
    process
        What draws the trajectories; by default the policy itself.
    factor
        (S, A) or (F, S, A) float64, factors u of a token; of F the ``channel`` says which one a
        response takes, such as by the sign of its weight.
    channel
        Responses and weights to numbers below F, (..., P, G).
    tokens
        In place of ``factor``, where u_t looks at more of the response than its token: every
        response is listed, and the weights (F, N, T) of its tokens are asked for.
    limit
        Memory and operations allowed.

    Raises
    ------
    ValueError
        TooLarge where the sums are too long; or if sizes do not fit, if weights look at more than
        is declared, or if no group is kept.
    """
    process = process or truth.process
    G = group_size or batch_size
    P = _groups(batch_size, G)
    # One group has nothing beyond it.
    looks = looks if P > 1 else Looks(looks.key, looks.sums, looks.apart)
    design = _Design(G, 1 if looks.beyond is None else P, looks, keep, limit)
    paths = unrolled(process, horizon, group_size is not None, limit)
    scores: Scores
    if tokens is None:
        scores = ResponseScores(truth, paths, process.pi, _factors(truth, process, factor), limit)
    else:
        scores = listed_scores(truth, paths, process.pi, tokens, limit)
    if scores.n_factors > 1 and channel is None:
        raise ValueError(
            f"a token has one of {scores.n_factors} factors, so channel must say which a response"
            " takes"
        )
    sums = _Sums(paths, design, weights, channel, scores.n_factors)
    if sums.kept <= 0:
        raise ValueError("no group is kept: what keep asks for never happens")
    mean, second = sums.moments(scores)
    if second is None:
        return OutcomeMoments(mean, None)
    # Rounding may leave a little less than nothing.
    return OutcomeMoments(mean, np.maximum(second - mean**2, 0.0) * design.P / P)


def chance_of_keeping(
    process: Process, horizon: int, keep: Keep, looks: Looks, *, group_size: int | None,
    batch_size: int, limit: Size = MOST,
) -> float:  # fmt: skip
    """Probability that a group is kept, by what ``keep`` looks at.

    The other parameters are those of ``outcome_moments``.
    """
    G = group_size or batch_size
    design = _Design(G, 1, Looks(looks.key, looks.sums, looks.apart), keep, limit)
    paths = unrolled(process, horizon, group_size is not None, limit)
    return _Sums(paths, design, lambda r: 0 * r.returns, None, 1).kept


def _groups(batch_size: int, G: int) -> int:
    if batch_size < 1 or G < 1 or batch_size % G:
        raise ValueError(
            f"batch_size is {batch_size}, must be a positive multiple of group_size, which is {G}"
        )
    return batch_size // G


def _factors(truth: FiniteTruth, process: Process, factor: FloatArray | None) -> FloatArray:
    """Factors of tokens (F, S, A); ValueError if anything has another shape."""
    shape = truth.pi.shape
    u = np.ones(shape) if factor is None else np.asarray(factor, np.float64)
    for name, found in ("process.pi", process.pi.shape), ("factor", u.shape[-2:]):
        if found != shape:
            raise ValueError(f"{name} has (S, A) = {found}, must be {shape} as the policy")
    return u.reshape(-1, *shape)


@dataclass(frozen=True, eq=False)
class _Design:
    """P groups of G that weights are asked about, what they look at, and which are kept."""

    G: int
    P: int
    looks: Looks
    keep: Keep | None
    limit: Size


@dataclass(frozen=True, eq=False)
class _Sums:
    """Sums over what the others of a group, and other groups, look like.

    E counts classes with a factor each, (C, F).
    """

    paths: Unrolled
    design: _Design
    weights: Weights
    channel: Channel | None
    n_factors: int

    def moments(self, scores: Scores) -> tuple[FloatArray, FloatArray | None]:
        """E ĝ and E ĝ² (d,), None where pairs are too many; TooLarge before weights are asked."""
        w = self._values
        mean = scores.mean(self._own(w)[..., None])[0]
        if not self._pairs_fit:
            return mean, None
        second = scores.second(self._own(w**2))
        if self.design.G > 1:
            second += self._in_group(scores, w)
        if self.design.P > 1:
            second += self._across_groups(scores, w)
        return mean, second

    @cached_property
    def kept(self) -> float:
        """Probability that a group is kept."""
        return 1.0 if self.design.keep is None else float(self._chance.sum())

    @cached_property
    def _table(self) -> FloatArray:
        return table_of(self.paths.classes)

    @cached_property
    def _one(self) -> tuple[Tally, IntArray]:
        """A response as others see it: D alternatives, and which of them each class (C,) is."""
        G, P, looks, C = self.design.G, self.design.P, self.design.looks, len(self._table)
        # Each class is seen by the others, and pairs of classes are factored.
        require_fitting(Size(24.0 * C**2, 10.0 * C**3), self.design.limit)
        views = [View.of(self._table, looks, G)]
        if looks.beyond is not None:
            views.append(View.of(self._table, looks.beyond, G * P))
        return distinct(tuple(views))

    @cached_property
    def _inside(self) -> list[Tallies]:
        """Tallies of G - 2 and of G - 1 responses of a group, given the start."""
        one, which = self._one
        classes = np.zeros((which.size, number(one)))
        classes[np.arange(which.size), which] = 1.0
        chance = self.paths.probability @ classes
        return repeated(one, chance, self.design.G - 1, self.design.limit)

    @cached_property
    def _kept_at(self) -> FloatArray:
        """1 where a group is kept, by the class of one response and the others' tally (C, n)."""
        keep = self.design.keep
        asked = Representatives(self.paths.classes, self._table, self._inside[-1].tally[0], None)
        if keep is None:
            return np.ones(asked.shape[:2])
        return asked.asked("kept groups", lambda r: keep(r)[..., 0].astype(float))[:, :, 0, 0]

    @cached_property
    def _chance(self) -> FloatArray:
        """Σ_k μ0(k) P_c(k) Pr(tally | k) (C, n) of groups that are kept."""
        weight = self.paths.mu[:, None] * self.paths.probability
        return (weight.T @ self._inside[-1].chance) * self._kept_at

    @cached_property
    def _groups_seen(self) -> tuple[list[Tallies], IntArray]:
        """Tallies of P - 2 and P - 1 groups, and which group each class and tally (C, n) makes."""
        tally, (one, which) = self._inside[-1].tally, self._one
        shape = which.size, number(tally)
        c, s = np.unravel_index(np.arange(shape[0] * shape[1]), shape)
        groups, place = distinct((one[1].plus(tally[1], which[c], s),))
        chance = np.bincount(place, self._chance.ravel(), number(groups)) / self.kept
        P, limit = self.design.P, self.design.limit
        return repeated(groups, chance[None], P - 1, limit), place.reshape(shape)

    @cached_property
    def _beyond(self) -> FloatArray:
        """Probabilities (x,) of the tallies of all other groups."""
        return np.ones(1) if self.design.P == 1 else self._groups_seen[0][-1].chance[0]

    @cached_property
    def _values(self) -> FloatArray:
        """w (C, F, n, x) by tallies inside and beyond, 0 unless the response takes the factor."""
        inside = self._inside[-1].tally[0]
        beyond = None if self.design.P == 1 else self._groups_seen[0][-1].tally[0]
        asked = Representatives(self.paths.classes, self._table, inside, beyond)
        C, n, x = asked.shape
        numbers = float(C * n * x)
        work = 20 * numbers * self.design.G * self.design.P
        # Less is spent on a mean alone.
        limit = self.design.limit if self._pairs_fit else least(self.design.limit, ALONE)
        require_fitting(Size(24 * numbers * self.n_factors, work), limit)
        found = asked.asked("weights", self._weighed, self.n_factors)
        found *= self._kept_at[:, :, None, None]
        return np.moveaxis(found, 3, 1)

    def _weighed(self, responses: Responses) -> FloatArray:
        """Weight of the first response of each batch, in the column of its factor, (m, F)."""
        w = self.weights(responses)
        if self.channel is None or self.n_factors == 1:
            return w[:, 0, :1]
        takes = self.channel(responses, w)[:, 0, :1] == np.arange(self.n_factors)
        return np.where(takes, w[:, 0, :1], 0.0)

    @cached_property
    def _pairs_fit(self) -> bool:
        """Whether pairs of responses of a group, and of two groups, are few enough."""
        E, sizes = len(self._table) * self.n_factors, []
        if self.design.G > 1:
            sizes.append(pairs_size(E, self._inside[-2]))
        if self.design.P > 1:
            n, K = number(self._inside[-1].tally), len(self.paths.mu)
            sizes.append(pairs_size(E * n, self._groups_seen[0][-2]))
            sizes.append(Size(8.0 * n * E**2 * K, 2.0 * (n * E) ** 2 * K))
        return all(fits(size, self.design.limit) for size in sizes)

    def _own(self, w: FloatArray) -> FloatArray:
        """μ0(k) Σ_i E[w_i | k, c_i = c], (K, C, F)."""
        mean = (w @ self._beyond) @ self._inside[-1].chance.T
        number = self.design.P * self.design.G / self.kept
        return number * self.paths.mu[:, None, None] * np.moveaxis(mean, 2, 0)

    def _in_group(self, scores: Scores, w: FloatArray) -> FloatArray:
        """Pairs of responses of one group, (d,)."""
        (C, F, n, x), others = w.shape, self._inside[-2]
        which = np.repeat(self._one[1], F)
        own = w.reshape(C * F, n, x)
        b = sum(
            q * products(own[:, :, j], others, which, self.design.limit)
            for j, q in enumerate(self._beyond)
        )
        values, vectors = factored(np.asarray(b), self.design.limit)
        number = self.design.P * self.design.G * (self.design.G - 1) / self.kept
        scale = number * self.paths.mu[:, None] * values
        return scores.squares(vectors.reshape(len(values), C, F, -1), scale)

    def _across_groups(self, scores: Scores, w: FloatArray) -> FloatArray:
        """Pairs of responses of two groups, (d,)."""
        (C, F, n, x), (seen, place) = w.shape, self._groups_seen
        which = np.repeat(place[:, None], F, axis=1).ravel()
        b = products(w.reshape(-1, x), seen[-2], which, self.design.limit)[0]
        # Each group has its start and its tally beside the class: μ0(k) Pr(tally | k), summed out.
        chance = self.paths.mu[:, None] * self._inside[-1].chance
        half = b.reshape(C * F * n, C * F, n) @ chance.T
        both = np.einsum("kn,enq->ekq", chance, half.reshape(C * F, n, -1), optimize=True)
        size = C * F * len(chance)
        both = both.reshape(size, size)
        values, vectors = factored((both + both.T)[None] / 2, self.design.limit)
        f = vectors[0].reshape(C, F, len(chance), -1).transpose(2, 0, 1, 3)
        number = self.design.P * (self.design.P - 1) * (self.design.G / self.kept) ** 2
        return number * (values[0] @ scores.mean(f) ** 2)


def products(w: FloatArray, others: Tallies, which: IntArray, limit: Size) -> FloatArray:
    """E[w_i w_j | e_i = e, e_j = e'] (K, E, E) of pairs i, j among others of a given law.

    w (E, n) is the weight of each e by the tally of all others; ``which`` (E,) says how e looks
    to them, and ``others`` are the tallies of those that are neither i nor j.
    """
    (K, m), E = others.chance.shape, len(w)
    require_fitting(pairs_size(E, others), limit)
    b = np.zeros((E, E, K))
    size = max(1, AT_A_TIME // E)
    for begin in range(0, m, size):
        place = np.ascontiguousarray(others.which[begin : begin + size].T)[which]
        chance = np.ascontiguousarray(others.chance[:, begin : begin + size].T)
        for e in range(E):
            own = np.take(w[e], place[e:])
            own *= np.take(w[e:], place[e], axis=1)
            b[e, e:] += own @ chance
    for e in range(E):
        b[e:, e] = b[e, e:]
    return np.moveaxis(b, 2, 0)


def pairs_size(E: int, others: Tallies) -> Size:
    """What ``products`` of E entries among these others take."""
    K, m = others.chance.shape
    return Size(16.0 * K * E**2, (6.0 + K) * E**2 * m)


def least(one: Size, other: Size) -> Size:
    """What both allow."""
    return Size(min(one.memory_bytes, other.memory_bytes), min(one.operations, other.operations))


def factored(b: FloatArray, limit: Size) -> tuple[FloatArray, FloatArray]:
    """Eigenvalues (K, r) of symmetric b (K, E, E) that are not zero, and vectors (K, E, r)."""
    K, E, _ = b.shape
    require_fitting(Size(24.0 * K * E**2, 10.0 * K * E**3), limit)
    values, vectors = np.linalg.eigh(b)
    order = np.argsort(-np.abs(values), axis=1)
    values = np.take_along_axis(values, order, axis=1)
    vectors = np.take_along_axis(vectors, order[:, None], axis=2)
    zero = np.abs(values) <= E * UNIT * np.abs(values[:, :1])
    r = int((~zero).sum(axis=1).max())
    return values[:, :r], vectors[:, :, :r]
