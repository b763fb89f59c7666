"""Estimators of a whole batch, written out trajectory by trajectory on sampled batches."""

from itertools import combinations

import numpy as np
import pytest

from pgbench.estimators import estimators
from pgbench.estimators.parts.by_trajectory import others
from pgbench.estimators.parts.estimator import noisy_critic
from pgbench.exact import evaluate
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
    """One trajectory as lists: states, actions, scores (T, d), rewards, successors, Q̂."""

    def __init__(self, truth, batch, r, i):
        T = int(batch.mask[r, i].sum())
        self.truth = truth
        self.s, self.a = batch.states[r, i, :T], batch.actions[r, i, :T]
        self.pi = truth.pi[self.s]
        self.psi = truth.policy.scores(truth.theta)[self.s, self.a]
        self.r, self.next = batch.rewards[r, i, :T], batch.successors[r, i, :T]
        gamma = truth.mdp.gamma
        self.q = np.array([gamma ** np.arange(T - t) @ self.r[t:] for t in range(T)])
        self.discounts = gamma ** np.arange(T)

    @property
    def z(self):
        return self.psi.sum(axis=0)

    def gae(self, lam, critic_noise=0.0):
        v, T = noisy_critic(self.truth, critic_noise), len(self.r)
        errors = self.r + self.truth.mdp.gamma * v[self.next] - v[self.s]
        decay = self.truth.mdp.gamma * lam
        return np.array([decay ** np.arange(T - t) @ errors[t:] for t in range(T)])


def but(i, paths):
    return [path for j, path in enumerate(paths) if j != i]


def relative(R, std, eps, correction):
    """Returns less their mean, over their deviation."""
    return (R - np.mean(R)) / (np.std(R, ddof=correction) + eps if std else 1.0)


def total(paths):
    return np.array([path.q[0] for path in paths])


def weighed(weights, paths):
    return sum(w * path.z for w, path in zip(weights, paths, strict=True))


def grpo(truth, paths, std=True, length_normalised=True, eps=1e-4, correction=1):
    A = relative(total(paths), std, eps, correction)
    lengths = [len(path.r) if length_normalised else 1 for path in paths]
    return weighed(A / lengths, paths) / len(paths)


def luspo(truth, paths, std=True, eps=1e-4, correction=1):
    return weighed(relative(total(paths), std, eps, correction), paths) / len(paths)


def tokens(paths, token_mean):
    return sum(len(path.r) for path in paths) if token_mean else len(paths)


def dapo(truth, paths, std=True, token_mean=True, eps=1e-4, correction=1):
    A = relative(total(paths), std, eps, correction)
    return weighed(A, paths) / tokens(paths, token_mean)


def soft_length_penalty(
    truth, paths, share=0.25, size=1.0, std=True, token_mean=True, eps=1e-4, correction=1
):
    H = DRAWS.horizon
    taken = [size * max(len(path.r) - (1 - share) * H, 0) / (share * H) for path in paths]
    A = relative(total(paths) - taken, std, eps, correction)
    return weighed(A, paths) / tokens(paths, token_mean)


def overlong_filtering(
    truth, paths, filtered=True, std=True, token_mean=True, eps=1e-4, correction=1
):
    A = relative(total(paths), std, eps, correction)
    kept = [truth.mdp.terminal[path.next[-1]] or not filtered for path in paths]
    left = [path for path, keep in zip(paths, kept, strict=True) if keep]
    number = max(tokens(left, True), 1) if token_mean else len(paths)
    return weighed(A * kept, paths) / number


def reinforce_plus_plus(
    truth,
    paths,
    baseline="none",
    std=True,
    statistics="tokens",
    token_mean=True,
    eps=1e-8,
    correction=0,
):
    R = total(paths)
    R = R - R.mean() if baseline == "group" else R
    counts = [len(path.r) if statistics == "tokens" else 1 for path in paths]
    every = np.repeat(R, counts)
    A = (R - every.mean()) / (np.sqrt(every.var(ddof=correction) + eps) if std else 1.0)
    return weighed(A, paths) / tokens(paths, token_mean)


def opo(truth, paths):
    R = total(paths)
    return weighed(R - np.average(R, weights=[len(p.r) for p in paths]), paths) / len(paths)


def gpg(truth, paths, rescaled=True, token_mean=True):
    """Of one group, which has a signal here."""
    R = total(paths)
    return weighed(R - R.mean(), paths) / tokens(paths, token_mean)


def pass_at_k(truth, paths, k=2):
    """Mean over all subsets of k of what each of its members adds to the subset's success."""
    won = total(paths) > 0
    subsets = list(combinations(range(len(paths)), k))
    out = 0.0
    for subset in subsets:
        for i in subset:
            alone = won[i] and not any(won[j] for j in subset if j != i)
            out = out + alone * paths[i].z
    return out / len(subsets)


def max_likelihood(truth, paths, centred=True):
    won = [path for path in paths if path.q[0] > 0]
    if not won:
        return 0.0 * paths[0].z
    mean = np.mean([path.z for path in won], axis=0)
    return mean - np.mean([path.z for path in paths], axis=0) * centred


def optimal_token_baseline(truth, paths):
    out = 0.0
    energies = [
        np.cumsum([((np.eye(len(p)) - p)[a] ** 2).sum() for p, a in zip(x.pi, x.a, strict=True)])
        for x in paths
    ]
    for path in paths:
        for t in range(len(path.r)):
            there = [(x.q[t], w[t]) for x, w in zip(paths, energies, strict=True) if len(w) > t]
            baseline = sum(q * w for q, w in there) / sum(w for _, w in there)
            out = out + path.discounts[t] * (path.q[t] - baseline) * path.psi[t]
    return out / len(paths)


def advantage_normalised(
    truth,
    paths,
    lam=0.95,
    normalised=True,
    discounted=True,
    critic_noise=0.0,
    eps=1e-8,
    correction=0,
):
    every = np.concatenate([path.gae(lam, critic_noise) for path in paths])
    total = 0.0
    for path in paths:
        A = path.gae(lam, critic_noise)
        if normalised:
            A = (A - every.mean()) / (every.std(ddof=correction) + eps)
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


def log_ratios(truth):
    """log π less log π_ref (S, A), of the objective under which variants are tried."""
    reference = truth.policy.probabilities(truth.policy.initial(seed=0))
    return np.log(truth.pi) - np.log(reference)


def unpenalised(truth, path, penalties):
    """Q̂_t without the penalty, of the penalties c log(π/π_ref) of the steps."""
    r, gamma = path.r + penalties, truth.mdp.gamma
    return np.array([gamma ** np.arange(len(r) - t) @ r[t:] for t in range(len(r))])


def plain_value(truth):
    """V without the penalty."""
    return evaluate(truth.penalty.plain, truth.policy, truth.theta).v


def penalty_of_sequence(truth, paths, form="k2", ratio=False, baseline=False):
    c, total = truth.penalty.coefficient, 0.0
    for path in paths:
        ratios = log_ratios(truth)[path.s, path.a]
        whole = path.discounts @ ratios
        slope = {"k1": 1.0, "k2": whole, "k3": 1 - np.exp(-whole)}[form]
        v = plain_value(truth)[path.s] if baseline else 0.0
        own = path.discounts * (unpenalised(truth, path, c * ratios) - v)
        total = total + (own - c * slope) @ path.psi
    return total / len(paths)


def penalty_all_action(truth, paths, later=False, ratio="none", baseline=False):
    c, every, total = truth.penalty.coefficient, log_ratios(truth), 0.0
    psi, divergence = truth.policy.scores(truth.theta), (truth.pi * every).sum(axis=1)
    v = truth.v + c * divergence if later else plain_value(truth)
    for path in paths:
        q = unpenalised(truth, path, c * every[path.s, path.a])
        for t, s in enumerate(path.s):
            after = range(t + 1, len(path.s)) if later else []
            lost = sum(truth.mdp.gamma ** (m - t) * c * divergence[path.s[m]] for m in after)
            own = q[t] - lost - (v[s] if baseline else 0.0)
            moved = (truth.pi[s] * every[s]) @ psi[s]
            total = total + path.discounts[t] * (own * path.psi[t] - c * moved)
    return total / len(paths)


OTHER = {"natural": "fisher", "compatible_critic": "critic"}
"""What estimators call the second batch that they draw."""


DEFINITIONS = {
    f.__name__: f
    for f in (
        grpo,
        luspo,
        dapo,
        soft_length_penalty,
        overlong_filtering,
        reinforce_plus_plus,
        opo,
        gpg,
        pass_at_k,
        max_likelihood,
        optimal_token_baseline,
        advantage_normalised,
        baseline_learned,
        baseline_per_time,
        baseline_per_coordinate,
        natural,
        episodic_natural_actor_critic,
        compatible_critic,
        penalty_of_sequence,
        penalty_all_action,
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
