"""The smallest set of actions with a given probability."""

from typing import Annotated

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.parameters import Range
from pgbench.exact.truth import Truth
from pgbench.samplers.sampler import Sampler, normalised

_ROUNDING = 1e-12
"""What sums of probabilities may miss p by and still reach it."""


def table(
    truth: Truth, *, p: Annotated[float, Range(0, 1), "the probability that is kept"]
) -> FloatArray:
    """The fewest most likely actions with probability p together, normalised; one at least.

    Of equally likely ones the first. With p = 1 every action stays, however unlikely.
    """
    if p == 1:
        return normalised(truth.pi)
    order = np.argsort(-truth.pi, axis=1, kind="stable")
    ranked = np.take_along_axis(truth.pi, order, axis=1)
    # An action stays where those before it fall short of p.
    before = np.cumsum(ranked, axis=1) - ranked
    stays = before < p - _ROUNDING
    stays[:, 0] = True
    kept = np.zeros_like(truth.pi)
    np.put_along_axis(kept, order, stays.astype(np.float64), axis=1)
    return normalised(kept * truth.pi)


sampler = Sampler(
    "top_p",
    table,
    r"\mu \propto \pi\,1[a \in V_p]",
    "Holtzman, Buys, Du, Forbes & Choi 2020, eq. 2",
    identity={"p": 1.0},
)
