"""What a setting will cost: environment steps, seconds and bytes, about, before it is measured."""

from dataclasses import dataclass

from pgbench.ascent.climb import STEPS_AND_SLOTS
from pgbench.estimators import TableEstimator, estimators
from pgbench.exact import Size
from pgbench.exact.horizon import expected_steps
from pgbench.exact.table_moments import LIMIT, SUMS_LIMIT, fits, moments_size
from pgbench.exact.truth import Truth
from pgbench.grid.grid import Ascents, Grid
from pgbench.grid.plan import Prepared, Setting
from pgbench.measure.sums import NUMBERS_TOGETHER, REPLICATE_NUMBERS, SUMS_BYTES, sums_bytes
from pgbench.policies import NotApplicable
from pgbench.process.tables import Forms, Tables
from pgbench.rollout.engines import MEMORY_BYTES, by_process, bytes_per_replicate
from pgbench.rollout.simulator import BLOCK, BLOCK_NUMBERS, RECORDED, Draws

SECONDS_PER_STEP = 5e-9
SECONDS_PER_WEIGHT = 5e-9
SECONDS_PER_BATCH_STEP = 100e-9
SECONDS_PER_OPERATION = 0.35e-9
SECONDS_PER_SLOT = 4e-6
SECONDS_PER_CLIMBING_STEP = 20e-9
SECONDS_PER_UPDATE = 300e-6
SECONDS_PER_RUN = 20e-6
SECONDS_PER_ENTRY, SECONDS_PER_PRODUCT = 25e-9, 0.6e-9
"""Cost model of the expected time on one core, measured and rough: per step, weight, step of a
batch estimator, operation of exact moments, and slot of the problem for all other exact work; of
ascents per step, per update, and per update of each replicate; and for every step, estimator and
entry of states and actions that are vectors, and product of two of them."""


BYTES_PER_BATCH_NUMBER = 16.0
"""What functions of batches hold per step, or entry of its state and action, measured."""

BYTES_PER_GRADIENT_NUMBER = 80.0
"""What is held for each number of the gradients that are added together, measured."""


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
    seconds, climbed, held = 0.0, 0.0, 0.0
    if plan := grid.ascent:
        truth = prepared.truth
        seconds, climbed, held = ascent_cost(
            plan,
            prepared.horizon,
            prepared.expected_steps,
            truth.mdp.numbers,
            truth.process.entries,
        )
    return SettingCost(
        steps=sampled + climbed,
        seconds=demand.seconds(grid, prepared, sampled) + seconds,
        memory=max(demand.memory(grid, prepared), held),
        table_estimators=len(demand.tables),
        exact=len(demand.exact),
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
        Size of the exact moments of those that are not too large.
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
                record.require_data(truth.behaviour is not None)
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
        exact = []
        for own in tables:
            size = moments_size(truth, own, own.process.within(prepared.horizon))
            if fits(size, LIMIT if isinstance(own, Tables) else SUMS_LIMIT):
                exact.append(size)
        if batch and not any(process is truth.process for process, _ in processes):
            steps.append(prepared.expected_steps)
        return cls(tables, batch, sum(steps), exact, skipped)

    def seconds(self, grid: Grid, prepared: Prepared, steps: float) -> float:
        """Seconds that estimates of so many steps, and what is exact, take about."""
        weights = sum(
            grid.replicates
            * process.visited_rows(draws.horizon, draws.batch_size)
            * process.columns
            for process, _ in by_process(self.tables)
            for draws in _draws(grid, prepared)
        )
        operations = sum(size.operations for size in self.exact)
        entries = prepared.truth.process.entries
        sampling = sampling_seconds(steps, weights, len(self.tables), self.batch, entries)
        return (
            sampling
            + SECONDS_PER_OPERATION * operations
            + SECONDS_PER_SLOT * prepared.truth.mdp.numbers
        )

    def memory(self, grid: Grid, prepared: Prepared) -> float:
        """Bytes held at a time, about."""
        replicate = max(
            (
                bytes_per_replicate(process, draws, len(places))
                for process, places in by_process(self.tables)
                for draws in _draws(grid, prepared)
            ),
            default=0.0,
        )
        truth = prepared.truth
        exact = max((size.memory_bytes for size in self.exact), default=0.0)
        return _pull_back_bytes(truth, grid.replicates) + bytes_held(
            grid.replicates,
            replicate,
            float(truth.mdp.numbers),
            float(truth.gradient.size),
            len(self.tables),
            self.batch,
            float(prepared.horizon * truth.process.entries * max(grid.batch_sizes, default=0)),
            exact,
        )


def sampling_seconds(
    steps: float, weights: float, tables: int, batch: int, entries: float
) -> float:
    """Seconds of so many steps and weights of so many table and batch estimators.

    ``entries`` are those of a state and an action, 1 where both are numbers.
    """
    rollouts = SECONDS_PER_STEP * steps * (1 + tables / 4) + SECONDS_PER_WEIGHT * tables * weights
    vectors = (tables + batch) * steps * _vector_seconds(entries)
    return rollouts + vectors + SECONDS_PER_BATCH_STEP * batch * steps


def _vector_seconds(entries: float) -> float:
    """Seconds that a step takes for the states and actions being vectors; none if they are not."""
    more = entries - 1
    return SECONDS_PER_ENTRY * more + SECONDS_PER_PRODUCT * more**2


def bytes_held(
    replicates: int,
    replicate: float,
    numbers: float,
    d: float,
    tables: int,
    batch: int,
    trajectories: float,
    exact: float = 0.0,
) -> float:
    """Bytes held at a time while table and batch estimators are measured, about.

    ``replicate`` is what the weights of a replicate take, ``numbers`` the size of the problem,
    ``trajectories`` the numbers in those of a replicate that functions of batches see, and
    ``exact`` what exact moments take, which are not worked out while weights are held.
    """
    weights = max(BLOCK * replicate, min(MEMORY_BYTES, replicates * replicate))
    if batch:
        block = min(RECORDED, replicates * trajectories, max(BLOCK_NUMBERS, BLOCK * trajectories))
        weights = max(weights, BYTES_PER_BATCH_NUMBER * block)
    per_estimator = d * sums_bytes(1, replicates)
    sums = max(per_estimator, min(SUMS_BYTES, per_estimator * max(tables, batch)))
    kept = 8 * REPLICATE_NUMBERS * replicates * max(tables, batch)
    own = 2 * 8 * numbers * (1 + tables) + kept + 8 * d * 60
    return float(max(weights + sums, exact) + own)


def _pull_back_bytes(truth: Truth, replicates: int) -> float:
    """Bytes that gradients take before they are added up, about; none if they are never whole."""
    if truth.policy.local_pull_back(truth.theta) is not None:
        return 0.0
    d = truth.gradient.size
    return BYTES_PER_GRADIENT_NUMBER * max(BLOCK * d, min(NUMBERS_TOGETHER, replicates * d))


def ascent_cost(
    plan: Ascents, horizon: int, steps_per_rollout: float, slots: float, entries: float
) -> tuple[float, float, float]:
    """Seconds, environment steps and bytes that the ascents of a setting take, about."""
    seconds, steps, memory = 0.0, 0.0, 0.0
    each = SECONDS_PER_CLIMBING_STEP + 2 * _vector_seconds(entries)
    for climber in plan.climbers:
        runs = plan.replicates if climber.sampled else 1
        rollouts = runs * climber.batch_size if climber.sampled else 0
        own = plan.steps * rollouts * steps_per_rollout
        updates = plan.steps * (SECONDS_PER_UPDATE + SECONDS_PER_RUN * runs)
        steps += len(climber.step_sizes) * own
        seconds += len(climber.step_sizes) * (each * own + updates)
        numbers = runs * (climber.batch_size * horizon + slots)
        # Rollouts are held twice, and a problem's tables several times.
        memory = max(memory, 32.0 * min(numbers, max(STEPS_AND_SLOTS, slots)))
    return seconds, steps, memory


def _draws(grid: Grid, prepared: Prepared) -> list[Draws]:
    return [Draws(prepared.horizon, n, grid.replicates, 0, 0) for n in grid.batch_sizes]
