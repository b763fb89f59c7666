"""The gradient of the surrogate objective whose data an older policy has drawn."""

from collections.abc import Callable
from typing import Annotated

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.parameters import Range
from pgbench.estimators.parts.estimator import TableEstimator
from pgbench.exact.finite.horizon import advantages
from pgbench.exact.finite.values import action_values, state_values
from pgbench.exact.truth import Truth
from pgbench.problems import NotApplicable
from pgbench.problems.problem import Diverges
from pgbench.process.process import Process
from pgbench.process.tables import Tables

DRIFT = 0.5
"""The drift by default, in whose place the sampler of a setting stands."""

Drift = Annotated[
    float,
    Range(0),
    "how far the older policy is away: it is π exp(drift·ξ), ξ ~ N(0, 1) fixed; the sampler of a"
    " setting stands in place of the default",
]


def tables(truth: Truth, *, drift: Drift = DRIFT) -> Tables:
    """Ratio π/π_old times the older policy's exact advantage times each score.

    The gradient at θ of L(θ) = J(π_old) + Σ_t γ^t E_old[w_t A_old(s_t, a_t)], which is ∇J where the
    policies agree. States come from the older policy, and nothing corrects for that.
    """
    return surrogate(truth, drift, lambda ratio, advantage: np.ones(ratio.shape))


def surrogate(
    truth: Truth, drift: float, share: Callable[[FloatArray, FloatArray], FloatArray]
) -> Tables:
    """Tables of the gradient, each pair's term times ``share(ratio, advantage)`` (S, A)."""
    mdp = truth.mdp
    old = data_of(truth, drift)
    advantage = truth.each(lambda one: older_advantage(one, drift), mdp.n_states, mdp.n_actions)
    ratio = np.divide(truth.pi, old, out=np.zeros_like(old), where=old > 0)
    weight = ratio * advantage * share(ratio, advantage)
    return Tables.build(Process(mdp, old), beta=-weight, delta=mdp.gamma)


def older_advantage(truth: Truth, drift: float) -> FloatArray:
    """A_old (S, A), exactly; NotApplicable where the data's policy has no finite values."""
    try:
        v, _ = state_values(truth.mdp, data_of(truth, drift))
    except Diverges as error:
        raise NotApplicable(f"there are no advantages of the data's policy: {error}") from error
    return advantages(action_values(truth.mdp, v), v)


def data_of(truth: Truth, drift: float) -> FloatArray:
    """π_old (S, A): the sampler of the setting, or the older policy that is ``drift`` away."""
    if truth.behaviour is not None and drift == DRIFT:
        return np.asarray(truth.behaviour)
    return older_policy(truth.pi, drift)


def older_policy(pi: FloatArray, drift: float) -> FloatArray:
    """Probabilities (S, A) proportional to π exp(drift·ξ) with fixed standard normal ξ."""
    xi = np.random.default_rng(20170720).standard_normal(pi.shape[-2:])
    weights = pi * np.exp(drift * xi)
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True), np.float64)


def bias(drift: float) -> tuple[str, ...]:
    """Causes of bias."""
    return ("states",) * (drift > 0) + ("tail",)


estimator = TableEstimator(
    name="trust_region_surrogate",
    tables=tables,
    bias=bias,
    formula=r"\sum_t \gamma^t w_t A_{old}(s_t,a_t)\,\psi_t,\,w = \pi/\pi_{old}",
    reference="Kakade & Langford 2002; Schulman, Levine, Moritz, Jordan & Abbeel 2015, eq. 14",
    cures={"states": {"drift": 0.0}},
    corrects=True,
    alone="",
)
