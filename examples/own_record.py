"""A record: reward-to-go less a share of the exact state value, as four tables.

    python -m pgbench test examples/own_record.py

Its mean and variance are known exactly, with no sampling. With ``--plugin examples/own_record.py``
grids know it by its name.
"""

from typing import Annotated

from pgbench.declared.parameters import Range
from pgbench.estimators import TableEstimator, Tables
from pgbench.exact import Truth


def tables(truth: Truth, *, share: Annotated[float, Range(0, 1), "share of V"] = 0.25) -> Tables:
    """Discounted reward-to-go less a share of the state value, times each score."""
    mdp = truth.mdp
    baseline = share * truth.v[:, None]
    return Tables.build(
        truth.process, sigma=mdp.reward, kappa=mdp.gamma, beta=baseline, delta=mdp.gamma
    )


estimator = TableEstimator(
    name="own_baseline",
    tables=tables,
    bias=lambda share: ("truncation",),
    formula=r"\sum_t \gamma^t (\hat Q_t - c V(s_t))\,\psi_t",
    reference="you, this year",
)
