"""The table of what a grid will do."""

from rich.table import Table

from pgbench.cli.terminal import console, titled
from pgbench.grid.grid import Grid
from pgbench.grid.plan import Prepared, Setting, settings
from pgbench.harness.progress import duration
from pgbench.measure.cost import SettingCost, setting_cost
from pgbench.policies import NotApplicable

PLAN = ("problem", "policy", "S", "A", "d", "γ", "horizon", "cells", "steps", "exact")


def print_plan(grid: Grid) -> bool:
    """Print settings, cells, steps, memory and time of a grid; False if any cannot be built."""
    out, table = console(), titled("plan", *PLAN)
    costs: list[SettingCost] = []
    notes: list[str] = []
    n_cells, good = 0, True
    for setting in settings(grid):
        try:
            prepared = setting.prepare()
        except NotApplicable as reason:
            notes.append(f"skipped: {setting.label}: {reason}")
            continue
        except (ValueError, MemoryError) as error:
            notes.append(f"error: {setting.label}: {error}")
            good = False
            continue
        costs.append(setting_cost(setting, prepared))
        n_cells += len(setting.cells) + len(setting.ascents)
        notes += [f"skipped: {setting.label}: {reason}" for reason in costs[-1].skipped]
        _add_row(table, setting, prepared, costs[-1])
    out.print(table)
    for note in notes:
        out.print(note)
    out.print("S and A: numbers of states and actions, or dimensions of linear-quadratic ones")
    steps, seconds = sum(c.steps for c in costs), sum(c.seconds for c in costs)
    memory = max((c.memory for c in costs), default=0.0)
    out.print(
        f"{n_cells} cells, {steps:.3g} environment steps, about {memory / 2**20:.0f} MiB beside the"
        f" libraries, about {duration(seconds)} on one core after compilation; exact: estimators"
        " whose exact variance is not too large to compute"
    )
    return good


def _add_row(table: Table, setting: Setting, prepared: Prepared, cost: SettingCost) -> None:
    mdp = prepared.truth.mdp
    table.add_row(
        setting.problem.label,
        setting.policy.label,
        str(mdp.facts.get("n_states", mdp.facts.get("state_dimension"))),
        str(mdp.facts.get("n_actions", mdp.facts.get("action_dimension"))),
        str(prepared.truth.gradient.size),
        f"{mdp.gamma:g}",
        str(prepared.horizon),
        str(len(setting.cells) + len(setting.ascents)),
        f"{cost.steps:.3g}",
        f"{cost.exact} of {cost.table_estimators}",
    )
