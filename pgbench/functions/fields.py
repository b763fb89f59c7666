"""Fields of a batch: each is made when it is first asked for, and kept."""

from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np

from pgbench.declared.parameters import did_you_mean
from pgbench.functions.stream import Stream


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


class AnyBatch:
    """N trajectories of at most T steps: what batches of every kind hold, and how they hold it.

    padding
        Which field may surprise where no step was taken, in words.
    """

    padding: ClassVar[str]

    # every is the ``Batches`` that it is of, chosen the batch of these.
    def __init__(
        self,
        every: Any,
        chosen: int | slice,
        rng: np.random.Generator,
        dtype: Any = np.float64,
    ) -> None:
        self.__dict__.update(_every=every, _chosen=chosen, rng=rng, dtype=np.dtype(dtype))

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"The batch cannot be changed; give the new {name} another name")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        hint = did_you_mean(name, fields(type(self)))
        raise AttributeError(f"a batch has no {name!r}{hint}", name=name, obj=self)

    def having(self, **fields: Any) -> Self:
        """A batch of the same trajectories with other values of some fields."""
        other = type(self)(self._every, self._chosen, self.rng, self.dtype)
        other.__dict__.update({name: held(x, self.dtype) for name, x in fields.items()})
        return other

    def _of(self, name: str) -> Any:
        return getattr(self._every, name)[self._chosen]

    @property
    def _place(self) -> Any:
        return self._every.place

    states = Made(lambda b: b._of("states"))
    actions = Made(lambda b: b._of("actions"))
    next_states = Made(lambda b: b._of("next_states"))
    rewards = Made(lambda b: b._of("rewards"))
    mask = Made(lambda b: b._of("mask"))
    terminated = Made(lambda b: b._of("last") & b.ended[..., None])
    truncated = Made(lambda b: b._of("last") & b._of("cut")[..., None])
    ended = Made(lambda b: b._of("ended"))
    group = Made(lambda b: np.broadcast_to(b._every.group, b.mask.shape[:-1]))
    group_size = Made(lambda b: b._every.group_size)
    gamma = Made(lambda b: float(b._place.gamma))
    theta = Made(lambda b: b._place.theta)
    horizon = Made(lambda b: b._place.horizon)
    flat = Made(lambda b: Stream(b))


def fields(kind: type[AnyBatch]) -> tuple[str, ...]:
    """Names of all fields of a class of batches."""
    every = (item for one in reversed(kind.__mro__) for item in vars(one).items())
    return (*(name for name, field in every if isinstance(field, Made)), "dtype", "rng")
