"""What is concluded of an estimator that was put to the test."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property

import numpy as np

from pgbench.arrays import BoolArray, FloatArray
from pgbench.declared.causes import UNMEANT
from pgbench.declared.claims import Claims, Needs
from pgbench.statistics import holm
from pgbench.trials.ascending import Ascending, ascending
from pgbench.trials.case import Case
from pgbench.trials.conditions import where
from pgbench.trials.directions import Direction, directions, right_direction
from pgbench.trials.equality import Equality
from pgbench.trials.findings import Finding, State, findings
from pgbench.trials.hypotheses import (
    NATURALS,
    RIGHT,
    WITHOUT_DISCOUNT,
    Hypothesis,
    divided,
    multiple,
    of_known,
    right_by,
    scaled,
    wrong_hypotheses,
)
from pgbench.trials.known_estimators import KnownEstimator
from pgbench.trials.mean_analysis import ACCUSED, LEVEL
from pgbench.trials.measured_mean import Basis, MeasuredMean
from pgbench.trials.normalisers import NORMALISERS, Normaliser
from pgbench.trials.scaling import BiasLeft, shares

UNCLAIMED = Claims()
"""What is claimed without a word: to be unbiased."""

SHOWN = 3
"""So many hypotheses of a biased mean are told."""

SHARP = 0.5
"""A hypothesis is told only if a difference of this share of its length would be seen."""

ZERO = 1.0
"""Where a bias of the gradient's own length would be missed, as of a mean of zero, no test was."""

HANDFUL = float(-np.log(ACCUSED))
"""What happens to so many estimates on one problem happens on another with a chance of 99 %.

If it were as likely there, that is. What happens to fewer may be unseen elsewhere by chance.
"""


class Decision(Enum):
    """How a function came out."""

    UNBIASED = "unbiased"
    DIRECTION = "right direction, other length"
    BIASED = "biased"
    UNDECIDED = "undecided"


@dataclass(frozen=True, eq=False)
class Tested:
    """A hypothesis against results: p-values adjusted over cases and sizes, or NaN."""

    hypothesis: Hypothesis
    results: Sequence[MeasuredMean]
    p: FloatArray

    @property
    def rejected(self) -> BoolArray:
        """Where the hypothesis is ruled out."""
        return np.asarray(self.p < LEVEL)

    @property
    def holds(self) -> bool:
        """Whether it was tested and nowhere ruled out."""
        return bool(np.isfinite(self.p).any() and not self.rejected.any())

    @property
    def speaks(self) -> bool:
        """Whether it says something, and not zero, on half of the problems and sizes at least."""
        said = sum(mean is not None and bool(mean.any()) for mean in self.means)
        return 2 * said >= len(self.results)

    @property
    def means(self) -> list[FloatArray | None]:
        """The hypothesis's mean (d,) for every result, None where it says nothing."""
        places = ((r.estimates.case, r.estimates.batch_size) for r in self.results)
        return [self.hypothesis.mean(case, n) for case, n in places]

    @property
    def resolution(self) -> float:
        """The mean is no farther from the hypothesis than this share of the hypothesis's length.

        The largest upper end of the 95 % intervals where it was tested; 0 where the mean equals it
        with no noise left. A hypothesis of zero is compared with the gradient's length.
        """
        ends = []
        for result, mean, p in zip(self.results, self.means, self.p, strict=True):
            if mean is None or not np.isfinite(p):
                continue
            norm = float(np.linalg.norm(mean if mean.any() else result.estimates.case.finite))
            ends.append(0.0 if result.sharp else result.distance(mean).high / norm)
        return max(ends)


@dataclass(frozen=True, eq=False)
class Verdict:
    """The conclusion.

    results
        One per case and batch size.
    right
        The hypotheses a right estimator may have, tested.
    reference
        That one of them which holds, or the natural gradient if that does, or else that which is
        ruled out on the fewest problems.
    others
        Hypotheses from which a mean that is not right cannot be told.
    shares
        How a bias depends on the batch size, where it was measured at two.
    directions
        Where a biased mean points.
    claims
        What the function claims, by which it is right or wrong.
    behind
        The verdict against the sum without γ^t, where that is all that is wrong on some problems
        and not on others: a second mistake.
    same
        The known estimator, or the multiple of one, that it is in every estimate and that is right
        by what is claimed, where no mean that is known says so.
    """

    results: Sequence[MeasuredMean]
    right: Sequence[Tested]
    reference: Tested
    others: Sequence[Tested] = ()
    shares: Sequence[BiasLeft] = ()
    directions: Sequence[Direction] = ()
    claims: Claims = UNCLAIMED
    behind: "Verdict | None" = None
    same: Equality | None = None

    @property
    def direction(self) -> Direction | None:
        """What ascends J and its mean cannot be told from but for the length, if anything."""
        return right_direction(self.directions)

    @cached_property
    def ascending(self) -> Ascending:
        """Whether J ascends along its mean."""
        return ascending(self.results)

    @property
    def as_claimed(self) -> bool:
        """Whether it is what it claims; without a word that is to be unbiased."""
        if self.decision is Decision.UNBIASED:
            return True
        pointing = self.direction and self.direction.hypothesis.needs
        return self.decision is Decision.DIRECTION and bool(
            pointing and self.claims.covers(pointing.also("any"))
        )

    @property
    def fitting(self) -> Needs | None:
        """The claims by which a biased mean would be right, if there are such."""
        if self.decision not in (Decision.BIASED, Decision.DIRECTION):
            return None
        fitting = [t.hypothesis.needs for t in self.others if t.hypothesis.needs is not None]
        if self.direction is not None and self.direction.hypothesis.needs is not None:
            fitting.append(self.direction.hypothesis.needs.also("any"))
        meant = (needs for needs in fitting if not needs.accepts & UNMEANT)
        fewest = min(
            meant, key=lambda needs: (needs.scale == "any", len(needs.accepts)), default=None
        )
        return fewest

    @property
    def decision(self) -> Decision:
        """The decision on something that declares nothing.

        Nothing is concluded where fleeting events were seen, for they may put right elsewhere what
        looks wrong there, and the other way round.
        """
        if self.claims.target == "ascent":
            return {
                Ascending.YES: Decision.UNBIASED,
                Ascending.NO: Decision.BIASED,
                Ascending.UNKNOWN: Decision.UNDECIDED,
            }[self.ascending]
        if self.same is not None:
            return Decision.UNBIASED
        if self.fleeting:
            return Decision.UNDECIDED
        if not self.reference.holds and any(t.rejected.any() for t in self.right):
            return Decision.BIASED if self.direction is None else Decision.DIRECTION
        return Decision.UNBIASED if self.judged else Decision.UNDECIDED

    @cached_property
    def targets(self) -> list[FloatArray]:
        """What the mean is held against, (d,) for every result."""
        return _targets(self.results, self.reference.hypothesis)

    @cached_property
    def detectable(self) -> list[float]:
        """The bias along the target that would be seen, for every result; NaN where untested."""
        tests = len(self.results)
        pairs = zip(self.results, self.targets, strict=True)
        return [result.detectable(target, tests) for result, target in pairs]

    @cached_property
    def findings(self) -> list[Finding]:
        """What can be said on every problem."""
        return findings(self.results, self.reference.p, self.targets, LEVEL)

    @property
    def where(self) -> str:
        """Where a bias shows, in words; nothing where none was seen."""
        seen = any(finding.state is State.SEEN for finding in self.findings)
        return where(self.findings) if seen else ""

    @property
    def untested(self) -> list[Finding]:
        """Problems on which nothing can be said at some batch size, for tails are too heavy."""
        return [finding for finding in self.findings if finding.untested]

    @cached_property
    def tiny(self) -> list[str]:
        """Problems on which nothing can be said for estimates are all but zero."""
        untested = {finding.case.name for finding in self.untested}
        names = (result.estimates.case.name for result in self.results if result.tiny)
        return [name for name in dict.fromkeys(names) if name in untested]

    @cached_property
    def coarse(self) -> list[str]:
        """Problems on which the noise would hide even a mean of zero."""
        pairs = zip(self.results, self.detectable, strict=True)
        return list(dict.fromkeys(r.estimates.case.name for r, x in pairs if x > ZERO))

    @property
    def fleeting(self) -> bool:
        """Whether some untestable estimates hang on events that may be unseen elsewhere."""
        pairs = zip(self.results, self.reference.p, strict=True)
        hanging = [result for result, p in pairs if not np.isfinite(p) and not result.tiny]
        return any(result.events < HANDFUL for result in hanging)

    @property
    def judged(self) -> bool:
        """Whether so much was tested that no bias seen means something: most problems."""
        silent = {finding.case.name for finding in self.untested} | set(self.coarse)
        return 2 * len(silent) < len(self.findings)

    @property
    def biased_cases(self) -> list[Case]:
        """Cases on which the reference is ruled out, at either batch size."""
        return [finding.case for finding in self.findings if finding.state is State.SEEN]

    @property
    def equal(self) -> bool:
        """Whether no noise is left anywhere, but some means are known from estimates alone."""
        kinds = {result.basis for result in self.results}
        return Basis.EQUAL in kinds and kinds <= {Basis.EQUAL, Basis.TABLES}


def visible(verdict: Verdict) -> float:
    """The bias along the gradient that would have been seen on every problem that says anything."""
    pairs = zip(verdict.results, verdict.detectable, strict=True)
    known = [x for m, x in pairs if m.estimates.case.name not in verdict.coarse]
    return max((x for x in known if np.isfinite(x)), default=np.nan)


def tested(hypothesis: Hypothesis, results: Sequence[MeasuredMean]) -> Tested:
    """A hypothesis with p-values adjusted by Holm's method over everything it says."""
    return Tested(hypothesis, results, holm(hypothesis.p_values(results)))


def verdict(
    results: Sequence[MeasuredMean],
    every: Sequence[KnownEstimator],
    undone: Callable[[Normaliser], Sequence[MeasuredMean]] | None = None,
    claims: Claims = UNCLAIMED,
    equalities: Sequence[Equality] = (),
) -> Verdict:
    """The conclusion from the results on all cases and sizes, by what is claimed.

    ``undone(normaliser)`` gives the results of the estimates times what they may be divided by.
    """
    right = _right(results, every, claims)
    reference = min(right, key=lambda t: (not t.holds, not t.speaks, int(t.rejected.sum())))
    found = Verdict(results, right, reference, claims=claims)
    same = _same(equalities, claims)
    if same is not None and not (reference.holds and found.decision is Decision.UNBIASED):
        return replace(found, reference=_of(same, results), same=same)
    if reference.holds or not any(t.rejected.any() for t in right):
        return found
    for hypothesis in NATURALS if claims.target is None else ():
        natural = tested(hypothesis, results)
        if natural.holds and _sharp(hypothesis, results):
            return Verdict(results, right, natural, claims=claims)
    divided = _divided(undone, claims, every) if undone else []
    if claimed := [t for t in divided if t.hypothesis.within(claims)]:
        return Verdict(claimed[0].results, claimed, claimed[0], claims=claims)
    others = _others(results, every) or divided
    trends = shares(results, reference.rejected, _targets(results, reference.hypothesis))
    found = Verdict(results, right, reference, others, trends, directions(results), claims)
    return replace(found, behind=None if others else _behind(found))


def _right(
    results: Sequence[MeasuredMean], every: Sequence[KnownEstimator], claims: Claims
) -> list[Tested]:
    """What is right by what is claimed, tested: the plainest, and what else holds if none does."""
    first, *groups = right_by(claims, every)
    right = [tested(hypothesis, results) for hypothesis in first]
    for group in groups:
        if any(t.holds for t in right):
            return right
        right += [t for one in group if (t := _quickly(one, results)) is not None]
    if claims.accepts and not any(t.holds for t in right):
        # What is right but for one problem tells most of what is wrong there.
        right += [t for group in groups for one in group if (t := tested(one, results)).speaks]
    return right


def _same(equalities: Sequence[Equality], claims: Claims) -> Equality | None:
    """What it is in every estimate and on every problem, if that is right by what is claimed."""
    for one in equalities:
        needs = one.likeness.needs
        if one.complete and one.everywhere and needs is not None and claims.covers(needs):
            return one
    return None


def _of(same: Equality, results: Sequence[MeasuredMean]) -> Tested:
    """The mean of what it is, where that is known; there is nothing left to test."""
    like, hypothesis = same.likeness, of_known(same.known)
    if like.factor is not None:
        hypothesis = multiple(like.factor.words, like.factor.value, hypothesis)
    if like.normaliser is not None:
        hypothesis = Hypothesis(f"that of {like.words}", lambda case, n: None)
    found = Tested(hypothesis, results, np.full(len(results), np.nan))
    return replace(found, p=np.array([np.nan if g is None else 1.0 for g in found.means]))


def _divided(
    undone: Callable[[Normaliser], Sequence[MeasuredMean]],
    claims: Claims,
    every: Sequence[KnownEstimator],
) -> list[Tested]:
    """Hypotheses that hold once what every batch's estimate is divided by is undone."""
    for normaliser in NORMALISERS:
        results = undone(normaliser)
        hypotheses = divided(normaliser, claims, every)
        tests = (_quickly(hypothesis, results) for hypothesis in hypotheses)
        held = [one for one in tests if one is not None and _sharp(one.hypothesis, results)]
        if held:
            held.sort(key=lambda one: not one.hypothesis.within(claims))
            return held[:SHOWN]
    return []


def _behind(found: Verdict) -> Verdict | None:
    """Verdict against the sum without γ^t, if that holds on problems where nothing right does."""
    wrong = {case.name for case in found.biased_cases}
    second = []
    for hypothesis in WITHOUT_DISCOUNT:
        one = Verdict(found.results, found.right, tested(hypothesis, found.results))
        left = {case.name for case in one.biased_cases}
        if left and left < wrong and _told_apart(one, found, wrong - left):
            second.append(one)
    return min(second, key=lambda one: len(one.biased_cases)) if second else None


def _told_apart(one: Verdict, found: Verdict, names: set[str]) -> bool:
    """Whether on one of these problems the mean is seen to be nearer to the first's reference."""
    for result in one.results:
        case, n = result.estimates.case, result.estimates.batch_size
        own, other = (v.reference.hypothesis.mean(case, n) for v in (one, found))
        if case.name not in names or own is None or other is None:
            continue
        apart = float(np.linalg.norm(own - other) / np.linalg.norm(own))
        if result.relative_bias(own).high < apart / 2:
            return True
    return False


def _targets(results: Sequence[MeasuredMean], hypothesis: Hypothesis) -> list[FloatArray]:
    """The hypothesis's mean (d,) for every result, ∇J_H where it says nothing."""
    found = []
    for result in results:
        mean = hypothesis.mean(result.estimates.case, result.estimates.batch_size)
        found.append(result.estimates.case.finite if mean is None else mean)
    return found


def _sharp(hypothesis: Hypothesis, results: Sequence[MeasuredMean]) -> bool:
    """Whether half of what a hypothesis says would be missed, if it were missing, on most cases."""
    pairs = zip(results, _targets(results, hypothesis), strict=True)
    seen = np.array([result.detectable(mean, len(results)) for result, mean in pairs])
    return bool(np.median(np.where(np.isfinite(seen), seen, np.inf)) < SHARP)


def _others(results: Sequence[MeasuredMean], every: Sequence[KnownEstimator]) -> list[Tested]:
    """Hypotheses from which a wrong mean cannot be told, the plainest first; a few at most."""
    mistakes = [of_known(one) for one in every if one.mistake]
    others = [of_known(one) for one in every if not one.mistake]
    multiples = [a for of in (*RIGHT, *WITHOUT_DISCOUNT) if (a := scaled(results, of)) is not None]
    held: list[Tested] = []
    for group in (wrong_hypotheses(), multiples, mistakes, others):
        if group is multiples and held:
            continue
        found = [t for a in group if (t := _quickly(a, results)) is not None]
        held += found[: SHOWN - 1]
        if group is mistakes and held:
            break
    return held[:SHOWN]


def _quickly(hypothesis: Hypothesis, results: Sequence[MeasuredMean]) -> Tested | None:
    """The hypothesis tested, or None as soon as one test rules it out."""
    p = np.full(len(results), np.nan)
    for i, result in enumerate(results):
        mean = hypothesis.mean(result.estimates.case, result.estimates.batch_size)
        if mean is None:
            continue
        p[i] = result.p_value(mean)
        if p[i] < LEVEL / len(results):
            return None
    # A hypothesis that is silent on some cases must still speak on most.
    if np.isfinite(p).sum() < len(results) / 2:
        return None
    found = Tested(hypothesis, results, holm(p))
    return found if found.holds and found.resolution < SHARP else None


@dataclass(frozen=True)
class Declared:
    """What a record declares against what is found.

    causes
        Its causes of bias.
    lines
        What is found, a sentence each.
    undeclared
        Whether something is wrong that it does not declare.
    open
        Whether a bias beyond the declared one could not be looked for.
    untested
        Whether its mean could not be tested.
    """

    causes: tuple[str, ...]
    lines: list[str] = field(default_factory=list)
    undeclared: bool = False
    open: bool = False
    untested: bool = False
