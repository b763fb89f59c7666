"""Arrays without what repeats."""

from hashlib import blake2b

import numpy as np


class Distinct:
    """Arrays that differ from each other, in the order in which they were first placed."""

    def __init__(self) -> None:
        self.arrays: list[np.ndarray] = []
        self._places: dict[bytes, int] = {}

    def place(self, array: np.ndarray) -> int:
        """Where the array stands among them; it is appended if it is new."""
        name = blake2b(repr(array.shape).encode(), digest_size=16)
        name.update(np.ascontiguousarray(array).data)
        place = self._places.setdefault(name.digest(), len(self.arrays))
        if place == len(self.arrays):
            self.arrays.append(array)
        return place
