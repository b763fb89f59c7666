"""Where the batches of a function come from: a problem, a policy, and whose data they are."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from pgbench.arrays import BoolArray, FloatArray, IntArray
from pgbench.estimators.parts.estimator import unmasked_critic
from pgbench.exact.finite.values import action_values, state_values
from pgbench.exact.truth import Truth
from pgbench.functions.libraries import library, like
from pgbench.policies import LogLinear, NotApplicable, Softmax
from pgbench.policies.network import Network
from pgbench.problems.problem import Diverges
from pgbench.rollout.simulator import Draws

NEVER = -1e30
"""The logit of what a state does not have: exp of it is 0, and times 0 it is 0."""

LARGEST = 2**27
"""Most numbers of an array that is made of scores or features: 1 GiB."""


@dataclass(frozen=True, eq=False)
class Place:
    """A finite problem with a policy, an objective and a sampler, and the shape of its batches.

    Attributes
    ----------
    truth
        Problem, policy and θ with everything exact about them, under the objective, and with the
        behaviour that data come from.
    horizon, batch_size
        Steps of a rollout at most, trajectories of an estimate.
    stream
        Number of the random streams.
    group_size
        Trajectories that share their start, of which the batch size is a multiple; None where all
        are independent.
    """

    truth: Truth
    horizon: int
    batch_size: int
    stream: int
    group_size: int | None = None

    @property
    def gamma(self) -> float:
        """γ."""
        return float(self.truth.mdp.gamma)

    @property
    def theta(self) -> FloatArray:
        """θ (d,)."""
        return self.truth.theta

    def terminal(self, states: IntArray) -> BoolArray:
        """Which of these states (...) end an episode."""
        return np.asarray(self.truth.mdp.terminal[states])

    @cached_property
    def critic(self) -> FloatArray:
        """A critic that errs (S,), in terminal states too, as learned ones do.

        Elsewhere it is that of ``gae`` and ``td`` with the noise ``CRITIC_NOISE``.
        """
        return unmasked_critic(self.truth)

    @cached_property
    def behaviour(self) -> FloatArray:
        """μ (S, A), the probabilities that data come from."""
        own = self.truth.behaviour
        return np.asarray(self.truth.pi if own is None else own)

    @cached_property
    def behaviour_values(self) -> tuple[FloatArray, FloatArray]:
        """V (S,) and Q (S, A) of the behaviour, exactly.

        NotApplicable where it has no finite ones.
        """
        if self.truth.behaviour is None:
            return self.truth.v, self.truth.q
        try:
            v, _ = state_values(self.truth.mdp, self.behaviour)
        except Diverges as error:
            raise NotApplicable(f"batch.behaviour_v: {error}") from error
        return v, action_values(self.truth.mdp, v)

    @cached_property
    def allowed(self) -> BoolArray:
        """Which actions a state has, (S, A)."""
        return np.asarray(self.truth.mdp.choices)

    @cached_property
    def reference(self) -> FloatArray:
        """q (S, A) of the objective; uniform over actions where that is J, ones with entropy."""
        penalty = self.truth.penalty
        if penalty is not None:
            return penalty.reference
        choices = self.allowed
        return np.asarray(choices / choices.sum(axis=1, keepdims=True), np.float64)

    @property
    def coefficient(self) -> float:
        """c of the objective, unit reward per nat; 0 where it is J."""
        return 0.0 if self.truth.penalty is None else self.truth.penalty.coefficient

    @cached_property
    def penalty(self) -> FloatArray | None:
        """What the objective takes off rewards, (S, A); None where it is J."""
        return None if self.truth.penalty is None else self.truth.penalty.table

    @cached_property
    def features(self) -> FloatArray:
        """(S, A, d) with π(s, ·) = softmax over actions of features·θ.

        NotApplicable where logits are not linear in θ, or there are too many.
        """
        policy, d = self.truth.policy, self.truth.theta.size
        if isinstance(policy, LogLinear):
            return policy.features
        if not isinstance(policy, Softmax):
            raise NotApplicable(
                f"batch.features: logits of {type(policy).__name__} are not linear in θ; take"
                " batch.scores or batch.pull_back"
            )
        S, A = policy.shape
        require_held("features", S * A * d)
        return np.eye(S * A).reshape(S, A, d)

    @cached_property
    def inputs(self) -> FloatArray:
        """(S, f) float64, the features of states that a network of the user's is given.

        NotApplicable where the policy is none.
        """
        policy = self.truth.policy
        if not isinstance(policy, Network) or policy.inputs.ndim != 2:
            raise NotApplicable(
                f"batch.inputs: {type(policy).__name__} takes no features of states"
            )
        return np.asarray(policy.inputs)

    def logits(self, theta: Any) -> Any:
        """Logits (S, A) of a θ (d,) of NumPy, PyTorch or JAX, to differentiate in its library.

        NotApplicable where that library cannot differentiate the policy.
        """
        policy = self.truth.policy
        if isinstance(policy, LogLinear | Softmax):
            return like(theta, self.features) @ theta
        if library(theta) == "numpy":
            with np.errstate(divide="ignore"):
                return np.maximum(np.log(policy.probabilities(theta)), NEVER)
        if isinstance(policy, Network):
            return policy.traced(theta)
        raise NotApplicable(
            f"batch.logits: {type(policy).__name__} is differentiated in NumPy alone; take"
            " batch.scores or batch.pull_back"
        )

    @cached_property
    def scores(self) -> FloatArray:
        """ψ(s, a), (S, A, d); NotApplicable where there are too many."""
        S, A = self.truth.pi.shape
        require_held("scores", S * A * self.truth.theta.size)
        return np.asarray(self.truth.policy.scores(self.truth.theta))

    def draws(self, replicates: int, seed: int, batch_size: int | None = None) -> Draws:
        """Independent trajectories for every seed."""
        n, G = batch_size or self.batch_size, self.group_size
        return Draws(self.horizon, n, replicates, seed, self.stream, group_size=G)


def require_held(name: str, numbers: int) -> None:
    """NotApplicable where an array of a batch has too many numbers."""
    if numbers > LARGEST:
        raise NotApplicable(
            f"batch.{name} would be {numbers * 8 / 2**30:.3g} GiB, at most"
            f" {LARGEST * 8 / 2**30:g} GiB are made; take batch.pull_back"
        )
