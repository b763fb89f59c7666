"""CISPO: the clipped ratio as a constant weight of the score, so that no token is left out."""

from typing import Annotated, Any

from pgbench.arrays import BoolArray, FloatArray
from pgbench.declared.parameters import Range
from pgbench.estimators.importance_ratio import moments
from pgbench.estimators.parts.behaviour import NEVER
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


def factors(
    w: FloatArray,
    taken: BoolArray,
    *,
    clip_low: Annotated[float, Range(0, 1), "weights are 1 less it at least; at 1 no bound"] = 1.0,
    clip_high: Annotated[float, Range(0), "weights are 1 plus it at most"] = 1.0,
    level: Level = "token",
    advantage: Advantage = "standardised",
    divisor: Divisor = "tokens",
) -> FloatArray:
    """Advantage times each score times the ratio to the sampler, clipped and held fixed.

    Where the clipped surrogate takes a token's gradient away, this one bounds its weight. As in the
    paper there is no lower bound by default; the upper one is left open there.
    """
    return at_level(w, taken, level).clip(1 - clip_low, 1 + clip_high)[None]


def off_policy(level: str, clip_low: float, clip_high: float, **other: Any) -> tuple[str, ...]:
    """Causes of bias on data of another policy."""
    return ("clipping",) * (clip_low < 1 or clip_high < NEVER) + missing(level)


def formula(level: str, clip_low: float, clip_high: float, advantage: str, divisor: str) -> str:
    """ĝ of a batch."""
    bounds = f"{1 - clip_low:g}, {1 + clip_high:g}"
    return written(rf"\mathrm{{clip}}({LEVELS[level]}, {bounds})", advantage, divisor)


estimator = RatioEstimator(
    name="cispo",
    factors=factors,
    moments=moments,
    own=lambda level, **_: level == "token",
    bias=bias,
    off_policy=off_policy,
    unbounded=lambda level, clip_high, **_: level == "sequence" and clip_high >= NEVER,
    formula=formula,
    reference="Chen et al. 2025 (MiniMax-M1), eqs. 4 and 5",
    cures={**CURES, **WHOLE, "clipping": {"clip_low": 1.0, "clip_high": NEVER}},
)
