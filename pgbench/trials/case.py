"""A problem on which a wrong estimator shows, and whose data and objective it is tried with."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from pgbench.arrays import FloatArray
from pgbench.functions import AnyBatch, Batches
from pgbench.samplers import ON_POLICY

GENERAL, SEQUENCES, CONTINUOUS = "general", "sequences", "continuous"
"""Names of the batteries."""

J = "J"
"""The objective by default."""


@dataclass(frozen=True)
class Laboratory:
    """Whose data and which objective a battery is tried with: choices of the API, as text.

    Attributes
    ----------
    battery
        Name of the battery.
    sampler, objective
        A name, or the JSON of a mapping such as ``{"objective": "kl", "beta": 0.1}``.
    policy
        The same of the policy, such as one of the user's own; empty for the battery's.
    """

    battery: str = GENERAL
    sampler: str = ON_POLICY
    objective: str = J
    policy: str = ""

    @property
    def plain(self) -> bool:
        """Whether all is as by default."""
        return not self.words

    @property
    def words(self) -> str:
        """What is other than by default, such as ``objective kl, data of the sampler stale``."""
        named = {
            "objective": self.objective, "data of the sampler": self.sampler, "policy": self.policy
        }  # fmt: skip
        return ", ".join(f"{k} {named[k]}" for k in named if named[k] not in (J, ON_POLICY, ""))


PLAIN = Laboratory()
"""The general battery, with data of the policy itself, for J."""


class Case(ABC):
    """A problem with a policy, whose gradient is known exactly, and the batches it is tried with.

    Attributes
    ----------
    name, reason
        A word for it, and what shows on it.
    laboratory
        The battery that it is of, with whose data and which objective.
    truth
        Everything exact about problem and policy, in the form of its kind.
    horizon, batch_size
        Steps of a rollout at most, trajectories of an estimate.
    group_size
        Trajectories that share their start; None where all are independent.
    exact_fields, critic_fields
        Fields of its batches with exact values of states, which are zero in terminal ones, and
        those with values of a critic that errs, in words.
    """

    name: str
    reason: str
    laboratory: Laboratory
    truth: Any
    horizon: int
    batch_size: int
    group_size: int | None
    exact_fields: str
    critic_fields: str

    @property
    @abstractmethod
    def gamma(self) -> float:
        """γ."""

    @property
    @abstractmethod
    def finite(self) -> FloatArray:
        """∇J_H (d,)."""

    @property
    @abstractmethod
    def endless(self) -> FloatArray:
        """∇J (d,) over an endless horizon."""

    @property
    @abstractmethod
    def without_tail(self) -> FloatArray:
        """Σ_{t<H} γ^t E[A ψ] (d,): ∇J less the score terms beyond step H."""

    @property
    @abstractmethod
    def undiscounted(self) -> FloatArray:
        """Σ_{t<H} E[Q̂_t ψ_t] (d,) of rewards to go of H steps, without γ^t."""

    @property
    @abstractmethod
    def undiscounted_oracle(self) -> FloatArray:
        """Σ_{t<H} E[A ψ_t] (d,), without γ^t."""

    @abstractmethod
    def natural(self, g: FloatArray) -> FloatArray:
        """F†g (d,) of a gradient, F over discounted visits of an endless horizon."""

    @abstractmethod
    def fisher(self, steps: bool) -> FloatArray:
        """F (d, d) over discounted visits, or over the steps that are taken, as in a batch."""

    @property
    def traits(self) -> frozenset[str]:
        """Conditions, of those that ``conditions`` names, that the case alone knows of."""
        return frozenset()

    @property
    @abstractmethod
    def ends(self) -> bool:
        """Whether there are terminal states."""

    @property
    @abstractmethod
    def shared(self) -> bool:
        """Whether states share parameters."""

    @abstractmethod
    def drawn(self, replicates: int, seed: int, batch_size: int | None = None) -> Batches:
        """The first batches, from trajectories that all estimators with this seed see."""

    @abstractmethod
    def with_valued_ends(self, batch: Any) -> AnyBatch:
        """The batch with exact values of one in terminal states, where they are zero."""
