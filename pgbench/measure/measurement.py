"""What is said of an estimator by its sums, and of a setting without sampling."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import singledispatch

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.summary import MAPS, SUMMARY
from pgbench.declared.variables import require_declared
from pgbench.estimators import Exact
from pgbench.exact.finite.optimum import optimal_value
from pgbench.exact.finite.ratios import effective_share
from pgbench.exact.finite.soft_optimum import soft_optimum
from pgbench.exact.finite.success import chance_of_success
from pgbench.exact.horizon import finite_objective, truncated_gradient
from pgbench.exact.linear_quadratic import QuadraticTruth, landscape, optimal_regulator
from pgbench.exact.truth import Truth, evaluate
from pgbench.grid.plan import Prepared
from pgbench.measure.subject import Subject
from pgbench.measure.sums import Sums
from pgbench.problems import FiniteMDP, LinearQuadratic, Problem
from pgbench.problems.problem import SolveError
from pgbench.statistics import mean_test, mean_z, summarise, variance_test

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


def measurement(
    subject: Subject, sums: Sums, e: int, batch_size: int, device: str = "cpu"
) -> Measurement:
    """What sums, of which it is estimator e, say of an estimator at a batch size."""
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
    return Measurement(values, maps, device, sample.unseen)


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
        "optimal_objective": _optimum(truth),
        "gradient_norm": norm,
        "gradient_error_bound": truth.gradient_bound,
        "truncation_bias": float(np.linalg.norm(gradient - truth.gradient)) / scale,
        "tail_bias": float(np.linalg.norm(truncated_gradient(truth, H) - truth.gradient)) / scale,
        "support_bias": float(np.linalg.norm(truth.seen_gradient - truth.gradient)) / scale,
        "horizon": float(H),
        "expected_steps": prepared.expected_steps,
        "success": chance_of_success(truth, H),
        "n_parameters": float(truth.gradient.size),
        "value_error_bound": truth.error_bound,
    }
    if truth.penalty is not None:
        values["penalty_gradient_norm"] = _penalty_gradient_norm(truth)
    if truth.behaviour is not None:
        values["kept_mass"] = truth.kept_mass
        values["effective_sample_share"] = effective_share(truth, H)
    maps: dict[str, FloatArray] = {}
    if truth.gradient.size <= MAP_LIMIT and truth.visitation.size <= MAP_LIMIT:
        maps = {"gradient": truth.gradient, "theta": truth.theta}
        if isinstance(truth, QuadraticTruth):
            maps |= landscape(truth)
        else:
            maps |= {"value": truth.v, "visitation": truth.visitation}
    return Measurement(values, maps)


def _penalty_gradient_norm(truth: Truth) -> float:
    """What the penalty adds to the gradient, as a norm; 0 for an objective without one."""
    assert truth.penalty is not None
    plain = evaluate(truth.penalty.plain, truth.policy, truth.theta)
    return float(np.linalg.norm(truth.gradient - plain.gradient))


def _optimum(truth: Truth) -> float:
    """The optimum of the objective; NaN where it is not finite or the problem is too large."""
    penalty = truth.penalty
    if penalty is None:
        return _optimal_objective(truth.mdp)
    if penalty.plain.n_states > OPTIMUM_LIMIT:
        return np.nan
    try:
        return soft_optimum(penalty.plain, penalty.coefficient, penalty.reference).objective
    except SolveError:
        return np.nan


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
