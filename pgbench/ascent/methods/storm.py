"""STORM: recursive momentum that corrects for the policy's change."""

from typing import Annotated

from pgbench.arrays import FloatArray
from pgbench.ascent.algorithm import Algorithm, Context, Method, Move, reusable
from pgbench.ascent.crowd import Crowd
from pgbench.ascent.ratios import ratios
from pgbench.ascent.sources.tables import Weigher
from pgbench.declared.parameters import Range


class Storm(Method):
    """u ← ĝ(θ) + (1-a)(u - ω ĝ(θ_before))."""

    def __init__(self, context: Context, a: float) -> None:
        self.source = reusable(context, "storm")
        self.a = a
        self.before: Weigher | None = None
        self.u: FloatArray | None = None

    def move(self, crowd: Crowd, k: int) -> Move:
        """Along the recursive estimate."""
        here = self.source.at(crowd)
        drawn = here.draw(k)
        u = here.weighed(drawn)
        if self.before is not None and self.u is not None:
            earlier = self.before.weighed(drawn, ratios(drawn, crowd, self.before.crowd))
            u = u + (1 - self.a) * (self.u - earlier)
        self.before, self.u = here, u
        return Move(u, u, drawn.cost)


def storm(
    context: Context,
    *,
    a: Annotated[float, Range(0, 1), "weight of the new estimate; 1 is plain ascent"] = 0.2,
) -> Method:
    """STORM-PG: the last estimate is carried along, corrected on the new batch."""
    return Storm(context, a)


algorithm = Algorithm(
    "storm",
    storm,
    formula=r"u \leftarrow \hat g(\theta) + (1-a)(u - \omega\,\hat g(\theta_{-1}))",
    reference="Yuan, Lian, Liu & Zhou 2020, Algorithm 1; Cutkosky & Orabona 2019",
)
