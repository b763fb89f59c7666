"""Biases of mistakes on the battery as a part of a Markdown page."""

from collections.abc import Mapping, Sequence
from itertools import groupby

from pgbench.trials.battery import FiniteCase, cases
from pgbench.trials.biases import (
    LARGE,
    REPLICATES,
    Bias,
    Mistake,
    is_listed,
    of_battery,
    of_zoo,
    shows_on,
    slips,
)
from pgbench.trials.case import GENERAL, SEQUENCES

Biases = Mapping[str, Bias | None]

_PART = """
## {title}

How far the mean is from what it should be, in percent of that, on each problem of the {battery}
battery with its own batch size; in bold what is above {large:.0%} beyond doubt. On {listed}
all batches are listed, and what has tables needs no list: those numbers are exact. Those with a ±
are measured on {replicates} batches, as the mean difference to the right estimator on the same
batches, ± two standard errors, as are bugs that draw numbers of their own. A mean counts as right
too if it is ∇J_H, ∇J, or ∇J less the score terms beyond step H, the same one on all problems. A
dash: the estimator makes no sense there, or its right mean is not known.

{sentence}

### Bugs of the zoo

{bugs}

### One line written wrongly

{slips}
"""


WORDS = {GENERAL: "general", SEQUENCES: "second"}

TITLES = {
    GENERAL: "Where a mistake shows",
    SEQUENCES: "Where a mistake in groups of sequences shows",
}


def parts() -> str:
    """The parts of all batteries, one after another."""
    bugs, lines = of_zoo(), slips()
    return "".join(
        part(of_battery(bugs, name), of_battery(lines, name), cases(name), title)
        for name, title in TITLES.items()
    )


def part(
    bugs: Sequence[Mistake],
    slips: Sequence[Mistake],
    places: Sequence[FiniteCase],
    title: str = TITLES[GENERAL],
) -> str:
    """Tables of the biases of bugs, and of slips by estimator, on one battery."""
    shown = {id(m): m.biases(places) for m in (*bugs, *slips)}
    sections = []
    for name, group in groupby(slips, lambda m: m.name):
        rows = list(group)
        table = _table(rows, [shown[id(m)] for m in rows], places)
        sections.append(f"#### `{name}` ({rows[0].claimed})\n\n{table}")
    return _PART.format(
        title=title,
        battery=WORDS[places[0].laboratory.battery],
        large=LARGE,
        listed=", ".join(f"'{case.name}'" for case in places if is_listed(case)),
        replicates=REPLICATES,
        sentence=sentence(slips, [shown[id(m)] for m in slips]),
        bugs=_table(bugs, [shown[id(m)] for m in bugs], places),
        slips="\n\n".join(sections),
    )


def sentence(slips: Sequence[Mistake], biases: Sequence[Biases]) -> str:
    """How many slips bias the mean, and on how many an exact bias is large."""
    wrong = [b for m, b in zip(slips, biases, strict=True) if not m.harmless]
    seen = sum(bool(shows_on(b, exact=True)) for b in wrong)
    names = {m.name for m in slips}
    return (
        f"{len(slips)} slips in {len(names)} estimators: {len(slips) - len(wrong)} leave the mean"
        f" right, for the reason given. Of the other {len(wrong)} an exact bias exceeds"
        f" {LARGE:.0%} on some problem for {seen}."
    )


def _table(
    mistakes: Sequence[Mistake], biases: Sequence[Biases], places: Sequence[FiniteCase]
) -> str:
    with_text = any(m.change for m in mistakes)
    head = ["mistake", *(["written", "for"] if with_text else []), *(case.name for case in places)]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for mistake, found in zip(mistakes, biases, strict=True):
        cells = [_words(mistake)]
        if mistake.change:
            cells += [_code(text) for text in reversed(mistake.change)]
        cells += [_number(found[case.name]) for case in places]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _words(mistake: Mistake) -> str:
    words = mistake.words.replace("|", "\\|")
    name = "" if mistake.change else f"`{mistake.name}`: "
    return name + words + (f" (*no bias: {mistake.harmless}*)" if mistake.harmless else "")


def _code(text: str) -> str:
    text = text.strip().replace("|", "\\|")
    return f"`{text}`" if text else "nothing"


def _number(bias: Bias | None) -> str:
    """Percent, with two standard errors where it is measured."""
    if bias is None:
        return "-"
    shown = _digits(100 * bias.value)
    if bias.error:
        shown += f" ± {_digits(200 * bias.error)}"
    return f"**{shown}**" if bias.is_large else shown


def _digits(x: float) -> str:
    """Two digits or whole numbers; what is below a hundred-thousandth is none."""
    if x < 1e-3:
        return "0"
    return f"{x:.2g}" if x < 99.5 else f"{x:.0f}" if x < 1e4 else f"{x:.1e}"
