"""Expectations of estimators on linear-quadratic problems, and what horizons do to ∇J."""

from typing import Any

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.exact.expectation import expectation
from pgbench.exact.horizon import expected_steps, finite_objective, truncated_gradient
from pgbench.exact.linear_quadratic.lyapunov import lyapunov
from pgbench.exact.linear_quadratic.values import (
    QuadraticTruth,
    closed_loop,
    ending,
    finite_sums,
    finite_visits,
    following,
    mean_over_actions,
    score_weights,
    spread,
    visits,
)
from pgbench.problems import LinearQuadratic
from pgbench.problems.problem import Diverges
from pgbench.problems.quadratic import Quadratic
from pgbench.process.tables import Forms


@expectation.register
def quadratic_expectation(
    truth: QuadraticTruth, tables: Forms, horizon: int | None = None
) -> FloatArray:
    """The mean of an estimator given by its forms.

    Ratios of importance sampling turn expectations under the behaviour policy into those under the
    policy itself, so they have no say here. Of a total return what was collected before a step has
    no covariance with its score, so the score of step t is carried by κ^t.
    """
    return truth.policy.pull_back(truth.theta, _weights(truth, tables, horizon))


def _weights(truth: QuadraticTruth, tables: Forms, horizon: int | None) -> FloatArray:
    mdp, law = truth.mdp, truth.pi
    signal = tables.sigma + following(mdp, tables.after)
    delta = tables.kappa if tables.total else tables.delta
    if horizon is None:
        radius = np.abs(np.linalg.eigvals(closed_loop(mdp, law)[: mdp.n, : mdp.n])).max()
        if delta >= 1 or tables.kappa >= 1 or max(delta, tables.kappa) * radius**2 >= 1:
            raise Diverges("the mean has no limit as the horizon grows")
        return score_weights(_limit(truth, tables, signal), law, visits(mdp, law, delta))
    forms, x = [], None
    for _ in range(horizon):
        collected = signal if x is None else signal + tables.kappa * following(mdp, x)
        forms.append(collected if tables.total else collected - tables.beta)
        x = mean_over_actions(collected, law)
    return finite_sums(mdp, law, forms, delta)[1]


def _limit(truth: QuadraticTruth, tables: Forms, signal: Quadratic) -> Quadratic:
    """E[x_t - β_t | x, u] over the infinite horizon."""
    mdp, law, kappa = truth.mdp, truth.pi, tables.kappa
    mean = mean_over_actions(signal, law).state
    X = lyapunov(closed_loop(mdp, law), mean, kappa)
    if kappa:
        X[-1, -1] += kappa * float(np.sum(X * spread(mdp, law))) / (1 - kappa)
    x = Quadratic.of_state(X, mdp.n, mdp.m)
    collected = signal + kappa * following(mdp, x)
    return collected if tables.total else collected - tables.beta


@finite_objective.register
def objective_of_steps(truth: QuadraticTruth, horizon: int) -> tuple[float, FloatArray]:
    """J_H and ∇J_H (d,)."""
    cut = ending(truth.mdp, truth.policy, truth.theta, horizon)
    return cut.objective, cut.gradient


@truncated_gradient.register
def gradient_of_steps(truth: QuadraticTruth, horizon: int) -> FloatArray:
    """Σ_{t<H} γ^t E[A(x_t,u_t) ψ_t], shape (d,)."""
    M = finite_visits(truth.mdp, truth.pi, horizon)
    return truth.policy.pull_back(truth.theta, score_weights(truth.advantage, truth.pi, M))


@expected_steps.register
def steps_of_rollout(mdp: LinearQuadratic, pi: Any, horizon: int) -> float:
    """H: no state is terminal."""
    return float(horizon)
