"""Natural gradients: what they tend to, where they are refused, and that rank is no accident."""

import numpy as np
import pytest
from scipy import linalg

from pgbench.estimators import estimators
from pgbench.estimators.parts import fisher_blocks
from pgbench.estimators.parts.fisher_blocks import (
    CUTOFF,
    least_squares,
    matrices,
    sampled,
    solved,
)
from pgbench.exact import evaluate
from pgbench.exact.finite import fisher
from pgbench.exact.finite.horizon import finite_values, occupancies, truncated_visitation
from pgbench.measure.gradients import estimates
from pgbench.policies import LogLinear, NotApplicable, make_policy
from pgbench.problems import make_problem
from pgbench.rollout.enumeration import Enumerator
from pgbench.rollout.simulator import Draws, Simulator
from tests.support.numbers import close

STEPS = 12
MANY = Draws(STEPS, 2000, 32, 3, 4)
"""Batches so large that the bias of a ratio is small against its standard error."""

TINY = pytest.mark.parametrize("problem", ["dense", "ending"])


def largest_z(found, expected):
    """Largest deviation of the mean in standard errors, over coordinates that vary."""
    spread = found.std(axis=0, ddof=1) / np.sqrt(len(found))
    varies = spread > 1e-9 * np.abs(found).max()
    assert varies.any()
    return (np.abs(found.mean(axis=0) - expected)[varies] / spread[varies]).max()


def finite(truth):
    """∇J_H and the F of H steps, what sampled gradients and Fisher matrices estimate."""
    g = evaluate(truth.mdp, truth.policy, truth.theta, STEPS).gradient
    seen = (1 - truth.mdp.gamma) * truncated_visitation(truth.mdp, truth.pi, STEPS)
    return g, fisher.matrix(truth.policy, truth.theta, seen)


def applied(F, g):
    return np.linalg.pinv(F, rcond=1e-12, hermitian=True) @ g


def test_sampled_fisher_matrices_have_the_mean_of_the_horizon(truth, horizon):
    """(1-γ) Σ_{t<H} γ^t Pr(s_t = s) weighs state s; for γ = 1 without the factor 1-γ."""
    listing = Enumerator(truth, horizon, 1)
    batch = listing.batch()
    blocks = np.einsum("m,mgkl->gkl", listing.probability, matrices(truth, sampled(truth, batch)))
    seen = truncated_visitation(truth.mdp, truth.pi, horizon)
    seen = seen * (1 - truth.mdp.gamma if truth.mdp.gamma < 1 else 1.0)
    close(linalg.block_diag(*blocks), fisher.matrix(truth.policy, truth.theta, seen), 1e-11)


@TINY
@pytest.mark.parametrize("kind", ["softmax", "loglinear", "direct"])
@pytest.mark.parametrize("source", ["same_batch", "independent_batch"])
def test_sampled_fisher_matrices_tend_to_that_of_the_horizon(truth, source):
    """And not to one without 1-γ, nor without γ^t: the same check sees either."""
    g, F = finite(truth)
    found, _ = estimates(truth, estimators()["natural"], {"fisher": source}, MANY)
    assert largest_z(found, applied(F, g)) < 5
    assert largest_z(found, applied(F, g) / 2) > 10
    undiscounted = sum(
        u for _, u in zip(range(STEPS), occupancies(truth.mdp, truth.pi, 1.0), strict=False)
    )
    wrong = fisher.matrix(truth.policy, truth.theta, (1 - truth.mdp.gamma) * undiscounted)
    assert largest_z(found, applied(wrong, g)) > 10


@TINY
@pytest.mark.parametrize("kind", ["softmax", "loglinear"])
def test_the_compatible_critic_tends_to_the_gradient(truth):
    """Its errors are orthogonal to the scores (Sutton et al. 2000, Theorem 2)."""
    g, _ = finite(truth)
    found, steps = estimates(truth, estimators()["compatible_critic"], {}, MANY)
    assert largest_z(found, g) < 5
    assert largest_z(found, 1.2 * g) > 10
    _, once = estimates(truth, estimators()["natural"], {}, MANY)
    assert (steps > 1.5 * once).all()  # the critic's trajectories are charged


@TINY
@pytest.mark.parametrize("kind", ["softmax", "loglinear"])
def test_episodes_weigh_steps_by_the_square_of_the_discount(truth):
    """eNAC tends to the fit of Q under γ^{2t}, for features it shares not to F†∇J."""
    mdp, policy, gamma = truth.mdp, truth.policy, truth.mdp.gamma
    F, g = 0.0, 0.0
    for t, u in zip(range(STEPS), occupancies(mdp, truth.pi, gamma), strict=False):
        weights = gamma**t * np.where(mdp.terminal, 0, u)
        F = F + fisher.matrix(policy, truth.theta, weights)
        q = finite_values(mdp, truth.pi, STEPS - t)[1]
        g = g + policy.pull_back(truth.theta, weights[:, None] * truth.pi * q)
    found, _ = estimates(truth, estimators()["episodic_natural_actor_critic"], {}, MANY)
    assert largest_z(found, applied(F, g) / (1 - gamma)) < 5
    assert largest_z(found, applied(F, g)) > 10


def test_episodes_give_the_natural_gradient_of_tables_but_not_of_shared_features():
    """Where A is not linear in the scores, weights γ^{2t} and γ^t have different fits."""
    mdp = make_problem("random", n_states=6, n_actions=3, gamma=0.8, seed=1)
    rng = np.random.default_rng(0)
    for policy, exact in (
        (make_policy("softmax", mdp), True),
        (LogLinear(rng.standard_normal((6, 3, 2))), False),
    ):
        theta = policy.initial(seed=3, scale=0.5)
        truth = evaluate(mdp, policy, theta)
        F, g = 0.0, 0.0
        for t, u in zip(range(200), occupancies(mdp, truth.pi, 0.8), strict=False):
            F = F + fisher.matrix(policy, theta, 0.8**t * u)
            g = g + policy.pull_back(theta, 0.8**t * u[:, None] * truth.pi * truth.q)
        gap = np.abs(applied(F, g) / 0.2 - truth.natural_gradient()).max()
        assert (gap < 1e-8 * np.abs(truth.natural_gradient()).max()) == exact


@pytest.mark.parametrize("problem", ["ending"])
@pytest.mark.parametrize("kind", ["softmax", "loglinear", "direct"])
def test_rounding_noise_has_no_say_in_the_rank(truth, monkeypatch):
    """Errors of 1e-15 in singular matrices leave the solution; without a cutoff they do not."""
    simulator = Simulator(truth, Draws(STEPS, 3, 16, 5, 6), 0, 16)
    batch = simulator.batch()
    F = matrices(truth, sampled(truth, batch))
    g = simulator.pull_back(batch.tables(batch.discounts() * (batch.to_go - batch.value(truth.v))))
    noise = np.random.default_rng(1).standard_normal(F.shape)
    noise *= 1e-15 * np.abs(F).max(axis=(2, 3), keepdims=True)
    noisy = F + noise + noise.swapaxes(2, 3)
    x, moved = solved(F, g), solved(noisy, g)
    assert np.abs(x - moved).max() < 1e-6 * np.abs(x).max()
    rank = (np.linalg.eigvalsh(F) > CUTOFF * np.linalg.eigvalsh(F)[..., -1:]).sum(axis=-1)
    assert (rank < F.shape[-1]).any()
    monkeypatch.setattr(fisher_blocks, "CUTOFF", 0.0)
    assert np.abs(solved(noisy, g) - x).max() > 1e-3 * np.abs(x).max()


def test_equal_score_sums_give_no_direction():
    """Score sums that differ by rounding alone say nothing; those of one size do."""
    rng = np.random.default_rng(0)
    Z = np.ones((1, 5, 3)) + 1e-16 * rng.standard_normal((1, 5, 3))
    y = rng.standard_normal((1, 5))
    centred = Z - Z.mean(axis=1, keepdims=True) + 1e-17
    for rows in (centred, centred[:, :2]):
        assert not least_squares(rows, y[:, : rows.shape[1]], np.array([3.0])).any()
        assert np.abs(least_squares(rows, y[:, : rows.shape[1]], np.array([0.0]))).max() > 1e10


@pytest.mark.parametrize("n", [3, 12])
def test_least_squares_of_few_and_of_many_rows(n):
    rng = np.random.default_rng(n)
    Z, y = rng.standard_normal((4, n, 6)), rng.standard_normal((4, n))
    Z[..., 5] = Z[..., 4]
    expected = [np.linalg.lstsq(Z[i], y[i], rcond=1e-8)[0] for i in range(4)]
    close(least_squares(Z, y, np.ones(4)), expected, 1e-10)


@pytest.mark.parametrize("name", ["natural", "compatible_critic"])
def test_large_shared_matrices_are_refused(name):
    mdp = make_problem("random", n_states=3)
    policy = make_policy("loglinear", mdp, n_features=401)
    truth = evaluate(mdp, policy, policy.initial())
    with pytest.raises(NotApplicable, match="401 parameters that states share"):
        estimators()[name].exact(truth, 4, 2)
    with pytest.raises(NotApplicable, match="at most 400"):
        estimates(truth, estimators()[name], {}, Draws(4, 2, 2, 0, 0))


def test_many_states_are_no_obstacle_to_tables():
    mdp = make_problem("garnet", n_states=1000)
    policy = make_policy("softmax", mdp)
    truth = evaluate(mdp, policy, policy.initial(seed=1))
    given = {"fisher": "same_batch"}
    found, _ = estimates(truth, estimators()["natural"], given, Draws(10, 4, 3, 0, 0))
    assert np.isfinite(found).all()
    # Nothing is said of states that no trajectory visited.
    visits = Simulator(truth, Draws(10, 4, 3, 0, 0), 0, 3).batch().state_tables(1.0)
    assert not found.reshape(3, 1000, -1)[visits == 0].any()
