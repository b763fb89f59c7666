"""Ascent along the natural gradient with the exact Fisher matrix."""

from pgbench.ascent.algorithm import Algorithm, Context, Entropy, Method, Move
from pgbench.ascent.crowd import Crowd
from pgbench.ascent.sources import ExactSource
from pgbench.policies import NotApplicable


class Natural(Method):
    """θ ← θ + α F†ĝ."""

    def __init__(self, context: Context, entropy: float) -> None:
        self.source, self.entropy = context.source, entropy
        if context.source.natural:
            raise NotApplicable(
                "the estimator estimates the natural gradient already; use the algorithm gradient"
            )

    def move(self, crowd: Crowd, k: int) -> Move:
        """Next θ, a step along F†ĝ."""
        g, cost = self.source.gradient(crowd, k)
        exact = isinstance(self.source, ExactSource)
        return Move(crowd.natural_gradient if exact else crowd.natural(g), g, cost)


def natural_gradient(context: Context, *, entropy: Entropy = 0.0) -> Method:
    """Natural gradient ascent: estimates are multiplied by the inverse of the exact Fisher matrix.

    With exact gradients and tabular softmax it is multiplicative weights, π⁺ ∝ π exp(αA/(1-γ)). For
    sampled Fisher matrices use the algorithm ``gradient`` with the estimator ``natural``.
    """
    return Natural(context, entropy)


algorithm = Algorithm(
    "natural",
    natural_gradient,
    formula=r"\theta + \alpha\,F^\dagger \hat g",
    reference="Kakade 2001; Agarwal, Kakade, Lee & Mahajan 2021, Section 5.3",
)
