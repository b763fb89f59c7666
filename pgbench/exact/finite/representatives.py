"""Functions of a batch of responses, asked about one batch for each thing that they can tell apart.

The first response of a batch is of a class, exactly. The others of its group, and those of other
groups, look as a tally says; what is not looked at is NaN, so that it shows if a function looks.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.exact.finite.tallies import View
from pgbench.process.responses import Responses

AT_A_TIME = 2**16
"""Responses that a function is given at a time."""

ANYTHING = 0.0, 1e6
"""Numbers in place of what is not looked at, which must change nothing."""


@dataclass(frozen=True, eq=False)
class Representatives:
    """P groups of G responses for each class, tally inside its group and tally beyond.

    Attributes
    ----------
    classes
        The C classes.
    table
        The same as columns (C, width).
    inside
        n tallies of the G - 1 others of the group.
    beyond
        x tallies of the (P - 1) G responses of other groups; None where P is 1.
    """

    classes: Responses
    table: FloatArray
    inside: View
    beyond: View | None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of classes and of tallies inside and beyond (C, n, x)."""
        return len(self.table), len(self.inside.counts), len(self._outside.counts)

    @property
    def _outside(self) -> View:
        return self.beyond or self.inside.at(slice(1))

    @property
    def groups(self) -> int:
        """Number of groups P."""
        own = self.inside.members + 1
        return 1 if self.beyond is None else 1 + self.beyond.members // own

    def asked(
        self, what: str, function: Callable[[Responses], FloatArray], size: int = 1
    ) -> FloatArray:
        """What a function says of every batch (m, P, G), so many numbers each: (C, n, x, size).

        ValueError if it is not finite, or hangs on what is not looked at.
        """
        C, n, x = self.shape
        batches = max(1, AT_A_TIME // (C * self.groups * (self.inside.members + 1)))
        wide = min(x, batches)
        high = max(1, batches // wide)
        answers = np.empty((C, n, x, size))
        for s in range(0, n, high):
            for j in range(0, x, wide):
                columns = self._columns(slice(s, s + high), slice(j, j + wide))
                part = answers[:, s : s + high, j : j + wide]
                part[:] = self._told(what, function, columns, s == j == 0).reshape(part.shape)
        self._require_finite(what, answers)
        return answers

    def _columns(self, tallies: slice, outside: slice) -> FloatArray:
        """Columns (width, m, P, G) of the batches with some tallies inside and beyond."""
        width, G = self.table.shape[1], self.inside.members + 1
        others = self.inside.at(tallies).representatives(width)
        far = self._outside.at(outside).representatives(width)
        shape = width, len(self.table), len(others), len(far), self.groups * G
        columns = np.empty(shape)
        columns[..., 0] = self.table.T[:, :, None, None]
        columns[..., 1:G] = np.moveaxis(others, 2, 0)[:, None, :, None]
        if self.beyond is not None:
            columns[..., G:] = np.moveaxis(far, 2, 0)[:, None, None]
        return columns.reshape(width, -1, self.groups, G)

    def _told(
        self,
        what: str,
        function: Callable[[Responses], FloatArray],
        columns: FloatArray,
        first: bool,
    ) -> FloatArray:
        """What a function says; ValueError if it hangs on NaN, which is looked for once."""
        with np.errstate(invalid="ignore", divide="ignore"):
            own = np.asarray(function(self._responses(columns)), np.float64)
            if not first:
                return own
            others = [
                function(self._responses(np.nan_to_num(columns, nan=number))) for number in ANYTHING
            ]
        if not all(np.array_equal(own, other, equal_nan=True) for other in others):
            raise ValueError(
                f"{what} hang on more of other responses than is declared of what they look at"
            )
        return own

    def _responses(self, columns: FloatArray) -> Responses:
        return Responses(
            returns=columns[0],
            lengths=columns[1],
            truncated=columns[2] > 0,
            outcomes=None if self.classes.outcomes is None else np.moveaxis(columns[3:], 0, -1),
            limit=self.classes.limit,
        )

    def _require_finite(self, what: str, answers: FloatArray) -> None:
        bad = np.argwhere(~np.isfinite(answers))
        if bad.size:
            c, s = bad[0][:2]
            own = ", ".join(f"{value:g}" for value in self.table[c])
            raise ValueError(
                f"{what} hold {answers[tuple(bad[0])]}, must be finite: for a response of (return,"
                f" length, truncated, outcomes) = ({own}), others being tally {s}"
            )
