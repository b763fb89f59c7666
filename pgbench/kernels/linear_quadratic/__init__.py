"""Compiled rollouts of Gaussian policies on linear-quadratic problems, by the names of ``finite``.

Modules are those of ``finite`` too.
"""

from pgbench.kernels.linear_quadratic.sampler import Sampler, make_sampler
from pgbench.kernels.linear_quadratic.tables import EstimatorTables, compact
from pgbench.kernels.linear_quadratic.tape import Tape
from pgbench.kernels.linear_quadratic.trajectories import record
from pgbench.kernels.linear_quadratic.weights import weigh

__all__ = ["EstimatorTables", "Sampler", "Tape", "compact", "make_sampler", "record", "weigh"]
