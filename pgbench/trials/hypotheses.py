"""Hypotheses of what an estimator's mean might be: the right ones, wrong ones, and multiples."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.claims import Claims, Needs
from pgbench.trials.case import Case
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
    needs
        What a function must claim for this mean to be right; None where no claim fits.
    """

    words: str
    mean: MeanOnCase
    remark: str = ""
    needs: Needs | None = None

    def within(self, claims: Claims) -> bool:
        """Whether this mean is right by what is claimed."""
        return self.needs is not None and claims.covers(self.needs)

    def p_values(self, results: Sequence[MeasuredMean]) -> FloatArray:
        """p-values of the test that it holds on each case and size; NaN where there is none."""
        p = np.full(len(results), np.nan)
        for i, result in enumerate(results):
            mean = self.mean(result.estimates.case, result.estimates.batch_size)
            if mean is not None:
                p[i] = result.p_value(mean)
        return p


PLAIN = Needs()
UNDISCOUNTED = Needs("undiscounted_states")

FINITE = Hypothesis(
    "∇J_H, the gradient of the H-step objective", lambda case, n: case.finite, needs=PLAIN
)
ENDLESS = Hypothesis(
    "∇J, the gradient over an endless horizon", lambda case, n: case.endless, needs=PLAIN
)
NO_TAIL = Hypothesis(
    "∇J less the score terms beyond step H", lambda case, n: case.without_tail, needs=PLAIN
)
RIGHT = (FINITE, ENDLESS, NO_TAIL)
"""What a right estimator's mean may be: they differ by what the horizon does."""

NATURAL = Hypothesis(
    "F†∇J, the natural gradient",
    lambda case, n: case.natural(case.endless),
    needs=Needs("natural"),
)
NATURAL_FINITE = Hypothesis(
    "F†∇J_H, the natural gradient of the H-step objective",
    lambda case, n: case.natural(case.finite),
    needs=Needs("natural"),
)

NATURALS = (NATURAL_FINITE, NATURAL)
"""The same of who estimates the natural gradient, if the others do not hold."""


WITHOUT_DISCOUNT = (
    Hypothesis(
        "Σ_t E[Q̂_t ψ_t], the sum without the factor γ^t",
        lambda case, n: case.undiscounted,
        "step t must carry γ^t; without it the sum is no gradient of J (Nota & Thomas 2020)",
        UNDISCOUNTED,
    ),
    Hypothesis(
        "Σ_t E[A ψ_t], the sum without the factor γ^t",
        lambda case, n: case.undiscounted_oracle,
        "step t must carry γ^t; without it the sum is no gradient of J (Nota & Thomas 2020)",
        UNDISCOUNTED,
    ),
)

TARGETED = (*RIGHT, *WITHOUT_DISCOUNT, *NATURALS)
"""What may be claimed as a target, but for surrogates."""


@dataclass(frozen=True)
class Factor:
    """A factor that is seen in front of a right mean.

    words, value, remark
        As in "its mean is ... ∇J", the number on a case at a batch size, or None where there is
        none, and what it says about the code.
    scale, accepts
        What a function must claim for it to be right; scale is None where no claim fits.
    """

    words: str
    value: FactorOnCase
    remark: str
    scale: str | None = "any"
    accepts: frozenset[str] = frozenset()

    def needed(self, of: Needs | None) -> Needs | None:
        """What must be claimed for the multiple of a mean, by what that itself needs."""
        if of is None or self.scale is None:
            return None
        return of.also(self.scale, self.accepts)


_BATCH = frozenset({"batch"})
"""What is accepted by who accepts a baseline to which a trajectory itself contributes."""

FACTORS = (
    Factor("minus", lambda case, n: -1.0, "the sign is wrong: a loss is minus what is to be"
     " maximised", None),
    Factor("(1 - 1/N) times", lambda case, n: 1 - 1 / n, "a baseline made of the batch, each"
     " trajectory itself included, takes 1/N of the gradient; leave it out of its own baseline",
     "exact", _BATCH),
    Factor("(1 - 1/G) times", lambda case, n: 1 - 1 / case.group_size if case.group_size else None,
     "a baseline made of the group, each response itself included, takes 1/G of the gradient; leave"
     " it out of its own baseline", "exact", _BATCH),
    Factor("N/(N-1) times", lambda case, n: n / (n - 1), "divided by N - 1 in place of N?"),
    Factor("N times", lambda case, n: float(n), "summed over the batch and not averaged?"),
    Factor("1/N times", lambda case, n: 1 / n, "divided by N twice?"),
    Factor("1/T times", lambda case, n: 1 / case.horizon,
     "averaged over the T steps and not summed?", "per_step"),
    Factor("1/(N T) times", lambda case, n: 1 / (n * case.horizon), "divided by N and by N·T?"),
    Factor("N T times", lambda case, n: float(n * case.horizon),
     "multiplied by the number of steps?"),
    Factor("(1 - γ) times", lambda case, n: 1 - case.gamma,
     "the factor 1/(1 - γ) is missing"),
    Factor("twice", lambda case, n: 2.0, ""),
    Factor("half of", lambda case, n: 0.5, ""),
)  # fmt: skip
"""Factors that are seen."""

IN_SAMPLE = tuple(factor for factor in FACTORS if factor.accepts)
"""Those of baselines made of the batch or group itself."""


def multiple(
    words: str,
    factor: FactorOnCase,
    of: Hypothesis,
    remark: str = "",
    needs: Needs | None = None,
) -> Hypothesis:
    """A multiple of another hypothesis."""

    def mean(case: Case, n: int) -> FloatArray | None:
        c, one = factor(case, n), of.mean(case, n)
        return None if c is None or one is None else c * one

    return Hypothesis(f"{words} {of.words}", mean, remark, needs)


def _multiples(of: Hypothesis, factors: Sequence[Factor] = FACTORS) -> list[Hypothesis]:
    """The multiples of a hypothesis that are seen, with what they and it say about the code."""
    return [
        multiple(
            f.words,
            f.value,
            of,
            "; ".join(r for r in (f.remark, of.remark) if r),
            f.needed(of.needs),
        )
        for f in factors
    ]


def right_by(claims: Claims, every: Sequence[KnownEstimator]) -> list[list[Hypothesis]]:
    """What a mean may be that is right by what is claimed, in groups, the plainest first.

    Targets or the surrogate, their multiples, means with biases that are accepted, their multiples.
    """
    if claims.target == "ascent":
        return [[*RIGHT]]
    targets, accepted = _bases(claims, every)
    groups = []
    for group in (targets, accepted):
        multiples = [one for of in group for one in _multiples(of) if one.within(claims)]
        groups += [[one for one in group if one.within(claims)], multiples]
    return groups


def _bases(
    claims: Claims, every: Sequence[KnownEstimator]
) -> tuple[list[Hypothesis], list[Hypothesis]]:
    """What right means are made of: targets, or the surrogate; and means with accepted biases."""
    known = [of_known(one) for one in every if one.needs is not None and claims.covers(one.needs)]
    if claims.surrogate is not None:
        return known, []
    return [*TARGETED], known if claims.accepts else []


def wrong_hypotheses() -> list[Hypothesis]:
    """What the mean of a wrong estimator might be, the plainest first."""
    zero = Hypothesis("zero", lambda case, n: np.zeros_like(case.finite), "it knows nothing")
    multiples = [one for of in RIGHT for one in _multiples(of)]
    without = [one for of in WITHOUT_DISCOUNT for one in _multiples(of)]
    return [zero, *multiples, *WITHOUT_DISCOUNT, *without]


def divided(
    normaliser: Normaliser, claims: Claims, every: Sequence[KnownEstimator]
) -> list[Hypothesis]:
    """What the mean of estimates may be, once they are multiplied by what they are divided by.

    Plain, and less what a baseline of the batch takes; then what has biases that are accepted.
    """
    gradients = (*RIGHT, *WITHOUT_DISCOUNT)
    plain = [one for of in gradients for one in (of, *_multiples(of, IN_SAMPLE[:1]))]
    own = [one for group in _bases(claims, every) for one in group if one not in TARGETED]
    claimed = [_divided(one, normaliser) for one in own]
    return [
        *(_divided(one, normaliser) for one in plain),
        *(one for one in claimed if one.within(claims)),
    ]


def _divided(one: Hypothesis, normaliser: Normaliser) -> Hypothesis:
    """The mean of estimates of which each is divided."""
    name = one.words.split(", the gradient")[0].removeprefix("that of ")
    return replace(
        one,
        words=f"that of estimates of {name}, each divided by {normaliser.words}",
        remark="; ".join(r for r in (normaliser.remark, one.remark) if r),
        needs=normaliser.needed(one.needs),
    )


def of_known(known: KnownEstimator) -> Hypothesis:
    """The mean of an estimator of the suite, or of a known mistake."""
    words = f"that of {known.words}"
    if known.needs == Needs("surrogate"):
        words = f"the gradient of the surrogate {known.name}"
    return Hypothesis(
        words,
        lambda case, n: known.exact(case, n),
        known.mistake or known.causes,
        known.needs,
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
    remark = "its length is wrong, not its direction"
    needs = of.needs and of.needs.also("any")
    return multiple(f"{shown} times", lambda case, n: c, of, remark, needs if c > 0 else None)
