"""What became of a cell, of a run and of its replicates: the codes that the dataset holds."""

from enum import IntEnum


class Status(IntEnum):
    """What became of a cell or a run; the journal holds the word, the dataset the code."""

    MISSING = 0
    DONE = 1
    FAILED = 2
    SKIPPED = 3

    @property
    def word(self) -> str:
        """The word for it, such as ``done``."""
        return self.name.lower()

    @classmethod
    def of(cls, word: str) -> "Status":
        """The status that a word stands for."""
        return cls[word.upper()]


class AscentOutcome(IntEnum):
    """What became of one replicate of an ascent, and that in words."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> "AscentOutcome":
        """A code that carries its meaning."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    NO_RUN = 0, "no run"
    FINISHED = 1, "finished"
    COLLAPSED = 2, "collapsed"
    DIVERGED = 3, "diverged"
    UNSTABLE = 4, "left the stable region"


LOST = (AscentOutcome.COLLAPSED, AscentOutcome.DIVERGED, AscentOutcome.UNSTABLE)
"""What may become of a replicate that did not finish."""
