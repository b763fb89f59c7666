"""Adam: steps scaled coordinate by coordinate."""

from typing import Annotated

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.ascent.algorithm import Algorithm, Context, Method, Move
from pgbench.ascent.crowd import Crowd
from pgbench.declared.parameters import Range


class Adam(Method):
    """Running means of ĝ and ĝ², corrected for their start at zero."""

    def __init__(self, context: Context, beta1: float, beta2: float, eps: float) -> None:
        self.source = context.source
        self.beta1, self.beta2, self.eps = beta1, beta2, eps
        self.first: FloatArray | None = None
        self.second: FloatArray | None = None

    def move(self, crowd: Crowd, k: int) -> Move:
        """Along m̂/(√v̂ + ε)."""
        g, cost = self.source.gradient(crowd, k)
        first = np.zeros_like(g) if self.first is None else self.first
        second = np.zeros_like(g) if self.second is None else self.second
        self.first = self.beta1 * first + (1 - self.beta1) * g
        self.second = self.beta2 * second + (1 - self.beta2) * g**2
        mean = self.first / (1 - self.beta1 ** (k + 1))
        square = self.second / (1 - self.beta2 ** (k + 1))
        return Move(mean / (np.sqrt(square) + self.eps), g, cost)


Decay = Annotated[float, Range(0, 1 - 1e-9), "decay of a running mean"]


def adam(
    context: Context,
    *,
    beta1: Decay = 0.9,
    beta2: Decay = 0.999,
    eps: Annotated[float, Range(0), "ε, added to the root"] = 1e-8,
) -> Method:
    """Adam: a running mean of estimates over the root of the running mean of their squares."""
    return Adam(context, beta1, beta2, eps)


algorithm = Algorithm(
    "adam",
    adam,
    formula=r"\theta + \alpha\,\hat m / (\sqrt{\hat v} + \epsilon)",
    reference="Kingma & Ba 2015, Algorithm 1",
)
