"""The optimal gain: u = K*x is best of all policies, stochastic and nonlinear ones included."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_discrete_are

from pgbench.arrays import FloatArray
from pgbench.problems import LinearQuadratic
from pgbench.problems.problem import SolveError


@dataclass(frozen=True, eq=False)
class Regulator:
    """The best gain and what it is worth.

    Attributes
    ----------
    gain
        (m, n) K*, with u = K*x and no noise.
    P
        (n, n) with V*(x) = -(xᵀPx + c), unit reward.
    objective
        J*, unit reward; Gaussian policies come arbitrarily close as their variance falls.
    """

    gain: FloatArray
    P: FloatArray
    objective: float


def optimal_regulator(problem: LinearQuadratic, horizon: int | None = None) -> Regulator:
    """The optimum over an infinite horizon, or over H steps, whose first gain it gives.

    The discounted Riccati equation is the undiscounted one of √γA and √γB (Bertsekas 2012,
    Section 3.1). Of a finite horizon the gains differ from step to step; J* is theirs.

    Raises
    ------
    SolveError
        If no gain has a finite value.
    """
    A, B, Q, R, gamma = problem.A, problem.B, problem.Q, problem.R, problem.gamma
    start = problem.start[: problem.n, : problem.n]
    if horizon is not None:
        P, c = np.zeros_like(A), 0.0
        gain = np.zeros((problem.m, problem.n))
        for _ in range(horizon):
            c = gamma * (c + float(np.trace(P @ problem.noise)))
            gain = _gain(P, problem)
            closed = A + B @ gain
            P = Q + gain.T @ R @ gain + gamma * closed.T @ P @ closed
        return Regulator(gain, P, -float(np.trace(P @ start)) - c)
    if gamma == 1:
        raise SolveError("gamma is 1: J is infinite over an infinite horizon; give a horizon")
    try:
        P = solve_discrete_are(np.sqrt(gamma) * A, np.sqrt(gamma) * B, Q, R)
    except (np.linalg.LinAlgError, ValueError) as error:
        raise SolveError(f"{problem.name} has no optimal gain: {error}") from error
    gain = _gain(P, problem)
    if not problem.stability(gain) < 1:
        raise SolveError(f"{problem.name} has no gain that makes J finite")
    c = gamma * float(np.trace(P @ problem.noise)) / (1 - gamma)
    return Regulator(gain, P, -float(np.trace(P @ start)) - c)


def optimal_gain(problem: LinearQuadratic) -> FloatArray:
    """K* (m, n) of the infinite horizon."""
    return optimal_regulator(problem).gain


def _gain(P: FloatArray, problem: LinearQuadratic) -> FloatArray:
    """The gain that is greedy for V = -xᵀPx."""
    B, gamma = problem.B, problem.gamma
    greedy = np.linalg.solve(problem.R + gamma * B.T @ P @ B, B.T @ P @ problem.A)
    return np.asarray(-gamma * greedy, np.float64)
