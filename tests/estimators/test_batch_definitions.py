"""Estimators of a whole batch, written out trajectory by trajectory on sampled batches."""

import numpy as np
import pytest

from pgbench.estimators import estimators
from pgbench.estimators.parts.by_trajectory import others
from pgbench.exact.finite.horizon import finite_values
from pgbench.measure.gradients import estimates
from pgbench.rollout.enumeration import trajectories
from pgbench.rollout.simulator import Draws, Simulator
from tests.support.numbers import close
from tests.support.variants import batch_variants, each

DRAWS = Draws(6, 3, 5, 2, 8)
"""Six steps, three trajectories, five replicates."""

pytestmark = [
    pytest.mark.parametrize("problem", ["ending", "coins"]),
    pytest.mark.parametrize("kind", ["softmax", "loglinear"]),
]


class Path:
    """One trajectory as lists: states, scores (T, d), rewards, successors, rewards-to-go."""

    def __init__(self, truth, batch, r, i):
        T = int(batch.mask[r, i].sum())
        self.truth = truth
        self.s, a = batch.states[r, i, :T], batch.actions[r, i, :T]
        self.psi = truth.policy.scores(truth.theta)[self.s, a]
        self.r, self.next = batch.rewards[r, i, :T], batch.successors[r, i, :T]
        gamma = truth.mdp.gamma
        self.q = np.array([gamma ** np.arange(T - t) @ self.r[t:] for t in range(T)])
        self.discounts = gamma ** np.arange(T)

    @property
    def z(self):
        return self.psi.sum(axis=0)

    def gae(self, lam):
        v, T = self.truth.v, len(self.r)
        errors = self.r + self.truth.mdp.gamma * v[self.next] - v[self.s]
        decay = self.truth.mdp.gamma * lam
        return np.array([decay ** np.arange(T - t) @ errors[t:] for t in range(T)])


def but(i, paths):
    return [path for j, path in enumerate(paths) if j != i]


def grpo(truth, paths, std=True, length_normalised=True, eps=1e-4):
    R = [path.q[0] for path in paths]
    spread = np.std(R, ddof=1) + eps if std else 1.0
    return np.mean(
        [
            (path.q[0] - np.mean(R)) / spread * path.z / (len(path.r) if length_normalised else 1)
            for path in paths
        ],
        axis=0,
    )


def advantage_normalised(truth, paths, lam=0.95, normalised=True, discounted=True):
    every = np.concatenate([path.gae(lam) for path in paths])
    total = 0.0
    for path in paths:
        A = path.gae(lam)
        if normalised:
            A = (A - every.mean()) / (every.std() + 1e-8)
        total = total + (A * (path.discounts if discounted else 1.0)) @ path.psi
    return total / len(paths)


def baseline_learned(truth, paths, fit="in_sample"):
    total = 0.0
    for i, path in enumerate(paths):
        used = paths if fit == "in_sample" else but(i, paths)
        for t, s in enumerate(path.s):
            seen = [q for other in used for q, x in zip(other.q, other.s, strict=True) if x == s]
            v = np.mean(seen) if seen else 0.0
            total = total + path.discounts[t] * (path.q[t] - v) * path.psi[t]
    return total / len(paths)


def baseline_per_time(truth, paths, fit="exact"):
    total = 0.0
    for i, path in enumerate(paths):
        used = paths if fit == "in_sample" else but(i, paths)
        for t in range(len(path.s)):
            seen = [other.q[t] for other in used if t < len(other.q)]
            b = np.mean(seen) if seen else 0.0
            if fit == "exact":
                b = listed_time_values(truth, DRAWS.horizon)[t]
            total = total + path.discounts[t] * (path.q[t] - b) * path.psi[t]
    return total / len(paths)


def listed_time_values(truth, horizon):
    """E[V_{H-t}(s_t) | step t is taken] by forward products with a dense P_π."""
    mdp = truth.mdp
    P = np.zeros((mdp.n_states, mdp.n_states))
    for s, a, k in np.ndindex(mdp.probability.shape):
        P[s, mdp.successor[s, a, k]] += truth.pi[s, a] * mdp.probability[s, a, k]
    u, values = mdp.mu0, []
    for t in range(horizon):
        live = np.where(mdp.terminal, 0.0, u)
        values.append(live @ finite_values(mdp, truth.pi, horizon - t)[0] / live.sum())
        u = live @ P
    return values


def baseline_per_coordinate(truth, paths, fit="exact"):
    total = 0.0
    for i, path in enumerate(paths):
        used = paths if fit == "in_sample" else but(i, paths)
        above = sum(other.q[0] * other.z**2 for other in used)
        below = sum(other.z**2 for other in used)
        mean = np.mean([other.q[0] for other in used])
        b = np.where(below > 0, above / np.where(below > 0, below, 1), mean)
        if fit == "exact":
            b = listed_coordinates(truth, DRAWS.horizon)
        total = total + (path.q[0] - b) * path.z
    return total / len(paths)


def listed_coordinates(truth, horizon):
    """E[R Z²]/E[Z²] over all trajectories of that many steps, which are few on these problems."""
    psi = truth.policy.scores(truth.theta).reshape(truth.pi.size, -1)
    above, below = 0.0, 0.0
    for p, pairs, slots in trajectories(truth.process, horizon):
        rewards = truth.mdp.reward.ravel()[slots]
        R = truth.mdp.gamma ** np.arange(len(slots)) @ rewards
        squares = psi[pairs].sum(axis=0) ** 2
        above, below = above + p * R * squares, below + p * squares
    return above / np.where(below > 0, below, 1)  # no score, no baseline


def natural(truth, paths, other, fisher="exact", damping=0.0):
    g = sum(p.discounts * (p.q - truth.v[p.s]) @ p.psi for p in paths) / len(paths)
    F = truth.fisher()
    if fisher != "exact":
        F = sampled_fisher(truth, paths if fisher == "same_batch" else other)
    if damping:
        return np.linalg.solve(F + damping * np.eye(len(F)), g)
    return np.linalg.pinv(F, rcond=1e-10, hermitian=True) @ g


def sampled_fisher(truth, paths):
    """(1-γ) Σ_t γ^t ψψᵀ, a mean over trajectories."""
    terms = [w * np.outer(x, x) for p in paths for w, x in zip(p.discounts, p.psi, strict=True)]
    return (1 - truth.mdp.gamma) * sum(terms) / len(paths)


def episodic_natural_actor_critic(truth, paths):
    """The best in least squares of those with the least norm, the constant not counted in it."""
    Z = np.array([p.discounts @ p.psi for p in paths])
    R = np.array([p.q[0] for p in paths])
    solution = np.linalg.lstsq(Z - Z.mean(axis=0), R - R.mean(), rcond=1e-6)
    return solution[0] / (1 - truth.mdp.gamma)


def compatible_critic(truth, paths, other):
    """Weighted least squares on the other trajectories, then ψ·w as the advantage."""
    rows = np.concatenate([np.sqrt(p.discounts)[:, None] * p.psi for p in other])
    right = np.concatenate([np.sqrt(p.discounts) * (p.q - truth.v[p.s]) for p in other])
    w = np.linalg.lstsq(rows, right, rcond=1e-5)[0]
    return sum(p.discounts * (p.psi @ w) @ p.psi for p in paths) / len(paths)


OTHER = {"natural": "fisher", "compatible_critic": "critic"}
"""What estimators call the second batch that they draw."""


DEFINITIONS = {
    f.__name__: f
    for f in (
        grpo,
        advantage_normalised,
        baseline_learned,
        baseline_per_time,
        baseline_per_coordinate,
        natural,
        episodic_natural_actor_critic,
        compatible_critic,
    )
}


DEFINED = [v for v in batch_variants() if v.name in DEFINITIONS]
"""Means of the others are listed, and other files write out what that leaves open."""


@each(DEFINED)
def test_estimates_are_those_of_the_definition(truth, variant, monkeypatch):
    draws = DRAWS
    if variant.name == "baseline_per_coordinate" and "fit" not in variant.given:
        draws = Draws(3, 3, 5, 2, 8)  # whose trajectories can be listed
        monkeypatch.setitem(globals(), "DRAWS", draws)
    found, _ = estimates(truth, estimators()[variant.name], variant.given, draws)
    purposes = ["", *(OTHER[name] for name in OTHER if name == variant.name)]
    batches = [Simulator(truth, draws, 0, 5).batch(purpose) for purpose in purposes]
    expected = []
    for r in range(5):
        paths = [[Path(truth, batch, r, i) for i in range(3)] for batch in batches]
        expected.append(DEFINITIONS[variant.name](truth, *paths, **variant.given))
    close(found, expected, 1e-9)


def test_lengths_differ_where_they_matter(truth):
    """Else the tests above would not see what becomes of trajectories that have ended."""
    lengths = Simulator(truth, DRAWS, 0, 5).batch().lengths
    assert (np.ptp(lengths) > 1) == truth.mdp.terminal.any()


def test_sums_of_others_leave_no_trace_of_the_own(truth):
    x = np.array([[[1e20], [1.0], [2.0]]])
    np.testing.assert_array_equal(others(x), [[[3.0], [1e20 + 2], [1e20 + 1]]])
    np.testing.assert_array_equal(others(x[:, :1]), [[[0.0]]])
