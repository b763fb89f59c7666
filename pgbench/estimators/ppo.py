"""The gradient of PPO's clipped surrogate, at a policy that has moved away from its data."""

from typing import Annotated

import numpy as np

from pgbench.declared.parameters import Range
from pgbench.estimators.parts.behaviour import NEVER
from pgbench.estimators.parts.estimator import TableEstimator
from pgbench.estimators.trust_region_surrogate import DRIFT, Drift, surrogate
from pgbench.exact.truth import Truth
from pgbench.process.tables import Tables


def tables(
    truth: Truth,
    *,
    clip: Annotated[
        float, Range(0), "ε: no gradient where the ratio has left 1 ± ε for good"
    ] = 0.2,
    drift: Drift = DRIFT,
) -> Tables:
    """Gradient of min(w A, clip(w, 1-ε, 1+ε) A), w = π/π_old, with exact A of the older policy.

    A pair has none where w > 1+ε and A > 0, or w < 1-ε and A < 0. As in the surrogate without
    clipping, states come from the older policy.
    """
    return surrogate(
        truth,
        drift,
        lambda w, A: np.where(A >= 0, w <= 1 + clip, w >= 1 - clip).astype(np.float64),
    )


def bias(clip: float, drift: float) -> tuple[str, ...]:
    """Causes of bias."""
    causes = ("clipping",) * (clip < NEVER) + ("states",)
    return causes * (drift > 0) + ("tail",)


estimator = TableEstimator(
    name="ppo",
    tables=tables,
    bias=bias,
    formula=lambda clip, **_: (
        r"\sum_t \gamma^t \nabla_\theta \min(w_t A_t, \mathrm{clip}"
        rf"(w_t, 1 - {clip:g}, 1 + {clip:g})\,A_t)"
    ),
    reference="Schulman, Wolski, Dhariwal, Radford & Klimov 2017, eq. 7",
    cures={"clipping": {"clip": NEVER}, "states": {"drift": 0.0}},
    corrects=True,
    alone="",
)
