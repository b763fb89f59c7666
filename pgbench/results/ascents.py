"""What the dataset holds of the ascents of a grid, and their records as its arrays."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pgbench.ascent.climb import logged_steps
from pgbench.ascent.summary import iqm_interval
from pgbench.ascent.theory import CHECKS
from pgbench.declared.variables import STATUS, Variable
from pgbench.grid.plan import Setting
from pgbench.grid.reader import Grid

RUN = ("problem", "policy", "algorithm", "step_size")
REPLICATE = (*RUN, "replicate")
STEP = (*RUN, "step")
PATH = (*RUN, "replicate", "step")
SETTING = ("problem", "policy")
POOLED = ("policy", "algorithm", "step_size", "step")

_GAP = "J* - J(θ), or from the best of the class where that is known"
_PERCENT = {"10": "10 %", "1": "1 %", "01": "0.1 %"}
ENDS = {"_low": ", lower end of the 95 % interval", "_high": ", upper end of the 95 % interval"}
"""Suffixes of variables that are the ends of an interval, and what to add to their descriptions."""

_BECAME = {
    "collapsed": "collapsed",
    "diverged": "diverged",
    "unstable": "left the stable region",
}


def _interval(name: str, variable: Variable) -> dict[str, Variable]:
    found = {name: variable}
    for suffix, text in ENDS.items():
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
