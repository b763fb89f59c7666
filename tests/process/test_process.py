"""Processes: random horizons against the exact visitation and values."""

import numpy as np
import pytest

from pgbench.estimators import Tables, estimators
from pgbench.exact import evaluate
from pgbench.exact.finite.expectation import expected_weights
from pgbench.exact.horizon import expected_steps
from pgbench.kernels.finite import make_sampler, record
from pgbench.kernels.streams import Streams
from pgbench.policies import NotApplicable, make_policy
from pgbench.problems import make_problem
from pgbench.process.process import Process, random_horizon
from pgbench.rollout.engines import by_process
from pgbench.rollout.enumeration import trajectories
from tests.support.numbers import close
from tests.support.truths import WEIGHTS_OF

discounted = pytest.mark.parametrize("problem", ["dense", "ending", "coins"])


def scored_pairs(truth, process, signal=0.0, kappa=0.0):
    """Expected weight (S, A) of the scored pairs: of 1, or of a signal collected from there on."""
    beta = np.zeros(process.pi.shape)
    beta[process.scored] = -1.0 if np.isscalar(signal) else 0.0
    tables = Tables.build(process, sigma=signal, kappa=kappa, beta=beta)
    return expected_weights(truth, tables, None)[process.scored]


@WEIGHTS_OF
@discounted
@pytest.mark.parametrize("collect", [False, True])
def test_scored_pair_has_the_discounted_visitation_distribution(truth, collect):
    process = random_horizon(truth.mdp, truth.pi, collect=collect)
    rho = (1 - truth.mdp.gamma) * truth.visitation[:, None] * truth.pi
    close(scored_pairs(truth, process), rho, 1e-13)
    # Without an end every trajectory is scored once; what ends before is scored never.
    assert rho.sum() == pytest.approx(1) or truth.mdp.terminal.any()


@WEIGHTS_OF
@discounted
def test_second_stretch_has_the_action_value_as_its_mean(truth):
    process = random_horizon(truth.mdp, truth.pi, collect=True)
    rho = (1 - truth.mdp.gamma) * truth.visitation[:, None] * truth.pi
    collected = scored_pairs(truth, process, signal=process.mdp.reward, kappa=1.0)
    close(collected, rho * truth.q, 1e-12)


@WEIGHTS_OF
@discounted
@pytest.mark.parametrize("collect", [False, True])
def test_a_trajectory_is_scored_at_most_once(truth, collect):
    process = random_horizon(truth.mdp, truth.pi, collect=collect)
    S, A = truth.pi.shape
    for _, pairs, _ in trajectories(process, 3):
        states = np.array(pairs) // A
        assert ((states >= S) & (states < 2 * S)).sum() <= 1
        assert (np.diff(states // S) >= 0).all()


@pytest.mark.parametrize("gamma", [0.0, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("collect", [False, True])
def test_next_to_no_trajectory_is_cut(gamma, collect):
    """γⁿ, or (n+1)γⁿ of two stretches, is below 2⁻⁶⁰ at the horizon and not much before it."""
    mdp = make_problem("random", n_states=3, gamma=gamma)
    pi = np.full((3, mdp.n_actions), 1 / mdp.n_actions)
    process = random_horizon(mdp, pi, collect=collect)

    def beyond(n):
        return gamma**n * (n + 1 if collect else 1)

    assert beyond(process.horizon) < 2**-60
    assert gamma == 0 or beyond(process.horizon - 4) > 2**-60 * gamma**2
    mean = 1 / (1 - gamma) + collect * gamma / (1 - gamma)
    assert expected_steps(process.mdp, process.pi, process.horizon) == pytest.approx(mean, rel=1e-9)


def sampled_visits(process, S, replicates):
    """Counts (S, A) of scored pairs in that many compiled rollouts."""
    mdp, horizon = process.mdp, process.horizon
    sampler = make_sampler(mdp, process.pi)
    pair = np.zeros((replicates, 1, horizon), np.int32)
    slot, steps = pair.copy(), np.zeros((replicates, 1), np.int64)
    record(sampler, Streams(np.uint64(4), np.uint64(9), 1), 0, pair, slot, steps)
    taken = pair[np.arange(horizon) < steps[:, :, None]]
    counts = np.bincount(taken, minlength=process.pi.size).reshape(process.pi.shape)
    return counts[process.scored]


@WEIGHTS_OF
@discounted
def test_sampled_visits_follow_the_exact_distribution(truth):
    """χ² of 20 000 trajectories; that of the swapped actions is refused."""
    S, R = truth.v.size, 20_000
    counts = sampled_visits(random_horizon(truth.mdp, truth.pi, collect=False), S, R)
    rho = (1 - truth.mdp.gamma) * truth.visitation[:, None] * truth.pi
    assert chi_square_z(counts, R * rho) < 4
    assert chi_square_z(counts, R * rho[:, ::-1]) > 8


def chi_square_z(counts, expected):
    """Standardised χ² over the cells that can be visited."""
    seen = expected > 0
    chi2 = ((counts[seen] - expected[seen]) ** 2 / expected[seen]).sum()
    return (chi2 - seen.sum()) / np.sqrt(2 * seen.sum())


@pytest.mark.parametrize("name", [n for n in estimators() if n.startswith("visitation")])
def test_undiscounted_problems_are_refused(name):
    mdp = make_problem("corridor")
    policy = make_policy("softmax", mdp)
    truth = evaluate(mdp, policy, policy.initial())
    with pytest.raises(NotApplicable, match="gamma is 1, so no horizon can be drawn"):
        estimators()[name].make(truth)


def test_estimators_of_one_process_are_simulated_together():
    mdp = make_problem("random", n_states=3)
    policy = make_policy("softmax", mdp)
    truth = evaluate(mdp, policy, policy.initial(seed=1))
    names = ("reinforce", "visitation_q", "reward_to_go", "visitation_advantage", "visitation_mc")
    tables = [estimators()[name].make(truth) for name in names]
    groups = by_process(tables)
    assert [places for _, places in groups] == [[0, 2], [1, 3], [4]]
    assert groups[0][0] is truth.process


def test_processes_differ_by_problem_behaviour_and_horizon():
    mdp, other = (make_problem("random", n_states=3, n_actions=2, seed=i) for i in (0, 1))
    pi, uneven = np.full((3, 2), 0.5), np.tile([0.4, 0.6], (3, 1))
    assert Process(mdp, pi).same_as(Process(mdp, pi.copy()))
    assert not Process(mdp, pi).same_as(Process(other, pi))
    assert not Process(mdp, pi).same_as(Process(mdp, uneven))
    assert not Process(mdp, pi).same_as(Process(mdp, pi, horizon=5))


@pytest.mark.parametrize("collect", [False, True])
def test_one_state_has_a_random_horizon_too(collect):
    mdp = make_problem("random", n_states=1, gamma=0.5)
    pi = np.full((1, mdp.n_actions), 1 / mdp.n_actions)
    process = random_horizon(mdp, pi, collect=collect)
    assert process.mdp.n_states == (4 if collect else 3)
    assert process.mdp.mu0.sum() == pytest.approx(1)
