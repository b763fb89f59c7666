"""What schemas of datasets are made of: variables, and the codes of what became of a cell."""

from dataclasses import dataclass

STATUS = ("missing", "done", "failed", "skipped")
"""What became of a cell or a run, by the code that the dataset holds."""

DONE = STATUS.index("done")


@dataclass(frozen=True)
class Variable:
    """One variable of the dataset: where it lives, its unit and what it is.

    ``reproducible`` is false for what a clock measured; everything else is the same bytes for the
    same grid and seed.
    """

    dims: tuple[str, ...]
    units: str
    long_name: str
    reproducible: bool = True
