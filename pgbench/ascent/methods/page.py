"""PAGE: a large batch now and then, by chance, and corrections in between."""

from typing import Annotated

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.ascent.algorithm import Algorithm, Context, Method, Move, reusable
from pgbench.ascent.crowd import Crowd
from pgbench.ascent.methods.svrpg import Large
from pgbench.ascent.ratios import ratios
from pgbench.ascent.sources.tables import Weigher
from pgbench.declared.parameters import Range


class Page(Method):
    """PAGE: with probability p a large batch, else v ← v + ĝ(θ) - ω ĝ(θ_before)."""

    def __init__(self, context: Context, probability: float, large: int) -> None:
        self.source, self.numbers = reusable(context, "page"), context.numbers
        self.probability, self.large = probability, large
        self.before: Weigher | None = None
        self.v: FloatArray | None = None

    def move(self, crowd: Crowd, k: int) -> Move:
        """Along the estimate; every replicate tosses a coin of its own."""
        here = self.source.at(crowd)
        if self.before is None or self.v is None:
            fresh = np.ones(crowd.m, bool)
            v, cost = np.empty_like(crowd.theta), np.zeros(crowd.m, np.int64)
        else:
            fresh = self._coins(crowd.m, k) < self.probability
            drawn = here.draw(k)
            earlier = self.before.weighed(drawn, ratios(drawn, crowd, self.before.crowd))
            v, cost = self.v + here.weighed(drawn) - earlier, drawn.cost
        if fresh.any():
            some = self.source.at(crowd.select(fresh))
            drawn = some.draw(k, self.large, "large")
            v[fresh], cost[fresh] = some.weighed(drawn), drawn.cost
        self.before, self.v = here, v
        return Move(v, v, cost)

    def _coins(self, m: int, k: int) -> FloatArray:
        key = np.array([self.numbers.seed, self.numbers.at(k, "coin")], np.uint64)
        return np.random.Generator(np.random.Philox(key=key)).random(m)


def page(
    context: Context,
    *,
    probability: Annotated[float, Range(0, 1), "p, of a large batch"] = 0.1,
    large: Large = 100,
) -> Method:
    """PAGE-PG: large batches at random, and recursive corrections on small ones in between."""
    return Page(context, probability, large)


algorithm = Algorithm(
    "page",
    page,
    formula=r"v \leftarrow v + \hat g(\theta) - \omega\,\hat g(\theta_{-1})",
    reference="Gargiani, Zanelli, Martinelli, Summers & Lygeros 2022, Algorithm 1",
)
