"""Compiled rollouts of finite problems; ``linear_quadratic`` has the same names.

sampler     what is drawn from: alias tables
tables      what estimators compute: ``Tables`` without repeats
tape        how a block of lanes is simulated, and what is recorded of it
recursion   what an estimator computes of it
weights, trajectories    what comes out: estimators' weights, or the steps themselves
"""

from pgbench.kernels.finite.sampler import Sampler, make_sampler, make_samplers
from pgbench.kernels.finite.tables import EstimatorTables, compact
from pgbench.kernels.finite.tape import Tape
from pgbench.kernels.finite.trajectories import count_steps, record
from pgbench.kernels.finite.weights import weigh

__all__ = [
    "EstimatorTables",
    "Sampler",
    "Tape",
    "compact",
    "count_steps",
    "make_sampler",
    "make_samplers",
    "record",
    "weigh",
]
