"""Hypotheses of what an estimator's mean might be: the right ones, wrong ones, and multiples."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.estimators import advantage_oracle, reward_to_go
from pgbench.exact.expectation import expectation
from pgbench.trials.battery import Case
from pgbench.trials.known_estimators import KnownEstimator
from pgbench.trials.measured_mean import MeasuredMean
from pgbench.trials.normalisers import Normaliser

MeanOnCase = Callable[[Case, int], FloatArray | None]
FactorOnCase = Callable[[Case, int], float | None]


@dataclass(frozen=True)
class Hypothesis:
    """What the mean might be.

    words
        As in "its mean is ...".
    mean
        ``mean(case, batch_size)`` (d,), or None where the hypothesis says nothing.
    remark
        What that would mean in a user's code, or nothing.
    """

    words: str
    mean: MeanOnCase
    remark: str = ""

    def p_values(self, results: Sequence[MeasuredMean]) -> FloatArray:
        """p-values of the test that it holds on each case and size; NaN where there is none."""
        p = np.full(len(results), np.nan)
        for i, result in enumerate(results):
            mean = self.mean(result.estimates.case, result.estimates.batch_size)
            if mean is not None:
                p[i] = result.p_value(mean)
        return p


FINITE = Hypothesis("∇J_H, the gradient of the H-step objective", lambda case, n: case.finite)
ENDLESS = Hypothesis(
    "∇J, the gradient over an endless horizon", lambda case, n: case.truth.gradient
)
NO_TAIL = Hypothesis("∇J less the score terms beyond step H", lambda case, n: case.without_tail)
RIGHT = (FINITE, ENDLESS, NO_TAIL)
"""What a right estimator's mean may be: they differ by what the horizon does."""

NATURAL = Hypothesis("F†∇J, the natural gradient", lambda case, n: case.truth.natural_gradient())
NATURAL_FINITE = Hypothesis(
    "F†∇J_H, the natural gradient of the H-step objective",
    lambda case, n: case.truth.natural(case.finite),
)

NATURALS = (NATURAL_FINITE, NATURAL)
"""The same of who estimates the natural gradient, if the others do not hold."""


@lru_cache(maxsize=64)
def _undiscounted(case: Case) -> FloatArray:
    """Σ_t E[Q̂_t ψ_t] without γ^t."""
    tables = reward_to_go.tables(case.truth, case.horizon, discounted=False)
    return expectation(case.truth, tables, case.horizon)


@lru_cache(maxsize=64)
def _undiscounted_oracle(case: Case) -> FloatArray:
    """Σ_t E[A ψ_t] without γ^t."""
    tables = advantage_oracle.tables(case.truth, discounted=False)
    return expectation(case.truth, tables, case.horizon)


WITHOUT_DISCOUNT = (
    Hypothesis(
        "Σ_t E[Q̂_t ψ_t], the sum without the factor γ^t",
        lambda case, n: _undiscounted(case),
        "step t must carry γ^t; without it the sum is no gradient of J (Nota & Thomas 2020)",
    ),
    Hypothesis(
        "Σ_t E[A ψ_t], the sum without the factor γ^t",
        lambda case, n: _undiscounted_oracle(case),
        "step t must carry γ^t; without it the sum is no gradient of J (Nota & Thomas 2020)",
    ),
)

FACTORS: tuple[tuple[str, FactorOnCase, str], ...] = (
    ("minus", lambda case, n: -1.0, "the sign is wrong: a loss is minus what is to be maximised"),
    ("(1 - 1/N) times", lambda case, n: 1 - 1 / n, "a baseline made of the batch, each trajectory"
     " itself included, takes 1/N of the gradient; leave it out of its own baseline"),
    ("(1 - 1/G) times", lambda case, n: 1 - 1 / case.group_size if case.group_size else None,
     "a baseline made of the group, each response itself included, takes 1/G of the gradient; leave"
     " it out of its own baseline"),
    ("N/(N-1) times", lambda case, n: n / (n - 1), "divided by N - 1 in place of N?"),
    ("N times", lambda case, n: float(n), "summed over the batch and not averaged?"),
    ("1/N times", lambda case, n: 1 / n, "divided by N twice?"),
    ("1/T times", lambda case, n: 1 / case.horizon, "averaged over the T steps and not summed?"),
    ("1/(N T) times", lambda case, n: 1 / (n * case.horizon), "divided by N and by N·T?"),
    ("N T times", lambda case, n: float(n * case.horizon), "multiplied by the number of steps?"),
    ("(1 - γ) times", lambda case, n: 1 - case.truth.mdp.gamma, "the factor 1/(1 - γ) is missing"),
    ("twice", lambda case, n: 2.0, ""),
    ("half of", lambda case, n: 0.5, ""),
)  # fmt: skip
"""Factors that are seen: words, value, and what they say about the code."""


def multiple(words: str, factor: FactorOnCase, of: Hypothesis, remark: str = "") -> Hypothesis:
    """A multiple of another hypothesis."""

    def mean(case: Case, n: int) -> FloatArray | None:
        c, one = factor(case, n), of.mean(case, n)
        return None if c is None or one is None else c * one

    return Hypothesis(f"{words} {of.words}", mean, remark)


def wrong_hypotheses() -> list[Hypothesis]:
    """What the mean of a wrong estimator might be, the plainest first."""
    zero = Hypothesis(
        "zero", lambda case, n: np.zeros_like(case.truth.gradient), "it knows nothing"
    )
    multiples = [multiple(w, f, of, remark) for of in RIGHT for w, f, remark in FACTORS]
    without = [
        multiple(w, f, of, f"{remark}; {of.remark}" if remark else of.remark)
        for of in WITHOUT_DISCOUNT
        for w, f, remark in FACTORS
    ]
    return [zero, *multiples, *WITHOUT_DISCOUNT, *without]


def divided(normaliser: Normaliser) -> list[Hypothesis]:
    """What the mean of estimates may be, once they are multiplied by what they are divided by."""
    return [
        replace(one, words=words, remark=f"{normaliser.remark}{_also(one.remark)}")
        for one in (*RIGHT, *WITHOUT_DISCOUNT)
        for words, one in _divided(normaliser, one)
    ]


def _also(remark: str) -> str:
    return f"; {remark}" if remark else ""


def _divided(normaliser: Normaliser, of: Hypothesis) -> Iterator[tuple[str, Hypothesis]]:
    """A hypothesis of divided estimates in words: plain, and less what a baseline takes."""
    words = f"that of estimates of {{}}, each divided by {normaliser.words}"
    yield words.format(of.words.split(", the gradient")[0]), of
    name, factor, remark = FACTORS[1]
    own = multiple(name, factor, of, f"{remark}{_also(of.remark)}")
    yield words.format(own.words.split(", the gradient")[0]), own


def of_known(known: KnownEstimator) -> Hypothesis:
    """The mean of an estimator of the suite, or of a known mistake."""
    what = f"the known mistake {known.name}" if known.mistake else known.name
    return Hypothesis(
        f"that of {what}",
        lambda case, n: known.exact(case, n),
        known.mistake or known.causes,
    )


def scaled(results: Sequence[MeasuredMean], of: Hypothesis) -> Hypothesis | None:
    """Hypothesis that the mean is a constant multiple, the factor fitted; None if that is 1."""
    pairs = [(m, of.mean(m.estimates.case, m.estimates.batch_size)) for m in results]
    found = [m.factor(mean) for m, mean in pairs if mean is not None]
    values, se = np.array([[c.value, c.se] for c in found if np.isfinite(c.value)]).reshape(-1, 2).T
    if not np.isfinite(se).any():
        return None
    # Where a mean is known its factor is certain, but no more than to rounding.
    weights = 1 / (np.nan_to_num(se, nan=np.inf) ** 2 + 1e-18)
    c = float(weights @ values / weights.sum())
    half = 2 / np.sqrt(weights.sum())
    shown = f"{c:.4g}" if half < 1e-6 else f"{c:.3g} ± {half:.1g}"
    return multiple(
        f"{shown} times", lambda case, n: c, of, "its length is wrong, not its direction"
    )
