"""The clipped surrogate's gradient with outcome advantages: a later step on one batch."""

from typing import Annotated, Any

import numpy as np

from pgbench.arrays import BoolArray, FloatArray
from pgbench.declared.parameters import Range
from pgbench.estimators.importance_ratio import moments
from pgbench.estimators.parts.behaviour import NEVER
from pgbench.estimators.parts.ratios import (
    CURES,
    LEVELS,
    WHOLE,
    Advantage,
    ClipHigh,
    ClipLow,
    Divisor,
    Level,
    RatioEstimator,
    at_level,
    bias,
    missing,
    within,
    written,
)


def factors(
    w: FloatArray,
    taken: BoolArray,
    *,
    clip_low: ClipLow = 0.2,
    clip_high: ClipHigh = 0.2,
    dual_clip: Annotated[
        float, Range(1), "c: no gradient where A < 0 and the ratio is above it; never by default"
    ] = NEVER,
    level: Level = "token",
    advantage: Advantage = "standardised",
    divisor: Divisor = "length",
) -> FloatArray:
    """Gradient of min(w A, clip(w, 1-ε, 1+ε) A), w the ratio to the sampler, A of outcomes.

    By default GRPO's. DAPO clips higher on the upper side, at 0.28, and divides by the tokens of
    the batch; PPO with two clips has a third, c = 3. On data of the policy itself nothing is
    clipped.
    """
    x = at_level(w, taken, level)
    return np.where(within(x, clip_low, clip_high, dual_clip), x, 0.0)


def off_policy(
    level: str, clip_low: float, clip_high: float, dual_clip: float, **other: Any
) -> tuple[str, ...]:
    """Causes of bias on data of another policy."""
    clips = clip_low < 1 or min(clip_high, dual_clip) < NEVER
    return ("clipping",) * clips + missing(level)


def formula(
    level: str,
    clip_low: float,
    clip_high: float,
    dual_clip: float,
    advantage: str,
    divisor: str,
) -> str:
    """ĝ of a batch."""
    x = LEVELS[level]
    kept = rf"A_i > 0:\ {x} \leq {1 + clip_high:g};\ A_i < 0:\ {x} \geq {1 - clip_low:g}"
    most = rf",\ {x} \leq {dual_clip:g}" * (dual_clip < NEVER)
    return written(rf"{x}\,1[{kept}{most}]", advantage, divisor)


estimator = RatioEstimator(
    name="clipped_ratio",
    factors=factors,
    moments=moments,
    own=lambda level, **_: level == "token",
    bias=bias,
    off_policy=off_policy,
    unbounded=lambda level, dual_clip, **_: level == "sequence" and dual_clip >= NEVER,
    formula=formula,
    reference=(
        "Schulman et al. 2017 (PPO), eq. 7; Shao et al. 2024 (GRPO), eq. 3; Yu et al. 2025 (DAPO),"
        " Section 3.1; two clips: Ye et al. 2020, eq. 5"
    ),
    cures={
        **CURES,
        **WHOLE,
        "clipping": {"clip_low": 1.0, "clip_high": NEVER, "dual_clip": NEVER},
    },
)
