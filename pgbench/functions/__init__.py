"""Functions of one batch, as users write estimators: what they are given, and what they return."""

from pgbench.functions.batch import UserBatch
from pgbench.functions.place import Place
from pgbench.functions.trajectories import Trajectories, drawn, enumerated

__all__ = ["Place", "Trajectories", "UserBatch", "drawn", "enumerated"]
