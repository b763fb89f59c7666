"""What is concluded of an estimator that was put to the test."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from pgbench.statistics import Estimate, holm
from pgbench.trials.accounts import (
    NATURALS,
    RIGHT,
    WITHOUT_DISCOUNT,
    Account,
    divided,
    of_known,
    scaled,
    wrong_accounts,
)
from pgbench.trials.battery import Case
from pgbench.trials.directions import Direction, directions, right_direction
from pgbench.trials.known import Known
from pgbench.trials.measured import LEVEL, Measured
from pgbench.trials.normalisers import NORMALISERS, Normaliser

FloatArray = NDArray[np.float64]

SHOWN = 3
"""So many accounts of a biased mean are told."""


class Outcome(Enum):
    """How a function came out."""

    UNBIASED = "unbiased"
    DIRECTION = "right direction, other length"
    BIASED = "biased"
    UNDECIDED = "undecided"


@dataclass(frozen=True, eq=False)
class Tested:
    """An account against the results: p-values adjusted over cases and sizes, or NaN."""

    account: Account
    p: FloatArray

    @property
    def rejected(self) -> NDArray[np.bool_]:
        """Where the account is ruled out."""
        return np.asarray(self.p < LEVEL)

    @property
    def holds(self) -> bool:
        """Whether it was tested and nowhere ruled out."""
        return bool(np.isfinite(self.p).any() and not self.rejected.any())


@dataclass(frozen=True, eq=False)
class Scaling:
    """What is left of a bias with four times as many trajectories, by case, and pooled."""

    shares: dict[str, Estimate]
    pooled: Estimate


@dataclass(frozen=True, eq=False)
class Verdict:
    """The conclusion.

    results
        One per case and batch size.
    right
        The accounts a right estimator may have, tested.
    reference
        That one of them which holds, or the natural gradient if that does, or else that which is
        ruled out on the fewest problems.
    others
        Accounts that hold of a mean that is not right.
    where
        Where a bias shows, in words.
    scaling
        How a bias depends on the batch size, if it was measured at two.
    directions
        Where a biased mean points.
    behind
        The verdict against the sum without γ^t, where that is all that is wrong on some problems
        and not on others: a second mistake.
    """

    results: Sequence[Measured]
    right: Sequence[Tested]
    reference: Tested
    others: Sequence[Tested] = ()
    where: str = ""
    scaling: Scaling | None = None
    directions: Sequence[Direction] = ()
    behind: "Verdict | None" = None

    @property
    def direction(self) -> Direction | None:
        """What ascends J and its mean cannot be told from but for the length, if anything."""
        return right_direction(self.directions)

    @property
    def outcome(self) -> Outcome:
        """The outcome for something that declares nothing."""
        if self.reference.holds:
            return Outcome.UNBIASED
        if self.direction is not None:
            return Outcome.DIRECTION
        rejected = any(tested.rejected.any() for tested in self.right)
        return Outcome.BIASED if rejected else Outcome.UNDECIDED

    @property
    def untested(self) -> list[str]:
        """Cases on which no test was possible."""
        names: dict[str, bool] = {}
        for result, p in zip(self.results, self.reference.p, strict=True):
            name = result.estimates.case.name
            names[name] = names.get(name, True) and not np.isfinite(p)
        return [name for name, missing in names.items() if missing]

    @property
    def biased_cases(self) -> list[Case]:
        """Cases on which the reference is ruled out, at either batch size."""
        found: dict[str, Case] = {}
        for result, off in zip(self.results, self.reference.rejected, strict=True):
            if off:
                found[result.estimates.case.name] = result.estimates.case
        return list(found.values())


def tested(account: Account, results: Sequence[Measured]) -> Tested:
    """An account with p-values adjusted by Holm's method over everything it says."""
    return Tested(account, holm(account.p_values(results)))


def verdict(
    results: Sequence[Measured],
    every: Sequence[Known],
    undone: Callable[[Normaliser], Sequence[Measured]] | None = None,
) -> Verdict:
    """The conclusion from the results on all cases and sizes.

    ``undone(normaliser)`` gives the results of the estimates times what they may be divided by.
    """
    right = [tested(account, results) for account in RIGHT]
    reference = min(right, key=lambda t: (not t.holds, int(t.rejected.sum())))
    if reference.holds or not any(t.rejected.any() for t in right):
        return Verdict(results, right, reference)
    for account in NATURALS:
        natural = tested(account, results)
        if natural.holds and _sharp(account, results):
            return Verdict(results, right, natural)
    others = _others(results, every) or (_divided(undone) if undone else [])
    found = Verdict(results, right, reference, others, directions=directions(results))
    return replace(
        found,
        where=_where(found),
        scaling=_scaling(results, reference),
        behind=None if others else _behind(found),
    )


def _divided(undone: Callable[[Normaliser], Sequence[Measured]]) -> list[Tested]:
    """Accounts that hold once what every batch's estimate is divided by is undone."""
    for normaliser in NORMALISERS:
        results = undone(normaliser)
        every = (_quickly(a, results) for a in divided(normaliser) if _sharp(a, results))
        if held := [found for found in every if found is not None]:
            return held[:SHOWN]
    return []


def _behind(found: Verdict) -> Verdict | None:
    """Against the sum without γ^t, if it holds on some problems where no right account does."""
    wrong = {case.name for case in found.biased_cases}
    second = []
    for account in WITHOUT_DISCOUNT:
        one = replace(found, reference=tested(account, found.results), others=(), directions=())
        left = {case.name for case in one.biased_cases}
        if left and left < wrong and _told_apart(one, found, wrong - left):
            second.append(one)
    if not second:
        return None
    best = min(second, key=lambda one: len(one.biased_cases))
    return replace(best, where=_where(best))


def _told_apart(one: Verdict, found: Verdict, names: set[str]) -> bool:
    """Whether on one of these problems the mean is seen to be nearer to the first's reference."""
    for result in one.results:
        case, n = result.estimates.case, result.estimates.batch_size
        own, other = (v.reference.account.mean(case, n) for v in (one, found))
        if case.name not in names or own is None or other is None:
            continue
        apart = float(np.linalg.norm(own - other) / np.linalg.norm(own))
        if result.relative_bias(own).high < apart / 2:
            return True
    return False


def _sharp(account: Account, results: Sequence[Measured]) -> bool:
    """Whether half of what an account says would be missed, if it were missing, on most cases."""
    seen = []
    for result in results:
        mean = account.mean(result.estimates.case, result.estimates.batch_size)
        assert mean is not None
        seen.append(result.detectable(mean, len(results)))
    return bool(np.median(seen) < 0.5)


def _others(results: Sequence[Measured], every: Sequence[Known]) -> list[Tested]:
    """Accounts of a wrong mean that hold, the plainest first; a few at most."""
    mistakes = [of_known(one) for one in every if one.mistake]
    others = [of_known(one) for one in every if not one.mistake]
    multiples = [a for of in (*RIGHT, *WITHOUT_DISCOUNT) if (a := scaled(results, of)) is not None]
    held: list[Tested] = []
    for group in (wrong_accounts(), multiples, mistakes, others):
        if group is multiples and held:
            continue
        found = [t for a in group if (t := _quickly(a, results)) is not None]
        held += found[: SHOWN - 1]
        if group is mistakes and held:
            break
    return held[:SHOWN]


def _quickly(account: Account, results: Sequence[Measured]) -> Tested | None:
    """The account tested, or None as soon as one test rules it out."""
    p = np.full(len(results), np.nan)
    for i, result in enumerate(results):
        mean = account.mean(result.estimates.case, result.estimates.batch_size)
        if mean is None:
            continue
        p[i] = result.p_value(mean)
        if p[i] < LEVEL / len(results):
            return None
    # An account that is silent on some cases must still speak on most.
    if np.isfinite(p).sum() < len(results) / 2:
        return None
    found = Tested(account, holm(p))
    return found if found.holds else None


TRAITS: dict[str, str] = {
    "ends": "where episodes end in a terminal state",
    "goes on": "where episodes never end",
    "cut": "where rollouts are cut before the discount has worn off",
    "shared": "where states share parameters",
    "tabular": "where no parameters are shared",
    "undiscounted": "where γ = 1",
    "discounted": "where γ < 1",
    "steps": "where there is more than one step",
    "discounted steps": "where there is more than one step and γ < 1",
    "one step": "where there is only one step",
}
"""Conditions by name, in words."""


def traits(case: Case) -> set[str]:
    """The conditions that a case is an example of."""
    mdp, steps = case.truth.mdp, case.horizon > 1
    gap = np.linalg.norm(case.finite - case.truth.gradient)
    found = {
        "ends": bool(mdp.terminal.any()) and steps,
        "goes on": not mdp.terminal.any(),
        "cut": float(gap) > 0.02 * float(np.linalg.norm(case.truth.gradient)),
        "shared": case.features.shape[2] < mdp.n_states * mdp.n_actions,
        "undiscounted": mdp.gamma == 1 and steps,
        "discounted": mdp.gamma < 1,
        "steps": steps,
        "discounted steps": mdp.gamma < 1 and steps,
        "one step": not steps,
    }
    found["tabular"] = not found["shared"]
    return {name for name, holds in found.items() if holds}


def _where(found: Verdict) -> str:
    """Where a bias shows: the condition that just covers the cases, if there is one."""
    biased = {case.name for case in found.biased_cases}
    every = {r.estimates.case.name: r.estimates.case for r in found.results}
    if biased == set(every):
        return "on every problem"
    listed = ", ".join(name for name in every if name in biased)
    for trait, words in TRAITS.items():
        covered = {name for name, case in every.items() if trait in traits(case)}
        if biased == covered:
            return f"exactly {words}: on {listed}"
    for trait, words in TRAITS.items():
        covered = {name for name, case in every.items() if trait in traits(case)}
        if biased < covered and len(covered) <= len(biased) + 1 < len(every):
            return f"only {words}: on {listed}, not seen on {', '.join(covered - biased)}"
    return f"on {listed}"


def _scaling(results: Sequence[Measured], reference: Tested) -> Scaling | None:
    """The share of the bias at the smaller batch size that is left at the larger."""
    by_case: dict[str, list[Measured]] = {}
    for result, off in zip(results, reference.rejected, strict=True):
        own = by_case.setdefault(result.estimates.case.name, [])
        if off or own:
            own.append(result)
    shares = {}
    for name, pair in by_case.items():
        if len(pair) < 2:
            continue
        case = pair[0].estimates.case
        target = reference.account.mean(case, pair[0].estimates.batch_size)
        assert target is not None
        shares[name] = pair[0].remains(target, pair[1])
    if not shares:
        return None
    weights = np.array([1 / (s.se**2 + 1e-12) for s in shares.values()])
    value = float(weights @ [s.value for s in shares.values()] / weights.sum())
    se = 1 / float(np.sqrt(weights.sum()))
    return Scaling(shares, Estimate(value, se, value - 1.96 * se, value + 1.96 * se))


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
    """

    causes: tuple[str, ...]
    lines: list[str] = field(default_factory=list)
    undeclared: bool = False
    open: bool = False
