"""Whether an estimate hangs on values of terminal states.

``batch.v`` and ``batch.q`` are zero there, which hides a missing (1 - done): the code is right with
them and wrong with every critic that was learned.
"""

from collections.abc import Callable, Sequence

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.functions import UserBatch, drawn
from pgbench.trials.battery import Case
from pgbench.trials.repeatable import same

SENTENCE = (
    "It uses batch.v or batch.q in terminal states, where they are zero and a learned critic is"
    " not: (1 - done) is missing. Put batch.critic in their place to see what that does."
)
"""What is said of a function whose estimates hang on them."""

SHORT = "(1 - done) is missing: exact values hide it."
"""The same for the verdict of one that is unbiased."""

BATCHES = 8
"""So many batches of a case are tried."""


def reads_ends(call: Callable[[UserBatch], FloatArray], cases: Sequence[Case]) -> bool:
    """Whether any estimate changes if exact values of terminal states are one instead of zero."""
    return any(
        not same(call(batches[r]), call(_valued(batches[r], case)))
        for case in cases
        if case.truth.mdp.terminal.any()
        for batches in [drawn(case, BATCHES, 0, case.batch_size)]
        for r in range(BATCHES)
        if batches[r].ended.any()
    )


def _valued(batch: UserBatch, case: Case) -> UserBatch:
    """A copy of the batch with exact values of one in terminal states."""
    ends = case.truth.mdp.terminal
    v, q = np.where(ends, 1.0, batch.v), np.where(ends[:, None], 1.0, batch.q)
    return batch.having(v=v, q=q)
