"""Which known estimators it equals or resembles."""

from collections.abc import Iterator

from pgbench.trials.equality import Equality
from pgbench.trials.examination import Examination
from pgbench.trials.known_estimators import KnownEstimator
from pgbench.trials.measured_mean import unseen
from pgbench.trials.resemblance import Likeness, exact
from pgbench.trials.wording.numbers import percent

SHOWN = 5
"""Names of estimators that were not compared which are told."""


def resemblance(found: Examination) -> Iterator[str]:
    """Sentences, and the closest known estimators where it equals none."""
    likes = found.likenesses
    same = equal(found)
    multiples = [like for like in exact(likes) if not like.same]
    if not likes:
        yield "There is nothing to compare: all its estimates are zero, or no other estimator ran."
    elif same:
        names = " and ".join(name(one.known) for one in same[:3])
        yield f"It equals {names} to rounding, estimate by estimate{_on(same[0])}."
    elif multiples:
        for like in multiples[:2]:
            several = f", on all {like.compared} problems" if like.compared > 1 else ""
            yield f"It is {like.words}, estimate by estimate{several}."
    else:
        yield from _nearly(found)
        yield from _closest(found)


def equal(found: Examination) -> list[Equality]:
    """What it equals in every estimate; mistakes only where no estimator is the same.

    A mistake may lie in what is claimed: a baseline silently read as zero leaves a right estimator.
    """
    same = [one for one in found.equalities if one.complete and not one.likeness.proportional]
    return [one for one in same if not one.known.mistake] or same


def known_as(found: Examination) -> str:
    """What known estimator it is, estimate by estimate, or one times or over something."""
    if same := equal(found):
        return name(same[0].known)
    multiples = [like for like in exact(found.likenesses) if not like.same]
    return multiples[0].words if multiples else ""


def name(known: KnownEstimator) -> str:
    """The name of an estimator, or of a mistake with what is wrong with it."""
    return f"the known mistake {known.name} ({known.mistake})" if known.mistake else known.name


def in_all(one: Equality) -> str:
    """``in all 3000 estimates on each of 7 problems``."""
    number = len(one.problems)
    problems = f"each of {number} problems" if number > 1 else f"'{one.problems[0]}'"
    some = "" if one.even else "or more finite "
    return f"in all {one.replicates} {some}estimates on {problems}"


def _on(one: Equality) -> str:
    chance = percent(unseen(one.replicates))
    return f", {in_all(one)}: it differs from that with a chance below {chance} (95 %)"


def _nearly(found: Examination) -> Iterator[str]:
    """What it equals but for a few estimates, or on some problems only."""
    plain = (one for one in found.equalities if not one.likeness.proportional)
    near = [one for one in plain if one.nearly][:1]
    for one in near:
        counts = [
            f"{count} on {case} (N = {n})" for (case, n), count in one.different.items() if count
        ]
        yield (
            f"It equals {name(one.known)} but for a few of {one.replicates} estimates:"
            f" {', '.join(counts)}."
        )
    if not near:
        for like in [like for like in found.likenesses if len(like.equal) > 1][:1]:
            yield f"It equals {name(like.known)} on {', '.join(like.equal)}, and not elsewhere."


def _closest(found: Examination) -> Iterator[str]:
    parts = any(len(like.equal) > 1 for like in found.likenesses)
    less = " on all problems" if parts else ""
    yield f"It equals none of the known estimators and mistakes{less}. Closest are:"
    for like in found.likenesses[:3]:
        yield f"- {name(like.known)}: correlation {like.correlation:.3f}{_distance(like)}"


def _distance(like: Likeness) -> str:
    """The distance, unless it is farther from the known one than that is from its mean."""
    if like.distance > 1:
        return ""
    return f", distance {like.distance:.2g} of its standard deviation"
