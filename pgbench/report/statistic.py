"""A statistic with its interval, as arrays that figures draw from."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.variables import INTERVAL

if TYPE_CHECKING:
    from xarray import Dataset


@dataclass(frozen=True, eq=False)
class Statistic:
    """A statistic with its 95 % interval, arrays of one shape."""

    value: FloatArray
    low: FloatArray
    high: FloatArray

    @classmethod
    def of(cls, summary: "Dataset", name: str) -> "Statistic":
        """The variables ``name``, ``name_low`` and ``name_high``; NaN in place of infinity."""
        parts = (summary[name + part].values for part in INTERVAL)
        return cls(*(np.where(np.isfinite(part), part, np.nan) for part in parts))

    @classmethod
    def best_known(cls, summary: "Dataset", name: str) -> "Statistic":
        """The exact value of a statistic where it is known, its measured one elsewhere."""
        exact, measured = summary[f"exact_{name}"].values, cls.of(summary, name)
        parts = (measured.value, measured.low, measured.high)
        return cls(*(np.where(np.isfinite(exact), exact, part) for part in parts))

    def __getitem__(self, place: Any) -> "Statistic":
        return Statistic(self.value[place], self.low[place], self.high[place])

    def __mul__(self, factor: Any) -> "Statistic":
        return Statistic(self.value * factor, self.low * factor, self.high * factor)

    @property
    def within(self) -> "Statistic":
        """Values no further than the ends of their intervals, as a norm is not below zero."""
        return Statistic(np.fmin(np.fmax(self.value, self.low), self.high), self.low, self.high)

    @property
    def positive(self) -> "Statistic":
        """NaN in place of what a logarithmic axis cannot show; an end there is cut to the value."""
        value = np.where(self.value > 0, self.value, np.nan)
        return Statistic(value, *(np.where(x <= 0, value, x) for x in (self.low, self.high)))

    @property
    def log_half_width(self) -> FloatArray:
        """Half-width of the interval on the logarithm."""
        good = self.positive
        half: FloatArray = 0.5 * (np.log(good.high) - np.log(good.low))
        return half

    @property
    def bars(self) -> FloatArray:
        """Lengths of the error bars below and above, (2, ...)."""
        ends = np.array([self.value - self.low, self.high - self.value])
        return np.where(np.isfinite(ends), np.maximum(ends, 0.0), 0.0)

    def mean(self) -> "Statistic":
        """Mean over the first axis, NaN left out, with the interval of its sampling error.

        Each half of an interval is that of independent statistics.
        """
        good = np.isfinite(self.value)
        n = np.where(good.any(axis=0), good.sum(axis=0), np.nan)
        value = np.where(good, self.value, 0.0).sum(axis=0) / n
        ends = (np.where(good, self.value - end, 0.0) for end in (self.low, self.high))
        below, above = (np.sqrt((half**2).sum(axis=0)) / n for half in ends)
        return Statistic(value, value - below, value + above)

    def maximum(self) -> "Statistic":
        """The largest over the first axis, NaN left out; NaN where there is none."""
        parts = (np.where(np.isfinite(x), x, -np.inf) for x in (self.value, self.low, self.high))
        largest = (part.max(axis=0) for part in parts)
        return Statistic(*(np.where(np.isfinite(x), x, np.nan) for x in largest))

    def geometric_mean(self) -> "Statistic":
        """Mean over the first axis, NaN left out, with the interval of its sampling error.

        Where one of them has no interval the mean has none.
        """
        good = np.isfinite(self.value)
        n = np.where(good.any(axis=0), good.sum(axis=0), np.nan)
        log = np.where(good, np.log(np.where(good, self.value, 1.0)), 0.0).sum(axis=0) / n
        half = np.sqrt((np.where(good, self.log_half_width, 0.0) ** 2).sum(axis=0)) / n
        return Statistic(np.exp(log), np.exp(log - half), np.exp(log + half))
