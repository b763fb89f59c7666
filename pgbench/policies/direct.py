"""Direct parameterisation: the parameters are the probabilities."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from pgbench.arrays import BoolArray, FloatArray
from pgbench.policies.actions import existing, softmax
from pgbench.policies.policy import ROOM, Policy, PolicyKind
from pgbench.policies.tabular import Tabular
from pgbench.problems import FiniteMDP
from pgbench.rounding import UNIT

_TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False)
class Direct(Tabular):
    """π(s, a) = θ_{s,a}, with θ (S·A,) read row by row and each row on the simplex.

    Gradients are those along the simplex, that is with the mean over actions taken off each row:
    ψ(s,a)_b = (1[a=b] - 1/A) / π(s,a). With θ free, Σ_a π ∇log π would be (1, ..., 1) and not 0:
    a baseline would move the coordinates of an estimate, and Q and A would give two gradients.

    On the boundary of the simplex an action with π = 0 is never taken and has no score, so no
    estimator sees it, and scores have a mean: Σ_a π ψ = Σ_{a: π > 0} (e_a - 1/A). The gradient
    itself has no gap there: made of d(s) Q(s,a) of every action it is the limit from inside, and
    says which way off the boundary J rises. (Agarwal et al. 2021, Section 4)
    """

    def probabilities(self, theta: FloatArray) -> FloatArray:
        """π(s, a), shape (S, A)."""
        return self.table(theta)

    def table_error(self, theta: FloatArray) -> float:
        """0: the parameters are the probabilities."""
        return 0.0

    def derivative(
        self, theta: FloatArray, worth: FloatArray, visits: FloatArray | None = None
    ) -> FloatArray:
        """Σ_s d(s) Σ_a C(s,a) ∇π(s,a) along the simplex: d C less the mean of each row."""
        table = worth if visits is None else visits[..., None] * worth
        return self.tangent(table.reshape(theta.shape))

    def each_derivative(
        self, thetas: FloatArray, pi: FloatArray, worth: FloatArray, visits: FloatArray
    ) -> FloatArray:
        """The derivatives (m, d) of worth (m, S, A) and visits (m, S), each at its own θ of (m, d).

        At the boundary no action that is never taken has a score, but d(s) C(s,a) still says what
        it would bring: projected ascent needs it to leave a face of the simplex.
        """
        return self.derivative(thetas, worth, visits)

    def derivative_error(self, theta: FloatArray, worth: FloatArray, error: FloatArray) -> float:
        """Bound on the length of the error of ``derivative``, ``error`` (S, A) being that of C."""
        own = error + (self.n_actions + 4) * UNIT * (np.abs(worth) + error)
        own = existing(own, self.allowed)
        own += self._mean(own)
        own += (self.n_actions + 4) * UNIT * self._mean(np.abs(worth))
        return float(np.linalg.norm(own)) * ROOM

    def unseen(self, theta: FloatArray) -> BoolArray:
        """Pairs (S, A) on the boundary of the simplex."""
        never = self._inverse(theta) == 0
        return never if self.allowed is None else never & self.allowed

    def local_pull_back(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """1/π and 1/A: the gradient is W/π less its mean over actions."""
        inverse = self._inverse(theta)
        return inverse, np.broadcast_to(self._share(), inverse.shape)

    def push_forward(self, theta: FloatArray, direction: FloatArray) -> FloatArray:
        """(v - mean_b v)/π, shape (S, A)."""
        return self.table(self.tangent(direction)) * self._inverse(theta)

    def tangent(self, direction: FloatArray) -> FloatArray:
        """Directions (..., S·A) less the mean of each row, so that rows keep their sums."""
        rows = direction.reshape(*direction.shape[:-1], *self.shape)
        return existing(rows - self._mean(rows), self.allowed).reshape(direction.shape)

    def local_scores(self, theta: FloatArray) -> FloatArray:
        """(1[a=b] - 1/A)/π(s,a), shape (S, A, A); zero where π(s,a) = 0."""
        every = np.eye(self.n_actions) - self._share()[:, None, :]
        return self._inverse(theta)[:, :, None] * every

    def local_solve(self, theta: FloatArray, g: FloatArray) -> FloatArray:
        """π(g + c), shape (S, A), with c such that rows sum to zero.

        F_s = T diag(1/π) T, where T takes off the mean. On the boundary of the simplex vectors in
        its range are the same at all actions with π = 0: g is averaged over these, c makes g + c
        zero there, and they share what the sum lacks.
        """
        pi = self.probabilities(theta)
        never = self.unseen(theta)
        n_never = never.sum(axis=-1, keepdims=True)
        shares = np.where(n_never > 0, never / np.maximum(n_never, 1), pi)
        x = np.where(never, 0.0, pi * (g - (shares * g).sum(axis=-1, keepdims=True)))
        lacking = -x.sum(axis=-1, keepdims=True) / np.maximum(n_never, 1)
        return np.where(never, lacking, x)

    def initial(self, seed: int = 0, init: str = "normal", scale: float = 1.0) -> FloatArray:
        """A starting θ (d,): the softmax of ``scale`` times standard normals, or of zeros."""
        logits = super().initial(seed, init, scale).reshape(self.shape)
        return softmax(logits, self.allowed).ravel()

    def retract(self, thetas: FloatArray) -> FloatArray:
        """Rows projected to the simplex: max(θ - c, 0), c such that they sum to 1.

        (Held, Wolfe & Crowder 1974; Duchi, Shalev-Shwartz, Singer & Chandra 2008, Figure 1)
        """
        rows = self.table(thetas)
        if not np.isfinite(rows).all():
            return thetas
        if self.allowed is not None:
            rows = np.where(self.allowed, rows, -np.inf)
        falling = -np.sort(-rows, axis=-1)
        excess = np.cumsum(falling, axis=-1) - 1
        counts = np.arange(1, self.n_actions + 1)
        last = (falling * counts > excess).sum(axis=-1, keepdims=True) - 1
        c = np.take_along_axis(excess, last, -1) / (last + 1)
        projected: FloatArray = np.maximum(rows - c, 0.0)
        return (projected / projected.sum(axis=-1, keepdims=True)).reshape(thetas.shape)

    def check(self, theta: Any) -> FloatArray:
        """θ as a float64 vector; ValueError names the first state whose row is off the simplex."""
        array = super().check(theta)
        rows = array.reshape(self.shape)
        negative = np.argwhere(rows < 0)
        if negative.size:
            s, a = negative[0]
            raise ValueError(
                f"theta of state {s}, action {a} is {rows[s, a]:g}, must not be negative:"
                " a row is a distribution over actions"
            )
        absent = np.argwhere(rows * (1 - self._exists()) != 0)
        if absent.size:
            s, a = absent[0]
            raise ValueError(
                f"theta of state {s}, action {a} is {rows[s, a]:g}, must be 0: state {s} does not"
                " have that action"
            )
        total = rows.sum(axis=1)
        off = np.flatnonzero(np.abs(total - 1) > _TOLERANCE)
        if off.size:
            raise ValueError(
                f"theta of state {off[0]} sums to {total[off[0]]:.12g}, must sum to 1 within"
                f" {_TOLERANCE:g}: a row is a distribution over actions"
            )
        return array

    def _exists(self) -> FloatArray:
        """1 at the actions that a state has, (S, A)."""
        return existing(np.ones(self.shape), self.allowed)

    def _share(self) -> FloatArray:
        """1 over the number of actions that a state has, at these, (S, A)."""
        exists = self._exists()
        return exists / exists.sum(axis=1, keepdims=True)

    def _mean(self, rows: FloatArray) -> FloatArray:
        """Mean of rows (..., S, A) over the actions that a state has, (..., S, 1)."""
        if self.allowed is None:
            return np.asarray(rows.mean(axis=-1, keepdims=True))
        total = existing(rows, self.allowed).sum(axis=-1, keepdims=True)
        return np.asarray(total / self.allowed.sum(axis=1, keepdims=True))

    def _inverse(self, theta: FloatArray) -> FloatArray:
        """1/π, and 0 where π is 0 or too small for 1/π to be finite."""
        pi = self.probabilities(theta)
        taken = pi >= np.finfo(np.float64).tiny
        return np.divide(1.0, pi, out=np.zeros_like(pi), where=taken)


def direct(mdp: FiniteMDP) -> Policy:
    """Direct: the parameters are the probabilities, each row of θ on the simplex."""
    return Direct(mdp.n_states, mdp.n_actions, mdp.allowed)


kind = PolicyKind(
    "direct",
    direct,
    formula=r"\pi(s,a) = \theta_{s,a}",
    reference="Agarwal, Kakade, Lee & Mahajan 2021, Section 4",
)
