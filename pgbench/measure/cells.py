"""One setting measured: rollouts, running sums, statistics, per estimator and batch size."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import singledispatch

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.summary import MAPS, SUMMARY
from pgbench.declared.variables import require_declared
from pgbench.estimators import Exact, find_estimator
from pgbench.exact.finite.optimum import optimal_value
from pgbench.exact.horizon import finite_objective, truncated_gradient
from pgbench.exact.linear_quadratic import QuadraticTruth, landscape, optimal_regulator
from pgbench.exact.truth import Truth, evaluate
from pgbench.grid.plan import Prepared
from pgbench.measure.gradients import BatchBlock, batch_gradients
from pgbench.measure.subject import BatchSubject, Subject, TableSubject, make_subject
from pgbench.measure.sums import SUMS_BYTES, Sums, sums_bytes
from pgbench.problems import FiniteMDP, LinearQuadratic, Problem
from pgbench.problems.problem import SolveError
from pgbench.process.tables import Tables
from pgbench.rollout.device import CPU, Device
from pgbench.rollout.engines import Rollouts, by_process, choose_place
from pgbench.rollout.simulator import Draws, Simulator
from pgbench.statistics import fixed_directions, mean_test, mean_z, summarise, variance_test

MAP_LIMIT = 10_000
"""Per-coordinate maps are stored up to this many parameters."""

OPTIMUM_LIMIT = 20_000
"""The optimal value is computed up to this many states."""


@dataclass(frozen=True, eq=False)
class Measurement:
    """What was found about a cell or a setting.

    Numbers by the names of ``SUMMARY``, arrays by those of ``MAPS``, where rollouts ran, and why
    what hangs on the spread has no interval, or nothing. ValueError for any other name.
    """

    values: Mapping[str, float]
    maps: Mapping[str, FloatArray]
    device: str = "cpu"
    note: str = ""

    def __post_init__(self) -> None:
        require_declared(self.values, SUMMARY, "the summary")
        require_declared(self.maps, MAPS, "the maps")


def measure(
    prepared: Prepared,
    subjects: Sequence[Subject],
    draws: Draws,
    memory_bytes: int | None = None,
    device: Device = CPU,
) -> list[Measurement]:
    """Measure estimators; one Measurement each.

    Those that simulate the same process see the same trajectories. Estimators whose sums do not fit
    in ``SUMS_BYTES`` together are simulated in groups, which changes the time but not one bit of
    the result.
    """
    tables = {i: s for i, s in enumerate(subjects) if isinstance(s, TableSubject)}
    batches = {i: s for i, s in enumerate(subjects) if isinstance(s, BatchSubject)}
    results: dict[int, Measurement] = {}
    if tables:
        found = _measure_tables(prepared, list(tables.values()), draws, memory_bytes, device)
        results |= zip(tables, found, strict=True)
    if batches:
        found = _measure_batches(prepared, list(batches.values()), draws)
        results |= zip(batches, found, strict=True)
    return [results[place] for place in range(len(subjects))]


def _measure_tables(
    prepared: Prepared,
    subjects: Sequence[TableSubject],
    draws: Draws,
    memory_bytes: int | None,
    device: Device,
) -> list[Measurement]:
    """Simulate by the compiled kernels, sums on the way."""
    truth = prepared.truth
    fixed = fixed_directions(truth.gradient.size)
    fitting = max(1, SUMS_BYTES // sums_bytes(truth.gradient.size, draws.replicates))
    results: dict[int, Measurement] = {}
    for _, together in by_process([subject.tables for subject in subjects]):
        for begin in range(0, len(together), fitting):
            places = together[begin : begin + fitting]
            group = [subjects[place] for place in places]
            # The mean of a table estimator is always known.
            expected = [s.one.mean for s in group if s.one.mean is not None]
            tables = [s.tables for s in group]
            sums, where = _summed(truth, expected, fixed, tables, draws, memory_bytes, device)
            for e, place in enumerate(places):
                found = _statistics(group[e], sums, e, draws.batch_size)
                results[place] = replace(found, device=where)
    return [results[place] for place in range(len(subjects))]


def _summed(
    truth: Truth,
    expected: Sequence[FloatArray],
    fixed: FloatArray,
    tables: Sequence[Tables],
    draws: Draws,
    memory_bytes: int | None,
    device: Device,
) -> tuple[Sums, str]:
    """Sums of estimators on the same trajectories, and where those were simulated.

    What a GPU cannot add without losing digits is simulated again on the CPU.
    """
    sums = Sums(truth.gradient, expected, draws.replicates, fixed, directed=truth.resolved)
    where = choose_place(device, tables[0].process, draws)
    rollouts = Rollouts(tables, where)
    try:
        for block in rollouts.blocks(draws, memory_bytes):
            sums.add(truth, rollouts.process, block)
        sums.finish()
    except OverflowError:
        if where == "cpu":
            raise
        return _summed(truth, expected, fixed, tables, draws, memory_bytes, CPU)
    return sums, where


def _measure_batches(
    prepared: Prepared, subjects: Sequence[BatchSubject], draws: Draws
) -> list[Measurement]:
    """Simulate by functions of batches, on the CPU, sums on the way.

    Deviations of an estimator without an exact mean are from that of its own replicates, so those
    are simulated twice.
    """
    size = prepared.truth.gradient.size
    fixed = fixed_directions(size)
    fitting = max(1, SUMS_BYTES // sums_bytes(size, draws.replicates))
    results = []
    for begin in range(0, len(subjects), fitting):
        group = subjects[begin : begin + fitting]
        centres = _centres(prepared, group, draws)
        sums = [
            Sums(subject.target, [centre], draws.replicates, fixed, directed=subject.resolved)
            for subject, centre in zip(group, centres, strict=True)
        ]
        for block in _batches(prepared, group, draws):
            for own, gradients, steps in zip(sums, block.gradients, block.steps, strict=True):
                own.add_gradients(block.first, gradients[:, None], steps)
        results += [
            _statistics(subject, own, 0, draws.batch_size)
            for subject, own in zip(group, sums, strict=True)
        ]
    return results


def _centres(
    prepared: Prepared, subjects: Sequence[BatchSubject], draws: Draws
) -> list[FloatArray]:
    """Exact means (d,), or those of the replicates where they are not known."""
    means = [subject.exact(draws.batch_size).mean for subject in subjects]
    unknown = [s for s, mean in zip(subjects, means, strict=True) if mean is None]
    totals = [np.zeros(prepared.truth.gradient.size) for _ in unknown]
    if unknown:
        for block in _batches(prepared, unknown, draws):
            for total, gradients in zip(totals, block.gradients, strict=True):
                total += gradients.sum(axis=0)
    measured = iter(totals)
    return [next(measured) / draws.replicates if mean is None else mean for mean in means]


def _batches(
    prepared: Prepared, subjects: Sequence[BatchSubject], draws: Draws
) -> Iterator[BatchBlock]:
    own = [(subject.estimator, subject.values) for subject in subjects]
    return batch_gradients(prepared.truth, own, draws)


def _statistics(subject: Subject, sums: Sums, e: int, batch_size: int) -> Measurement:
    g, along = subject.target, sums.along
    exact = subject.exact(batch_size)
    values = _exact(subject, exact, batch_size)
    mean, squares = sums.moments(e)
    sample = sums.sample(e, values["exact_variance"])
    sample = replace(sample, unbounded=subject.estimator.unbounded(**subject.values))
    if not subject.resolved:
        sample = sample.without_direction()
    if exact.mean is None:
        sample = sample.about_its_mean()
    projections = sums.projections(e)
    for name, estimate in summarise(sample).items():
        values[name] = estimate.value
        values[f"{name}_se"] = estimate.se
        values[f"{name}_low"], values[f"{name}_high"] = estimate.low, estimate.high
    tests = {"bias_test": g} if exact.mean is None else {"bias_test": g, "code_test": exact.mean}
    for prefix, target in tests.items():
        test = mean_test(projections, along @ target)
        values[f"{prefix}_max_z"], values[f"{prefix}_p"] = test.max_z, test.p_value
        values[f"{prefix}_directions"] = float(test.directions)
    if exact.mean is not None:
        signal = np.array([subject.signal_variance(batch_size)])
        values["mean_z"] = float(mean_z(projections[:, -1:], along[-1:] @ exact.mean, signal)[0])
        spread = variance_test(sample.squared_deviation, values["exact_variance"])
        values["variance_test_z"], values["variance_test_p"] = spread.z, spread.p_value
        values["variance_test_chi2"] = spread.chi_squared
    values["seconds"] = subject.cost.seconds(batch_size)
    values["time_normalised_variance"] = values["variance"] * values["seconds"]
    maps: dict[str, FloatArray] = {}
    if g.size <= MAP_LIMIT:
        maps["mean_gradient"] = mean
        maps["gradient_variance"] = squares / (projections.shape[0] - 1)
        if exact.mean is not None:
            maps["expected_gradient"] = exact.mean
        if exact.variance is not None:
            maps["expected_variance"] = exact.variance
    return Measurement(values, maps, note=sample.unseen)


def _exact(subject: Subject, exact: Exact, batch_size: int) -> dict[str, float]:
    """Exact quantities of an estimator, by the names of ``SUMMARY``; NaN if not known."""
    norm = float(np.linalg.norm(subject.target))
    scale = norm if subject.resolved else np.nan
    bias = np.nan if exact.mean is None else float(np.linalg.norm(exact.mean - subject.target))
    variance = np.nan if exact.variance is None else float(exact.variance.sum())
    values = {
        "target_norm": norm,
        "exact_bias": bias,
        "exact_relative_bias": bias / scale,
        "exact_variance": variance,
        "exact_relative_variance": variance / scale**2,
        "exact_rmse": float(np.sqrt(bias**2 + variance)),
    }
    for part, vector in subject.parts(batch_size).items():
        values[f"exact_bias_{part}"] = float(np.linalg.norm(vector))
    return values


def exact_values(prepared: Prepared) -> Measurement:
    """Exact quantities of a setting, by the names of ``SUMMARY``, and its maps."""
    truth, H = prepared.truth, prepared.horizon
    objective, gradient = finite_objective(truth, H)
    norm = float(np.linalg.norm(truth.gradient))
    scale = norm if truth.resolved else np.nan
    values = {
        "objective": truth.objective,
        "finite_objective": objective,
        "optimal_objective": _optimal_objective(truth.mdp),
        "gradient_norm": norm,
        "gradient_error_bound": truth.gradient_bound,
        "truncation_bias": float(np.linalg.norm(gradient - truth.gradient)) / scale,
        "tail_bias": float(np.linalg.norm(truncated_gradient(truth, H) - truth.gradient)) / scale,
        "support_bias": float(np.linalg.norm(truth.seen_gradient - truth.gradient)) / scale,
        "horizon": float(H),
        "expected_steps": prepared.expected_steps,
        "n_parameters": float(truth.gradient.size),
        "value_error_bound": truth.error_bound,
    }
    maps: dict[str, FloatArray] = {}
    if truth.gradient.size <= MAP_LIMIT and truth.visitation.size <= MAP_LIMIT:
        maps = {"gradient": truth.gradient, "theta": truth.theta}
        if isinstance(truth, QuadraticTruth):
            maps |= landscape(truth)
        else:
            maps |= {"value": truth.v, "visitation": truth.visitation}
    return Measurement(values, maps)


@singledispatch
def _optimal_objective(mdp: Problem) -> float:
    """J*, or NaN where it is not finite or the problem is too large."""
    assert isinstance(mdp, FiniteMDP)
    if mdp.n_states > OPTIMUM_LIMIT:
        return np.nan
    try:
        return optimal_value(mdp).objective
    except SolveError:
        return np.nan


@_optimal_objective.register
def _(mdp: LinearQuadratic) -> float:
    try:
        return optimal_regulator(mdp).objective
    except SolveError:
        return np.nan


def warm_up(quadratic: bool = False, device: Device = CPU) -> float:
    """Compile every kernel that a run uses, or load it from the cache; seconds taken.

    ``quadratic`` says whether that includes those of linear-quadratic problems. Where there is a
    GPU its kernels are compiled as well.
    """
    from pgbench.policies import make_policy
    from pgbench.problems import make_problem

    begin = time.perf_counter()
    pairs = {"bandit": "softmax"} | ({"lqg": "gaussian"} if quadratic else {})
    for problem, kind in pairs.items():
        mdp = make_problem(problem)
        policy = make_policy(kind, mdp)
        truth = evaluate(mdp, policy, policy.initial(init="zeros"))
        prepared = Prepared(truth, horizon=1, expected_steps=1.0)
        draws = Draws(1, batch_size=2, replicates=2, seed=0, stream=0)
        subject = make_subject(prepared, find_estimator("reinforce"), {})
        measure(prepared, [subject], draws)
        if device.name:
            measure(prepared, [subject], draws, device=replace(device, kind="cuda"))
        Simulator(truth, draws, 0, 2).batch()
    return time.perf_counter() - begin
