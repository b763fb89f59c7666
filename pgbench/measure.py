"""One setting measured: rollouts, running sums, statistics, per estimator and batch size."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pgbench.exact.expectation import expectation
from pgbench.exact.horizon import finite_weights, truncated_gradient
from pgbench.exact.linear import SolveError
from pgbench.exact.moments import TooLarge, directional_variance, table_moments, truncation_bias
from pgbench.exact.optimum import optimal_value
from pgbench.exact.values import Truth, evaluate
from pgbench.plan import Prepared
from pgbench.problems import FiniteMDP
from pgbench.sampling import BLOCK, MEMORY_BYTES, Draws, Rollouts, by_process
from pgbench.statistics import (
    fixed_directions,
    mean_test,
    mean_z,
    summarise,
    variance_test,
)
from pgbench.sums import SUMS_BYTES, Sums, sums_bytes
from pgbench.tables import Tables

FloatArray = NDArray[np.float64]

MAP_LIMIT = 10_000
"""Per-coordinate maps are stored up to this many parameters."""

OPTIMUM_LIMIT = 20_000
"""The optimal value is computed up to this many states."""


@dataclass(frozen=True, eq=False)
class Measurement:
    """Numbers by the names of ``results.VARIABLES``, and arrays by those of ``results.MAPS``."""

    values: Mapping[str, float]
    maps: Mapping[str, FloatArray]


@dataclass(frozen=True, eq=False)
class Cost:
    """Seconds of one estimate with n trajectories, modelled as ``fixed + n·per_trajectory``."""

    fixed: float
    per_trajectory: float

    def seconds(self, batch_size: int) -> float:
        """Seconds per estimate."""
        return self.fixed + batch_size * self.per_trajectory


@dataclass(frozen=True, eq=False)
class Subject:
    """An estimator ready to be measured in a setting.

    Attributes
    ----------
    tables
        The estimator on the setting's problem and policy.
    expected, truncation_bias
        (d,) its exact mean, and what of its bias the horizon makes.
    variance
        (d,) exact variance of a one-trajectory estimate, or None where ``note`` says why not.
    note
        Why there is no exact variance, or nothing.
    signal_variance
        Exact variance along the gradient, or along the last fixed direction where that is zero;
        NaN where it would be too large a computation.
    cost
        Seconds per estimate.
    """

    tables: Tables
    expected: FloatArray
    truncation_bias: FloatArray
    variance: FloatArray | None
    note: str
    signal_variance: float
    cost: Cost

    @classmethod
    def make(cls, prepared: Prepared, tables: Tables, threads: int | None = None) -> "Subject":
        """Work out the exact moments and time the estimator."""
        truth = prepared.truth
        horizon = None if tables.process.horizon else prepared.horizon
        note, variance = "", None
        with np.errstate(over="ignore", invalid="ignore"):
            try:
                exact = table_moments(truth, tables, horizon, threads=threads)
                expected, truncated, variance = exact.mean, exact.truncation_bias, exact.variance
            except TooLarge as error:
                note = str(error)
                expected = expectation(truth, tables, horizon)
                truncated = truncation_bias(truth, tables, expected, horizon)
        if not np.isfinite(expected if variance is None else variance.sum()).all():
            raise OverflowError("the estimator's exact moments overflow; is theta too extreme?")
        g = truth.gradient
        along = g[None] / np.linalg.norm(g) if g.any() else fixed_directions(g.size)[-1:]
        try:
            signal_variance = float(directional_variance(truth, tables, horizon, along)[0])
        except TooLarge:
            signal_variance = np.nan
        cost = time_estimator(truth, tables, prepared.horizon)
        return cls(tables, expected, truncated, variance, note, signal_variance, cost)


def measure(
    prepared: Prepared,
    subjects: Sequence[Subject],
    draws: Draws,
    memory_bytes: int = MEMORY_BYTES,
) -> list[Measurement]:
    """Measure estimators; one Measurement each.

    Those that simulate the same process see the same trajectories. Estimators whose sums do not fit
    in ``SUMS_BYTES`` together are simulated in groups, which changes the time but not one bit of
    the result.
    """
    truth = prepared.truth
    fixed = fixed_directions(truth.gradient.size)
    fitting = max(1, SUMS_BYTES // sums_bytes(truth.gradient.size, draws.replicates))
    results: dict[int, Measurement] = {}
    for _, together in by_process([subject.tables for subject in subjects]):
        for begin in range(0, len(together), fitting):
            places = together[begin : begin + fitting]
            group = [subjects[place] for place in places]
            sums = Sums(truth.gradient, [s.expected for s in group], draws.replicates, fixed)
            rollouts = Rollouts([s.tables for s in group])
            for block in rollouts.weights(draws, memory_bytes):
                sums.add(truth, rollouts.process, block)
            for e, place in enumerate(places):
                results[place] = _statistics(truth, group[e], sums, e, draws.batch_size)
    return [results[place] for place in range(len(subjects))]


def _statistics(truth: Truth, subject: Subject, sums: Sums, e: int, batch_size: int) -> Measurement:
    g, expected, along = truth.gradient, subject.expected, sums.along
    values = _exact(subject, g, batch_size)
    mean, squares = sums.moments(e)
    sample = sums.sample(e, values["exact_variance"])
    projections = sums.projections(e)
    for name, estimate in summarise(sample).items():
        values[name] = estimate.value
        values[f"{name}_se"] = estimate.se
        values[f"{name}_low"], values[f"{name}_high"] = estimate.low, estimate.high
    for prefix, target in (("bias_test", g), ("code_test", expected)):
        test = mean_test(projections, along @ target)
        values[f"{prefix}_max_z"], values[f"{prefix}_p"] = test.max_z, test.p_value
        values[f"{prefix}_directions"] = float(test.directions)
    signal_variance = np.array([subject.signal_variance / batch_size])
    values["mean_z"] = float(mean_z(projections[:, -1:], along[-1:] @ expected, signal_variance)[0])
    spread = variance_test(sample.squared_deviation, values["exact_variance"])
    values["variance_test_z"], values["variance_test_p"] = spread.z, spread.p_value
    values["variance_test_chi2"] = spread.chi_squared
    values["seconds"] = subject.cost.seconds(batch_size)
    values["time_normalised_variance"] = values["variance"] * values["seconds"]
    maps: dict[str, FloatArray] = {}
    if g.size <= MAP_LIMIT:
        maps["mean_gradient"] = mean
        maps["gradient_variance"] = squares / (projections.shape[0] - 1)
        maps["expected_gradient"] = expected
        if subject.variance is not None:
            maps["expected_variance"] = subject.variance / batch_size
    return Measurement(values, maps)


def _exact(subject: Subject, g: FloatArray, batch_size: int) -> dict[str, float]:
    """Exact quantities of an estimator, by the names of ``results.VARIABLES``."""
    bias = subject.expected - g
    norms = {
        "exact_bias": bias,
        "exact_truncation_bias": subject.truncation_bias,
        "exact_remaining_bias": bias - subject.truncation_bias,
    }
    values = {name: float(np.linalg.norm(vector)) for name, vector in norms.items()}
    norm = float(np.linalg.norm(g))
    values["exact_relative_bias"] = values["exact_bias"] / norm if norm > 0 else np.nan
    trace = np.nan if subject.variance is None else float(subject.variance.sum())
    values["exact_variance"] = trace / batch_size
    values["exact_rmse"] = float(np.sqrt(values["exact_bias"] ** 2 + values["exact_variance"]))
    return values


def exact_values(prepared: Prepared) -> Measurement:
    """Exact quantities of a setting, by the names of ``results.VARIABLES``, and its state maps."""
    truth, H = prepared.truth, prepared.horizon
    visitation, weights = finite_weights(truth.mdp, truth.pi, H)
    finite_gradient = truth.policy.pull_back(truth.theta, weights)
    rewards = (truth.pi * truth.mdp.expected_reward).sum(axis=1)
    norm = float(np.linalg.norm(truth.gradient))
    scale = norm if norm > 0 else np.nan
    values = {
        "objective": truth.objective,
        "finite_objective": float((visitation * rewards).sum()),
        "optimal_objective": _optimal_objective(truth.mdp),
        "gradient_norm": norm,
        "truncation_bias": float(np.linalg.norm(finite_gradient - truth.gradient)) / scale,
        "tail_bias": float(np.linalg.norm(truncated_gradient(truth, H) - truth.gradient)) / scale,
        "horizon": float(H),
        "expected_steps": prepared.expected_steps,
        "n_parameters": float(truth.gradient.size),
        "value_error_bound": truth.error_bound,
    }
    maps: dict[str, FloatArray] = {}
    if truth.gradient.size <= MAP_LIMIT and truth.v.size <= MAP_LIMIT:
        maps = {
            "gradient": truth.gradient,
            "theta": truth.theta,
            "value": truth.v,
            "visitation": truth.visitation,
        }
    return Measurement(values, maps)


def _optimal_objective(mdp: FiniteMDP) -> float:
    """J*, or NaN where it is not finite or the problem is too large."""
    if mdp.n_states > OPTIMUM_LIMIT:
        return np.nan
    try:
        return optimal_value(mdp).objective
    except SolveError:
        return np.nan


def time_estimator(truth: Truth, tables: Tables, horizon: int, rounds: int = 3) -> Cost:
    """Seconds per estimate of one estimator on its own: rollouts, gradient, sums of its moments.

    Medians over rounds of 64 estimates with 1 and with 64 trajectories; compiled code must be warm.
    """
    replicates, few, many = 4 * BLOCK, 1, 64
    rollouts = Rollouts([tables])
    fixed = np.zeros((0, truth.gradient.size))
    sums = Sums(truth.gradient, [truth.gradient], replicates, fixed, blocks=1)

    def lap(batch_size: int) -> float:
        begin = time.perf_counter()
        for block in rollouts.weights(Draws(horizon, batch_size, replicates, 0, 0)):
            sums.add(truth, tables.process, block)
        return time.perf_counter() - begin

    laps = [(lap(few), lap(many)) for _ in range(rounds)]
    one, several = np.median(laps, axis=0) / replicates
    per_trajectory = max((several - one) / (many - few), 0.5 * several / many)
    return Cost(fixed=max(several - many * per_trajectory, 0.0), per_trajectory=per_trajectory)


def warm_up() -> float:
    """Compile every kernel that a run uses, or load it from the cache; seconds taken."""
    from pgbench.policies import make_policy
    from pgbench.problems import make_problem

    begin = time.perf_counter()
    mdp = make_problem("bandit", n_actions=2)
    policy = make_policy("softmax", mdp)
    truth = evaluate(mdp, policy, policy.initial(init="zeros"))
    tables = Tables.build(truth.process, sigma=mdp.reward, total=True)
    prepared = Prepared(truth, horizon=1, expected_steps=1.0)
    subject = Subject(tables, truth.gradient, truth.gradient, None, "", np.nan, Cost(0.0, 0.0))
    measure(prepared, [subject], Draws(1, batch_size=1, replicates=2, seed=0, stream=0))
    return time.perf_counter() - begin
