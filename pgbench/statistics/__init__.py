"""From replicate gradients to bias, variance, intervals, tests and rates."""

from pgbench.statistics.directions import directions, fixed_directions
from pgbench.statistics.estimate import Estimate
from pgbench.statistics.hypothesis_tests import (
    MeanTest,
    Projections,
    VarianceTest,
    holm,
    mean_test,
    mean_z,
    normality,
    variance_test,
)
from pgbench.statistics.intervals import mean_interval, summarise
from pgbench.statistics.proportions import clopper_pearson, wilson
from pgbench.statistics.rates import Line, Rate, fit_line, fit_rate
from pgbench.statistics.sample import MAX_BLOCKS, Sample, block_sizes, n_blocks
from pgbench.statistics.tails import least_share, tail_shape

__all__ = [
    "MAX_BLOCKS",
    "Estimate",
    "Line",
    "MeanTest",
    "Projections",
    "Rate",
    "Sample",
    "VarianceTest",
    "block_sizes",
    "clopper_pearson",
    "directions",
    "fit_line",
    "fit_rate",
    "fixed_directions",
    "holm",
    "least_share",
    "mean_interval",
    "mean_test",
    "mean_z",
    "n_blocks",
    "normality",
    "summarise",
    "tail_shape",
    "variance_test",
    "wilson",
]
