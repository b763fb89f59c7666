"""Which way a biased mean points: along the gradient, a natural one, a damped one, or none of them.

An update that is scaled by a step size, normalised, or divided by whatever needs the direction
alone to be right. A direction is told by the angle between the mean and a target t: with
E ĝ = c t + b and b orthogonal to t, its cosine is c‖t‖/√(c²‖t‖² + ‖b‖²). That b is zero is tested
on what of the estimates is orthogonal to t, whose mean is linear in them; c may differ from problem
to problem.

Trust-region code damps the Fisher information, (F + λI)⁻¹∇J (Schulman et al. 2015, Appendix C),
with a λ of its own that is the same everywhere. It is fitted on one half of the replicates, and
judged on the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy import optimize

from pgbench.arrays import FloatArray
from pgbench.statistics import Estimate, holm
from pgbench.trials.case import Case
from pgbench.trials.hypotheses import (
    FINITE,
    NATURALS,
    NO_TAIL,
    RIGHT,
    WITHOUT_DISCOUNT,
    Hypothesis,
)
from pgbench.trials.mean_analysis import LEVEL
from pgbench.trials.measured_mean import MeasuredMean

NEAR = 0.9
"""A direction is known where its cosine is at least so much with 95 % confidence, 26°."""

PATH = np.logspace(-4, 2, 25)
"""Values of λ that are tried before the best is refined."""


@dataclass(frozen=True, eq=False)
class Pointing:
    """The mean on a case at a batch size, next to a target.

    length
        c with E ĝ·t = c‖t‖².
    cosine
        Of the angle between E ĝ and t.
    p
        Of the test that E ĝ is a multiple of t; NaN where there is nothing to test, as with a
        single parameter.
    """

    result: MeasuredMean
    length: Estimate
    cosine: Estimate
    p: float


@dataclass(frozen=True, eq=False)
class Direction:
    """The means on all cases and sizes next to the targets of one hypothesis.

    hypothesis
        What they are held against, but for the length.
    pointings
        One per case and batch size.
    p
        Their p-values, adjusted by Holm's method.
    damping
        λ as fitted on either half of the replicates, where it is one of the targets.
    """

    hypothesis: Hypothesis
    pointings: Sequence[Pointing]
    p: FloatArray
    damping: tuple[float, float] | None = None

    @property
    def cosine(self) -> float:
        """Mean of the cosines at every problem's larger batch size; NaN if none is known."""
        largest = _largest([one.result for one in self.pointings])
        cosines = [one.cosine.value for one in self.pointings if one.result in largest]
        known = [x for x in cosines if np.isfinite(x)]
        return float(np.mean(known)) if known else np.nan

    @property
    def resolution(self) -> float:
        """The largest angle that is not excluded where the direction is known, in degrees."""
        lows = [p.cosine.low for p in self.pointings if p.cosine.low >= NEAR]
        return float(np.degrees(np.arccos(min(min(lows), 1.0)))) if lows else np.nan

    @property
    def known(self) -> bool:
        """Whether the direction is known within 26° on most problems."""
        near: dict[str, bool] = {}
        for one in self.pointings:
            name = one.result.estimates.case.name
            near[name] = near.get(name, False) or one.cosine.low >= NEAR
        return 2 * sum(near.values()) > len(near)

    @property
    def holds(self) -> bool:
        """Whether the means cannot be told from positive multiples of the targets."""
        ahead = all(not one.length.high <= 0 for one in self.pointings)
        return ahead and self.known and not (self.p < LEVEL).any()


def directions(results: Sequence[MeasuredMean]) -> list[Direction]:
    """The means next to every direction that an update may follow, the plainest first.

    A mean of zero has none.
    """
    if not any(result.mean.any() for result in results):
        return []
    plain = [
        _direction(hypothesis, results) for hypothesis in (*RIGHT, *NATURALS, *WITHOUT_DISCOUNT)
    ]
    if all(result.mean.size == 1 for result in results):
        return plain
    damped = (_damped(family, results) for family in DAMPED)
    return [*plain, *(one for one in damped if one is not None)]


def right_direction(every: Sequence[Direction]) -> Direction | None:
    """The first that holds and whose targets ascend J; None if there is none.

    A damped one was fitted and is judged on half of the replicates, so that it must be nearer than
    all others as well.
    """
    best = nearest(every) if every else None
    ascending = (one for one in every if one.holds and not _lacks_discount(one.hypothesis))
    return next((one for one in ascending if one.damping is None or one is best), None)


def _lacks_discount(hypothesis: Hypothesis) -> bool:
    """Whether it is the sum without γ^t, or that damped."""
    return any(one.words.split(",")[0] in hypothesis.words for one in WITHOUT_DISCOUNT)


def nearest(every: Sequence[Direction]) -> Direction:
    """That with the largest cosine on the whole; one that holds comes first."""
    return max(every, key=lambda one: (one.holds, np.nan_to_num(one.cosine, nan=-1.0)))


def _direction(hypothesis: Hypothesis, results: Sequence[MeasuredMean]) -> Direction:
    pointings = []
    for result in results:
        target = hypothesis.mean(result.estimates.case, result.estimates.batch_size)
        assert target is not None
        pointings.append(pointing(result, target))
    return Direction(hypothesis, pointings, holm([one.p for one in pointings]))


def pointing(result: MeasuredMean, target: FloatArray) -> Pointing:
    """Length and cosine of a mean next to a target (d,), and the test that it is a multiple."""
    length = result.factor(target)
    if target.size == 1:
        sign = float(np.sign(length.value))
        return Pointing(result, length, Estimate(sign, 0.0, sign, sign), np.nan)
    shifted = _across(result, target)
    return Pointing(
        result, length, cosine(length, shifted.relative_bias(target)), shifted.p_value(target)
    )


def _across(result: MeasuredMean, target: FloatArray) -> MeasuredMean:
    """The estimates with what they have along the target replaced by the target itself."""
    unit = target / np.linalg.norm(target)

    def turned(x: FloatArray) -> FloatArray:
        return np.asarray(x - (x @ unit)[..., None] * unit + target)

    gradients = turned(result.estimates.gradients)
    return replace(
        result,
        estimates=replace(result.estimates, gradients=gradients),
        adjusted=turned(result.adjusted),
        claimed=None if result.claimed is None else turned(result.claimed),
    )


def cosine(length: Estimate, across: Estimate) -> Estimate:
    """c/√(c² + b²) with its interval, from c and b ≥ 0 in units of the target's norm.

    It grows with c, so its ends are at those of c and b that are the least and most favourable. For
    what is nearly linear in both such an interval covers no less than theirs, however they are
    correlated, since √Var(x + y) ≤ √Var(x) + √Var(y).
    """

    def of(c: float, b: float) -> float:
        return c / float(np.hypot(c, b)) if c or b else 0.0

    value = of(length.value, max(across.value, 0.0))
    exact = length.se == 0 and across.se == 0
    low, high = (length.value, length.value) if length.se == 0 else (length.low, length.high)
    least, most = (across.value, across.value) if across.se == 0 else (across.low, across.high)
    lowest = of(low, most if low > 0 else least)
    highest = of(high, least if high > 0 else most)
    return Estimate(value, 0.0 if exact else (highest - lowest) / 4, lowest, highest)


@dataclass(frozen=True)
class _Damped:
    """Targets (F + λI)⁻¹ t of a base t, for every λ.

    steps
        Whether F is the mean over the steps that are taken, as a mean over a batch estimates it,
        and not that over ρ.
    """

    base: Hypothesis
    steps: bool

    def at(self, damping: float) -> Hypothesis:
        """The hypothesis of one λ."""
        over = "the steps taken" if self.steps else "ρ"
        return Hypothesis(
            f"(F + {damping:.3g} I)⁻¹ {self.base.words.split(', the')[0]}, the damped natural"
            f" gradient with F over {over}",
            lambda case, n: self.target(case, n, damping),
        )

    def target(self, case: Case, n: int, damping: float) -> FloatArray:
        """(F + λI)⁻¹ t (d,)."""
        base = self.base.mean(case, n)
        assert base is not None
        values, vectors = _spectrum(case, self.steps)
        return np.asarray(vectors @ ((vectors.T @ base) / (values + damping)))

    def _spectrum(self, result: MeasuredMean) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Eigenvalues of F, and t and the mean along its eigenvectors, (d,) each."""
        case = result.estimates.case
        base = self.base.mean(case, result.estimates.batch_size)
        assert base is not None
        values, vectors = _spectrum(case, self.steps)
        return values, vectors.T @ base, vectors.T @ result.mean

    def fitted(self, results: Sequence[MeasuredMean]) -> float:
        """λ of the largest mean cosine."""
        spectra = [self._spectrum(r) for r in results]

        def apart(exponent: float) -> float:
            return -sum(
                _alike(mean, base / (values + 10**exponent)) for values, base, mean in spectra
            )

        path = np.log10(PATH)
        i = int(np.argmin([apart(x) for x in path]))
        around = (path[max(i - 1, 0)], path[min(i + 1, len(path) - 1)])
        found = optimize.minimize_scalar(apart, bounds=around, method="bounded")
        return float(10**found.x)


DAMPED = (
    _Damped(FINITE, False),
    _Damped(FINITE, True),
    _Damped(NO_TAIL, False),
    _Damped(NO_TAIL, True),
    *(_Damped(hypothesis, True) for hypothesis in WITHOUT_DISCOUNT),
)


@lru_cache(maxsize=64)
def _spectrum(case: Case, steps: bool) -> tuple[FloatArray, FloatArray]:
    """Eigenvalues (d,) and eigenvectors (d, d) of F."""
    values, vectors = np.linalg.eigh(case.fisher(steps))
    return np.maximum(values, 0.0), vectors


def _alike(x: FloatArray, y: FloatArray) -> float:
    norms = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(x @ y) / norms if norms else 0.0


def _damped(family: _Damped, results: Sequence[MeasuredMean]) -> Direction | None:
    """The family at the λ fitted on one half of the replicates, judged on the other half.

    λ is fitted at the larger batch sizes, where a Fisher information that is estimated from the
    batch errs the least. None where it is fitted best by an end of the path: that is the natural
    gradient, λ = 0, or the gradient itself, which λI outweighs.
    """
    telling = [r for r in _largest(results) if r.mean.size > 1]
    own, other = (family.fitted([_half(r, part) for r in telling]) for part in (0, 1))
    if not all(PATH[1] < damping < PATH[-2] for damping in (own, other)):
        return None
    judged = _direction(family.at(own), [_half(r, 1) for r in results])
    return replace(judged, damping=(own, other))


def _largest(results: Sequence[MeasuredMean]) -> list[MeasuredMean]:
    """The result of every problem at the larger batch size."""
    found: dict[str, MeasuredMean] = {}
    for r in sorted(results, key=lambda r: r.estimates.batch_size):
        found[r.estimates.case.name] = r
    return [*found.values()]


def _half(result: MeasuredMean, part: int) -> MeasuredMean:
    """Every other replicate."""
    of = slice(part, None, 2)
    made = result.estimates
    return replace(
        result,
        estimates=replace(made, gradients=made.gradients[of], steps=made.steps[of]),
        adjusted=result.adjusted[of],
        witness=None if result.witness is None else result.witness[of],
    )
