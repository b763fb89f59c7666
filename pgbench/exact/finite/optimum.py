"""The optimal value by policy iteration (Howard 1960; Puterman 1994, Section 6.4)."""

from dataclasses import dataclass

import numpy as np

from pgbench.arrays import FloatArray, IndexArray
from pgbench.exact.finite.values import action_values, state_values
from pgbench.problems import FiniteMDP
from pgbench.problems.problem import SolveError


@dataclass(frozen=True, eq=False)
class Optimum:
    """The optimal value V* (S,), Q* (S, A), a greedy action per state (S,), and J* = μ0·V*.

    Q* is -∞ at actions that a state does not have.
    """

    v: FloatArray
    q: FloatArray
    action: IndexArray
    objective: float
    iterations: int
    error_bound: float


def optimal_value(mdp: FiniteMDP, max_iterations: int = 1000) -> Optimum:
    """V* by policy iteration with exact evaluations, started from the uniform policy.

    An action is replaced only where another is better beyond rounding, so ties cannot cycle. With
    γ = 1 the start terminates, and so do improved policies wherever not terminating does not pay.

    Raises
    ------
    SolveError
        If a policy on the way has no finite value (γ = 1 and it pays never to terminate) or the
        iteration limit is reached.
    """
    S, A = mdp.n_states, mdp.n_actions
    pi = mdp.choices / mdp.choices.sum(axis=1, keepdims=True)
    action = np.full(S, -1)
    for iteration in range(1, max_iterations + 1):
        try:
            v, bound = state_values(mdp, pi)
        except SolveError as error:
            raise SolveError(f"{mdp.name} has no finite optimal value: {error}") from error
        q = np.where(mdp.choices, action_values(mdp, v), -np.inf)
        best = q.argmax(axis=1)
        slack = 1e-10 * (1 + np.abs(v)) + bound
        current = np.where(action < 0, -np.inf, np.take_along_axis(q, action[:, None], 1)[:, 0])
        better = np.take_along_axis(q, best[:, None], 1)[:, 0] > current + slack
        if not better.any():
            return Optimum(v, q, action, float(mdp.mu0 @ v), iteration, bound)
        action = np.where(better, best, action)
        pi = np.zeros((S, A))
        pi[np.arange(S), action] = 1.0
    raise SolveError(f"policy iteration on {mdp.name} did not end in {max_iterations} iterations")
