"""A temperature: probabilities to a power."""

from typing import Annotated

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.parameters import Range
from pgbench.exact.truth import Truth
from pgbench.policies.actions import softmax
from pgbench.samplers.sampler import Sampler, log_probabilities


def table(
    truth: Truth,
    *,
    value: Annotated[float, Range(1e-3), "T: below 1 sharper than the policy, above 1 flatter"],
) -> FloatArray:
    """The policy at another temperature: π^(1/T), normalised. What π never takes stays at 0."""
    return np.asarray(softmax(log_probabilities(truth) / value), np.float64)


sampler = Sampler(
    "temperature",
    table,
    r"\mu \propto \pi^{1/T}",
    "Ackley, Hinton & Sejnowski 1985; Holtzman, Buys, Du, Forbes & Choi 2020, eq. 4",
    identity={"value": 1.0},
)
