"""Shares of repetitions, with their own error."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

FEWEST = 10
"""A share of fewer repetitions is not printed."""


@dataclass(frozen=True)
class HitShare:
    """How many of some repetitions, and of how many it could be said."""

    hits: int
    known: int
    total: int

    @classmethod
    def of(cls, hits: Iterable[bool], known: Iterable[bool]) -> "HitShare":
        """Count the hits among the known."""
        h, k = np.fromiter(hits, bool), np.fromiter(known, bool)
        return cls(int((h & k).sum()), int(k.sum()), k.size)

    @property
    def share(self) -> float:
        """Hits among the known, NaN if there are none."""
        return self.hits / self.known if self.known else np.nan

    @property
    def missed(self) -> float:
        """Known ones that did not hit, among all."""
        return (self.known - self.hits) / self.total

    def __str__(self) -> str:
        """Per cent with its binomial standard error; in brackets how often it was known."""
        if self.known < FEWEST:
            return "—"
        error = 100 * np.sqrt(max(self.share * (1 - self.share), 0.5 / self.known) / self.known)
        text = f"{100 * self.share:.1f} ± {error:.1f}"
        return text if self.known == self.total else f"{text} [{100 * self.known / self.total:.0f}]"
