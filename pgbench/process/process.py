"""What a rollout simulates: a Markov decision process and the distribution of its actions.

Mostly these are the problem and the policy themselves. An estimator may simulate something else and
still score the policy: another behaviour policy, or the problem with a horizon drawn at random.
"""

from dataclasses import dataclass, field
from functools import cached_property
from math import ceil, log
from typing import Any, ClassVar

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.policies import NotApplicable
from pgbench.policies.law import Law
from pgbench.problems import FiniteMDP, LinearQuadratic

_UNSEEN = 60 * log(2)
"""A random horizon is cut where the chance to be longer is below 2⁻⁶⁰."""


@dataclass(frozen=True, eq=False)
class Process:
    """What is simulated, and which of its states are scored.

    Attributes
    ----------
    mdp
        The simulated MDP of S' states.
    pi
        (S', A) float64, probabilities of its actions; or (m, S', A), those of m policies.
    scored
        Which S of the S' states stand for the states of the policy; visits of the others add
        nothing to an estimate.
    once
        Whether a trajectory visits scored states at most once.
    horizon
        The process's own largest number of steps, or None where the caller chooses.
    """

    mdp: FiniteMDP
    pi: FloatArray
    scored: slice = field(default_factory=lambda: slice(None))
    once: bool = False
    horizon: int | None = None

    entries: ClassVar[int] = 1
    """Numbers of a recorded step: which slot was drawn."""

    @property
    def rows(self) -> int:
        """Rows of a table of weights: S'."""
        return self.mdp.n_states

    @property
    def columns(self) -> int:
        """Columns of a table of weights: A."""
        return self.mdp.n_actions

    def visited_rows(self, horizon: int, batch_size: int) -> int:
        """Rows of weights that a batch needs: all, or no more than it can visit."""
        return min(self.rows, self.steps(horizon) * batch_size)

    @cached_property
    def sampler(self) -> Any:
        """Alias tables of the process, what the kernels draw from; made once."""
        from pgbench.kernels.finite import make_sampler, make_samplers

        return (make_sampler if self.pi.ndim == 2 else make_samplers)(self.mdp, self.pi)

    @cached_property
    def distributions(self) -> tuple[FloatArray, FloatArray]:
        """Distribution functions of starts (S',) and slots (S', A, B), for ``kernels.driven``."""
        from pgbench.kernels.driven import cumulative

        return cumulative(self.mdp.mu0), cumulative(self.mdp.probability)

    @property
    def ends(self) -> bool:
        """Whether trajectories may be shorter than the horizon."""
        return bool(self.mdp.terminal.any())

    def within(self, horizon: int | None) -> int | None:
        """The horizon of exact sums over a rollout; None where the process ends of itself."""
        return None if self.horizon else horizon

    def steps(self, horizon: int) -> int:
        """Largest number of steps of a rollout for which ``horizon`` was asked."""
        return self.horizon or horizon

    def same_as(self, other: "Process | GaussianProcess") -> bool:
        """Whether both give the same trajectories."""
        return self is other or (
            isinstance(other, Process)
            and self.horizon == other.horizon
            and self.scored == other.scored
            and np.array_equal(self.pi, other.pi)
            and self.mdp.digest == other.mdp.digest
        )


@dataclass(frozen=True, eq=False)
class GaussianProcess:
    """A linear-quadratic problem with the Gaussian law of its actions, and the law that is scored.

    Both laws have the same mean; a behaviour policy has a covariance of its own. Weights are tables
    (m+1, n+1+m): see ``pgbench.policies.gaussian``.
    """

    mdp: LinearQuadratic
    pi: Law
    target: Law
    scored: ClassVar[slice] = slice(None)
    once: ClassVar[bool] = False
    horizon: ClassVar[int | None] = None
    ends: ClassVar[bool] = False

    @property
    def entries(self) -> int:
        """Numbers of a recorded step: (x, 1, u)."""
        return self.columns

    @cached_property
    def sampler(self) -> Any:
        """Matrices of the process, what the kernels draw from; made once."""
        from pgbench.kernels.linear_quadratic import make_sampler

        return make_sampler(self.mdp, self.pi, self.target)

    @property
    def weighed(self) -> bool:
        """Whether actions come from another law than is scored: ratios of densities count then."""
        return self.pi is not self.target

    @property
    def rows(self) -> int:
        """Rows of a table of weights."""
        return self.mdp.m + 1

    @property
    def columns(self) -> int:
        """Columns of a table of weights."""
        return self.mdp.n + 1 + self.mdp.m

    def visited_rows(self, horizon: int, batch_size: int) -> int:
        """Rows of weights that a batch needs: all."""
        return self.rows

    def within(self, horizon: int | None) -> int | None:
        """The horizon of exact sums over a rollout."""
        return horizon

    def steps(self, horizon: int) -> int:
        """Number of steps of a rollout for which ``horizon`` was asked."""
        return horizon

    def same_as(self, other: "Process | GaussianProcess") -> bool:
        """Whether both give the same trajectories and scores."""
        return self is other or (
            isinstance(other, GaussianProcess)
            and np.array_equal(self.pi.gain, other.pi.gain)
            and np.array_equal(self.pi.covariance, other.pi.covariance)
            and np.array_equal(self.target.covariance, other.target.covariance)
            and self.mdp.digest == other.mdp.digest
        )


def random_horizon(mdp: FiniteMDP, pi: FloatArray, *, collect: bool) -> Process:
    """A process that stops with probability 1-γ before each step and scores the step it stops at.

    The scored pair (s, a) has the discounted visitation distribution ρ. With ``collect`` a second
    stretch follows, which goes on with probability γ after each step, so that the undiscounted sum
    of its rewards, that of the scored step included, has mean Q(s, a). (Paternain, Bazerque, Small
    & Ribeiro 2021; Agarwal, Kakade, Lee & Mahajan 2021)

    The states are 0..S-1 on the way, S..2S-1 at the scored step, 2S..3S-1 in the second stretch,
    and an end. The scored step counts as a step of the environment in either case.

    Raises
    ------
    NotApplicable
        For γ = 1, where the horizon would never be drawn.
    """
    gamma = mdp.gamma
    if gamma == 1:
        raise NotApplicable("gamma is 1, so no horizon can be drawn at random")
    S, A, B = mdp.probability.shape
    copies = 3 if collect else 2
    n = copies * S + 1
    end = n - 1
    successor = np.full((n, A, 2 * B), end, np.int32)
    probability = np.zeros((n, A, 2 * B))
    reward = np.zeros((*mdp.reward.shape[:-3], n, A, 2 * B))
    mdp_reward = np.concatenate([mdp.reward, mdp.reward], axis=-1)
    split = np.concatenate([gamma * mdp.probability, (1 - gamma) * mdp.probability], axis=2)
    successor[:S] = np.concatenate([mdp.successor, mdp.successor + S], axis=2)
    probability[:S] = split
    for first in range(S, n - 1, S):
        rows = slice(first, first + S)
        reward[..., rows, :, :] = mdp_reward
        if collect:
            successor[rows, :, :B] = mdp.successor + 2 * S
            probability[rows] = split
        else:
            probability[rows, :, :B] = mdp.probability
    probability[end, :, 0] = 1.0
    start = np.zeros(n)
    start[:S], start[S : 2 * S] = gamma * mdp.mu0, (1 - gamma) * mdp.mu0
    ending = FiniteMDP(
        successor=successor,
        probability=probability,
        reward=np.zeros(probability.shape),
        mu0=start,
        gamma=1.0,
        terminal=np.append(np.tile(mdp.terminal, copies), True),
        name=f"{mdp.name} with a random horizon",
    )
    last = np.full((*pi.shape[:-2], 1, A), 1 / A)
    tables = np.concatenate([*[pi] * copies, last], axis=-2)
    return Process(
        ending.paying(reward),
        tables,
        scored=slice(S, 2 * S),
        once=True,
        horizon=_longest(gamma, collect),
    )


def _longest(gamma: float, collect: bool) -> int:
    """Steps n beyond which a trajectory goes with a chance below 2⁻⁶⁰: (n+1) γⁿ, or γⁿ."""
    if gamma == 0:
        return 2
    n = _UNSEEN / -log(gamma)
    for _ in range(8 if collect else 0):
        n = (_UNSEEN + log(n + 1)) / -log(gamma)
    return ceil(n) + 2
