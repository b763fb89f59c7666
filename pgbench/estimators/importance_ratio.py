"""Ratios to the sampler as weights of tokens: as they are, cut off above, or left out."""

from typing import Annotated, Any

import numpy as np

from pgbench.arrays import BoolArray, FloatArray
from pgbench.declared.parameters import Choice, Range
from pgbench.estimators import group_mean, rloo
from pgbench.estimators.parts.behaviour import NEVER
from pgbench.estimators.parts.estimator import Exact
from pgbench.estimators.parts.ratios import (
    CURES,
    LEVELS,
    WHOLE,
    Advantage,
    Divisor,
    Level,
    RatioEstimator,
    at_level,
    bias,
    missing,
    written,
)
from pgbench.exact.truth import Truth

Rule = Annotated[
    str,
    Choice(("none", "truncated", "masked")),
    "what becomes of large ratios: nothing, min(w, high), or 0 outside of low and high",
]


def factors(
    w: FloatArray,
    taken: BoolArray,
    *,
    level: Level = "token",
    rule: Rule = "none",
    low: Annotated[float, Range(0, 1), "smallest ratio that is kept by a mask"] = 0.5,
    high: Annotated[float, Range(1), "largest ratio of a mask, and of a truncation"] = 2.0,
    advantage: Advantage = "leave_one_out",
    divisor: Divisor = "none",
) -> FloatArray:
    """Advantage times each score times the ratio of the policy to the sampler at its token.

    The ratio of a token alone corrects for how the token was drawn, not for those before it, which
    lead there, nor for those after it, on which the return hangs: the product over the response
    does. On data of the policy itself it is the estimator without ratios.
    """
    x = at_level(w, taken, level)
    if rule == "truncated":
        x = np.minimum(x, high)
    elif rule == "masked":
        x = np.where((low <= x) & (x <= high), x, 0.0)
    return x[None]


def off_policy(level: str, rule: str, low: float, high: float, **other: Any) -> tuple[str, ...]:
    """Causes of bias on data of another policy."""
    cut = rule == "truncated" and high < NEVER
    left_out = rule == "masked" and (low > 0 or high < NEVER)
    return ("clipping",) * cut + ("masking",) * left_out + missing(level)


def moments(
    truth: Truth, horizon: int, batch_size: float, *, advantage: str, divisor: str, **other: Any
) -> Exact:
    """On data of the policy itself those of ``rloo`` or ``group_mean``, if that is what it is."""
    if advantage == "standardised" or divisor != "none":
        return Exact(None)
    own = rloo if advantage == "leave_one_out" else group_mean
    return own.moments(truth, horizon, batch_size)


def formula(level: str, rule: str, low: float, high: float, advantage: str, divisor: str) -> str:
    """ĝ of a batch."""
    x = LEVELS[level]
    factor = {
        "none": x,
        "truncated": rf"\min({x}, {high:g})",
        "masked": rf"{x}\,1[{low:g} \leq {x} \leq {high:g}]",
    }[rule]
    return written(factor, advantage, divisor)


estimator = RatioEstimator(
    name="importance_ratio",
    factors=factors,
    moments=moments,
    own=lambda level, **_: level == "token",
    bias=bias,
    off_policy=off_policy,
    unbounded=lambda level, rule, **_: level == "sequence" and rule == "none",
    formula=formula,
    reference=(
        "Precup, Sutton & Singh 2000; truncated: Ionides 2008, Yao et al. 2025 (TIS); masked: Liu"
        " et al. 2025 (MIS), of tokens also Ling Team 2025 (IcePop)"
    ),
    cures={**CURES, **WHOLE, "clipping": {"rule": "none"}, "masking": {"rule": "none"}},
)
