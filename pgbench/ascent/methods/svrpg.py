"""Stochastic variance-reduced policy gradient: corrections of a snapshot's gradient."""

from typing import Annotated

from pgbench.arrays import FloatArray
from pgbench.ascent.algorithm import Algorithm, Context, Method, Move, reusable
from pgbench.ascent.crowd import Crowd
from pgbench.ascent.ratios import ratios
from pgbench.ascent.sources.tables import Weigher
from pgbench.declared.parameters import Range

Large = Annotated[int, Range(1), "rollouts of the large batches"]


class SVRPG(Method):
    """μ̃ + ĝ(θ) - ω ĝ(θ̃), with the snapshot θ̃ taken anew every epoch."""

    def __init__(self, context: Context, epoch: int, large: int) -> None:
        self.source = reusable(context, "svrpg")
        self.epoch, self.large = epoch, large
        self.snapshot: Weigher | None = None
        self.anchor: FloatArray | None = None

    def move(self, crowd: Crowd, k: int) -> Move:
        """Along the corrected gradient of the snapshot."""
        here = self.source.at(crowd)
        if self.snapshot is None or self.anchor is None or k % self.epoch == 0:
            drawn = here.draw(k, self.large, "large")
            self.snapshot, self.anchor = here, here.weighed(drawn)
            return Move(self.anchor, self.anchor, drawn.cost)
        drawn = here.draw(k)
        there = self.snapshot.weighed(drawn, ratios(drawn, crowd, self.snapshot.crowd))
        v = self.anchor + here.weighed(drawn) - there
        return Move(v, v, drawn.cost)


def svrpg(
    context: Context,
    *,
    epoch: Annotated[int, Range(1), "iterations between snapshots"] = 10,
    large: Large = 100,
) -> Method:
    """SVRPG: a large batch at a snapshot, then small ones that say how the gradient changed.

    Rollouts of the current policy are weighed at the snapshot by the ratio of their likelihoods.
    """
    return SVRPG(context, epoch, large)


algorithm = Algorithm(
    "svrpg",
    svrpg,
    formula=r"v = \tilde\mu + \hat g(\theta) - \omega\,\hat g(\tilde\theta)",
    reference="Papini, Binaghi, Canonaco, Pirotta & Restelli 2018, Algorithm 2",
)
