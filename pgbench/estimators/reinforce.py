"""REINFORCE: the total return times the sum of scores (form 1)."""

from pgbench.estimators.parts.constant_baseline import ConstantBaseline, with_baseline, written_less
from pgbench.estimators.parts.estimator import EVERYWHERE, TableEstimator
from pgbench.exact.truth import Truth
from pgbench.process.tables import Tables


def tables(truth: Truth, horizon: int | None, *, baseline: ConstantBaseline = 0.0) -> Tables:
    """Total discounted return, less a constant baseline, times the sum of all scores."""
    return with_baseline(truth, horizon, baseline, delta=None)


estimator = TableEstimator(
    name="reinforce",
    tables=tables,
    bias=lambda baseline: ("truncation",),
    formula=lambda baseline: r"\sum_t \psi_t".join(written_less(r"R(\tau)", baseline)),
    reference="Williams 1992, eq. 11",
    on=EVERYWHERE,
    alone="",
)
