"""GSPO: the ratio of the whole response to the power of one over its length, and its clip."""

from typing import Annotated, Any

import numpy as np

from pgbench.arrays import BoolArray, FloatArray
from pgbench.declared.parameters import Choice
from pgbench.estimators.importance_ratio import moments
from pgbench.estimators.parts.behaviour import NEVER
from pgbench.estimators.parts.ratios import (
    CURES,
    LEVELS,
    Advantage,
    ClipHigh,
    ClipLow,
    Divisor,
    RatioEstimator,
    at_level,
    bias,
    within,
    written,
)

Clipped = Annotated[
    str,
    Choice(("sequence", "token")),
    "what is clipped: the ratio of the response, or each token's",
]
Power = Annotated[bool, "whether the ratio of the response is taken to the power 1/|τ|"]


def factors(
    w: FloatArray,
    taken: BoolArray,
    *,
    clip_low: ClipLow = 3e-4,
    clip_high: ClipHigh = 4e-4,
    clipped: Clipped = "sequence",
    power: Power = True,
    advantage: Advantage = "standardised",
    divisor: Divisor = "length",
) -> FloatArray:
    """Advantage times the mean of the scores times the geometric mean of the response's ratios.

    Clipped as a whole it is GSPO, of which the form with token advantages has the same gradient
    where these are those of the response; token by token GMPO, whose clip is wider, exp(±0.4).
    """
    level = "geometric" if power else "sequence"
    if clipped == "sequence":
        s = at_level(w, taken, level)
        return np.where(within(s, clip_low, clip_high), s, 0.0)
    bounded = np.minimum(w, 1 + clip_high), np.maximum(w, 1 - clip_low)
    s = np.stack([at_level(own, taken, level) for own in bounded])
    return np.where(within(w, clip_low, clip_high), s, 0.0)


def off_policy(clip_low: float, clip_high: float, power: bool, **other: Any) -> tuple[str, ...]:
    """Causes of bias on data of another policy."""
    return ("clipping",) * (clip_low < 1 or clip_high < NEVER) + ("power",) * power


def formula(
    clip_low: float, clip_high: float, clipped: str, power: bool, advantage: str, divisor: str
) -> str:
    """ĝ of a batch."""
    s = LEVELS["geometric" if power else "sequence"]
    x = "s_i" if clipped == "sequence" else "w_{i,t}"
    kept = rf"A_i > 0:\ {x} \leq {1 + clip_high:g};\ A_i < 0:\ {x} \geq {1 - clip_low:g}"
    if clipped == "token":
        s = s.replace("w_{i,l}", r"\tilde w_{i,l}")
    return written(rf"s_i\,1[{kept}],\quad s_i = {s}", advantage, divisor)


estimator = RatioEstimator(
    name="gspo",
    factors=factors,
    moments=moments,
    own=lambda **_: False,
    bias=bias,
    off_policy=off_policy,
    unbounded=lambda power, **_: not power,
    formula=formula,
    reference="Zheng et al. 2025 (GSPO), eqs. 5 to 7; token by token Zhao et al. 2025 (GMPO)",
    cures={
        **CURES,
        "power": {"power": False},
        "clipping": {"clip_low": 1.0, "clip_high": NEVER},
    },
)
