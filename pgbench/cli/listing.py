"""Tables for the terminal: what there is, what a grid will do, what a run found."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from pgbench.ascent import algorithms, step_sizes
from pgbench.ascent.climb import HELD
from pgbench.cli.catalogue import (
    SUPPORT,
    applies_to,
    bias_classes,
    described,
    exactness,
    formulas,
    plain_formula,
)
from pgbench.declared.outcomes import AscentOutcome, Status
from pgbench.declared.parameters import Formula, Parameter
from pgbench.estimators import TableEstimator, estimators
from pgbench.exact import Size
from pgbench.exact.horizon import expected_steps
from pgbench.exact.table_moments import fits, moments_size
from pgbench.grid.plan import Prepared, Setting, settings
from pgbench.grid.reader import Grid
from pgbench.harness.progress import duration
from pgbench.measure.sums import SUMS_BYTES, sums_bytes
from pgbench.policies import NotApplicable, kinds
from pgbench.problems import families
from pgbench.process.tables import Forms, Tables
from pgbench.rollout.engines import MEMORY_BYTES, by_process, bytes_per_replicate
from pgbench.rollout.simulator import BLOCK, Draws

SECONDS_PER_STEP = 5e-9
SECONDS_PER_WEIGHT = 5e-9
SECONDS_PER_BATCH_STEP = 100e-9
SECONDS_PER_OPERATION = 0.35e-9
SECONDS_PER_SLOT = 4e-6
SECONDS_PER_CLIMBING_STEP = 20e-9
SECONDS_PER_UPDATE = 300e-6
SECONDS_PER_RUN = 20e-6
"""Cost model of the expected time on one core, measured and rough: per step, weight, step of a
batch estimator, operation of exact moments, and slot of the problem for all other exact work; of
ascents per step, per update, and per update of each replicate."""


def _console() -> Console:
    console = Console(highlight=False, markup=False)
    # A pipe has no width; tables there should not be cut at 80 columns.
    return console if console.is_terminal else Console(highlight=False, markup=False, width=200)


def print_list(what: str | None) -> None:
    """Print problems, policies and estimators with formula, bias class and reference."""
    console = _console()
    if what in (None, "problems"):
        table = _table("problems", "name", "description", "parameters", "source")
        for family in families().values():
            size = f" (size: {family.size})" if family.size else ""
            table.add_row(
                family.name, family.summary + size, described(family.parameters), family.reference
            )
        console.print(table)
    if what in (None, "policies"):
        table = _table("policies", "name", "description", "parameters", "source")
        for kind in kinds().values():
            table.add_row(kind.name, kind.summary, described(kind.parameters), kind.reference)
        console.print(table)
    if what in (None, "estimators"):
        columns = ("name", "description", "bias", "exact moments", "parameters", "source")
        table = _table("estimators", *columns)
        for estimator in estimators().values():
            table.add_row(
                estimator.name,
                f"{estimator.summary}\n{_formulas(estimator.formula, estimator.parameters)}\n"
                f"for {applies_to(estimator)} problems",
                "\n".join(bias_classes(estimator)),
                exactness(estimator),
                described(estimator.parameters),
                estimator.reference,
            )
        console.print(table)
        console.print(SUPPORT.replace("\n", " "))
    for axis, records in (("algorithms", algorithms()), ("step_sizes", step_sizes())):
        if what in (None, axis):
            table = _table(axis.replace("_", " "), "name", "description", "parameters", "source")
            for record in records.values():
                table.add_row(
                    record.name,
                    f"{record.summary}\n{_formulas(record.formula, record.parameters)}",
                    described(record.parameters),
                    record.reference,
                )
            console.print(table)
    if what == "zoo":
        from pgbench.trials.zoo import bugs

        table = _table("zoo", "name", "claims to be", "mistake", "source")
        for bug in bugs().values():
            table.add_row(bug.name, bug.claims, bug.mistake, bug.source)
        console.print(table)


def _formulas(formula: Formula, parameters: Mapping[str, Parameter]) -> str:
    """The formula, and on lines of their own those that words and switches make of it."""
    return "\n".join(
        f"with {changed}: {plain_formula(text)}" if changed else plain_formula(text)
        for changed, text in formulas(formula, parameters).items()
    )


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", show_lines=title != "plan")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def print_plan(grid: Grid) -> bool:
    """Print settings, cells, steps, memory and time of a grid; False if any cannot be built."""
    console = _console()
    columns = ("problem", "policy", "S", "A", "d", "γ", "horizon", "cells", "steps", "exact")
    table = _table("plan", *columns)
    steps = seconds = memory = 0.0
    n_cells = 0
    notes: list[str] = []
    good = True
    trajectories = grid.replicates * sum(grid.batch_sizes)
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
        mdp = prepared.truth.mdp
        demand = _Demand.of(setting, prepared)
        own_steps = demand.steps * trajectories
        seconds += demand.seconds(grid, prepared, own_steps)
        climbing, climbed, held = _ascents(setting, prepared)
        own_steps += climbed
        seconds += climbing
        steps += own_steps
        memory = max(memory, demand.memory(grid, prepared), held)
        n_cells += len(setting.cells) + len(setting.ascents)
        notes += [f"skipped: {setting.label}: {reason}" for reason in demand.skipped]
        table.add_row(
            setting.problem.label,
            setting.policy.label,
            str(mdp.facts.get("n_states", mdp.facts.get("state_dimension"))),
            str(mdp.facts.get("n_actions", mdp.facts.get("action_dimension"))),
            str(prepared.truth.gradient.size),
            f"{mdp.gamma:g}",
            str(prepared.horizon),
            str(len(setting.cells) + len(setting.ascents)),
            f"{own_steps:.3g}",
            f"{sum(map(fits, demand.exact))} of {len(demand.exact)}",
        )
    console.print(table)
    for note in notes:
        console.print(note)
    console.print("S and A: numbers of states and actions, or dimensions of linear-quadratic ones")
    console.print(
        f"{n_cells} cells, {steps:.3g} environment steps, about {memory / 2**20:.0f} MiB beside the"
        f" libraries, about {duration(seconds)} on one core after compilation; exact: estimators"
        " whose exact variance is not too large to compute"
    )
    return good


def _ascents(setting: Setting, prepared: Prepared) -> tuple[float, float, float]:
    """Seconds, environment steps and bytes that the ascents of a setting take, about."""
    plan, seconds, steps, memory = setting.grid.ascent, 0.0, 0.0, 0.0
    if plan is None:
        return seconds, steps, memory
    slots = prepared.truth.mdp.numbers
    for cell in setting.ascents:
        runs = plan.replicates if cell.climber.sampled else 1
        rollouts = runs * cell.climber.batch_size if cell.climber.sampled else 0
        own = plan.steps * rollouts * prepared.expected_steps
        steps += own
        seconds += SECONDS_PER_CLIMBING_STEP * own
        seconds += plan.steps * (SECONDS_PER_UPDATE + SECONDS_PER_RUN * runs)
        numbers = runs * (cell.climber.batch_size * prepared.horizon + slots)
        # Rollouts are held twice, and a problem's tables several times.
        memory = max(memory, 32.0 * min(numbers, max(HELD, slots)))
    return seconds, steps, memory


@dataclass(frozen=True)
class _Demand:
    """What the estimators of a setting need.

    tables
        Of every table estimator that makes sense there.
    batch
        Number of estimators that are functions of batches.
    steps
        Expected environment steps of one trajectory of each process they simulate, added up.
    exact
        Size of the exact moments of each.
    skipped
        Why estimators make no sense there.
    """

    tables: list[Tables | Forms]
    batch: int
    steps: float
    exact: list[Size]
    skipped: list[str]

    @classmethod
    def of(cls, setting: Setting, prepared: Prepared) -> "_Demand":
        truth = prepared.truth
        tables: list[Tables | Forms] = []
        skipped, batch = [], 0
        for chosen in setting.grid.estimators:
            record = estimators()[chosen.name]
            try:
                record.require(truth.mdp)
                if not isinstance(record, TableEstimator):
                    batch += 1
                    continue
                tables.append(record.make(truth, prepared.horizon, **chosen.values))
            except NotApplicable as reason:
                skipped.append(f"{chosen.label}: {reason}")
        processes = by_process(tables)
        steps = [
            prepared.expected_steps
            if process is truth.process
            else expected_steps(process.mdp, process.pi, process.steps(prepared.horizon))
            for process, _ in processes
        ]
        exact = [moments_size(truth, own, own.process.within(prepared.horizon)) for own in tables]
        if batch and not any(process is truth.process for process, _ in processes):
            steps.append(prepared.expected_steps)
        return cls(tables, batch, sum(steps), exact, skipped)

    def seconds(self, grid: Grid, prepared: Prepared, steps: float) -> float:
        n = len(self.tables)
        weights = sum(
            grid.replicates
            * process.visited_rows(draws.horizon, draws.batch_size)
            * process.columns
            for process, _ in by_process(self.tables)
            for draws in self._draws(grid, prepared)
        )
        rollouts = SECONDS_PER_STEP * steps * (1 + n / 4) + SECONDS_PER_WEIGHT * n * weights
        operations = sum(size.operations for size in self.exact if fits(size))
        solves = SECONDS_PER_SLOT * prepared.truth.mdp.numbers
        rollouts += SECONDS_PER_BATCH_STEP * self.batch * steps
        return rollouts + SECONDS_PER_OPERATION * operations + solves

    def memory(self, grid: Grid, prepared: Prepared) -> float:
        mdp, d = prepared.truth.mdp, prepared.truth.gradient.size
        weights = [0.0]
        for process, places in by_process(self.tables):
            for draws in self._draws(grid, prepared):
                replicate = bytes_per_replicate(process, draws, len(places))
                held = min(MEMORY_BYTES, grid.replicates * replicate)
                weights.append(max(BLOCK * replicate, held))
        per_estimator = sums_bytes(d, grid.replicates)
        sums = max(per_estimator, min(SUMS_BYTES, per_estimator * len(self.tables)))
        tables = 2 * 8 * mdp.numbers * (1 + len(self.tables))
        scalars = 8 * 16 * grid.replicates * len(self.tables)
        exact = max((size.memory_bytes for size in self.exact if fits(size)), default=0.0)
        sums = max(sums, min(SUMS_BYTES, per_estimator * self.batch))
        return float(max(max(weights) + sums, exact) + tables + scalars + 8 * d * 60)

    @staticmethod
    def _draws(grid: Grid, prepared: Prepared) -> list[Draws]:
        return [Draws(prepared.horizon, n, grid.replicates, 0, 0) for n in grid.batch_sizes]


COLUMNS = (
    "bias / ‖∇J‖",
    "exact",
    "p (Holm)",
    "variance / ‖∇J‖²",
    "exact",
    "cosine",
    "steps",
    "s",
)
"""Of the table of results, beside problem, policy and estimator."""


def print_results(
    summary: Any,
    *,
    problem: str | None,
    policy: str | None,
    estimator: str | None,
    batch_size: int | None,
) -> None:
    """Print a table of results at one batch size, for labels that contain the given words.

    Raises ValueError if the batch size is not in the run or nothing matches.
    """
    known = [int(n) for n in summary["batch_size"].values]
    batch_size = known[-1] if batch_size is None else batch_size
    if batch_size not in known:
        raise ValueError(
            f"--batch-size is {batch_size}, must be one of {', '.join(map(str, known))}"
        )
    selected = summary.sel(
        batch_size=batch_size,
        problem=_matching(summary, "problem", problem),
        policy=_matching(summary, "policy", policy),
        estimator=_matching(summary, "estimator", estimator),
    )
    console = _console()
    title = f"batch size {batch_size}; intervals are 95 %"
    table = Table(title=title, title_justify="left")
    for column in ("problem", "policy", "estimator"):
        table.add_column(column, overflow="fold")
    for column in COLUMNS:
        table.add_column(column, justify="right")
    for p in selected["problem"].values:
        for q in selected["policy"].values:
            for e in selected["estimator"].values:
                cell = selected.sel(problem=p, policy=q, estimator=e)
                table.add_row(str(p), str(q), str(e), *_cell(cell))
        table.add_section()
    console.print(table)
    for p, q in itertools.product(selected["problem"].values, selected["policy"].values):
        if note := str(selected["gradient_note"].sel(problem=p, policy=q).values):
            console.print(f"{p} × {q}: nothing is relative to ‖∇J‖: {note}.", markup=False)


def _cell(cell: Any) -> list[str]:
    if int(cell["status"]) != Status.DONE:
        return [str(cell["message"].values) or "missing", *[""] * (len(COLUMNS) - 1)]

    def text(value: float, digits: int = 3) -> str:
        return "—" if math.isnan(value) else f"{value:.{digits}g}"

    def number(name: str, digits: int = 3) -> str:
        return text(float(cell[name]), digits)

    low, high = number("relative_bias_low", 2), number("relative_bias_high", 2)
    return [
        number("relative_bias", 2) + ("" if low == "—" else f" [{low}, {high}]"),
        number("exact_relative_bias", 2),
        number("bias_test_p_holm", 2),
        f"{number('relative_variance')} ± {number('relative_variance_se', 2)}",
        number("exact_relative_variance"),
        number("cosine"),
        number("steps"),
        number("seconds", 2),
    ]


def print_ascents(
    ascent: Any, *, problem: str | None, policy: str | None, algorithm: str | None
) -> None:
    """Print a table of ascents for labels that contain the given words.

    Raises ValueError if nothing matches.
    """
    table = Table(title="ascents; intervals are 95 %", title_justify="left")
    for column in ("problem", "policy", "algorithm", "step size"):
        table.add_column(column, overflow="fold")
    for column in ("J* - J at the end", "left of the start", "updates to 10 %", "to 1 %", "rate"):
        table.add_column(column, justify="right")
    table.add_column("collapsed", justify="right")
    table.add_column("diverged or unstable", justify="right")
    found = 0
    for p in _matching(ascent, "problem", problem):
        for q in _matching(ascent, "policy", policy):
            for a in _matching(ascent, "algorithm", algorithm):
                for z in ascent["step_size"].values:
                    run = ascent.sel(problem=p, policy=q, algorithm=a, step_size=z)
                    if int(run["ascent_status"]) != Status.MISSING:
                        table.add_row(str(p), str(q), str(a), str(z), *_climbed(run))
                        found += 1
        table.add_section()
    if not found:
        raise ValueError("no ascent of these problems, policies and algorithms is planned")
    _console().print(table)


def _matching(data: Any, axis: str, word: str | None) -> list[str]:
    """Labels of an axis that contain a word; ValueError if none does."""
    labels = [str(label) for label in data[axis].values]
    found = [label for label in labels if word is None or word in label]
    if not found:
        raise ValueError(f"--{axis} {word}: no label contains this; there are {', '.join(labels)}")
    return found


def _climbed(run: Any) -> list[str]:
    from pgbench.ascent.summary import RATES, median_steps

    if int(run["ascent_status"]) != Status.DONE:
        return [str(run["ascent_message"].values), *[""] * 6]

    def text(value: float, digits: int = 3) -> str:
        return "—" if math.isnan(value) else f"{value:.{digits}g}"

    gap = run["suboptimality_iqm"].values
    low, high = run["suboptimality_iqm_low"].values[-1], run["suboptimality_iqm_high"].values[-1]
    final = text(float(gap[-1])) + ("" if math.isnan(low) else f" [{low:.2g}, {high:.2g}]")
    left = float(gap[-1] / gap[0]) if gap[0] > 0 else math.nan
    reached = []
    for key in ("10", "1"):
        steps = run[f"steps_to_{key}"].values[run["outcome"].values != AscentOutcome.NO_RUN]
        n = sum(not math.isnan(x) for x in steps)
        median = median_steps(steps)
        shown = text(median, 6) if math.isfinite(median) else "—"
        reached.append(f"{shown} ({n}/{len(steps)})")
    kind = str(run["rate_kind"].values)
    rate = RATES.get(kind, kind)
    return [
        final,
        text(left, 2),
        *reached,
        rate.format(text(float(run["rate"]), 2)),
        text(float(run["collapsed_share"]), 2),
        text(float(run["diverged_share"] + run["unstable_share"]), 2),
    ]
