"""What a setting will cost: environment steps, seconds and bytes, about, before it is measured."""

from dataclasses import dataclass

from pgbench.ascent.climb import STEPS_AND_SLOTS
from pgbench.estimators import TableEstimator, estimators
from pgbench.exact import Size
from pgbench.exact.horizon import expected_steps
from pgbench.exact.table_moments import fits, moments_size
from pgbench.grid.grid import Grid
from pgbench.grid.plan import Prepared, Setting
from pgbench.measure.sums import SUMS_BYTES, sums_bytes
from pgbench.policies import NotApplicable
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


@dataclass(frozen=True)
class SettingCost:
    """What a setting costs, about.

    steps, seconds, memory
        Environment steps, seconds on one core after compilation, bytes held at a time.
    table_estimators, exact
        Number of table estimators, and of those whose exact variance is not too large to compute.
    skipped
        Why estimators make no sense there.
    """

    steps: float
    seconds: float
    memory: float
    table_estimators: int
    exact: int
    skipped: list[str]


def setting_cost(setting: Setting, prepared: Prepared) -> SettingCost:
    """What the estimators and the ascents of a setting cost."""
    grid, demand = setting.grid, Demand.of(setting, prepared)
    sampled = demand.steps * grid.replicates * sum(grid.batch_sizes)
    seconds, climbed, held = _ascents(setting, prepared)
    return SettingCost(
        steps=sampled + climbed,
        seconds=demand.seconds(grid, prepared, sampled) + seconds,
        memory=max(demand.memory(grid, prepared), held),
        table_estimators=len(demand.exact),
        exact=sum(map(fits, demand.exact)),
        skipped=demand.skipped,
    )


@dataclass(frozen=True)
class Demand:
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
    def of(cls, setting: Setting, prepared: Prepared) -> "Demand":
        """That of a setting's estimators."""
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
        """Seconds that estimates of so many steps, and what is exact, take about."""
        n = len(self.tables)
        weights = sum(
            grid.replicates
            * process.visited_rows(draws.horizon, draws.batch_size)
            * process.columns
            for process, _ in by_process(self.tables)
            for draws in _draws(grid, prepared)
        )
        rollouts = SECONDS_PER_STEP * steps * (1 + n / 4) + SECONDS_PER_WEIGHT * n * weights
        operations = sum(size.operations for size in self.exact if fits(size))
        solves = SECONDS_PER_SLOT * prepared.truth.mdp.numbers
        rollouts += SECONDS_PER_BATCH_STEP * self.batch * steps
        return rollouts + SECONDS_PER_OPERATION * operations + solves

    def memory(self, grid: Grid, prepared: Prepared) -> float:
        """Bytes held at a time, about."""
        mdp, d = prepared.truth.mdp, prepared.truth.gradient.size
        weights = [0.0]
        for process, places in by_process(self.tables):
            for draws in _draws(grid, prepared):
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


def _draws(grid: Grid, prepared: Prepared) -> list[Draws]:
    return [Draws(prepared.horizon, n, grid.replicates, 0, 0) for n in grid.batch_sizes]


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
        memory = max(memory, 32.0 * min(numbers, max(STEPS_AND_SLOTS, slots)))
    return seconds, steps, memory
