"""The study of detection power as a table for the terminal and as a Markdown page."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from pgbench.trials.battery import cases
from pgbench.trials.case import GENERAL, SEQUENCES
from pgbench.trials.power import LEVEL, Found, Study

_PAGE = """# The bug zoo

Estimators that are wrong on purpose, and how surely the tests find them. Written by
`python -m pgbench zoo{options} --output docs/zoo.md`.

Every estimator is sampled on the {cases} problems of the general battery, and on the {sequences}
of that of token sequences, where trajectories come in groups (`pgbench/trials/battery.py`), and its
mean and total variance are tested against those that it claims; a bug is, on the battery that its
mistake is about. Columns: in what share of
{repeats} runs with fresh trajectories, with so many replicates per problem, was the bug found? A
p-value counts if it is below 5 % after multiplication by the number of all tests on all correct
estimators, so that at most one run in twenty accuses any of those, and if the same test rejects at
5 % on fresh trajectories too.

"""


def sentences(study: Study) -> list[str]:
    """What the study says, in plain words."""
    last = list(study.alarms)[-1]
    missed = [found.bug.name for found in study.found if found.power[last] < 1]
    lines = [
        f"With {last} replicates per problem {len(study.found) - len(missed)} of"
        f" {len(study.found)} bugs were found in every one of {study.repeats} runs."
    ]
    if missed:
        lines.append(f"Not in every run: {', '.join(missed)}.")
    runs = study.repeats * len(study.alarms)
    low, high = study.interval
    lines.append(
        f"False alarms: {study.false_alarms} of {runs} runs accused any of {study.estimators}"
        f" variants of correct estimators, {study.tests} tests each at {last} replicates: a rate of"
        f" {study.false_alarms / runs:.1%}, 95 % interval {low:.1%} to {high:.1%};"
        f" {LEVEL:.0%} is allowed."
    )
    if study.accused:
        lines.append(f"Accused: {', '.join(study.accused)}.")
    lines.append(
        f"{study.unknown} variants have no exact mean and were not tested against one; their"
        " tests enumerate every batch of tiny problems."
    )
    return lines


def print_study(study: Study) -> None:
    """Print power, the test that finds each bug best, and false alarms."""
    console = Console(highlight=False, markup=False)
    # A pipe has no width, and on a narrow terminal the table would have no words.
    width = max(console.width, 80) if console.is_terminal else 160
    console = Console(highlight=False, markup=False, width=width)
    table = Table(title="bugs, and how often they are found", title_justify="left")
    table.add_column("bug")
    table.add_column("mistake", overflow="fold")
    for size in study.alarms:
        table.add_column(str(size), justify="right")
    table.add_column("found best by")
    for found in study.found:
        shares = [f"{found.power[size]:.0%}" for size in study.alarms]
        table.add_row(found.bug.name, found.bug.mistake, *shares, found.best)
    console.print(table)
    for line in sentences(study):
        console.print(line)


def page(study: Study, options: str) -> str:
    """The study as a Markdown page, with sources."""
    numbers = {"cases": len(cases(GENERAL)), "sequences": len(cases(SEQUENCES))}
    lines = [
        _PAGE.format(options=options, repeats=study.repeats, **numbers),
        *(line + "\n" for line in sentences(study)),
    ]
    for battery, title in TITLES.items():
        if own := [found for found in study.found if found.bug.battery == battery]:
            lines += [f"## {title}\n", *_table(own, list(study.alarms)), ""]
    return "\n".join(lines)


TITLES = {GENERAL: "Bugs on the general battery", SEQUENCES: "Bugs in groups of sequences"}


def _table(every: Sequence[Found], sizes: Sequence[int]) -> list[str]:
    """Lines of a Markdown table."""
    head = ["bug", "claims to be", "mistake", *map(str, sizes), "found best by", "source"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for found in every:
        bug = found.bug
        cells = [
            f"`{bug.name}`",
            f"`{bug.claims}`",
            bug.mistake,
            *(f"{found.power[size]:.0%}" for size in sizes),
            found.best,
            bug.source,
        ]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return lines
