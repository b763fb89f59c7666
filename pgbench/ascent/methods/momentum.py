"""Heavy-ball momentum."""

from typing import Annotated

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.ascent.algorithm import Algorithm, Context, Method, Move
from pgbench.ascent.crowd import Crowd
from pgbench.declared.parameters import Range


class Momentum(Method):
    """u ← βu + ĝ, θ ← θ + αu."""

    def __init__(self, context: Context, beta: float) -> None:
        self.source, self.beta = context.source, beta
        self.velocity: FloatArray | None = None

    def move(self, crowd: Crowd, k: int) -> Move:
        """Along the velocity."""
        g, cost = self.source.gradient(crowd, k)
        before = np.zeros_like(g) if self.velocity is None else self.velocity
        self.velocity = self.beta * before + g
        return Move(self.velocity, g, cost)


def momentum(
    context: Context,
    *,
    beta: Annotated[float, Range(0, 1), "β, what is kept of the velocity"] = 0.9,
) -> Method:
    """Heavy-ball momentum: steps add up with decay β."""
    return Momentum(context, beta)


algorithm = Algorithm(
    "momentum",
    momentum,
    formula=r"u \leftarrow \beta u + \hat g,\,\theta + \alpha\,u",
    reference="Polyak 1964",
)
