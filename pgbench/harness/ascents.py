"""One ascent of a grid: run and summarised."""

from typing import Any

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.ascent import algorithms, step_sizes
from pgbench.ascent.climb import Trace, climb
from pgbench.ascent.goal import Goal
from pgbench.ascent.sources import Numbers, Source, make_source
from pgbench.ascent.summary import (
    fit_decay,
    iqm_interval,
    mean_of_replicates,
    median_steps,
    outcomes,
    share,
    steps_to,
)
from pgbench.ascent.theory import theory
from pgbench.declared.ascents import ASCENT, FRACTIONS
from pgbench.declared.outcomes import LOST
from pgbench.declared.variables import INTERVAL, require_declared
from pgbench.estimators import estimators
from pgbench.grid.grid import Climber
from pgbench.grid.plan import AscentCell, Prepared, Setting
from pgbench.objectives import Objective
from pgbench.problems import Problem


def run_ascent(
    setting: Setting, prepared: Prepared, cell: AscentCell, goal: Goal
) -> dict[str, Any]:
    """Run one ascent; ``values`` and ``arrays`` by the names of ``ASCENT``.

    NotApplicable where the combination makes no sense on the problem.
    """
    plan, climber = setting.grid.ascent, cell.climber
    assert plan is not None
    maximised = prepared.maximised
    assert maximised is not None
    mdp, policy, grid = maximised.mdp, maximised.policy, setting.grid
    numbers = Numbers(
        prepared.horizon, setting.random_seed, setting.stream, group_size=grid.group_size
    )
    rule = step_sizes()[cell.step_size.name].bound(**cell.step_size.values)
    algorithm = algorithms()[climber.algorithm.name]
    trace = climb(
        mdp,
        policy,
        setting.start(policy),
        algorithm,
        dict(climber.algorithm.values),
        lambda own: _source(climber, mdp, policy, own),
        rule,
        goal,
        numbers=numbers,
        batch_size=climber.batch_size,
        replicates=plan.replicates,
        steps=plan.steps,
        points=plan.points,
        objective=maximised,
        sampler=setting.drawn,
    )
    return _summarised(maximised, goal, trace, climber, cell)


def _source(climber: Climber, mdp: Problem, policy: Any, numbers: Numbers) -> Source:
    followed = climber.estimator
    record = None if followed is None else estimators()[followed.name]
    return make_source(
        mdp,
        policy,
        record,
        {} if followed is None else followed.values,
        numbers,
        climber.batch_size,
        expected=climber.expected,
    )


def _summarised(
    maximised: Objective, goal: Goal, trace: Trace, climber: Climber, cell: AscentCell
) -> dict[str, Any]:
    gap = goal.objective - trace.objective
    # Below zero by rounding alone; a goal that is searched for may be beaten in the last digits.
    gap = np.where((gap < 0) & (gap > -1e-9 * (1 + abs(goal.objective))), 0.0, gap)
    exact = climber.estimator is None and not climber.algorithm.values.get("entropy", 0.0)
    proven = theory(
        maximised.mdp,
        maximised.policy,
        goal,
        trace,
        climber.algorithm.name if exact else "",
        cell.step_size.name,
        float(cell.step_size.values.get("step", np.nan)),
        maximised,
    )
    # One value of a replicate stands for all that are missing after it diverged.
    ended = trace.stopped >= 0
    last = np.where(ended, np.nan, 0.0)[:, None]
    found = outcomes(gap + last, goal.certain(trace.entropy), trace.stopped, trace.stable)
    with np.errstate(divide="ignore", invalid="ignore"):
        snr = mean_of_replicates(trace.signal_squared) / mean_of_replicates(trace.error_squared)
    values: dict[str, Any] = {"bound_name": proven.name, "goal": goal.objective}
    arrays: dict[str, FloatArray] = {
        "objective": trace.objective,
        "suboptimality": gap,
        "gradient_norm": trace.gradient_norm,
        "entropy": trace.entropy,
        "unseen": trace.unseen,
        "distance": trace.distance,
        "length": trace.length,
        "success": trace.success,
        "cosine": trace.cosine,
        "environment_steps": trace.environment_steps,
        # Beyond that the error is rounding, of an exact mean without bias.
        "snr": np.where(snr < 1e20, snr, np.nan),
        "bound": proven.bound,
        "outcome": found.astype(np.float64),
        "stopped_at": trace.stopped.astype(np.float64),
    }
    if trace.path.size:
        arrays["theta"] = trace.path
    for name, table, sign in (("suboptimality", gap, 1.0), ("objective", trace.objective, -1.0)):
        # Infinitely bad is a large gap and a small objective.
        interval = iqm_interval([sign * table])
        ends = (interval.low, interval.high) if sign > 0 else (interval.high, interval.low)
        known = np.isfinite(goal.objective) or name == "objective"
        for suffix, x in zip(INTERVAL, (interval.value, *ends), strict=True):
            arrays[f"{name}_iqm{suffix}"] = sign * x if known else np.full(x.shape, np.nan)
    for check, count in proven.violations.items():
        values[f"violations_{check}"] = count
    for key, fraction in FRACTIONS.items():
        reached = steps_to(trace.steps, gap, fraction)
        arrays[f"steps_to_{key}"] = reached
        median = median_steps(reached)
        values[f"seconds_to_{key}"] = median * trace.seconds if np.isfinite(median) else np.nan
    for outcome in LOST:
        part = share(int((found == outcome).sum()), found.size)
        names = (f"{outcome.name.lower()}_share{end}" for end in INTERVAL)
        values |= dict(zip(names, part, strict=True))
    fit = fit_decay(trace.steps, gap)
    values |= {
        "rate_kind": fit.kind,
        "rate": fit.rate,
        "rate_low": fit.low,
        "rate_high": fit.high,
        "rate_r_squared": fit.r_squared,
        "seconds_per_update": trace.seconds,
    }
    require_declared([*values, *arrays], ASCENT, "ascents")
    return {"values": values, "arrays": arrays, "goal_kind": goal.kind}
