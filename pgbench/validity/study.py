"""Everything that is true of a case."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgbench.estimators import BatchEstimator, Estimator, TableEstimator, find_estimator
from pgbench.exact.horizon import expected_steps, shortest_horizon
from pgbench.exact.moments import TooLarge, directional_variance
from pgbench.exact.truth import Truth
from pgbench.exact.values import evaluate
from pgbench.plan import Prepared
from pgbench.policies import make_policy
from pgbench.problems import make_problem
from pgbench.sampling import batch_gradients, gradient_blocks
from pgbench.simulator import Draws
from pgbench.statistics import directions
from pgbench.subjects import make_subject
from pgbench.validity.cases import Case

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

REFERENCE = 200_000
"""Replicates of the run that stands for what has no closed form."""


@dataclass(frozen=True, eq=False)
class Subject:
    """An estimator in a case, with everything that is true of it.

    Attributes
    ----------
    label
        Problem, policy, estimator, d and n as columns of a table.
    estimator, given
        The record and its parameters.
    target, expected
        (d,) what is estimated, and the exact mean, or that of the reference run.
    along, along_variance
        (m, d) tested directions and (m,) exact variances along them, NaN where not known.
    exact
        Whether the total variance is exact, and so can guard intervals.
    values
        True values by statistic.
    """

    label: str
    estimator: Estimator
    given: dict[str, Any]
    target: FloatArray
    expected: FloatArray
    along: FloatArray
    along_variance: FloatArray
    exact: bool
    values: dict[str, float]


@dataclass(frozen=True, eq=False)
class Study:
    """A case with its exact quantities, horizon and subjects."""

    truth: Truth
    horizon: int
    batch_size: int
    subjects: Sequence[Subject]


def study(case: Case, reference: int = REFERENCE) -> Study:
    """Work out everything that is true of a case."""
    name, options = case.problem
    mdp = make_problem(name, **options)
    policy = make_policy(case.policy[0], mdp, **case.policy[1])
    # A Gaussian policy begins at the gain that is given, the others at random.
    init = "zeros" if case.policy[0] == "gaussian" else "normal"
    truth = evaluate(mdp, policy, policy.initial(seed=0, init=init))
    horizon = min(shortest_horizon(truth), case.horizon)
    prepared = Prepared(truth, horizon, expected_steps(mdp, truth.pi, horizon))
    subjects = [
        _subject(case, prepared, find_estimator(estimator), given, reference)
        for estimator, given in case.estimators
    ]
    return Study(truth, horizon, case.batch_size, subjects)


def _subject(
    case: Case, prepared: Prepared, estimator: Estimator, given: dict[str, Any], reference: int
) -> Subject:
    truth, n = prepared.truth, case.batch_size
    found = make_subject(prepared, estimator, given)
    exact, target = found.exact(n), found.target
    draws = Draws(prepared.horizon, n, reference, seed=1, stream=0)
    mean, variance, cosine, ascent, steps = _reference(truth, estimator, given, draws, target)
    if isinstance(estimator, TableEstimator):
        steps = prepared.expected_steps * n
    along = directions(target.size, target)
    along_variance = np.full(len(along), np.nan)
    if isinstance(estimator, TableEstimator):
        tables = estimator.make(truth, prepared.horizon, **given)
        with suppress(TooLarge):
            along_variance = directional_variance(truth, tables, prepared.horizon, along) / n
    expected = mean if exact.mean is None else exact.mean
    total = variance if exact.variance is None else float(exact.variance.sum())
    values = {
        "bias_squared": float(np.sum((expected - target) ** 2)),
        "variance": total,
        "cosine": cosine,
        "ascent_probability": ascent,
        "steps": steps,
        "work_normalised_variance": total * steps,
    }
    return Subject(
        label=_label(case, estimator.name, given, target.size),
        estimator=estimator,
        given=given,
        target=target,
        expected=expected,
        along=along,
        along_variance=along_variance,
        exact=exact.variance is not None,
        values=_with_images(values, float(np.linalg.norm(target))),
    )


def _label(case: Case, estimator: str, given: dict[str, Any], d: int) -> str:
    problem = case.problem[1].get("id", case.problem[0])
    size = case.problem[1].get("n_states", "")
    mark = {"critic_noise": " (wrong critic)", "discounted": " (no γ^t)"}
    note = "".join(text for key, text in mark.items() if key in given)
    note += "".join(f" (exploration {given[key]})" for key in ("exploration",) if key in given)
    policy = case.policy[0]
    if "variance" in case.policy[1]:
        policy += f", θ2 = {case.policy[1]['variance']}"
    return f"{problem}{size} | {policy} | {estimator}{note} | {d} | {case.batch_size}"


def _with_images(values: dict[str, float], norm: float) -> dict[str, float]:
    """The values with those of the statistics that are functions of others."""
    mse = values["bias_squared"] + values["variance"]
    bias = np.sqrt(values["bias_squared"])
    return values | {
        "bias": bias,
        "relative_bias": bias / norm,
        "mse": mse,
        "rmse": np.sqrt(mse),
        "relative_rmse": np.sqrt(mse) / norm,
        "relative_variance": values["variance"] / norm**2,
        "snr": norm**2 / values["variance"],
    }


def _reference(
    truth: Truth, estimator: Estimator, given: dict[str, Any], draws: Draws, target: FloatArray
) -> tuple[FloatArray, float, float, float, float]:
    """Mean (d,), total variance, mean cosine, ascent probability and steps of many replicates."""
    g = target / np.linalg.norm(target)
    total, square, cosines, ascents, walked = np.zeros(target.size), 0.0, 0.0, 0, 0
    for gradients, steps in sampled(truth, estimator, given, draws):
        away = gradients - target
        total += away.sum(axis=0)
        square += float(np.sum(away**2))
        product, norm = gradients @ g, np.linalg.norm(gradients, axis=1)
        cosines += float(np.divide(product, norm, out=np.zeros_like(norm), where=norm > 0).sum())
        ascents += int((product > 0).sum())
        walked += int(steps.sum())
    R = draws.replicates
    bias = total / R
    variance = (square / R - float(np.sum(bias**2))) * R / (R - 1)
    return target + bias, variance, cosines / R, ascents / R, walked / R


def sampled(
    truth: Truth, estimator: Estimator, given: dict[str, Any], draws: Draws
) -> Iterator[tuple[FloatArray, IntArray]]:
    """Estimates (m, d) and steps (m,) of consecutive replicates."""
    if isinstance(estimator, BatchEstimator):
        values = estimator.bound(**given)
        for batch in batch_gradients(truth, [(estimator, values)], draws):
            yield batch.gradients[0], batch.steps[0]
        return
    assert isinstance(estimator, TableEstimator)
    tables = estimator.make(truth, draws.horizon, **given)
    for block in gradient_blocks(truth, [tables], draws):
        yield block.gradients[0], block.steps


def repetitions(
    truth: Truth, estimator: Estimator, given: dict[str, Any], draws: Draws, n: int
) -> Iterator[tuple[FloatArray, IntArray]]:
    """Estimates (R, d) and steps (R,) of n repetitions of R replicates."""
    R = draws.replicates
    kept: list[FloatArray] = []
    steps: list[IntArray] = []
    held = 0
    for gradients, taken in sampled(truth, estimator, given, replace(draws, replicates=n * R)):
        kept.append(gradients)
        steps.append(taken)
        held += taken.size
        while held >= R:
            whole, walked = np.concatenate(kept), np.concatenate(steps)
            yield whole[:R], walked[:R]
            kept, steps, held = [whole[R:]], [walked[R:]], held - R
