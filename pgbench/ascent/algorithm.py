"""What an algorithm of ascent is: a record, and a method that says where to go from θ."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pgbench.arrays import FloatArray, IntArray
from pgbench.ascent.crowd import Crowd
from pgbench.ascent.sources import Numbers, Source, TableSource
from pgbench.declared.parameters import Formula, Range, bind
from pgbench.declared.registry import Made
from pgbench.objectives import Objective
from pgbench.policies import NotApplicable
from pgbench.problems import FiniteMDP, Problem
from pgbench.samplers.sampler import Drawn

Entropy = Annotated[float, Range(0), "τ: rewards are r - τ log π(a|s), unit reward"]


@dataclass(frozen=True, eq=False)
class Context:
    """What a method has to work with.

    mdp, policy; source, where gradients come from; numbers, which random numbers; batch_size and
    replicates; rule, the step size's name and values, which online methods read themselves;
    objective, what is maximised, None for J; sampler, what draws the data, None for the policy
    itself.
    """

    mdp: Any
    policy: Any
    source: Source
    numbers: Numbers
    batch_size: int
    replicates: int
    rule: "StepRule"
    objective: Objective | None = None
    sampler: Drawn | None = None

    @property
    def elsewhere(self) -> bool:
        """Whether data come from another policy than the one that learns."""
        return self.sampler is not None

    @property
    def penalised(self) -> bool:
        """Whether the objective has a penalty, so that rewards change with θ."""
        return self.objective is not None and not self.objective.plain


@dataclass(frozen=True, eq=False)
class Move:
    """Where to go from θ.

    direction (m, d); estimate (m, d), that of the gradient behind it; cost (m,), the environment
    steps it took.
    """

    direction: FloatArray
    estimate: FloatArray
    cost: IntArray


class Method(ABC):
    """An algorithm at work: it may remember what it saw."""

    entropy = 0.0

    @abstractmethod
    def move(self, crowd: Crowd, k: int) -> Move:
        """The direction of iteration k = 0, 1, ..."""


class Online(ABC):
    """An algorithm that updates θ within rollouts; iteration k is one rollout."""

    @abstractmethod
    def advance(self, theta: FloatArray, stopped: IntArray, first: int, last: int) -> IntArray:
        """Run iterations first..last-1, changing θ (m, d) in place; environment steps taken (m,).

        stopped (m,) receives the iteration in which a number ceased to be finite, and is -1 before;
        a replicate that stopped stays at its last finite θ.
        """


@dataclass(frozen=True)
class Algorithm(Made):
    """A named algorithm and the function that makes its method.

    Attributes
    ----------
    maker
        ``maker(context, *, parameter=...)`` gives a ``Method`` or an ``Online``; NotApplicable
        where the algorithm makes no sense there.
    estimates
        Whether it takes an estimator of the gradient.
    on
        Classes of problems that it is for.
    """

    name: str
    maker: Callable[..., "Method | Online"]
    formula: Formula
    reference: str
    estimates: bool = True
    on: tuple[type[Problem], ...] = (Problem,)

    leading = 1

    def make(self, context: Context, **given: Any) -> "Method | Online":
        """The method with these parameters; NotApplicable on a problem that it is not for."""
        if not isinstance(context.mdp, self.on):
            raise NotApplicable(f"{self.name} is for finite problems only")
        return self.maker(context, **bind(self.name, self.parameters, given))


@dataclass(frozen=True)
class StepRule:
    """A named rule for step sizes with its parameters' values.

    ``scales(context, crowd, direction, k)`` gives what the direction is multiplied by, (m,).
    """

    rule: "StepSize"
    values: dict[str, Any]

    def scales(self, context: Context, crowd: Crowd, direction: FloatArray, k: int) -> FloatArray:
        """What the direction (m, d) is multiplied by, (m,)."""
        return self.rule.maker(context, crowd, direction, k, **self.values)


@dataclass(frozen=True)
class StepSize(Made):
    """A rule for step sizes: ``maker(context, crowd, direction, k, *, ...)`` gives (m,) factors.

    ``alone`` says that a factor depends on k alone, so that online methods can use the rule too.
    """

    name: str
    maker: Callable[..., FloatArray]
    formula: str
    reference: str
    alone: bool = False

    leading = 4

    def bound(self, **given: Any) -> StepRule:
        """The rule with every parameter's value; ValueError lists what is wrong."""
        return StepRule(self, bind(self.name, self.parameters, given))


def reusable(context: Context, name: str) -> TableSource:
    """The source, if its estimator can be applied to rollouts of an earlier policy.

    Raises NotApplicable if it is no table estimator that simulates the policy itself, or if the
    problem is not finite.
    """
    if not isinstance(context.mdp, FiniteMDP):
        raise NotApplicable(f"{name} weighs one batch at two policies, on finite problems only")
    source = context.source
    if context.elsewhere:
        raise NotApplicable(f"{name} weighs one batch at two policies, and takes no sampler's data")
    if not isinstance(source, TableSource) or not source.on_policy(context.objective):
        raise NotApplicable(
            f"{name} weighs one batch at two policies and needs a table estimator that simulates"
            " the policy itself"
        )
    return source
