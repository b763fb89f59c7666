"""A floor under every probability."""

from typing import Annotated

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.parameters import Range
from pgbench.exact.truth import Truth
from pgbench.samplers.sampler import Sampler, normalised


def table(
    truth: Truth,
    *,
    epsilon: Annotated[float, Range(0, 1), "ε: the least weight of an action"],
) -> FloatArray:
    """max(π, ε) over the actions that a state has, normalised."""
    return normalised(np.where(truth.mdp.choices, np.maximum(truth.pi, epsilon), 0.0))


sampler = Sampler(
    "floor", table, r"\mu \propto \max(\pi, \epsilon)", "this benchmark", identity={"epsilon": 0.0}
)
