"""One variable of a dataset, as a schema describes it."""

from dataclasses import dataclass


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
