"""Whether an estimate hangs on exact values of terminal states.

They are zero there, which hides a missing (1 - done): the code is right with
them and wrong with every critic that was learned.
"""

from collections.abc import Callable, Sequence
from typing import Any

from pgbench.arrays import FloatArray
from pgbench.declared.claims import Claims
from pgbench.trials.case import Case
from pgbench.trials.repeatable import same

SHORT = "(1 - done) is missing: exact values hide it."
"""What is said in the verdict of a function that is unbiased and hangs on them."""

UNCLAIMED = Claims()

BATCHES = 8
"""So many batches of a case are tried."""


def sentence(case: Case) -> str:
    """What is said of a function whose estimates hang on them."""
    return (
        f"It uses {case.exact_fields} in terminal states, where they are zero and a learned critic"
        f" is not: (1 - done) is missing. Put {case.critic_fields} in their place to see what that"
        " does."
    )


def reads_ends(
    call: Callable[[Any], FloatArray], cases: Sequence[Case], claims: Claims = UNCLAIMED
) -> bool:
    """Whether any estimate changes if exact values of terminal states are one instead of zero."""
    return any(
        not same(call(batches[r]), call(case.with_valued_ends(batches[r])))
        for case in cases
        if case.ends
        for batches in [case.drawn(BATCHES, 0).claimed(claims)]
        for r in range(BATCHES)
        if batches[r].ended.any()
    )
