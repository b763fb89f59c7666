"""Several updates on one batch, as PPO and what came of it make them."""

from typing import Annotated

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.ascent.algorithm import Algorithm, Context, Method, Move
from pgbench.ascent.crowd import Crowd, FiniteCrowd
from pgbench.ascent.sources.source import EstimatorSource
from pgbench.declared.parameters import Range
from pgbench.policies import NotApplicable
from pgbench.problems import FiniteMDP


class Epochs(Method):
    """ĝ at θ of the batch that was drawn at θ_b, for so many updates."""

    def __init__(self, context: Context, epochs: int) -> None:
        if not isinstance(context.mdp, FiniteMDP):
            raise NotApplicable("epochs follows one batch at several policies, on finite problems")
        if not isinstance(context.source, EstimatorSource):
            raise NotApplicable("epochs follows an estimator's batch, and ∇J has none")
        context.source.require_data(epochs > 1)
        _require_batch(context.source)
        self.source, self.epochs = context.source, epochs
        self.drawn: FloatArray | None = None

    def move(self, crowd: Crowd, k: int) -> Move:
        """Along the estimate that the batch of the first update gives at this θ."""
        assert isinstance(crowd, FiniteCrowd)
        first = k - k % self.epochs
        if k == first or self.drawn is None:
            self.drawn = crowd.data
            g, cost = self.source.gradient(crowd, first)
            return Move(g, g, cost)
        g, cost = self.source.gradient(crowd.drawn_from(self.drawn), first)
        return Move(g, g, np.zeros_like(cost))


def _require_batch(source: EstimatorSource) -> None:
    """NotApplicable where the estimator draws from a policy of its own, anew at every θ."""
    parameters = source.estimator.parameters
    for own in {"exploration", "drift"} & set(parameters):
        if (given := source.values[own]) != parameters[own].default:
            raise NotApplicable(
                f"{source.estimator.name} draws from a policy of its own, {own}={given:g}, so that"
                " updates have no batch in common"
            )


def epochs(
    context: Context, *, epochs: Annotated[int, Range(1), "K: updates on each batch"] = 4
) -> Method:
    """Each batch is followed for K updates, the later ones at a θ that it was not drawn at.

    A later update evaluates the estimator at its own θ, on data of the policy that drew the batch:
    estimators with ratios weigh them, such as ``ppo``, ``clipped_ratio`` or ``gspo``; others follow
    what they would on data of their own policy. Environment steps are paid once per batch.
    """
    return Epochs(context, epochs)


algorithm = Algorithm(
    "epochs",
    epochs,
    formula=r"\theta + \alpha\,\hat g(\theta; \tau_b),\quad \tau_b \sim \pi_{\theta_b},"
    r"\,b = K\lfloor k/K\rfloor",
    reference="Schulman et al. 2017, Algorithm 1 (K epochs)",
)
