"""What a function of a batch says of itself: which data it is made for, and what its mean is.

``pgbench.subject`` says what a function claims and ``pgbench.estimates`` on which data it is to be
judged. Both only note it down; the function stays what it is.
"""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypeVar

from pgbench.declared.causes import CAUSES
from pgbench.declared.parameters import ParameterError, did_you_mean

F = TypeVar("F", bound=Callable[..., Any])

TARGETS = ("discounted", "undiscounted_states", "natural", "surrogate", "ascent")
"""What a mean may be claimed to be: ∇J; Σ_t E[Q_t ψ_t] without γ^t; F†∇J; the exact gradient of a
surrogate; or anything along which J ascends."""

SCALES = ("exact", "per_step", "per_token", "any")
"""Its length: as it is; divided by numbers of steps, or by lengths of responses; or whatever."""

IN_SAMPLE = "in_sample_baseline"
"""What the cause ``batch`` is called in claims: statistics of what they are applied to."""

ACTIONS = ("discrete", "continuous")
DTYPES = ("float64", "float32")
ON_NAN = ("fail", "count")

ATTRIBUTE = "__pgbench__"
"""Where a function keeps its claims."""

Choice = str | Mapping[str, Any]


@dataclass(frozen=True)
class Needs:
    """What a function must claim for a mean to be right.

    Attributes
    ----------
    target, scale
        One of ``TARGETS`` and one of ``SCALES``.
    accepts
        Causes of bias that it must accept.
    """

    target: str = "discounted"
    scale: str = "exact"
    accepts: frozenset[str] = frozenset()

    def also(self, scale: str = "exact", accepts: Collection[str] = ()) -> Self:
        """What a multiple of the mean needs, or the mean with another bias."""
        own = self.scale if scale == "exact" else scale
        return replace(self, scale=own, accepts=self.accepts | frozenset(accepts))

    @property
    def words(self) -> str:
        """The declaration that fits, such as ``@pgbench.subject(scale="per_step")``."""
        said = []
        if self.target != "discounted":
            said.append(f'target="{self.target}"')
        if self.scale != "exact":
            said.append(f'scale="{self.scale}"')
        if self.accepts:
            named = sorted(IN_SAMPLE if cause == "batch" else cause for cause in self.accepts)
            said.append("accepts={" + ", ".join(f'"{cause}"' for cause in named) + "}")
        return f"@pgbench.subject({', '.join(said)})"


@dataclass(frozen=True)
class Claims:
    """What a function of a batch claims; by default nothing, and it is held to ∇J.

    Attributes
    ----------
    target
        One of ``TARGETS``, or None: ∇J, and the natural gradient where it is that.
    scale
        One of ``SCALES``.
    surrogate
        Name and parameters of the estimator whose exact mean is claimed, with the target
        ``surrogate``, such as ``{"estimator": "ppo", "clip": 0.2}``.
    accepts
        Causes of bias that are no mistake: keys of ``CAUSES``, or ``in_sample_baseline``.
    objective, sampler, policy, battery, actions
        Which data it is made for; the first three are the JSON of a mapping, or a name.
    dtype
        Format of all floats of its batches.
    on_nan
        What becomes of estimates that are not finite: they fail, or are counted and left out.
    vectorised
        Whether it takes many batches at once, as one with an axis more in front, (R, N, T), and
        returns (R, d).
    """

    target: str | None = None
    scale: str = "exact"
    surrogate: Mapping[str, Any] | None = None
    accepts: frozenset[str] = frozenset()
    objective: str | None = None
    sampler: str | None = None
    policy: str | None = None
    battery: str | None = None
    actions: str = "discrete"
    dtype: str = "float64"
    on_nan: str = "fail"
    vectorised: bool = False
    said: frozenset[str] = field(default=frozenset(), compare=False)

    def covers(self, needs: Needs) -> bool:
        """Whether a mean that needs these claims is right by them."""
        wider = {"exact": SCALES, "per_step": ("per_step", "per_token", "any")}
        scales = wider.get(needs.scale, (needs.scale, "any"))
        targets = (self.target,) if self.target else ("discounted",)
        return needs.target in targets and self.scale in scales and needs.accepts <= self.accepts

    @property
    def words(self) -> str:
        """What is claimed of the mean, such as ``target undiscounted_states, any scale``."""
        parts = []
        if self.target:
            parts.append(f"the target {self.target}")
        if self.scale != "exact":
            parts.append(f"the scale {self.scale}")
        if self.accepts:
            named = (IN_SAMPLE if cause == "batch" else cause for cause in sorted(self.accepts))
            parts.append(f"biases accepted: {', '.join(named)}")
        return "; ".join(parts)


def claims_of(function: Any) -> Claims:
    """What a function claims; nothing if it says nothing."""
    found: Claims = getattr(function, ATTRIBUTE, Claims())
    return found


def is_declared(function: Any) -> bool:
    """Whether a function says that it is one of a batch."""
    return hasattr(function, ATTRIBUTE)


def subject(
    *,
    target: str | None = None,
    scale: str = "exact",
    surrogate: Choice | None = None,
    accepts: Collection[str] = (),
    objective: Choice | None = None,
    sampler: Choice | None = None,
    policy: Choice | None = None,
    battery: str | None = None,
    actions: str = "discrete",
    dtype: str = "float64",
    on_nan: str = "fail",
    vectorised: bool = False,
) -> Callable[[F], F]:
    """A decorator that says what a function of a batch claims to estimate.

    Parameters
    ----------
    target
        ``discounted``: ∇J of the discounted return, or of its first H steps.
        ``undiscounted_states``: the same without the factor γ^t of step t, as most actor-critic
        code has it (Nota & Thomas 2020). ``natural``: F†∇J. ``surrogate``: the exact gradient of a
        surrogate at θ ≠ θ_old. ``ascent``: any direction along which J ascends. By default ∇J,
        and natural gradients are recognised.
    scale
        ``exact``; ``per_step``: divided by a number of steps, of the horizon or of the batch;
        ``per_token``: divided by lengths of responses besides; ``any``: only the direction counts.
    surrogate
        Of the target ``surrogate``: an estimator of the suite, a name or a mapping with parameters
        such as ``{"estimator": "ppo", "clip": 0.2}``.
    accepts
        Causes of bias, as ``python -m pgbench list estimators`` has them, that are no mistake, such
        as ``{"critic", "in_sample_baseline"}``.
    objective, sampler, policy
        As in a grid: a name, or a mapping such as ``{"objective": "kl", "beta": 0.1}``. By default
        J, data of the policy itself, and softmax policies.
    battery
        ``general``, ``sequences`` or ``continuous``; by default the first, or the last where
        actions are continuous.
    actions
        ``discrete`` or ``continuous``: then batches are those of Gaussian, clipped and squashed
        actions.
    dtype
        ``float64`` or ``float32``, of all floats of the batch.
    on_nan
        ``fail``, or ``count``: estimates that are not finite are counted and left out.
    vectorised
        Whether the function takes many batches at once, (R, N, T), and returns (R, d).

    Raises
    ------
    ValueError
        That names the argument, the value and what is allowed.
    """
    given = {name: value for name, value in locals().items() if value not in (None, ())}
    _one_of("target", target, (*TARGETS, None))
    _one_of("scale", scale, SCALES)
    _one_of("actions", actions, ACTIONS)
    _one_of("dtype", dtype, DTYPES)
    _one_of("on_nan", on_nan, ON_NAN)
    if (target == "surrogate") != (surrogate is not None):
        raise ParameterError(
            f"target is {target!r} and surrogate is {surrogate!r}: the target 'surrogate' needs an"
            ' estimator such as surrogate="ppo", and no other target has one'
        )
    given["accepts"] = frozenset(_cause(name) for name in accepts)
    for name in ("objective", "sampler", "policy"):
        if name in given:
            given[name] = as_text(given[name])
    if surrogate is not None:
        own = {"estimator": surrogate} if isinstance(surrogate, str) else dict(surrogate)
        given["surrogate"] = own
    return lambda function: _noted(function, given)


def estimates(
    *,
    objective: Choice | None = None,
    sampler: Choice | None = None,
    policy: Choice | None = None,
    battery: str | None = None,
    actions: str = "discrete",
) -> Callable[[F], F]:
    """A decorator that says which data a function of a batch is made for; see ``subject``."""
    return subject(
        objective=objective, sampler=sampler, policy=policy, battery=battery, actions=actions
    )


def as_text(choice: Choice) -> str:
    """A choice as text: a name, or the JSON of a mapping; keys in their order."""
    return choice if isinstance(choice, str) else json.dumps(dict(choice))


def _noted(function: F, given: Mapping[str, Any]) -> F:
    """The function, with its claims and those that it has already."""
    own = claims_of(function)
    said = own.said | {name for name in given if given[name] != getattr(Claims(), name)}
    changes = {name: given[name] for name in given if name in said - own.said}
    setattr(function, ATTRIBUTE, replace(own, **changes, said=said))
    return function


def _one_of(name: str, value: Any, allowed: tuple[Any, ...]) -> None:
    if value not in allowed:
        words = [str(word) for word in allowed if word is not None]
        hint = did_you_mean(value, words)
        raise ParameterError(f"{name} is {value!r}{hint}, must be one of {', '.join(words)}")


def _cause(name: str) -> str:
    if name == IN_SAMPLE:
        return "batch"
    if name not in CAUSES:
        raise ParameterError(
            f"accepts holds {name!r}{did_you_mean(name, (*CAUSES, IN_SAMPLE))}, must be of"
            f" {IN_SAMPLE}, {', '.join(CAUSES)}"
        )
    return name
