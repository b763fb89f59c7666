"""Functions of one batch, as users write estimators: what they are given, and what they return."""

from pgbench.functions.batch import UserBatch
from pgbench.functions.batches import Batches
from pgbench.functions.continuous import ContinuousBatch, ContinuousBatches
from pgbench.functions.fields import AnyBatch
from pgbench.functions.place import Place
from pgbench.functions.trajectories import Trajectories, drawn, enumerated

__all__ = [
    "AnyBatch",
    "Batches",
    "ContinuousBatch",
    "ContinuousBatches",
    "Place",
    "Trajectories",
    "UserBatch",
    "drawn",
    "enumerated",
]
