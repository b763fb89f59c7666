"""The table of what a grid will do."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from rich.table import Table

from pgbench.cli.terminal import console, titled
from pgbench.grid.grid import Grid
from pgbench.grid.plan import Prepared, Setting, settings
from pgbench.harness.progress import duration
from pgbench.harness.tasks import largest_memory, tasks
from pgbench.measure.cost import SettingCost, setting_cost
from pgbench.measure.forecast import objections
from pgbench.memory import NotEnoughMemory, explained, in_words
from pgbench.policies import NotApplicable

PLAN = ("problem", "policy", "S", "A", "d", "γ", "horizon", "cells", "steps", "memory", "exact")


@dataclass
class Summary:
    """What the settings of a plan come to, added up one after another; the memory of a task."""

    cells: int = 0
    tasks: int = 0
    steps: float = 0.0
    memory: float = 0.0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    good: bool = True

    def add(self, setting: Setting, cost: SettingCost) -> None:
        """Count a setting in."""
        self.cells += _n_cells(setting)
        self.tasks += sum(1 for _ in tasks([setting]))
        self.steps += cost.steps
        self.memory = max(self.memory, cost.memory)
        self.seconds += cost.seconds
        self.notes += [f"skipped: {setting.label}: {reason}" for reason in cost.skipped]

    def refuse(self, reason: str) -> None:
        """Note once what is wrong, however many settings it is wrong with."""
        self.good = False
        if reason not in self.notes:
            self.notes.append(reason)

    @property
    def sentence(self) -> str:
        """The plan in a line."""
        return (
            f"{self.cells} cells in {self.tasks} tasks, of which the largest takes about"
            f" {in_words(self.memory)} beside the libraries; {self.steps:.3g} environment steps,"
            f" about {duration(self.seconds)} on one core after compilation; exact: estimators"
            " whose exact variance is not too large to compute"
        )


def print_plan(grid: Grid) -> bool:
    """Print settings, cells, steps, memory and time of a grid; False if any cannot be built."""
    out, table, summary = console(), titled("plan", *PLAN), Summary()
    for setting, prepared, cost in _built(grid, summary):
        summary.add(setting, cost)
        _add_row(table, setting, prepared, cost)
    out.print(table)
    for note in summary.notes:
        out.print(note)
    out.print("S and A: numbers of states and actions, or dimensions of linear-quadratic ones")
    out.print(summary.sentence)
    if reasons := objections(grid):
        out.print(f"needs --yes because {' and '.join(reasons)}")
    return summary.good


def _built(grid: Grid, summary: Summary) -> Iterator[tuple[Setting, Prepared, SettingCost]]:
    """The settings that can be built, and their costs; the summary notes why others cannot."""
    for setting in settings(grid):
        try:
            prepared = setting.prepare()
            with explained(setting.label):
                cost = setting_cost(setting, prepared)
                cost = replace(cost, memory=largest_memory(setting, prepared))
        except NotApplicable as reason:
            summary.notes.append(f"skipped: {setting.label}: {reason}")
        except NotEnoughMemory as error:
            summary.refuse(f"error: {error}")
        except ValueError as error:
            summary.refuse(f"error: {setting.label}: {error}")
        else:
            yield setting, prepared, cost


def _n_cells(setting: Setting) -> int:
    return len(setting.cells) + len(setting.ascents)


def _add_row(table: Table, setting: Setting, prepared: Prepared, cost: SettingCost) -> None:
    mdp = prepared.truth.mdp
    problem, *others = setting.words
    table.add_row(
        problem,
        ", ".join(others),
        str(mdp.facts.get("n_states", mdp.facts.get("state_dimension"))),
        str(mdp.facts.get("n_actions", mdp.facts.get("action_dimension"))),
        str(prepared.truth.gradient.size),
        f"{mdp.gamma:g}",
        str(prepared.horizon),
        str(_n_cells(setting)),
        f"{cost.steps:.3g}",
        in_words(cost.memory),
        f"{cost.exact} of {cost.table_estimators}",
    )
