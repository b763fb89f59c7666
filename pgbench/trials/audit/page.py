"""An audit as a table for the terminal, as a page in Markdown, and as JSON."""

import json
from collections.abc import Sequence
from datetime import date

from pgbench import __version__
from pgbench.trials.audit.adapters import Adapter
from pgbench.trials.audit.entry import FAILED, Entry
from pgbench.trials.verdict import Decision
from pgbench.trials.wording.numbers import percent

UNJUDGED = (Decision.UNDECIDED.value, FAILED)
"""Decisions on what could not be judged, or not be called."""

COMMAND = "python -m pgbench audit --page docs/audit.md"

HEAD = """# Functions of other libraries, judged

Written by `{command}` on {day} with pgbench {version}. Every line is a function
of a library, called by an adapter of a few lines in `pgbench/audits/`, and judged on small problems
whose gradient is known exactly, by what it claims: see [own-estimator.md](own-estimator.md). A
difference is not a bug: most conventions below are chosen knowingly, and what is "biased" here may
be what its authors meant. What a line claims is how its adapter reads the library's documentation;
whoever maintains one of them and reads it otherwise is asked to say so. Where a bias is accepted
and no estimator of the suite has that bias, a verdict says "by no estimator known here": it does
not tell what is accepted from a mistake.

`python -m pgbench audit LIBRARY` runs those of an installed library, `--list` lists all of them,
`--output audit.json` is for machines. In your own tests `pgbench.testing.assert_unbiased(function)`
says the same.
"""


def line(entry: Entry) -> str:
    """A function on one line of the terminal."""
    mark = "ok  " if entry.as_claimed else "    "
    return f"{mark}{entry.library}.{entry.function} ({entry.seconds:.1f} s): {entry.verdict}"


def listing(every: Sequence[Adapter]) -> str:
    """Every function of the adapters, a line each, none of them run."""
    lines = []
    for one in every:
        state = one.version or f"not installed: python -m pip install {one.distribution}"
        lines.append(f"{one.library} ({state})")
        lines += [f"  {one.library}.{f.name}: {f.summary}" for f in one.functions]
    return "\n".join(lines)


def machine_readable(found: Sequence[Entry], day: date) -> str:
    """The entries as JSON."""
    every = {"pgbench": __version__, "date": day.isoformat(), "functions": [e.json for e in found]}
    return json.dumps(every, indent=1, ensure_ascii=False) + "\n"


def page(found: Sequence[Entry], every: Sequence[Adapter], day: date) -> str:
    """The entries as a page in Markdown, a table for each library."""
    head = HEAD.format(command=COMMAND, day=day.isoformat(), version=__version__)
    right = sum(entry.as_claimed for entry in found)
    seconds = sum(entry.seconds for entry in found)
    libraries = len({entry.library for entry in found})
    count = (
        f"{len(found)} functions of {libraries} libraries; {right} are what they claim. Together"
        f" they took {seconds / 60:.0f} minutes of one core."
    )
    parts = [
        head,
        count,
        _summary(found, every),
        *(_table(found, adapter) for adapter in every if adapter.version),
    ]
    if missing := [one.distribution for one in every if one.version is None]:
        parts.append(f"Adapters that were not run, for their library was not installed: "
                     f"{', '.join(missing)}.")  # fmt: skip
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _summary(found: Sequence[Entry], every: Sequence[Adapter]) -> str:
    """How many functions of each library came out how."""
    lines = [
        "| library | version | functions | as claimed | otherwise | could not be judged |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for adapter in (one for one in every if one.version):
        own = [entry for entry in found if entry.library == adapter.library]
        right = sum(entry.as_claimed for entry in own)
        open_ = sum(entry.decision in UNJUDGED and not entry.as_claimed for entry in own)
        counts = len(own), right, len(own) - right - open_, open_
        lines.append(f"| {adapter.distribution} | {adapter.version} | {_joined(counts)} |")
    return "\n".join(lines)


def _joined(counts: tuple[int, ...]) -> str:
    return " | ".join(map(str, counts))


def _table(found: Sequence[Entry], adapter: Adapter) -> str:
    rows = [entry for entry in found if entry.library == adapter.library]
    lines = [
        f"## {adapter.distribution} {adapter.version}",
        "",
        "| function | what is called | claims | verdict | bias by cause |",
        "|---|---|---|---|---|",
    ]
    lines += [f"| {' | '.join(map(_cell, _cells(entry)))} |" for entry in rows]
    lines += [""] + [f"- `{entry.function}`: {entry.note}" for entry in rows if entry.note]
    return "\n".join(lines).rstrip()


def _cells(entry: Entry) -> tuple[str, ...]:
    parts = ", ".join(f"{cause} {percent(size)}" for cause, size in entry.parts.items())
    right = "**as claimed**: " if entry.as_claimed else ""
    return (
        f"`{entry.function}`", entry.summary, entry.claims or "unbiased",
        f"{right}{entry.verdict}", parts or "-",
    )  # fmt: skip


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
