"""An examination printed, section by section."""

import textwrap
from collections.abc import Iterator
from io import StringIO

from rich.console import Console

from pgbench.trials.examination import Examination
from pgbench.trials.wording.bias import bias
from pgbench.trials.wording.conclusion import conclusion
from pgbench.trials.wording.cost import cost
from pgbench.trials.wording.directions import pointing_lines, pointing_table
from pgbench.trials.wording.resemblance import known_as, resemblance
from pgbench.trials.wording.table import KEY, table

WIDTH, NARROWEST = 96, 80


def blank_page() -> Console:
    """A console that keeps what is printed, as wide and as colourful as the output is now."""
    output = Console()
    return Console(
        file=StringIO(),
        force_terminal=output.is_terminal,
        width=max(output.width, NARROWEST) if output.is_terminal else WIDTH + 4,
        highlight=False,
        markup=False,
    )


def print_examination(found: Examination, console: Console) -> None:
    """Print everything that was found; the last line is the verdict."""

    def say(heading: str, lines: Iterator[str]) -> None:
        console.print(f"\n{heading}")
        for line in lines:
            console.print(_wrapped(line), soft_wrap=True)

    say("Is it biased?", bias(found, recognised=bool(known_as(found))))
    console.print()
    console.print(table(found.verdict))
    console.print(_wrapped(KEY), soft_wrap=True)
    if (pointing := pointing_table(found.verdict)) is not None:
        say("Where does its mean point?", pointing_lines(found.verdict))
        console.print(pointing)
    if found.declared is not None:
        say("What does it declare?", iter(found.declared.lines))
    say("What does it resemble?", resemblance(found))
    say("What are its variance and cost?", cost(found))
    console.print()
    console.print(f"Verdict: {conclusion(found)}", soft_wrap=True)


def _wrapped(line: str) -> str:
    """The line indented and broken, but not between a number and its percent sign."""
    held = line.replace(" %", "\u00a0%")
    filled = textwrap.fill(held, WIDTH, initial_indent="  ", subsequent_indent="  ")
    return filled.replace("\u00a0%", " %")
