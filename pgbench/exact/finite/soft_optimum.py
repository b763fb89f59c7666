"""The optimal value where leaving a reference costs: log-sum-exp in place of the maximum.

    V*(s) = c log Σ_a q(a|s) exp(Q*(s,a)/c)        π*(s,a) = q(a|s) exp((Q*(s,a) - V*(s))/c)

with Q*(s,a) = r(s,a) + γ E[V*(s')]. (Todorov 2006; Ziebart 2010; Haarnoja, Tang, Abbeel & Levine
2017, Theorem 1; with q = 1 Mei, Xiao, Szepesvári & Schuurmans 2020, Section 4)
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from pgbench.arrays import FloatArray
from pgbench.exact.finite.values import action_values, state_values
from pgbench.problems import FiniteMDP
from pgbench.problems.problem import SolveError

SETTLED = 1e-9
"""A relative gap in V from where one more step, which squares it, leaves only rounding."""


@dataclass(frozen=True, eq=False)
class SoftOptimum:
    """The optimal value V* (S,), Q* (S, A), the one optimal policy π* (S, A), and J* = μ0·V*.

    Q* holds no penalty for the action itself. ``residual`` is how far V* is from the log-sum-exp
    of Q* at most, ``iterations`` how many policies were evaluated.
    """

    v: FloatArray
    q: FloatArray
    pi: FloatArray
    objective: float
    iterations: int
    residual: float


def soft_optimum(
    mdp: FiniteMDP, coefficient: float, reference: FloatArray, max_iterations: int = 1000
) -> SoftOptimum:
    """V* of E Σ_t γ^t (r_t - c log(π/q)(s_t,a_t)) by policy iteration, started from q.

    Every policy is evaluated exactly and followed by π ∝ q exp(Q/c). That is Newton's method for
    the fixed point of log-sum-exp: values rise, and at the end the gap is squared in every step.

    Parameters
    ----------
    mdp
        The problem without penalty.
    coefficient, reference
        c > 0, unit reward per nat, and q (S, A), positive at the actions that a state has.

    Raises
    ------
    SolveError
        If a policy on the way has no finite value, or the iteration limit is reached.
    """
    logs = np.log(np.where(mdp.choices, reference, 1.0))
    gain, last = np.zeros(logs.shape), False  # Q/c, what an action brings in nats
    for iteration in range(1, max_iterations + 1):
        pi, top = _soft_greedy(mdp, logs, gain)
        v = _value(mdp, pi, coefficient * (gain - top[:, None]))
        q = action_values(mdp, v)
        gain = q / coefficient
        best, top = _soft_greedy(mdp, logs, gain)
        gap = np.where(mdp.terminal, 0.0, coefficient * top - v)
        if last:
            residual = float(np.abs(gap).max())
            return SoftOptimum(v, q, best, float(mdp.mu0 @ v), iteration, residual)
        last = bool((gap <= SETTLED * (1 + np.abs(v))).all())
    raise SolveError(f"policy iteration on {mdp.name} did not end in {max_iterations} iterations")


def _soft_greedy(
    mdp: FiniteMDP, logs: FloatArray, gain: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """π ∝ q exp(gain) (S, A), and the logarithm of its sum (S,)."""
    logits = np.where(mdp.choices, logs + gain, -np.inf)
    top = logsumexp(logits, axis=1)
    return np.exp(logits - top[:, None]), np.asarray(top, np.float64)


def _value(mdp: FiniteMDP, pi: FloatArray, penalty: FloatArray) -> FloatArray:
    """V (S,) of a policy that pays a penalty (S, A)."""
    try:
        return state_values(mdp.paying(mdp.reward - penalty[..., None]), pi)[0]
    except SolveError as error:
        raise SolveError(f"{mdp.name} has no finite optimal value: {error}") from error
