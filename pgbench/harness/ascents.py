"""One ascent of a grid run and summarised, and what the dataset holds of all of them."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgbench.api import ascend
from pgbench.ascent import algorithms, step_sizes
from pgbench.ascent.climb import Trace, climb, logged_steps
from pgbench.ascent.crowd import DENSE_STATES, gather
from pgbench.ascent.goal import Goal, find_goal
from pgbench.ascent.sources import Numbers, Source, make_source
from pgbench.ascent.summary import (
    FRACTIONS,
    OUTCOMES,
    fit_decay,
    iqm_interval,
    mean_of_replicates,
    median_steps,
    outcomes,
    share,
    steps_to,
)
from pgbench.ascent.theory import CHECKS, theory
from pgbench.declared.variables import STATUS, Variable
from pgbench.estimators import estimators
from pgbench.grid.plan import AscentCell, Prepared, Setting
from pgbench.grid.reader import Climber, Grid
from pgbench.policies import make_policy
from pgbench.problems import Problem, make_problem

FloatArray = NDArray[np.float64]

RUN = ("problem", "policy", "algorithm", "step_size")
REPLICATE = (*RUN, "replicate")
STEP = (*RUN, "step")
PATH = (*RUN, "replicate", "step")
SETTING = ("problem", "policy")
POOLED = ("policy", "algorithm", "step_size", "step")

_GAP = "J* - J(θ), or from the best of the class where that is known"
_PERCENT = {"10": "10 %", "1": "1 %", "01": "0.1 %"}
_ENDS = {"_low": ", lower end of the 95 % interval", "_high": ", upper end of the 95 % interval"}


_BECAME = {
    "collapsed": "collapsed",
    "diverged": "diverged",
    "unstable": "left the stable region",
}


def _interval(name: str, variable: Variable) -> dict[str, Variable]:
    found = {name: variable}
    for suffix, text in _ENDS.items():
        found[name + suffix] = Variable(variable.dims, variable.units, variable.long_name + text)
    return found


ASCENT: Mapping[str, Variable] = {
    "objective": Variable(PATH, "reward", "exact J(θ) of a logged iterate"),
    "suboptimality": Variable(PATH, "reward", _GAP),
    "gradient_norm": Variable(PATH, "reward/theta", "norm of the exact gradient"),
    "entropy": Variable(
        PATH,
        "nat",
        "mean entropy of π over visited states; of a Gaussian differential",
    ),
    "unseen": Variable(
        PATH, "1", "visited states where actions of probability 0 have a say in the gradient"
    ),
    "distance": Variable(PATH, "1", "probability of an action that is not optimal, or ‖K - K*‖"),
    "environment_steps": Variable(PATH, "environment steps", "taken up to the iterate"),
    **_interval(
        "suboptimality_iqm",
        Variable(STEP, "reward", f"interquartile mean over replicates of {_GAP}"),
    ),
    **_interval(
        "objective_iqm", Variable(STEP, "reward", "interquartile mean over replicates of J(θ)")
    ),
    "theta": Variable((*PATH, "parameter"), "theta", "θ of a logged iterate, of few parameters"),
    "snr": Variable(
        STEP, "1", "squared norm of what is estimated over the mean squared error of estimates"
    ),
    "bound": Variable(STEP, "reward", "proven upper bound on J* - J(θ), where it is valid"),
    "bound_name": Variable(RUN, "", "what the bound is and where it is proven"),
    **{
        f"violations_{check}": Variable(
            RUN, "1", f"logged iterates that violate: {text}; NaN where it is not valid"
        )
        for check, text in CHECKS.items()
    },
    "outcome": Variable(
        REPLICATE,
        "1",
        "0 no run, 1 finished, 2 collapsed, 3 diverged, 4 left the stable gains",
    ),
    "stopped_at": Variable(REPLICATE, "1", "update in which a replicate diverged; -1 none"),
    **{
        f"steps_to_{key}": Variable(
            REPLICATE, "1", f"first logged update with at most {text} of the initial gap left"
        )
        for key, text in _PERCENT.items()
    },
    **{
        f"seconds_to_{key}": Variable(
            RUN, "s", f"seconds of one run to {text} of the initial gap, median run", False
        )
        for key, text in _PERCENT.items()
    },
    **{
        name: variable
        for what in ("collapsed", "diverged", "unstable")
        for name, variable in _interval(
            f"{what}_share", Variable(RUN, "1", f"share of replicates that {_BECAME[what]}")
        ).items()
    },
    "rate_kind": Variable(RUN, "", "which decay fits the last decade: power law, geometric"),
    **_interval("rate", Variable(RUN, "1", "fitted p of k^-p, or c of exp(-ck)")),
    "rate_r_squared": Variable(RUN, "1", "share of the variance of log suboptimality explained"),
    "seconds_per_update": Variable(RUN, "s", "seconds per update of one replicate", False),
    "ascent_status": Variable(RUN, "1", "0 missing, 1 done, 2 failed, 3 skipped"),
    "ascent_message": Variable(RUN, "", "why a run failed or was skipped"),
    "goal": Variable(SETTING, "reward", "what suboptimality is measured from; NaN unknown"),
    "goal_kind": Variable(SETTING, "", "what the goal is"),
    **_interval(
        "relative_suboptimality_iqm",
        Variable(POOLED, "1", "interquartile mean over problems and replicates of the gap left"),
    ),
}
"""Variables of the group ``ascent`` by name."""

TEXTS = ("bound_name", "rate_kind", "ascent_message", "goal_kind")


def run_ascent(
    setting: Setting, prepared: Prepared, cell: AscentCell, goal: Goal
) -> dict[str, Any]:
    """Run one ascent; ``values`` and ``arrays`` by the names of ``ASCENT``.

    NotApplicable where the combination makes no sense on the problem.
    """
    plan, climber = setting.grid.ascent, cell.climber
    assert plan is not None
    truth = prepared.truth
    mdp, policy = truth.mdp, truth.policy
    numbers = Numbers(prepared.horizon, setting.grid.seed, setting.stream)
    rule = step_sizes()[cell.step_size.name].bound(**cell.step_size.values)
    algorithm = algorithms()[climber.algorithm.name]
    trace = climb(
        mdp,
        policy,
        truth.theta,
        algorithm,
        dict(climber.algorithm.values),
        lambda own: _source(climber, prepared, own),
        rule,
        goal,
        numbers=numbers,
        batch_size=climber.batch_size,
        replicates=plan.replicates,
        steps=plan.steps,
        points=plan.points,
    )
    return _summarised(mdp, policy, goal, trace, climber, cell)


def _source(climber: Climber, prepared: Prepared, numbers: Numbers) -> Source:
    followed = climber.estimator
    record = None if followed is None else estimators()[followed.name]
    return make_source(
        prepared.truth.mdp,
        prepared.truth.policy,
        record,
        {} if followed is None else followed.values,
        numbers,
        climber.batch_size,
        expected=climber.expected,
    )


def _summarised(
    mdp: Problem, policy: Any, goal: Goal, trace: Trace, climber: Climber, cell: AscentCell
) -> dict[str, Any]:
    gap = goal.objective - trace.objective
    # Below zero by rounding alone; a goal that is searched for may be beaten in the last digits.
    gap = np.where((gap < 0) & (gap > -1e-9 * (1 + abs(goal.objective))), 0.0, gap)
    exact = climber.estimator is None and not climber.algorithm.values.get("entropy", 0.0)
    proven = theory(
        mdp,
        policy,
        goal,
        trace,
        climber.algorithm.name if exact else "",
        cell.step_size.name,
        float(cell.step_size.values.get("step", np.nan)),
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
        for suffix, x in zip(("", "_low", "_high"), (interval.value, *ends), strict=True):
            arrays[f"{name}_iqm{suffix}"] = sign * x if known else np.full(x.shape, np.nan)
    for check, count in proven.violations.items():
        values[f"violations_{check}"] = count
    for key, fraction in FRACTIONS.items():
        reached = steps_to(trace.steps, gap, fraction)
        arrays[f"steps_to_{key}"] = reached
        median = median_steps(reached)
        values[f"seconds_to_{key}"] = median * trace.seconds if np.isfinite(median) else np.nan
    for code, what in list(OUTCOMES.items())[1:]:
        part = share(int((found == code).sum()), found.size)
        values |= dict(zip((f"{what}_share{end}" for end in ("", *_ENDS)), part, strict=True))
    fit = fit_decay(trace.steps, gap)
    values |= {
        "rate_kind": fit.kind,
        "rate": fit.rate,
        "rate_low": fit.low,
        "rate_high": fit.high,
        "rate_r_squared": fit.r_squared,
        "seconds_per_update": trace.seconds,
    }
    return {"values": values, "arrays": arrays, "goal_kind": goal.kind}


def ascent_arrays(
    grid: Grid, plan: list[Setting], records: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays of ``ASCENT`` and coordinates from the records of finished runs."""
    ascents = grid.ascent
    assert ascents is not None
    steps = logged_steps(ascents.steps, ascents.points)
    paths = [r["arrays"]["theta"] for r in records.values() if "theta" in r.get("arrays", {})]
    schema = {name: v for name, v in ASCENT.items() if name != "theta" or paths}
    sizes = {
        "parameter": max((path.shape[2] for path in paths), default=0),
        "problem": len(grid.problems),
        "policy": len(grid.policies),
        "algorithm": len(ascents.climbers),
        "step_size": len(ascents.step_sizes),
        "replicate": ascents.replicates,
        "step": steps.size,
    }
    arrays: dict[str, Any] = {
        name: np.full([sizes[d] for d in v.dims], "", dtype=object)
        if name in TEXTS
        else np.full([sizes[d] for d in v.dims], np.nan)
        for name, v in schema.items()
    }
    arrays["outcome"] = np.zeros(arrays["outcome"].shape, np.int8)
    arrays["ascent_status"] = np.zeros(arrays["ascent_status"].shape, np.int8)
    rows = [climber.label for climber in ascents.climbers]
    columns = [rule.canonical for rule in ascents.step_sizes]
    for number, setting in enumerate(plan):
        place = divmod(number, sizes["policy"])
        for cell in setting.ascents:
            record = records.get(cell.key)
            if record is None:
                continue
            own = (*place, rows.index(cell.climber.label), columns.index(cell.step_size.canonical))
            arrays["ascent_status"][own] = STATUS.index(record["status"])
            arrays["ascent_message"][own] = record.get("message", "")
            if record["status"] != "done":
                continue
            values = dict(record["values"])
            arrays["goal"][place], arrays["goal_kind"][place] = (
                values.pop("goal"),
                record["goal_kind"],
            )
            for name, value in values.items():
                arrays[name][own] = value
            for name, value in record["arrays"].items():
                target = arrays[name][own]
                target[tuple(slice(0, n) for n in value.shape)] = value
    _pool(arrays)
    coordinates = {
        "algorithm": rows,
        "step_size": [rule.label for rule in ascents.step_sizes],
        "replicate": np.arange(ascents.replicates),
        "step": ("step", steps, {"units": "updates"}),
        "algorithm_name": ("algorithm", [c.algorithm.name for c in ascents.climbers]),
        "algorithm_label": ("algorithm", [c.algorithm.label for c in ascents.climbers]),
        "follows": ("algorithm", [c.follows for c in ascents.climbers]),
        "ascent_batch_size": ("algorithm", [c.batch_size for c in ascents.climbers]),
        "rule": ("step_size", [rule.name for rule in ascents.step_sizes]),
        "step_value": (
            "step_size",
            [float(rule.values.get("step", np.nan)) for rule in ascents.step_sizes],
        ),
    }
    return arrays, coordinates


def _pool(arrays: dict[str, Any]) -> None:
    """The gap left, in units of the initial one, over all problems that have one."""
    gap = arrays["suboptimality"]
    for place in np.ndindex(arrays["relative_suboptimality_iqm"].shape[:3]):
        strata = []
        for p in range(gap.shape[0]):
            own = gap[(p, *place)]
            own = own[arrays["outcome"][(p, *place)] > 0]
            if own.size and np.isfinite(own[:, 0]).all() and (own[:, 0] > 0).all():
                strata.append(own / own[:, :1])
        if strata:
            interval = iqm_interval(strata)
            for suffix, x in zip(
                ("", "_low", "_high"), (interval.value, interval.low, interval.high), strict=True
            ):
                arrays[f"relative_suboptimality_iqm{suffix}"][place] = x


def violations(ascent: Any) -> list[str]:
    """A sentence per run in which something proven does not hold; ``ascent`` is the dataset."""
    found = []
    for check, text in CHECKS.items():
        counts = ascent[f"violations_{check}"].values
        for p, q, a, z in np.argwhere(counts > 0):
            run = ", ".join(
                str(ascent[axis].values[i]) for axis, i in zip(RUN, (p, q, a, z), strict=True)
            )
            found.append(f"{text}: violated at {int(counts[p, q, a, z])} logged iterates of {run}")
    return found


def warm_up(names: Collection[str]) -> None:
    """Compile every kernel that ascents by these algorithms use, or load it from the cache."""
    from pgbench.kernels.crowd import WORTH_THREADS

    several = int(np.ceil(WORTH_THREADS ** (1 / 3)))
    for n_states, estimator in ((2, "baseline_value"), (several, "reward_to_go")):
        mdp = make_problem("garnet", n_states=n_states, n_actions=2, branching=2)
        policy = make_policy("softmax", mdp)
        for name in sorted({"gradient", *names} & set(_WARMING)):
            ascend(
                mdp,
                policy,
                policy.initial(init="zeros"),
                algorithm={"algorithm": name, **_WARMING[name]},
                estimator=estimator,
                step_size=0.0,
                steps=2,
                replicates=2,
                batch_size=2,
                horizon=2,
            )
    large = make_problem("garnet", n_states=DENSE_STATES + 1, n_actions=2, branching=2)
    policy = make_policy("softmax", large)
    find_goal(large, policy).scores(gather(large, policy, policy.initial()[None]))


_WARMING: Mapping[str, dict[str, Any]] = {
    "gradient": {},
    "svrpg": {"epoch": 2, "large": 2},
    "storm": {},
    "page": {"large": 2},
    "actor_critic": {"critic_step": 0.1},
}
"""Algorithms with kernels of their own, and parameters to try them with."""
