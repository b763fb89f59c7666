"""The command: try every kind of fault, and write the table."""

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

from pgbench.results.files import write_file
from tests.faults.kinds import KINDS, Kind
from tests.faults.place import Outcome, Place

PAGE = """# Runs under faults

What was done to a run, how often, with which exit codes it ended, and what came of the plain
command given again: cells that were measured again though the journal had them intact, and
variables of the dataset that differ from those of an undisturbed run. Of a process that was killed
the code is minus the signal. Where no process was disturbed, the files were. Every try has a seed
of its own, so that the same command does the same again. A promise is broken by any other exit
code, by a traceback, by many lines, and by a temporary file that is left. Written by `{command}`.

| fault | tries | exit codes | measured again | changed | broken promises |
|---|--:|---|--:|--:|--:|
{rows}
"""


def whole_run(root: Path) -> Place:
    """A place in which an undisturbed run has ended."""
    place = Place(root)
    begin = time.perf_counter()
    run = place.run()
    place.seconds = time.perf_counter() - begin
    if run.code:
        raise SystemExit(f"the undisturbed run ends with {run.code}: {run.error}")
    return place


def tried(kind: Kind, whole: Place, root: Path, seed: int) -> Outcome:
    """What comes of a run that is disturbed and resumed."""
    place = Place(root)
    disturbed = kind.act(place, whole, Random(f"{kind.name} {seed}"))
    outcome = place.resumed(whole.tree, kind.report)
    outcome.codes = [process.code for process in disturbed]
    outcome.wrong += [why for process in disturbed for why in process.complaints(kind.codes)]
    return outcome


def outcomes(kind: Kind, whole: Place, tries: int) -> Iterator[Outcome]:
    """What comes of a kind, try by try."""
    for seed in range(tries):
        with tempfile.TemporaryDirectory() as root:
            outcome = tried(kind, whole, Path(root) / "place", seed)
        for why in outcome.wrong:
            print(f"{kind.name}, try {seed}: {why}", file=sys.stderr)
        yield outcome


def row(kind: Kind, found: Sequence[Outcome]) -> str:
    """A line of the table."""
    codes = Counter(code for outcome in found for code in outcome.codes)
    words = ", ".join(f"{code}: {n}" for code, n in sorted(codes.items())) or "—"
    numbers = (sum(o.again for o in found), sum(o.changed for o in found))
    broken = sum(bool(o.wrong) for o in found)
    cells = (kind.name, len(found), words, *numbers, broken)
    return f"| {' | '.join(map(str, cells))} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Try all kinds, print the table and write it to a file; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="of the tries, default: 1")
    parser.add_argument("--only", default="", help="kinds whose name contains this")
    parser.add_argument("--output", type=Path, help="a Markdown file for the table")
    options = parser.parse_args(arguments)
    rows, broken = [], 0
    with tempfile.TemporaryDirectory() as root:
        whole = whole_run(Path(root) / "whole")
        for kind in (kind for kind in KINDS if options.only in kind.name):
            if kind.needs and os.geteuid():
                print(f"{kind.name}: left out, it needs {kind.needs}", file=sys.stderr)
                continue
            found = list(outcomes(kind, whole, max(1, round(options.share * kind.tries))))
            broken += sum(bool(outcome.wrong) for outcome in found)
            rows.append(row(kind, found))
            print(rows[-1], file=sys.stderr, flush=True)
    words = "" if options.share == 1 else f" --share {options.share:g}"
    words += f' --only "{options.only}"' if options.only else ""
    command = f"python -m tests.faults{words} --output docs/reliability.md"
    page = PAGE.format(command=command, rows="\n".join(rows))
    print(page)
    if options.output:
        write_file(options.output, page.encode())
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
