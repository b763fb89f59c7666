"""Ascent along the gradient, or along whatever the estimator estimates."""

from pgbench.ascent.algorithm import Algorithm, Context, Entropy, Method, Move
from pgbench.ascent.crowd import Crowd


class Gradient(Method):
    """θ ← θ + α ĝ, projected to the simplex for direct policies."""

    def __init__(self, context: Context, entropy: float) -> None:
        self.source, self.entropy = context.source, entropy

    def move(self, crowd: Crowd, k: int) -> Move:
        """Along the estimate."""
        g, cost = self.source.gradient(crowd, k)
        return Move(g, g, cost)


def gradient(context: Context, *, entropy: Entropy = 0.0) -> Method:
    """Gradient ascent, exact or stochastic; projected to the simplex for direct policies.

    With ``entropy`` the gradient is that of the objective regularised by the entropy of the policy.
    An estimator of the natural gradient makes it natural gradient ascent with sampled Fisher
    matrices.
    """
    return Gradient(context, entropy)


algorithm = Algorithm(
    "gradient",
    gradient,
    formula=r"\theta + \alpha\,\hat g",
    reference="Williams 1992; Agarwal, Kakade, Lee & Mahajan 2021, Sections 4 and 5;"
    " Mei, Xiao, Szepesvári & Schuurmans 2020, Section 4 (entropy)",
)
