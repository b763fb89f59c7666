"""V-trace: off-policy advantages whose importance ratios are clipped."""

from typing import Annotated

import numpy as np

from pgbench.declared.parameters import Range
from pgbench.estimators.parts.behaviour import (
    EXPLORATION,
    NEVER,
    Exploration,
    behaviour_policy,
    ratios,
)
from pgbench.estimators.parts.estimator import CriticNoise, TableEstimator, noisy_critic, td_error
from pgbench.exact.truth import Truth
from pgbench.process.process import Process
from pgbench.process.tables import Tables


def tables(
    truth: Truth,
    *,
    exploration: Exploration = EXPLORATION,
    clip: Annotated[float, Range(0), "c: ratios are min(c, π/μ), one clip for all"] = 1.0,
    correct_states: Annotated[
        bool, "whether step t carries the ratios before it, so that states count as π visits them"
    ] = False,
    critic_noise: CriticNoise = 0.0,
) -> Tables:
    """TD errors summed with clipped ratios, times each score; v is exact unless critic_noise > 0.

    The weight of step t is y_t = w_t (δ_t + γ y_{t+1}) with w = min(c, π/μ): the update of the
    source for ρ̄ = c̄ = c. Data come from the behaviour policy (1-ε)π + ε/A.
    """
    mdp = truth.mdp
    behaviour = behaviour_policy(truth, exploration)
    ratio = ratios(truth, behaviour)
    w = np.minimum(ratio, clip)
    v = noisy_critic(truth, critic_noise)
    return Tables.build(
        Process(mdp, behaviour),
        sigma=w[..., None] * td_error(truth, v),
        kappa=mdp.gamma * w,
        delta=mdp.gamma * ratio if correct_states else mdp.gamma,
    )


def bias(
    exploration: float, clip: float, correct_states: bool, critic_noise: float
) -> tuple[str, ...]:
    """Causes of bias. Ratios are at most A, and at most 1 without exploration."""
    causes = ("clipping",) * (exploration > 0 or clip < 1)
    causes *= clip < NEVER
    causes += ("states",) * (exploration > 0 and not correct_states)
    return causes + ("critic",) * (critic_noise > 0) + ("tail",)


estimator = TableEstimator(
    name="vtrace",
    tables=tables,
    bias=bias,
    formula=lambda clip, correct_states, **_: (
        r"\sum_t \gamma^t "
        + (r"\prod_{i<t} w_i\," if correct_states else "")
        + r"\psi_t \sum_l \gamma^l \delta^v_{t+l}"
        rf" \prod_{{t\leq i\leq t+l}} \min({clip:g}, w_i)"
    ),
    reference="Espeholt et al. 2018, eq. 1 and Section 4.2",
    cures={
        "clipping": {"clip": NEVER},
        "states": {"correct_states": True},
        "critic": {"critic_noise": 0.0},
    },
    unbounded=lambda exploration, clip, correct_states, critic_noise: correct_states or clip > 1,
    corrects=True,
    alone="",
)
