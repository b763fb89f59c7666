"""Dynamic sampling: groups whose responses all return the same are drawn again."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from math import comb
from typing import Annotated, Any

import numpy as np

from pgbench.arrays import BoolArray, FloatArray, IntArray
from pgbench.declared.parameters import Range
from pgbench.estimators import grpo
from pgbench.estimators.grpo import Correction, Eps, Std
from pgbench.estimators.parts.advantages import centred
from pgbench.estimators.parts.estimator import BatchEstimator, Exact
from pgbench.estimators.parts.outcomes import RETURNS
from pgbench.exact.finite.outcome_moments import MOST, chance_of_keeping, outcome_moments
from pgbench.exact.finite.values import FiniteTruth
from pgbench.exact.table_moments import TooLarge
from pgbench.exact.truth import Truth
from pgbench.process.responses import Responses
from pgbench.rollout.simulator import AGAIN, Simulator

Rounds = Annotated[int, Range(1, 1000), "batches that are drawn at most; 1 draws none again"]


def estimate(
    simulator: Simulator,
    *,
    rounds: Rounds = 10,
    std: Std = True,
    eps: Eps = 1e-4,
    correction: Correction = 1,
) -> FloatArray:
    """Mean over the first groups with different returns of their weights times all scores.

    Batches are drawn until there are as many such groups as one has, or so many rounds are over;
    every batch counts among the steps. The mean is over the groups that were found, and zero where
    there are none. Advantages are those of GRPO without division by lengths.
    """
    n, m, G = simulator.n, simulator.m, simulator.group_size
    total, left = np.zeros((m, simulator.truth.theta.shape[-1])), np.full(m, n // G)
    for round_ in range(rounds):
        needy = left > 0
        if not needy.any():
            break
        batch = simulator.batch(f"{AGAIN} {round_}" if round_ else "", taken=needy)
        responses = batch.responses(G, simulator.horizon)
        chosen = speaks(responses)
        chosen &= np.cumsum(chosen, axis=1) <= left[:, None]
        own = n * weights(responses, std=std, eps=eps, correction=correction)
        own = (own * chosen[..., None]).reshape(m, n, 1)
        total += simulator.pull_back(batch.tables(own))
        left -= chosen.sum(axis=1)
    found = n // G - left
    return np.asarray(total * (n // G / np.maximum(found, 1))[:, None], np.float64)


def weights(responses: Responses, *, std: bool, eps: float, correction: int) -> FloatArray:
    """Those of GRPO without division by lengths."""
    return grpo.relative(responses, std, eps, correction) / responses.count


def speaks(responses: Responses) -> BoolArray:
    """Which groups have a signal, (..., P): returns that differ."""
    return np.asarray(centred(responses.returns).any(axis=-1), np.bool_)


def bias(rounds: int, std: bool, **other: Any) -> tuple[str, ...]:
    """Causes of bias."""
    return ("filtering", *("normalisation",) * std, "batch", "truncation")


@dataclass(frozen=True)
class Filtered(BatchEstimator):
    """An estimator whose groups are drawn again until they have a signal."""

    def known(
        self,
        truth: Truth,
        horizon: int,
        batch_size: float,
        group_size: float | None,
        values: Mapping[str, Any],
    ) -> Exact:
        """Moments of kept groups, and of how many of them are found."""
        if not (isinstance(truth, FiniteTruth) and np.isfinite(batch_size)):
            return Exact(None)
        G, n = None if group_size is None else int(group_size), int(batch_size)
        own = dict(values)
        rounds, limit = own.pop("rounds"), self.limit or MOST
        with suppress(TooLarge):
            chance = chance_of_keeping(
                truth.process, horizon, speaks, RETURNS, group_size=G, batch_size=n, limit=limit
            )
            if chance == 0:
                return Exact(*np.zeros((2, truth.gradient.size)))
            kept = outcome_moments(
                truth,
                horizon,
                partial(weights, **own),
                RETURNS,
                keep=speaks,
                group_size=G,
                batch_size=n,
                limit=limit,
            )
            return of_those_found(*kept, n // (G or n), rounds, chance)
        return Exact(None)


def of_those_found(
    mean: FloatArray, variance: FloatArray | None, P: int, rounds: int, chance: float
) -> Exact:
    """Moments of the mean over those of P groups that so many rounds find, 0 of none.

    mean and variance (d,) are those of the mean over P of them, the latter None where it is not
    known; how many are kept does not depend on what they hold.
    """
    k = np.arange(P)
    fewer = binomial(k, rounds * P, chance)
    found = 1 - fewer[0]
    if variance is None:
        return Exact(mean * found)
    one = P * variance
    square = mean**2 * found + one * ((1 - fewer.sum()) / P + (fewer[1:] / k[1:]).sum())
    return Exact(mean * found, square - (mean * found) ** 2)


def binomial(k: IntArray, n: int, p: float) -> FloatArray:
    """Chance of k successes among n."""
    number = np.array([comb(n, int(i)) for i in k], np.float64)
    return np.asarray(number * p**k * (1 - p) ** (n - k), np.float64)


estimator = Filtered(
    name="dynamic_sampling",
    estimate=estimate,
    fewest=2,
    bias=bias,
    formula=lambda std, **_: (
        r"\frac{1}{P'}\sum_{g:\ R_g\ differ}\frac{1}{G}\sum_{i\in g} "
        + grpo.written(std)
        + r"\sum_t \psi_{i,t}"
    ),
    reference="Yu et al. 2025 (DAPO), Section 3.2",
    alone="",
)
