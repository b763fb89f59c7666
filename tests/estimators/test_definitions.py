"""Each estimator's weights of the scores, written out from its definition along trajectories."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from pgbench.estimators import TableEstimator, estimators
from pgbench.estimators.parts.estimator import noisy_critic
from pgbench.estimators.trust_region_surrogate import older_policy
from pgbench.exact import Truth, evaluate
from pgbench.kernels import reference
from pgbench.policies import make_policy
from pgbench.problems import make_problem
from pgbench.rollout.enumeration import trajectories
from tests.support.shipped import shipped
from tests.support.truths import TWO_KINDS, WEIGHTS_OF
from tests.support.variants import on_tiny, table_variants


@dataclass(frozen=True)
class Path:
    """One trajectory: states (T,), actions (T,), rewards (T,), the successors (T,), and V."""

    truth: Truth
    s: np.ndarray
    a: np.ndarray
    r: np.ndarray
    next: np.ndarray
    v: np.ndarray

    @property
    def gamma(self):
        return self.truth.mdp.gamma

    def returns(self):
        """Q̂_t = Σ_{m≥t} γ^(m-t) r_m."""
        T = len(self.r)
        return np.array([self.gamma ** np.arange(T - t) @ self.r[t:] for t in range(T)])

    def td_errors(self):
        """r_t + γ v(s_{t+1}) - v(s_t)."""
        return self.r + self.gamma * self.v[self.next] - self.v[self.s]

    def gae(self, lam):
        """Σ_l (γλ)^l δ_{t+l} (Schulman et al. 2016, eq. 16)."""
        T, errors = len(self.r), self.td_errors()
        return np.array([(self.gamma * lam) ** np.arange(T - t) @ errors[t:] for t in range(T)])

    def choices(self):
        """Number of actions of each visited state."""
        return self.truth.mdp.choices[self.s].sum(axis=1)

    def per_decision(self, exploration):
        """Σ_{m≥t} γ^(m-t) r_m Π_{i≤m} w_i (Precup, Sutton & Singh 2000), w = π/((1-ε)π + ε/A)."""
        pi, T = self.truth.pi[self.s, self.a], len(self.r)
        w = pi / ((1 - exploration) * pi + exploration / self.choices())
        weighed = self.gamma ** np.arange(T) * self.r * np.cumprod(w)
        return weighed[::-1].cumsum()[::-1] / self.gamma ** np.arange(T)

    def state_optimal(self):
        """E[Q‖ψ‖²|s]/E[‖ψ‖²|s] (Greensmith, Bartlett & Baxter 2004); V where no action scores."""
        t = self.truth
        weights = t.pi * np.linalg.norm(t.policy.scores(t.theta), axis=2) ** 2
        weights[~weights.any(axis=1)] = t.pi[~weights.any(axis=1)]
        return [np.average(t.q[s], weights=weights[s]) for s in self.s]

    def vtrace(self, exploration, clip, correct_states):
        """Σ_l γ^l δ_{t+l} Π_{t≤i≤t+l} min(c, w_i) (Espeholt et al. 2018, eq. 1)."""
        pi, T, errors = self.truth.pi[self.s, self.a], len(self.r), self.td_errors()
        w = pi / ((1 - exploration) * pi + exploration / self.choices())
        c = np.minimum(w, clip)
        weights = [
            sum(self.gamma**k * errors[t + k] * c[t : t + k + 1].prod() for k in range(T - t))
            for t in range(T)
        ]
        before = np.concatenate([[1.0], np.cumprod(w)[:-1]])
        return np.array(weights) * (before if correct_states else 1.0)

    def surrogate(self, drift, clip):
        """w A_old where the clipped objective has a gradient (Schulman et al. 2017, eq. 7)."""
        mdp, pi = self.truth.mdp, self.truth.pi
        old = older_policy(pi, drift)
        moves = np.einsum("sa,san->sn", old, (mdp.transitions.toarray().reshape(*pi.shape, -1)))
        reward = (mdp.probability * mdp.reward).sum(axis=2)
        v = np.linalg.solve(np.eye(len(pi)) - self.gamma * moves, (old * reward).sum(axis=1))
        q = reward + self.gamma * (mdp.transitions @ v).reshape(pi.shape)
        A, w = (q - v[:, None])[self.s, self.a], pi[self.s, self.a] / old[self.s, self.a]
        return np.where((A > 0) & (w > 1 + clip) | (A < 0) & (w < 1 - clip), 0.0, w * A)

    def in_loss(self, form, later, baseline):
        """What is paid but for the penalty, less the derivative of a form of it by log π."""
        c, ratios = self.truth.penalty.coefficient, log_ratios(self.truth)[self.s, self.a]
        slope = {"k1": np.ones(len(ratios)), "k2": ratios, "k3": 1 - np.exp(-ratios)}[form]
        without = replace(self, r=self.r + c * ratios).returns()
        penalties = replace(self, r=c * ratios).returns()
        v = self.truth.v if later else plain_value(self.truth)
        after = penalties - c * ratios if later else 0.0
        return without - after - c * slope - (v[self.s] if baseline else 0.0)

    def baseline(self, value):
        return self.truth.objective if value == "objective" else value


def log_ratios(truth):
    """log π less log π_ref (S, A), of the objective under which variants are tried."""
    reference = truth.policy.probabilities(truth.policy.initial(seed=0))
    pi = np.where(truth.pi > 0, truth.pi, 1.0)
    return np.where(truth.pi > 0, np.log(pi) - np.log(np.where(truth.pi > 0, reference, 1)), 0.0)


def plain_value(truth):
    """V without the penalty, by the dense system."""
    return evaluate(truth.penalty.plain, truth.policy, truth.theta).v


DEFINITIONS = {
    "reinforce": lambda x, baseline=0.0: np.full(len(x.r), x.returns()[0] - x.baseline(baseline)),
    "reward_to_go": lambda x, baseline=0.0: x.returns() - x.baseline(baseline),
    "baseline_value": lambda x, critic_noise=0.0: x.returns() - x.v[x.s],
    "baseline_state_optimal": lambda x: x.returns() - x.state_optimal(),
    "q_oracle": lambda x: x.truth.q[x.s, x.a],
    "advantage_oracle": lambda x: x.truth.q[x.s, x.a] - x.truth.v[x.s],
    "td": lambda x, critic_noise=0.0: x.td_errors(),
    "gae": lambda x, lam, critic_noise=0.0: x.gae(lam),
    "ppo": lambda x, clip=0.2, drift=0.5: x.surrogate(drift, clip),
    "trust_region_surrogate": lambda x, drift=0.5: x.surrogate(drift, np.inf),
    "vtrace": lambda x, exploration=0.5, clip=1.0, correct_states=False, critic_noise=0.0: x.vtrace(
        exploration, clip, correct_states
    ),
    "penalty_in_loss": lambda x, form="k3", later=False, ratio="none", baseline=False: x.in_loss(
        form, later, baseline
    ),
    "importance_sampling": lambda x, exploration=0.5: x.per_decision(exploration),
}
"""What multiplies γ^t ψ_t, or ψ_t in the total shape, as functions of a trajectory."""

VISITATION = {
    "visitation_q": lambda truth, s, a, rewards: truth.q[s, a],
    "visitation_advantage": lambda truth, s, a, rewards: truth.q[s, a] - truth.v[s],
    "visitation_mc": lambda truth, s, a, rewards: rewards.sum(),
}
"""What multiplies ψ/(1-γ) at the one scored pair, the rewards being those from there on."""


ELSEWHERE = {"actor_critic", "remax"}
"""Their critics depend on the horizon; test_actor_critic.py and test_groups.py have them."""

DEFINED = [v for v in table_variants() if v.name in {*DEFINITIONS, *VISITATION}]


def coefficients(truth, name, given, pairs, slots):
    """Weight of each step's score by the definition."""
    given = dict(given)
    discounted = given.pop("discounted", True)
    pairs, slots = np.array(pairs), np.array(slots)
    path = Path(
        truth,
        pairs // truth.mdp.n_actions,
        pairs % truth.mdp.n_actions,
        truth.mdp.reward.ravel()[slots],
        truth.mdp.successor.ravel()[slots],
        noisy_critic(truth, given.get("critic_noise", 0.0)),
    )
    carried = name != "reinforce" and discounted
    discounts = path.gamma ** np.arange(len(pairs)) if carried else 1.0
    return discounts * DEFINITIONS[name](path, **given)


@pytest.mark.every_estimator
def test_every_shipped_table_estimator_is_written_out():
    """Of one just added the list of all trajectories says enough to begin with."""
    known = estimators()
    tables = {name for name in shipped() if isinstance(known[name], TableEstimator)}
    assert tables - {*DEFINITIONS, *VISITATION, *ELSEWHERE} == set()


@on_tiny(DEFINED, kind=TWO_KINDS)
def test_weights_are_those_of_the_definition(problem, truth, variant):
    listed_steps = variant.listed_steps(problem)
    tables = variant.tables(truth, listed_steps)
    expected_of = scored_once if variant.simulates_its_horizon else weights_by_definition
    if variant.given.get("baseline") == "optimal":
        variant = with_constant(variant, listed_optimum(truth, variant, listed_steps))
    flat = [t.ravel() for t in (tables.sigma, tables.kappa, tables.beta, tables.delta)]
    for chance, pairs, slots in list(trajectories(tables.process, listed_steps))[::7]:
        if chance == 0:
            continue
        found = reference.weights(*flat, tables.total, pairs, slots)
        found = found.reshape(tables.process.pi.shape)[tables.process.scored].ravel()
        expected = expected_of(truth, variant, tables.process, pairs, slots)
        size = max(1e-3, np.abs(expected).max())  # it may be 0, in states of a single action
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11 * size)


def with_constant(variant, b):
    """The variant with another constant baseline."""
    return replace(variant, items=(*(variant.given | {"baseline": b}).items(),))


def listed_optimum(truth, variant, horizon):
    """b = E[X·Y]/E[Y·Y] over all trajectories, ĝ = X - bY with b times the scores' own weights."""
    xy = yy = 0.0
    for p, pairs, slots in trajectories(truth.process, horizon):
        x, moved = (
            truth.policy.pull_back(truth.theta, w.reshape(truth.pi.shape))
            for w in (
                weights_by_definition(truth, with_constant(variant, b), None, pairs, slots)
                for b in (0.0, 1.0)
            )
        )
        xy, yy = xy + p * x @ (x - moved), yy + p * (x - moved) @ (x - moved)
    return xy / yy


def weights_by_definition(truth, variant, process, pairs, slots):
    """W (S·A,) of a trajectory of the problem."""
    expected = np.zeros(truth.pi.size)
    np.add.at(expected, pairs, coefficients(truth, variant.name, variant.given, pairs, slots))
    return expected


def scored_once(truth, variant, process, pairs, slots):
    """W (S·A,) of a trajectory with a random horizon."""
    S, A = truth.pi.shape
    expected = np.zeros(S * A)
    for t, pair in enumerate(pairs):
        s, a = divmod(pair, A)
        if S <= s < 2 * S:
            rewards = process.mdp.reward.ravel()[slots[t:]]
            value = VISITATION[variant.name](truth, s - S, a, rewards)
            expected[pair - S * A] = value / (1 - truth.mdp.gamma)
    return expected


@WEIGHTS_OF
def test_critic_is_wrong_by_the_stated_amount(truth):
    """v = V + noise·rms(V)·ξ with the same ξ at every noise, and 0 on terminal states."""
    ends = truth.mdp.terminal
    np.testing.assert_array_equal(noisy_critic(truth, 0.0), truth.v)
    xi = (noisy_critic(truth, 1.0) - truth.v) / np.sqrt(np.mean(truth.v**2))
    assert (xi[ends] == 0).all()
    assert (np.abs(xi[~ends]) > 1e-3).all()
    for noise in (0.5, 3.0):
        expected = truth.v + noise * np.sqrt(np.mean(truth.v**2)) * xi
        np.testing.assert_allclose(noisy_critic(truth, noise), expected, rtol=1e-12)


def test_errors_of_the_critic_are_standard_normal():
    """Of 2000 states: mean and mean square of ξ within four standard errors of 0 and 1."""
    mdp = make_problem("garnet", n_states=2000)
    truth = evaluate(mdp, make_policy("softmax", mdp), np.zeros(8000))
    xi = (noisy_critic(truth, 1.0) - truth.v) / np.sqrt(np.mean(truth.v**2))
    assert abs(xi.mean()) < 4 / np.sqrt(2000)
    assert abs(np.mean(xi**2) - 1) < 4 * np.sqrt(2 / 2000)


@WEIGHTS_OF
def test_gae_at_zero_is_the_td_error(truth):
    """GAE(0) is the TD error (Schulman et al. 2016, eq. 17)."""
    gae, td = estimators()["gae"].make(truth, lam=0.0), estimators()["td"].make(truth)
    for name in ("sigma", "kappa", "beta", "delta"):
        np.testing.assert_array_equal(getattr(gae, name), getattr(td, name))
