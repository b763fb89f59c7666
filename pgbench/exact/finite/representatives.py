"""Functions of a batch of responses, asked about one batch for each thing that they can tell apart.

The first response of a batch is of a class, exactly. The others of its group, and those of other
groups, look as a tally says; what is not looked at is NaN, so that it shows if a function looks.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pgbench.arrays import FloatArray, IntArray
from pgbench.exact.finite.tallies import View
from pgbench.process.responses import Responses

AT_A_TIME = 2**19
"""Responses that a function is given at a time."""


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
        return self.beyond or self.inside.at(np.zeros(1, np.int64))

    @property
    def groups(self) -> int:
        """Number of groups P."""
        own = self.inside.members + 1
        return 1 if self.beyond is None else 1 + self.beyond.members // own

    def asked(self, what: str, function: Callable[[Responses], FloatArray]) -> FloatArray:
        """What a function says of every batch (m, P, G): (C, n, x, ...) from (m, ...).

        ValueError if it is not finite, or hangs on what is not looked at.
        """
        total, width = int(np.prod(self.shape)), self.table.shape[1]
        size = max(1, AT_A_TIME // (self.groups * (self.inside.members + 1)))
        found = []
        for begin in range(0, total, size):
            rows = np.arange(begin, min(begin + size, total))
            batches = self._batches(rows, width)
            with np.errstate(invalid="ignore", divide="ignore"):
                own = np.asarray(function(self._responses(batches)), np.float64)
                if begin == 0:
                    other = function(self._responses(np.nan_to_num(batches, nan=1.0)))
            if begin == 0 and not np.array_equal(own, other):
                raise ValueError(
                    f"{what} hang on more of other responses than is declared of what they look at"
                )
            found.append(own)
        answers = np.concatenate(found)
        self._require_finite(what, answers)
        return answers.reshape(*self.shape, *answers.shape[1:])

    def _batches(self, rows: IntArray, width: int) -> FloatArray:
        """Batches (m, P, G, width) of some triples of a class and two tallies."""
        c, s, x = np.unravel_index(rows, self.shape)
        group = [self.table[c][:, None], self._drawn(self.inside, s, width)]
        batch = np.concatenate(group, axis=1)
        if self.beyond is not None:
            batch = np.concatenate([batch, self._drawn(self.beyond, x, width)], axis=1)
        return batch.reshape(len(rows), self.groups, -1, width)

    def _drawn(self, view: View, rows: IntArray, width: int) -> FloatArray:
        asked, place = np.unique(rows, return_inverse=True)
        return view.at(asked).representatives(width)[place]

    def _responses(self, table: FloatArray) -> Responses:
        return Responses(
            returns=table[..., 0],
            lengths=table[..., 1],
            truncated=table[..., 2] == 1,
            outcomes=None if self.classes.outcomes is None else table[..., 3:],
            limit=self.classes.limit,
        )

    def _require_finite(self, what: str, answers: FloatArray) -> None:
        bad = np.argwhere(~np.isfinite(answers))
        if bad.size:
            c, s, _ = np.unravel_index(int(bad[0][0]), self.shape)
            own = ", ".join(f"{value:g}" for value in self.table[c])
            raise ValueError(
                f"{what} hold {answers[tuple(bad[0])]}, must be finite: for a response of (return,"
                f" length, truncated, outcomes) = ({own}), others being tally {s}"
            )
