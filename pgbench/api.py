"""Ascent from Python, without a grid."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pgbench.ascent import algorithms, step_sizes
from pgbench.ascent.climb import Trace, climb
from pgbench.ascent.goal import find_goal
from pgbench.ascent.sources import Numbers, make_source
from pgbench.declared.parameters import ParameterError, check_counts
from pgbench.declared.registry import find
from pgbench.estimators import find_estimator
from pgbench.measure.gradients import single_threaded_blas
from pgbench.policies import Parameterised
from pgbench.problems import Problem

Choice = str | Mapping[str, Any]


def ascend(
    mdp: Problem,
    policy: Parameterised,
    theta: Any,
    *,
    algorithm: Choice = "gradient",
    estimator: Choice = "exact",
    step_size: float | Choice = 0.1,
    steps: int = 1000,
    replicates: int = 30,
    batch_size: int = 1,
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
    steps, replicates, batch_size, horizon
        Updates, runs, rollouts per update, steps per rollout at most; where nothing is sampled
        there is one run.
    points
        How many iterates are logged, about, evenly on a logarithmic scale.
    seed, stream
        Name the random streams; the same ones give the same bytes.

    Returns
    -------
    Trace
        Arrays (replicates, logged iterates), and what became of each replicate; suboptimality is
        ``pgbench.exact.optimal_value(mdp).objective - trace.objective``.

    Raises
    ------
    ValueError
        For unknown names or wrong parameters; NotApplicable, a ValueError, where the combination
        makes no sense.
    """
    counts = {"steps": steps, "replicates": replicates, "batch_size": batch_size}
    check_counts(**counts, horizon=horizon, points=points)
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
    with single_threaded_blas():
        return climb(
            mdp,
            policy,
            np.array(policy.check(theta)),
            record,
            values,
            lambda own: make_source(mdp, policy, source, given, own, batch_size),
            rule,
            find_goal(mdp, policy),
            numbers=Numbers(horizon, seed, stream),
            batch_size=batch_size,
            replicates=replicates,
            steps=steps,
            points=points,
        )


def _split(word: str, choice: Choice) -> tuple[str, dict[str, Any]]:
    """The name and the parameters of a choice."""
    if isinstance(choice, str):
        return choice, {}
    if not isinstance(choice, Mapping) or not isinstance(choice.get(word), str):
        raise ParameterError(f"{word} is {choice!r}, must be a name or a mapping with key {word!r}")
    return choice[word], {key: value for key, value in choice.items() if key != word}
