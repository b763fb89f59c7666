"""A slip is one line of a right estimator written wrongly."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from textwrap import dedent
from typing import Any

from pgbench.declared.parameters import Parameter
from pgbench.trials.case import GENERAL

Function = Callable[[Any], Any]
"""Estimates (..., d) of a batch whose arrays are (..., N, T), as users' functions see them."""


@dataclass(frozen=True)
class Slip:
    """One line written wrongly.

    Attributes
    ----------
    old, new
        Text of the right function, found in it once, and what stands in its place.
    mistake
        What is wrong, in a few words.
    """

    old: str
    new: str
    mistake: str


@dataclass(frozen=True)
class Written:
    """A right estimator as a user would write it, and slips of the pen.

    Attributes
    ----------
    estimate
        The right one. Its arrays may have any axes in front of (N, T), so that many batches are
        estimated from at once; on a single batch it is what ``pgbench test`` is given.
    slips
        At least twenty.
    harmless
        Mistakes that leave the mean right, and why.
    claims, given
        Name and parameters of the estimator of the suite that it is.
    battery
        Name of the battery on which it is tried.
    """

    estimate: Function
    slips: tuple[Slip, ...]
    harmless: Mapping[str, str]
    claims: str
    given: Mapping[str, Any] = field(default_factory=dict)
    battery: str = GENERAL

    @property
    def name(self) -> str:
        """Name of the estimator, that of its module."""
        return self.estimate.__module__.rpartition(".")[2]

    @property
    def parameters(self) -> dict[str, Parameter]:
        """None."""
        return {}

    def source(self, slip: Slip) -> str:
        """Text of the wrong function; ValueError if what it replaces is not there once."""
        right = dedent(inspect.getsource(self.estimate))
        if right.count(slip.old) != 1:
            raise ValueError(
                f"{self.name}: {slip.old!r} is found {right.count(slip.old)} times, must be once"
            )
        return right.replace(slip.old, slip.new)

    def wrong(self, slip: Slip) -> Function:
        """The wrong function."""
        names = dict(vars(inspect.getmodule(self.estimate)))
        exec(compile(self.source(slip), f"{self.name} with a slip", "exec"), names)
        function: Function = names[self.estimate.__name__]
        return function


_SUM = '"...nt,...ntd->...d"'
_SCORES, _N = "batch.scores)", "batch.scores) / N"

DISCOUNTED = (
    Slip("gamma**steps", "gamma ** (0 * steps)", "γ^t missing"),
    Slip("gamma**steps", "gamma ** (steps + 1)", "γ^(t+1) for γ^t"),
    Slip("gamma**steps", "gamma ** (2 * steps)", "γ^t twice"),
    Slip("gamma**steps", "gamma ** steps[::-1]", "γ^t counted from the end"),
    Slip("gamma**steps", "gamma ** -steps", "γ^-t for γ^t"),
)
"""Of ``weights = gamma**steps * ...``."""

SUMMED = (
    Slip("return np.einsum", "return -np.einsum", "sign"),
    Slip(_N, _SCORES, "summed over the batch"),
    Slip(_N, "batch.scores) / (N - 1)", "divided by N - 1"),
    Slip(_N, "batch.scores) / (N * batch.horizon)", "divided by T as well"),
    Slip(
        _N,
        "batch.scores) / batch.mask.sum(axis=(-2, -1))[..., None]",
        "divided by the steps of the batch",
    ),
    Slip(
        _N,
        "batch.scores) / N / batch.mask.sum(axis=-1).max(axis=-1)[..., None]",
        "divided by the longest as well",
    ),
    Slip(_SUM, '"...nt,...nud->...d"', "every step's weight meets every step's score"),
    Slip(
        _SUM,
        '"...nt,...mtd->...d"',
        "every weight meets the scores of all trajectories",
    ),
    Slip(_SCORES, "np.roll(batch.scores, 1, axis=-2))", "scores one step late"),
    Slip(_SCORES, "np.roll(batch.scores, -1, axis=-2))", "scores one step early"),
    Slip(_SCORES, "np.roll(batch.scores, 1, axis=-3))", "scores of another trajectory"),
    Slip(_SCORES, "batch.scores[..., ::-1, :])", "scores in reverse order"),
    Slip(_SCORES, "abs(batch.scores))", "absolute values of the scores"),
    Slip(
        _SCORES,
        "batch.features[batch.states, batch.actions])",
        "gradient of the logit for that of log π",
    ),
    Slip(
        _SCORES,
        "batch.features[batch.next_states, batch.actions])",
        "the next state's logit",
    ),
)
"""Of ``return np.einsum("...nt,...ntd->...d", weights, batch.scores) / N``."""

OTHERS = "weights times scores of another trajectory have mean zero: noise alone"
"""Why mixing trajectories is harmless where each weight hangs on its own alone."""
