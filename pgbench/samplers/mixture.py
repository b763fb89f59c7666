"""A mixture with the uniform distribution."""

from typing import Annotated

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.parameters import Range
from pgbench.exact.truth import Truth
from pgbench.samplers.sampler import Sampler, normalised


def table(
    truth: Truth, *, weight: Annotated[float, Range(0, 1), "ε: the share of the uniform one"]
) -> FloatArray:
    """(1-ε)π + ε/A, A being the number of actions that a state has."""
    uniform = normalised(truth.mdp.choices.astype(np.float64))
    return np.asarray((1 - weight) * truth.pi + weight * uniform)


sampler = Sampler(
    "mixture",
    table,
    r"\mu = (1 - \epsilon)\,\pi + \epsilon / A",
    "Sutton & Barto 2018, Section 5.4",
    identity={"weight": 0.0},
)
