"""A directory in which a run goes wrong, and what is looked at after it has been resumed."""

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from xarray import DataTree

from pgbench.__main__ import main
from pgbench.results import dataset as results
from pgbench.results.files import OutputError
from pgbench.results.journal import Journal

ROOT = Path(__file__).parents[2]

GRID = """\
name: t
problems: corridor
policies: [softmax, gaussian]
estimators: [td, reinforce]
batch_sizes: [1, 2]
replicates: 20
max_horizon: 30
ascent:
  algorithms: [{algorithm: gradient, estimators: reinforce}]
  step_sizes: 0.01
  replicates: 3
  steps: 5
"""
"""Five cells that are measured, one of them an ascent, and five that are skipped."""

MEASURED = 5

MOST_LINES = 8
"""Lines of a quiet run on stderr: notes, and a sentence."""

PATIENCE = 600
"""Seconds that a process has; compiling all kernels takes a minute or two."""

HANGS = "it does not end"

NOISE = (HANGS, "Traceback", "Exception ignored", "Fatal Python error", "Segmentation")
"""What no user is to see."""


@dataclass(frozen=True)
class Ended:
    """How a process ended, and what it said."""

    code: int
    error: str

    def complaints(self, allowed: Iterable[int]) -> list[str]:
        """What of it breaks the promise."""
        found = [word for word in NOISE if word in self.error]
        if self.code not in {*allowed}:
            found.append(f"exit code {self.code}")
        if self.error.count("\n") > MOST_LINES:
            found.append(f"{self.error.count(chr(10))} lines")
        return [f"{complaint}: {self.error[-2000:]}" for complaint in found]


@dataclass
class Outcome:
    """What came of one try.

    Attributes
    ----------
    codes
        Exit codes of the disturbed processes; of a signal minus its number.
    again
        Cells that were measured again though the journal had them intact.
    changed
        Variables that differ from those of an undisturbed run.
    wrong
        Everything that breaks the promise, in words.
    """

    codes: list[int] = field(default_factory=list)
    again: int = 0
    changed: int = 0
    wrong: list[str] = field(default_factory=list)


class Place:
    """A directory with a grid, where runs of it are disturbed and resumed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.output, self.reports = root / "o", root / "r"
        self.directory = self.output / "t"
        self.grid = root / "grid.yaml"
        self.seconds = 0.0
        """What an undisturbed run took in a process of its own."""
        self.output.mkdir(parents=True)
        self.grid.write_text(GRID, encoding="utf-8")

    @property
    def journal(self) -> Path:
        """The file of the journal."""
        return self.directory / "journal.jsonl"

    @cached_property
    def tree(self) -> DataTree:
        """The dataset that a run left here."""
        return results.read_noted(self.directory)[0]

    def arguments(self, report: bool = False) -> list[str]:
        """The plain command."""
        folders = ["--output", str(self.output), "--reports", str(self.reports)]
        return ["run", str(self.grid), *folders, *["--no-report"] * (not report)]

    def start(
        self,
        fault: Mapping[str, Any] | None = None,
        *,
        report: bool = False,
        quiet: bool = True,
        environment: Mapping[str, str | None] | None = None,
        **options: Any,
    ) -> subprocess.Popen[str]:
        """A run in a process of its own, with a fault and other variables of the environment."""
        variables = {**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})}
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.faults.process", json.dumps(fault or {})),
                *self.arguments(report),
                *["--quiet"] * quiet,
            ],
            cwd=ROOT,
            env={name: value for name, value in variables.items() if value is not None},
            text=True,
            errors="replace",
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
        )

    def run(self, *arguments: Any, **options: Any) -> Ended:
        """A run in a process of its own, to its end."""
        return ended(self.start(*arguments, **options))

    def copy(self, other: "Place") -> None:
        """Take over what a run of another place left."""
        shutil.copytree(other.directory, self.directory, dirs_exist_ok=True)

    def intact(self) -> set[str]:
        """Keys of the measured cells that the journal has now."""
        try:
            records = Journal.read(self.directory).records
        except OutputError:
            return set()
        return {key for key, record in records.items() if record.get("status") == "done"}

    def resumed(self, expected: DataTree, report: bool = False) -> Outcome:
        """What comes of the plain command given again, against an undisturbed dataset."""
        outcome, before = Outcome(), self.intact()
        code, printed = plain(self.arguments(report))
        if code:
            outcome.wrong.append(f"resuming ends with {code}: {printed}")
            return outcome
        found = re.search(r"(\d+) cells measured", printed)
        outcome.again = int(found[1]) - (MEASURED - len(before)) if found else MEASURED
        tree, notes = results.read_noted(self.directory)
        different = [*results.same_numbers(tree, expected), *notes]
        outcome.changed = len(different)
        left = [str(path) for path in self.root.rglob(".*.tmp")]
        outcome.wrong += [f"{name} differs" for name in different]
        outcome.wrong += [f"{path} is left" for path in left]
        outcome.wrong += [f"{outcome.again} cells measured again"] * bool(outcome.again)
        return outcome


def ended(process: subprocess.Popen[str]) -> Ended:
    """How a process ends; one that hangs is killed."""
    try:
        _, error = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        _, error = process.communicate()
        return Ended(process.returncode, f"{HANGS}: {error}")
    return Ended(process.returncode, error or "")


def plain(arguments: list[str]) -> tuple[int, str]:
    """The exit code of a command in this process, and all that it prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        code = main([*arguments, "--quiet"])
    return code, printed.getvalue()
