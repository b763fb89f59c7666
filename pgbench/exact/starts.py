"""What estimates are on average from each start: what trajectories of a group have in common."""

from functools import singledispatch
from typing import Any, NamedTuple

from pgbench.arrays import FloatArray
from pgbench.exact.truth import Truth


class StartMeans(NamedTuple):
    """K start states: their chances (K,), and the mean of an estimate from each (K, d)."""

    chances: FloatArray
    means: FloatArray

    @property
    def variance(self) -> FloatArray:
        """Variance of the mean between starts, (d,)."""
        return self._spread(self.means)

    def along(self, direction: FloatArray) -> float:
        """Variance of the mean's part along a direction (d,) between starts."""
        return float(self._spread(self.means @ direction))

    def _spread(self, means: FloatArray) -> FloatArray:
        about = means - self.chances @ means
        spread: FloatArray = self.chances @ about**2
        return spread


@singledispatch
def start_means(truth: Truth, tables: Any, horizon: int | None) -> StartMeans | None:
    """The mean of a one-trajectory estimate from each start; None where it is not known.

    Raises TooLarge where it takes more memory or time than exact moments may.
    """
    return None
