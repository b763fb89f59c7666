"""The constant baselines of estimators: a number, the mean return, or the best there is."""

from typing import Annotated, Any

import numpy as np

from pgbench.declared.parameters import Choice
from pgbench.exact.finite.several import FiniteTruths
from pgbench.exact.remember import remembered
from pgbench.exact.returns import return_moments
from pgbench.exact.table_moments import SUMS_LIMIT, NoFiniteVariance, TooLarge, table_moments
from pgbench.exact.truth import Truth
from pgbench.policies import NotApplicable
from pgbench.process.tables import Tables

ConstantBaseline = Annotated[
    float | str,
    Choice(("objective", "optimal")),
    "constant b; objective is J(θ), the mean return; optimal has the least total variance",
]


def written_less(signal: str, baseline: float | str) -> tuple[str, str]:
    """``signal`` less the baseline in a formula, and what is said of the baseline after it."""
    if baseline == 0:
        return signal, ""
    b = {"objective": r"J(\theta)", "optimal": r"argmin\,tr\,Cov(\hat g)"}
    said = b[baseline] if isinstance(baseline, str) else f"{baseline:g}"
    return f"({signal} - b)", rf",\,b = {said}"


def with_baseline(
    truth: Truth, horizon: int | None, baseline: float | str, delta: float | None
) -> Tables:
    """Tables of the return less a constant times all scores, or of reward-to-go carried by δ.

    Raises NotApplicable where the optimal baseline is asked for and not known.
    """
    b: Any = baseline
    if baseline == "optimal":
        b = truth.each(lambda one: optimal(one, horizon, delta))
    elif baseline == "objective":
        b = truth.objective
    if isinstance(truth, FiniteTruths) and baseline in ("optimal", "objective"):
        b = b[:, None, None]
    return _tables(truth, delta, b)


def _tables(truth: Truth, delta: float | None, b: Any, rewards: float = 1.0) -> Tables:
    mdp = truth.mdp
    return Tables.build(
        truth.process,
        sigma=rewards * mdp.reward,
        kappa=mdp.gamma,
        beta=b,
        delta=1.0 if delta is None else delta,
        total=delta is None,
    )


@remembered
def optimal(truth: Truth, horizon: int | None, delta: float | None) -> float:
    """The constant b with the least tr Cov(ĝ) over ``horizon`` steps, unit reward.

    ĝ = X - bY with Y = Σ_t D_t ψ_t, so tr Cov(ĝ) is a parabola in b with its minimum at
    tr Cov(X, Y)/tr Cov(Y): the slope at J over the curvature says how far it is from J. The slope
    comes from two points one standard deviation of the return to both sides.
    (Greensmith, Bartlett & Baxter 2004, who also treat a single constant)

    Raises
    ------
    NotApplicable
        Where the variance is infinite, or too large a computation.
    """

    def trace(b: float, rewards: float = 1.0) -> float:
        tables = _tables(truth, delta, b, rewards)
        return table_moments(truth, tables, horizon, limit=SUMS_LIMIT).trace

    try:
        curvature = trace(-1.0, rewards=0.0)
        if not curvature > 0:
            return truth.objective
        c = _spread(truth.on_policy, horizon)
        slope = (trace(truth.objective - c) - trace(truth.objective + c)) / (4 * c)
    except (NoFiniteVariance, TooLarge) as error:
        raise NotApplicable(f"the optimal constant baseline is not known: {error}") from error
    return truth.objective + slope / curvature


def _spread(truth: Truth, horizon: int | None) -> float:
    """A typical distance of returns from their mean, positive."""
    if horizon is None:
        return abs(truth.objective) or 1.0
    return float(np.sqrt(return_moments(truth, horizon).variance)) or 1.0
