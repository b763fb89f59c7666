"""What an objective takes off rewards for leaving a reference: c log(π/q), at one θ or several."""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.problems import FiniteMDP


@dataclass(frozen=True, eq=False)
class Penalty:
    """The penalty c E Σ_t γ^t log(π/q)(s_t, a_t) of an objective, at the θ of a truth.

    Because E_a[ψ] = 0 its gradient is that of rewards c log(π/q) held fixed at θ. A truth of such
    an objective has them taken off the rewards of its problem, and all that is known of rewards
    holds for it. What differentiates the penalty in another way reads this record.

    Attributes
    ----------
    coefficient
        c ≥ 0, unit reward per nat.
    reference
        q (S, A) float64, a distribution over the actions of every state, or ones: the penalty is
        then -c times the entropy.
    log_ratio
        log(π/q), (S, A) float64, or (m, S, A) of m policies; 0 where π is, and in terminal states.
    plain
        The problem without the penalty.
    """

    coefficient: float
    reference: FloatArray
    log_ratio: FloatArray
    plain: FiniteMDP

    @property
    def table(self) -> FloatArray:
        """c log(π/q), (S, A) or (m, S, A), unit reward."""
        return self.coefficient * self.log_ratio

    @property
    def paying(self) -> FiniteMDP:
        """The problem with the penalty taken off its rewards."""
        return self.plain.paying(self.plain.reward - self.table[..., None])

    def divergence(self, pi: FloatArray) -> FloatArray:
        """Σ_a π log(π/q) of every state, (S,) or (m, S), in nats: KL(π ‖ q), or -H(π)."""
        return np.asarray((pi * self.log_ratio).sum(axis=-1), np.float64)

    def of(self, policies: Any) -> Self:
        """The penalty of some of m policies, or of one of them, by index."""
        plain = self.plain
        if plain.reward.ndim > 3:
            plain = plain.paying(plain.reward[policies])
        return replace(self, log_ratio=self.log_ratio[policies], plain=plain)


def penalised(mdp: FiniteMDP, pi: FloatArray, coefficient: float, reference: FloatArray) -> Penalty:
    """The penalty of probabilities π (S, A), or (m, S, A), that are compared with q (S, A)."""
    taken = (pi > 0) & ~mdp.terminal[:, None]
    ratio = np.log(np.where(taken, pi, 1.0)) - np.log(np.where(taken, reference, 1.0))
    return Penalty(coefficient, reference, ratio, mdp)
