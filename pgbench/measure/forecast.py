"""What a run of a grid may take, said from the grid alone, and when that is too much to begin with.

Nothing is built and nothing is solved: a plan of millions of hours is told from one of minutes
before either begins. What ``cost`` says of problems that are built is sharper.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from math import inf

from pgbench.estimators import TableEstimator, estimators
from pgbench.grid.grid import Grid
from pgbench.grid.plan import (
    Setting,
    expected_dimensions,
    expected_policy,
    likely_horizon,
    settings,
)
from pgbench.measure.cost import SECONDS_PER_SLOT, ascent_cost, bytes_held, sampling_seconds
from pgbench.memory import available, in_words
from pgbench.policies.policy import PolicyDimensions
from pgbench.problems.dimensions import Dimensions, FiniteDimensions

MOST_HOURS = 24.0
"""A run that may take longer on one core is to be confirmed."""

SMALL = FiniteDimensions(1, 1)
"""What stands for a problem whose size only building it tells: steps alone count."""


class Unconfirmed(ValueError):
    """A run may take very long, or more memory than there is, and nobody has confirmed it."""


@dataclass(frozen=True)
class Forecast:
    """What a setting may take: seconds on one core, and bytes at a time.

    ``least`` where only building the problem tells its size, and no more than steps are counted.
    """

    label: str
    seconds: float
    memory: float
    least: bool = False


def require_confirmed(grid: Grid) -> None:
    """Raise Unconfirmed, in a sentence, where a run of the grid is to be confirmed first."""
    if reasons := objections(grid):
        raise Unconfirmed(
            f"{grid.name} needs --yes (in Python confirmed=True) because {' and '.join(reasons)}"
        )


def objections(grid: Grid) -> list[str]:
    """Why a run of the grid is to be confirmed first; nothing for most grids.

    Settings that cannot be built in the memory that there is do not count: they will be refused.
    """
    free = available()
    found = [*forecasts(grid, free)]
    hours = sum(forecast.seconds for forecast in found) / 3600
    largest = max(found, key=lambda forecast: forecast.memory, default=Forecast("", 0.0, 0.0))
    reasons = []
    if hours > MOST_HOURS:
        reasons.append(
            f"it may take about {hours:,.0f} hours on one core, more than {MOST_HOURS:g}"
        )
    if largest.memory > free:
        reasons.append(
            f"measuring {largest.label} may take about {in_words(largest.memory)} of memory,"
            f" {in_words(free)} are available"
        )
    return reasons


def forecasts(grid: Grid, free: float) -> Iterator[Forecast]:
    """What every setting may take that makes sense and that so many bytes can hold."""
    for problem, together in groupby(settings(grid), key=lambda setting: setting.problem):
        size = expected_dimensions(problem)
        for setting in together:
            if found := _forecast(setting, size, free):
                yield found


def forecast(setting: Setting) -> Forecast | None:
    """What a setting may take; None where its policy makes no sense."""
    return _forecast(setting, setting.dimensions, inf)


def _forecast(setting: Setting, known: Dimensions | None, free: float) -> Forecast | None:
    """Of a problem of that size, where no episode ends before the horizon."""
    policy = expected_policy(setting.policy, known) if known else PolicyDimensions(0)
    size = known or SMALL
    if policy is None or size.memory + policy.memory > free:
        return None
    grid, horizon = setting.grid, likely_horizon(setting)
    makers = [estimators()[chosen.name] for chosen in grid.estimators]
    tables = sum(isinstance(maker, TableEstimator) for maker in makers)
    batch = len(makers) - tables
    weights = [size.weights(horizon * n) for n in grid.batch_sizes]
    steps = float(horizon) * grid.replicates * sum(grid.batch_sizes)
    seconds = sampling_seconds(steps, grid.replicates * sum(weights), tables, batch, size.entries)
    replicate = 8.0 * tables * max(weights, default=0)
    memory = bytes_held(
        grid.replicates,
        replicate,
        size.numbers,
        policy.n_parameters,
        tables,
        batch,
        horizon * max(grid.batch_sizes, default=0),
    )
    if plan := grid.ascent:
        climbing, _, held = ascent_cost(plan, horizon, horizon, size.numbers, size.entries)
        seconds, memory = seconds + climbing, max(memory, held)
    seconds += SECONDS_PER_SLOT * size.numbers
    return Forecast(setting.label, seconds, memory, least=known is None)
