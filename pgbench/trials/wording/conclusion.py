"""The verdict in one line."""

from pgbench.trials import terminal_values
from pgbench.trials.ascending import Ascending
from pgbench.trials.equality import Equality
from pgbench.trials.examination import Examination
from pgbench.trials.findings import State
from pgbench.trials.measured_mean import unseen
from pgbench.trials.verdict import Decision, Declared, Verdict, visible
from pgbench.trials.wording.bias import hidden, left_out, told, undecided
from pgbench.trials.wording.directions import causes, direction_words
from pgbench.trials.wording.numbers import percent
from pgbench.trials.wording.resemblance import equal, in_all, known_as, name


def conclusion(found: Examination) -> str:
    """The last line."""
    some = f" Of finite estimates alone: {left_out(found)}." if found.skipped else ""
    return f"{_conclusion(found)}{some}"


def _conclusion(found: Examination) -> str:
    what = found.own.words
    if found.declared is not None:
        return _declared(what, found.declared)
    if found.verdict.claims.target == "ascent":
        return _ascending(what, found)
    if found.verdict.decision is Decision.UNDECIDED:
        same = known_as(found)
        known = f" It is {same}, estimate by estimate." if same else _partly(found)
        return f"{what} could not be judged: {undecided(found.verdict)}.{known}"
    if found.verdict.same is not None:
        return _same(what, found, found.verdict.same)
    if found.verdict.decision is Decision.UNBIASED:
        return _unbiased(what, found)
    return _biased(what, found)


def _partly(found: Examination) -> str:
    """On which problems it equals a known estimator, if it does so on some alone."""
    for like in found.likenesses:
        if len(like.equal) > 1:
            return f" It equals {name(like.known)} on {', '.join(like.equal)}, and not elsewhere."
    return ""


def _declared(what: str, declared: Declared) -> str:
    if declared.undeclared:
        return f"{what} has a bias that it does not declare."
    words = ", ".join(declared.causes) or "no bias"
    if declared.untested:
        return f"{what} declares {words}; it could not be judged, for its mean could not be tested."
    if declared.open:
        return f"{what} declares {words}; what else may bias it is not known."
    return f"{what} is what it declares ({words})."


def _same(what: str, found: Examination, same: Equality) -> str:
    """That it is what is right by its claims, where no mean says so."""
    chance, claims = percent(unseen(found.replicates)), found.verdict.claims.words
    right = f"what it claims ({claims})" if claims else "unbiased as that is"
    return (
        f"{what} equals {same.likeness.words} {in_all(same)} (it differs with a chance below"
        f" {chance}) and is {right}."
    )


def _unbiased(what: str, found: Examination) -> str:
    """That it is unbiased, with the resolution at which that was tested."""
    verdict = found.verdict
    same, chance = equal(found), percent(unseen(found.replicates))
    seen = visible(verdict)
    how = ""
    if same:
        how = f" equals {name(same[0].known)} {in_all(same[0])} (it differs with a chance below"
        how += f" {chance}) and"
    elif verdict.equal:
        how = f" is a combination of known estimators in all {found.replicates} estimates on each"
        how += f" problem (it differs with a chance below {chance}) and"
    elif seen > 0:
        how = f", tested down to a bias of {percent(seen)} along the gradient,"
    nothing = [f.case.name for f in verdict.findings if f.state is State.NOTHING]
    silent = ", ".join([*nothing, *hidden(verdict)])
    some = f" Nothing can be said on: {silent}." if silent else ""
    ends = f" {terminal_values.SHORT}" if found.reads_ends else ""
    right = f"is unbiased for {verdict.reference.hypothesis.words}"
    if verdict.claims.words:
        right = f"is what it claims ({verdict.claims.words}): its mean {told(verdict.reference)}"
    return f"{what}{how} {right}.{some}{ends}"


def _ascending(what: str, found: Examination) -> str:
    """Whether J ascends along its mean."""
    state = found.verdict.ascending
    if state is Ascending.YES:
        return f"{what} is what it claims: J ascends along its mean {state.value}."
    if state is Ascending.NO:
        return f"{what} claims that J ascends along its mean, which it does {state.value}."
    return f"{what} could not be judged: whether J ascends along its mean {state.value}."


def _fitting(found: Examination) -> str:
    """The declaration by which it would be right, if there is one."""
    needs = found.verdict.fitting
    return f" It would be right by the declaration {needs.words}." if needs else ""


def _biased(what: str, found: Examination) -> str:
    verdict, same = found.verdict, equal(found)
    if same and same[0].known.critic_errs:
        words = f"{what} is biased by the error of its critic alone: it is {name(same[0].known)}."
        return f"{words}{_fitting(found)}"
    others = verdict.others
    why = f": its mean {told(others[0])}" if others else causes(verdict)
    if known := known_as(found):
        why += f"; it is {known}"
    if verdict.direction is not None and verdict.as_claimed:
        pointing = direction_words(verdict.direction)
        return f"{what} is what it claims ({verdict.claims.words}): it has {pointing}{why}."
    if verdict.direction is not None:
        words = f"{what} has {direction_words(verdict.direction)}, {verdict.where}{why}."
        return f"{words}{_fitting(found)}"
    claimed = _unclaimed(verdict)
    if claimed and not others and verdict.ascending is Ascending.YES:
        why += f"; J ascends along it {verdict.ascending.value}"
    return f"{what} is biased {verdict.where}{claimed}{why}.{_fitting(found)}"


def _unclaimed(verdict: Verdict) -> str:
    """That it is not what it claims, as far as that can be told."""
    words = verdict.claims.words
    if not words:
        return ""
    if verdict.claims.accepts and not verdict.others:
        return f", and by no estimator known here what it claims ({words})"
    return f", and not what it claims ({words})"
