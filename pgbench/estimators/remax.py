"""ReMax: the return of the greedy response to the same prompt as baseline."""

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.estimators.parts.estimator import TableEstimator
from pgbench.exact.finite.horizon import finite_values
from pgbench.exact.finite.values import FiniteTruth
from pgbench.exact.truth import Truth
from pgbench.process.tables import Tables

LONGEST = 10_000
"""Steps of the greedy response where there is no horizon: it need not end by itself."""


def tables(truth: Truth, horizon: int | None) -> Tables:
    """Total return less what the most likely actions would have returned from the same start.

    The greedy return is its exact mean; where transitions and rewards are no matter of chance, as
    for token sequences, it is that of the one greedy response. The steps of that response, one more
    of every start, are not counted.
    """
    mdp = truth.mdp
    baseline = truth.each(lambda own: greedy_values(own, horizon), mdp.n_states)
    return Tables.build(
        truth.process, sigma=mdp.reward, kappa=mdp.gamma, beta=baseline[..., None], total=True
    )


def greedy_values(truth: FiniteTruth, horizon: int | None) -> FloatArray:
    """V (S,) of the most likely action in every state, the first of several; over H steps."""
    greedy = np.eye(truth.mdp.n_actions)[truth.pi.argmax(axis=1)]
    return finite_values(truth.mdp, greedy, horizon or LONGEST)[0]


estimator = TableEstimator(
    name="remax",
    tables=tables,
    bias=lambda: ("truncation",),
    formula=r"(R - V_{greedy}(s_0))\sum_t \psi_t",
    reference="Li et al. 2023 (ReMax), eq. 6",
    alone="",
)
