"""Fields of a batch: each is made when it is first asked for, and kept."""

from collections.abc import Callable
from typing import Any

import numpy as np


class Made:
    """A field of a batch, from a function of it; arrays are copies that cannot be written to.

    Copies, for through a tensor that shares its memory a function may write into any array.
    """

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self.make = make

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, batch: Any, owner: type) -> Any:
        if batch is None:
            return self
        value = self.make(batch)
        batch.__dict__[self.name] = value = held(value, batch.dtype)
        return value


def held(value: Any, dtype: Any) -> Any:
    """A read-only copy of an array, floats in the batch's format; of anything else the value."""
    if not isinstance(value, np.ndarray):
        return value
    copied = np.array(value, dtype=dtype if value.dtype.kind == "f" else None)
    copied.setflags(write=False)
    return copied


def names(kind: type) -> tuple[str, ...]:
    """Names of all fields of a class of batches."""
    return tuple(name for name, field in vars(kind).items() if isinstance(field, Made))
