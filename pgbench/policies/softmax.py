"""Tabular softmax: one logit per state and action."""

from dataclasses import dataclass

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.policies.actions import existing, softmax, softmax_error
from pgbench.policies.policy import Policy, PolicyKind
from pgbench.policies.tabular import Tabular
from pgbench.problems import FiniteMDP


@dataclass(frozen=True, eq=False)
class Softmax(Tabular):
    """π(s, a) = exp θ_{s,a} / Σ_b exp θ_{s,b}, with θ (S·A,) read row by row.

    ∂ log π(s,a) / ∂θ_{s,b} = 1[a=b] - π(s,b). (Agarwal et al. 2021, eq. 8)
    """

    def probabilities(self, theta: FloatArray) -> FloatArray:
        """π(s, a), shape (S, A)."""
        return softmax(self.table(theta), self.allowed)

    def table_error(self, theta: FloatArray) -> float:
        """Bound on the relative rounding error of π(s, a)."""
        return softmax_error(self.table(theta), allowed=self.allowed)

    def local_pull_back(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """1 and π: the gradient is W - π Σ_a W."""
        pi = self.probabilities(theta)
        return existing(np.ones_like(pi), self.allowed), pi

    def push_forward(self, theta: FloatArray, direction: FloatArray) -> FloatArray:
        """v(s,a) - Σ_b π(s,b) v(s,b), shape (S, A)."""
        v = self.table(direction)
        slopes = v - (self.probabilities(theta) * v).sum(axis=-1, keepdims=True)
        return existing(slopes, self.allowed)

    def local_scores(self, theta: FloatArray) -> FloatArray:
        """1[a=b] - π(s,b), shape (S, A, A).

        1 - π(s,a) is added up from the other actions: it keeps its digits where π(s,a) is near 1.
        """
        pi = self.probabilities(theta)
        unequal = ~np.eye(self.n_actions, dtype=bool)
        others = np.where(unequal, pi[:, None, :], 0.0)
        scores = np.where(unequal, -others, others.sum(axis=2, keepdims=True))
        return scores if self.allowed is None else scores * self.allowed[:, :, None]

    def local_solve(self, theta: FloatArray, g: FloatArray) -> FloatArray:
        """g/π less its mean over actions, shape (S, A): no digits are lost where π is small.

        F_s = diag(π) - ππᵀ has the constants as null space, and with them every action whose
        probability is 0 in floating point, which the mean leaves out.
        """
        pi = self.probabilities(theta)
        taken = pi >= np.finfo(np.float64).tiny
        ratio = np.divide(g, pi, out=np.zeros_like(pi), where=taken)
        return np.where(
            taken,
            ratio - ratio.sum(axis=-1, keepdims=True) / taken.sum(axis=-1, keepdims=True),
            0.0,
        )


def tabular_softmax(mdp: FiniteMDP) -> Policy:
    """Tabular softmax: one logit per state and action."""
    return Softmax(mdp.n_states, mdp.n_actions, mdp.allowed)


kind = PolicyKind(
    "softmax",
    tabular_softmax,
    formula=r"\pi(s,a) \propto \exp\theta_{s,a}",
    reference="Sutton & Barto 2018, Section 13.1; Agarwal et al. 2021, eq. 8",
)
