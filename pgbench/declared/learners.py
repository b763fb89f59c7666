"""What a class says of itself that changes θ over time: which ascent it claims to be."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, TypeVar

from pgbench.declared.claims import Choice, as_text
from pgbench.declared.parameters import ParameterError, check_counts

C = TypeVar("C", bound=type)

ATTRIBUTE = "__pgbench_ascent__"
"""Where a class keeps it."""

METHODS = ("reset", "update")
"""What a learner has: ``reset()``, and ``update(theta, batch)``, which gives the next θ (d,)."""


@dataclass(frozen=True)
class ClaimedAscent:
    """The ascent that a learner claims to be: θ ← θ + α ĝ.

    Attributes
    ----------
    estimator
        Name and parameters of the estimator of the suite that ĝ is.
    step
        α.
    updates
        So many are made.
    objective
        What is maximised: a name, or the JSON of a mapping.
    """

    estimator: Mapping[str, Any]
    step: float
    updates: int = 30
    objective: str = "J"

    @property
    def words(self) -> str:
        """``θ + 0.1 ĝ with gae[lam=0.9]``."""
        given = ", ".join(f"{k}={v}" for k, v in self.estimator.items() if k != "estimator")
        name = self.estimator["estimator"]
        return f"θ + {self.step:g} ĝ with {name}{f'[{given}]' if given else ''}"


def learner(
    *, estimator: Choice, step: float, updates: int = 30, objective: Choice = "J"
) -> Callable[[C], C]:
    """A decorator of classes with ``reset()`` and ``update(theta, batch) -> theta``.

    It says which ascent the class claims to be, whatever it keeps over time beside: running
    normalisers, learned critics, target networks, or several updates on one batch.

    Parameters
    ----------
    estimator
        The estimator of the suite that its steps follow: a name, or a mapping with parameters such
        as ``{"estimator": "gae", "lam": 0.9}``.
    step
        Step size α > 0, in θ per unit of the gradient.
    updates
        So many calls of ``update`` are made in a run.
    objective
        What is maximised, as in a grid; by default J.

    Raises
    ------
    ValueError
        That names the argument, the value and what is allowed.
    """
    check_counts(updates=updates)
    if not isinstance(step, Real) or not 0 < step < float("inf"):
        raise ParameterError(f"step is {step!r}, must be a positive number")
    own = {"estimator": estimator} if isinstance(estimator, str) else dict(estimator)
    if "estimator" not in own:
        raise ParameterError(
            f"estimator is {estimator!r}, must be a name, or have one as estimator"
        )
    claimed = ClaimedAscent(own, float(step), updates, as_text(objective))

    def noted(kind: C) -> C:
        if missing := [name for name in METHODS if not callable(getattr(kind, name, None))]:
            raise ParameterError(f"{kind.__name__} has no {missing[0]}, must have reset and update")
        setattr(kind, ATTRIBUTE, claimed)
        return kind

    return noted


def ascent_of(kind: Any) -> ClaimedAscent | None:
    """The ascent that a class claims to be, or None."""
    found: ClaimedAscent | None = getattr(kind, ATTRIBUTE, None)
    return found
