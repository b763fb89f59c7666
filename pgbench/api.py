"""What needs no grid: exact moments, sampled gradients and ascents of one estimator by name."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.ascent import algorithms, step_sizes
from pgbench.ascent.climb import Trace, climb
from pgbench.ascent.goal import find_goal
from pgbench.ascent.sources import Numbers, make_source
from pgbench.declared.parameters import ParameterError, check_counts
from pgbench.declared.registry import find
from pgbench.estimators import BatchEstimator, find_estimator, make_tables
from pgbench.exact.finite.estimated_trace import EstimatedTrace
from pgbench.exact.finite.estimated_trace import estimated_trace as trace_by_sample
from pgbench.exact.horizon import finite_gradient
from pgbench.exact.starts import start_means
from pgbench.exact.table_moments import LIMIT, Moments, Size, require_finite, table_moments
from pgbench.exact.truth import Truth
from pgbench.kernels.blas import single_threaded_blas
from pgbench.measure.gradients import estimates
from pgbench.objectives import Objective, make_objective
from pgbench.policies import NotApplicable, Parameterised
from pgbench.problems import FiniteMDP, Problem
from pgbench.rollout.device import find_device
from pgbench.rollout.simulator import Draws
from pgbench.samplers import ON_POLICY, sampled, samplers

Choice = str | Mapping[str, Any]


def moments(
    mdp: Problem,
    policy: Parameterised,
    theta: Any,
    estimator: str,
    *,
    horizon: int | None = None,
    batch_size: int = 1,
    group_size: int | None = None,
    objective: Choice = "J",
    sampler: Choice = ON_POLICY,
    limit: Size = LIMIT,
    threads: int | None = None,
    **parameters: Any,
) -> Moments:
    """Exact moments of an estimate by name, of trajectories of at most ``horizon`` steps.

    Parameters
    ----------
    mdp, policy, theta
        Problem, policy and its parameters (d,).
    estimator
        Name, e.g. ``"gae"``; its own parameters are keywords, e.g. ``lam=0.95``.
    horizon
        Number of steps H, or None for the infinite horizon. An estimator that draws its own
        horizon at random has only the infinite one. A function of batches needs a number.
    batch_size, group_size
        Trajectories of an estimate, and of a group that shares a start state, as in
        ``sample_gradients``.
    objective
        What is maximised: a name, or a mapping such as ``{"objective": "kl", "beta": 0.1}``.
    sampler
        What draws the actions of the data, as in a grid: a name, or a mapping such as
        ``{"sampler": "temperature", "value": 0.7}``; by default the policy itself.
    limit
        Memory and operations allowed; ``moments_size`` says beforehand what is needed.
    threads
        Number of threads, default one per core; no result depends on it.

    Raises
    ------
    ValueError
        For unknown names or parameters; where no mean and variance of a function of batches are
        known; TooLarge beyond the limit; NoFiniteVariance where the
        variance is infinite, as that of a total return over an infinite horizon of a task that
        never ends.
    OverflowError
        Where moments are too large for a number.
    """
    if horizon is not None:
        check_counts(horizon=horizon)
    require_groups(batch_size, group_size)
    truth = _truth(mdp, policy, theta, objective, sampler)
    record = find_estimator(estimator)
    if isinstance(record, BatchEstimator):
        return _batch_moments(truth, record, horizon, batch_size, group_size, parameters)
    tables = make_tables(truth, estimator, horizon, **parameters)
    within = tables.process.within(horizon)
    with np.errstate(over="ignore", invalid="ignore"):
        one = table_moments(truth, tables, within, limit=limit, threads=threads)
    require_finite(estimator, one.mean, one.variance)
    variance = _of_batch(truth, tables, one, within, batch_size, group_size)
    return replace(one, variance=variance, error=one.error / batch_size)


def estimated_trace(
    mdp: FiniteMDP,
    policy: Parameterised,
    theta: Any,
    estimator: str,
    *,
    horizon: int | None = None,
    points: int = 64,
    seed: int = 0,
    limit: Size = LIMIT,
    threads: int | None = None,
    **parameters: Any,
) -> EstimatedTrace:
    """An estimate, from a sample of states, of the total variance of a one-trajectory estimate.

    For tabular policies on problems that are too large for ``moments``: unbiased, with its standard
    error. Arguments are those of ``moments``; for ``points``, ``seed`` and what is raised see
    ``pgbench.exact.finite.estimated_trace``.
    """
    truth = _truth(mdp, policy, theta, "J", ON_POLICY)
    tables = make_tables(truth, estimator, horizon, **parameters)
    within = tables.process.within(horizon)
    return trace_by_sample(
        truth, tables, within, points=points, seed=seed, limit=limit, threads=threads
    )


def _of_batch(
    truth: Truth,
    tables: Any,
    one: Moments,
    horizon: int | None,
    batch_size: int,
    group_size: int | None,
) -> FloatArray:
    """Variance (d,) of the mean of a batch; what trajectories of a group share counts G times."""
    if (group_size or 1) == 1 or truth.mdp.one_start:
        return one.variance / batch_size
    starts = start_means(truth, tables, horizon)
    if starts is None:
        raise ValueError("what trajectories of a group share is not known exactly")
    assert group_size is not None
    return (one.variance + (group_size - 1) * starts.variance) / batch_size


def _batch_moments(
    truth: Truth,
    estimator: BatchEstimator,
    horizon: int | None,
    batch_size: int,
    group_size: int | None,
    parameters: Mapping[str, Any],
) -> Moments:
    """Moments of a function of batches, as far as they are known."""
    if horizon is None:
        raise ValueError(f"horizon is None, {estimator.name} is a function of batches, which end")
    if reason := estimator.refuses(batch_size, group_size, **parameters):
        raise NotApplicable(reason)
    mean, variance = estimator.exact(truth, horizon, batch_size, group_size, **parameters)
    if mean is None or variance is None:
        lacking = "mean" if mean is None else "variance"
        raise ValueError(f"no exact {lacking} of {estimator.name} is known here")
    cut = estimator.aimed(truth, finite_gradient(truth, horizon) - truth.gradient)
    return Moments(mean, variance, mean - estimator.truth(truth), cut)


def require_groups(batch_size: int, group_size: int | None) -> None:
    """ValueError where batches of this size cannot be divided into groups of that."""
    groups = {} if group_size is None else {"group_size": group_size}
    check_counts(batch_size=batch_size, **groups)
    Draws(1, batch_size, 1, 0, 0, group_size=group_size)


def sample_gradients(
    mdp: Problem,
    policy: Parameterised,
    theta: Any,
    estimator: str,
    *,
    horizon: int = 1000,
    batch_size: int = 1,
    group_size: int | None = None,
    replicates: int = 1000,
    objective: Choice = "J",
    seed: int = 0,
    stream: int = 0,
    sampler: Choice = ON_POLICY,
    device: str = "cpu",
    **parameters: Any,
) -> FloatArray:
    """Independent estimates of the policy gradient.

    Parameters
    ----------
    mdp, policy, theta
        Problem, policy and its parameters (d,).
    estimator
        Name, e.g. ``"gae"``; its own parameters are keywords, e.g. ``lam=0.95``.
    horizon, batch_size, replicates
        Steps per trajectory at most, trajectories per estimate, number of estimates. An
        estimator that draws its horizon at random does not need the first and ignores it.
    group_size
        Consecutive trajectories of an estimate that share a start state, of which the batch size is
        a multiple; None where every trajectory has a start of its own.
    objective
        Whose gradient: a name, or a mapping such as ``{"objective": "kl", "beta": 0.1}``.
    seed, stream
        Name the random streams, integers in [0, 2⁶⁴); the same ones give the same bytes.
    sampler
        What draws the actions of the data, as in ``moments``.
    device
        Where table estimators are simulated: ``"cpu"``, ``"cuda"``, or ``"auto"``, which takes a
        GPU where there is one and the work is worth it. Both give the same trajectories, and
        estimates that differ by rounding. Batch estimators run on the CPU.

    Returns
    -------
    array
        (replicates, d) float64, reward per unit of θ.

    Raises
    ------
    ValueError
        For an unknown estimator, wrong parameters, counts that are not positive, a batch that
        cannot be divided into groups, or a device that cannot be used.
    """
    check_counts(horizon=horizon, replicates=replicates)
    require_groups(batch_size, group_size)
    for name, value in {"seed": seed, "stream": stream}.items():
        if not isinstance(value, (int, np.integer)) or not 0 <= value < 2**64:
            raise ParameterError(f"{name} is {value!r}, must be an integer in [0, 2**64)")
    where = find_device(device)
    with single_threaded_blas():
        truth = _truth(mdp, policy, theta, objective, sampler)
        draws = Draws(horizon, batch_size, replicates, seed, stream, group_size=group_size)
        return estimates(truth, find_estimator(estimator), parameters, draws, where)[0]


def ascend(
    mdp: Problem,
    policy: Parameterised,
    theta: Any,
    *,
    algorithm: Choice = "gradient",
    estimator: Choice = "exact",
    step_size: float | Choice = 0.1,
    objective: Choice = "J",
    sampler: Choice = ON_POLICY,
    steps: int = 1000,
    replicates: int = 30,
    batch_size: int = 1,
    group_size: int | None = None,
    horizon: int = 1000,
    points: int = 40,
    seed: int = 0,
    stream: int = 0,
) -> Trace:
    """Run an ascent θ ← θ + α ĝ, every logged iterate scored with the exact J(θ).

    Parameters
    ----------
    mdp, policy, theta
        Problem, parameterisation and θ_0 (d,), the same for all replicates.
    algorithm, estimator, step_size
        As in a grid: a name, or a mapping such as ``{"estimator": "gae", "lam": 0.95}`` or
        ``{"step_size": "kl", "radius": 0.01}``; a number is a constant step size, and the estimator
        ``"exact"`` is ∇J.
    objective
        What is maximised, and what iterates are scored with: a name, or a mapping such as
        ``{"objective": "kl", "beta": 0.1}``.
    sampler
        What draws the data at every iterate, such as ``{"sampler": "temperature", "value": 0.7}``;
        ``stale`` draws them with an earlier iterate of the same run.
    steps, replicates, batch_size, horizon
        Updates, runs, rollouts per update, steps per rollout at most; where nothing is sampled
        there is one run.
    group_size
        As of ``sample_gradients``.
    points
        How many iterates are logged, about, evenly on a logarithmic scale.
    seed, stream
        Name the random streams; the same ones give the same bytes.

    Returns
    -------
    Trace
        Arrays (replicates, logged iterates), and what became of each replicate; suboptimality is
        ``pgbench.exact.optimal_value(mdp).objective - trace.objective``, or with another objective
        ``make_objective(...).optimum.objective`` less it.

    Raises
    ------
    ValueError
        For unknown names or wrong parameters; NotApplicable, a ValueError, where the combination
        makes no sense.
    """
    check_counts(steps=steps, replicates=replicates, horizon=horizon, points=points)
    require_groups(batch_size, group_size)
    name, values = _split("algorithm", algorithm)
    record = find("algorithm", algorithms(), name)
    if isinstance(step_size, int | float):
        step_size = {"step_size": "constant", "step": step_size}
    rule_name, rule_values = _split("step_size", step_size)
    rule = find("step size", step_sizes(), rule_name).bound(**rule_values)
    followed, given = _split("estimator", estimator)
    if followed == "exact" and given:
        raise ParameterError(f"the estimator exact takes no parameters, not {given}")
    source = None if followed == "exact" else find_estimator(followed)
    maximised = _objective(objective, mdp, policy)
    drawing, drawn = _split("sampler", sampler)
    with single_threaded_blas():
        return climb(
            mdp,
            policy,
            np.array(policy.check(theta)),
            record,
            values,
            lambda own: make_source(mdp, policy, source, given, own, batch_size),
            rule,
            find_goal(mdp, policy, objective=maximised),
            numbers=Numbers(horizon, seed, stream, group_size=group_size),
            batch_size=batch_size,
            replicates=replicates,
            steps=steps,
            points=points,
            objective=maximised,
            sampler=find("sampler", samplers(), drawing).along(**drawn),
        )


def _objective(choice: Choice, mdp: Problem, policy: Parameterised) -> Objective:
    name, values = _split("objective", choice)
    return make_objective(name, mdp, policy, **values)


def _truth(
    mdp: Problem, policy: Parameterised, theta: Any, objective: Choice, sampler: Choice
) -> Truth:
    """The truth of an objective, with data from a sampler."""
    truth = _objective(objective, mdp, policy).truth(theta)
    name, values = _split("sampler", sampler)
    found: Truth = sampled(truth, name, **values)
    return found


def _split(word: str, choice: Choice) -> tuple[str, dict[str, Any]]:
    """The name and the parameters of a choice."""
    if isinstance(choice, str):
        return choice, {}
    if not isinstance(choice, Mapping) or not isinstance(choice.get(word), str):
        raise ParameterError(f"{word} is {choice!r}, must be a name or a mapping with key {word!r}")
    return choice[word], {key: value for key, value in choice.items() if key != word}
