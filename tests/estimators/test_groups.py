"""Estimators in groups: exact moments against every batch of groups, and what looks beyond them."""

from functools import cache

import numpy as np
import pytest

from pgbench.estimators import find_estimator, make_tables
from pgbench.estimators.dynamic_sampling import of_those_found
from pgbench.estimators.parts.outcomes import OutcomeEstimator
from pgbench.exact import evaluate
from pgbench.policies import make_policy
from pgbench.problems import make_problem
from pgbench.rollout.enumeration import Enumerator, enumerated_batches
from pgbench.rollout.simulator import Draws, Simulator
from tests.support.numbers import relative_gap
from tests.support.truths import tiny_truth
from tests.support.variants import batch_variants, record

VARIANTS = [v for v in batch_variants() if isinstance(record(v), OutcomeEstimator)]


@cache
def written(policy, **given):
    """Responses of two tokens at most to two prompts of unequal difficulty, and a policy."""
    mdp = make_problem(
        "sequences", verifier="modulo", modulus=3, prompts=2, prompt_length=1, vocabulary=2,
        length=2, **given,
    )  # fmt: skip
    own = make_policy(policy, mdp)
    return evaluate(mdp, own, own.initial(seed=5, scale=0.8))


def looks_beyond(variant):
    """Whether it looks at other groups in a way that is no sum over their responses."""
    estimator = record(variant)
    return estimator.looks(True, **estimator.bound(**variant.given)) is None


@pytest.mark.parametrize("policy", ["softmax", "loglinear"])
@pytest.mark.parametrize("variant", [v for v in VARIANTS if not looks_beyond(v)], ids=str)
def test_moments_are_those_over_all_batches_of_groups(policy, variant):
    truth = written(policy)
    exact = record(variant).exact(truth, 2, 4, 2, **variant.given)
    listed = enumerated_batches(truth, record(variant), 2, 4, 2, **variant.given)
    assert relative_gap(exact.mean, listed.mean) < 1e-12
    assert relative_gap(exact.variance, listed.variance) < 1e-11
    apart = record(variant).exact(truth, 2, 4, None, **variant.given)
    assert relative_gap(apart.variance, listed.variance) > 1e-3


@pytest.mark.parametrize("variant", [v for v in VARIANTS if looks_beyond(v)], ids=str)
def test_what_looks_beyond_a_group_is_known_of_one_group(variant):
    truth, estimator = written("softmax"), record(variant)
    assert estimator.exact(truth, 2, 4, 2, **variant.given).mean is None
    exact = estimator.exact(truth, 2, 3, 3, **variant.given)
    listed = enumerated_batches(truth, estimator, 2, 3, 3, **variant.given)
    assert relative_gap(exact.mean, listed.mean) < 1e-12
    assert relative_gap(exact.variance, listed.variance) < 1e-11


def test_costs_by_length_and_rewards_for_ending_make_many_classes():
    truth = written("softmax", length_cost=0.1, format_reward=0.3)
    for name in ("rloo", "grpo", "dapo", "opo", "pass_at_k", "soft_length_penalty"):
        exact = find_estimator(name).exact(truth, 2, 4, 2)
        listed = enumerated_batches(truth, find_estimator(name), 2, 4, 2)
        assert relative_gap(exact.mean, listed.mean) < 1e-12, name
        assert relative_gap(exact.variance, listed.variance) < 1e-11, name


@pytest.mark.parametrize("name", ["rloo", "group_mean", "dr_grpo"])
def test_formulas_and_classes_agree(name):
    """Where returns make too many classes, a group is a batch of the problem that begins there."""
    truth, estimator = tiny_truth("ending", "softmax"), find_estimator(name)
    values = estimator.bound()
    by_classes = estimator._by_classes(truth, 3, 6, 3, values)
    by_starts = estimator._by_starts(truth, 3, 6, 3, values)
    assert relative_gap(by_starts.mean, by_classes.mean) < 1e-11
    assert relative_gap(by_starts.variance, by_classes.variance) < 1e-10


def test_what_many_classes_leave_unknown_is_known_by_the_formula():
    mdp = make_problem("garnet", n_states=8, gamma=0.9, seed=1)
    policy = make_policy("softmax", mdp)
    truth = evaluate(mdp, policy, policy.initial(seed=0))
    assert find_estimator("grpo").exact(truth, 40, 8, 4).variance is None
    assert find_estimator("rloo").exact(truth, 40, 8, 4).variance is not None


def test_small_groups_are_refused():
    rloo = find_estimator("rloo")
    assert rloo.refuses(8, 1) == "the group size is 1, rloo needs at least 2"
    assert rloo.refuses(8, 2) == rloo.refuses(8) == ""
    passed = find_estimator("pass_at_k")
    assert passed.refuses(8, 2, k=4) == "the group size is 2, pass_at_k needs at least 4"
    assert passed.refuses(3, k=4) == "the batch size is 3, pass_at_k needs at least 4"
    assert passed.refuses(8, 4, k=4) == ""
    assert find_estimator("reinforce_plus_plus").refuses(8, 1) == ""


@pytest.mark.parametrize("std", [True, False])
def test_groups_without_signal_are_drawn_again(std):
    """Rounds of one group: of every sequence of three the first that speaks counts."""
    truth, estimator, rounds = written("softmax"), find_estimator("dynamic_sampling"), 3
    one = Enumerator(truth, 2, 2, 2)
    groups = estimator.estimate(one, rounds=1, std=std)
    p, speaks = one.probability, groups.any(axis=1)
    # A group that speaks may have an estimate of zero in one coordinate, but here not in all.
    silent = 1 - p[speaks].sum()
    assert 0.2 < silent < 0.8
    found = p[speaks] * sum(silent**k for k in range(rounds))
    mean = found @ groups[speaks]
    spread = found @ groups[speaks] ** 2 - mean**2
    exact = estimator.exact(truth, 2, 2, 2, rounds=rounds, std=std)
    assert relative_gap(exact.mean, mean) < 1e-12
    assert relative_gap(exact.variance, spread) < 1e-11


def test_means_over_those_found():
    """Of two groups in two rounds: four draws, of which none, one or more speak."""
    mean, one, q = np.array([0.7]), np.array([2.0]), 0.3
    none, single = (1 - q) ** 4, 4 * q * (1 - q) ** 3
    exact = of_those_found(mean, one / 2, 2, 2, q)
    square = (1 - none) * mean**2 + single * one + (1 - none - single) * one / 2
    np.testing.assert_allclose(exact.mean, (1 - none) * mean, rtol=1e-12)
    np.testing.assert_allclose(exact.variance, square - exact.mean**2, rtol=1e-12)


def test_rounds_are_drawn_until_there_are_enough_and_count_as_steps():
    truth, estimator = written("softmax"), find_estimator("dynamic_sampling")
    draws = Draws(2, 8, 4000, 3, 1, group_size=2)
    simulator = Simulator(truth, draws, 0, 4000)
    found = estimator.estimate(simulator, **estimator.bound())
    exact = estimator.exact(truth, 2, 8, 2)
    error = np.sqrt(exact.variance / 4000)
    assert (np.abs(found.mean(axis=0) - exact.mean) <= 4 * error).all()
    once = Simulator(truth, draws, 0, 4000)
    once.batch()
    assert (simulator.steps >= once.steps).all()
    assert 1.5 < simulator.steps.mean() / once.steps.mean() < 10
    # With nothing to draw again for, nothing is.
    spoke = simulator.steps == once.steps
    first = find_estimator("dynamic_sampling").estimate(once, **estimator.bound(rounds=1))
    np.testing.assert_array_equal(found[spoke], first[spoke])


def test_greedy_returns_are_the_baseline_of_remax():
    truth, H = written("softmax"), 2
    tables = make_tables(truth, "remax", H)
    for prompt in np.flatnonzero(truth.mdp.mu0):
        state, total = int(prompt), 0.0
        for _ in range(H):
            if truth.mdp.terminal[state]:
                break
            action = int(truth.pi[state].argmax())
            total += truth.mdp.reward[state, action, 0]
            state = int(truth.mdp.successor[state, action, 0])
        assert tables.beta[prompt, 0] == pytest.approx(total, abs=1e-14)
    np.testing.assert_allclose(make_tables(truth, "remax").beta, tables.beta, atol=1e-14)
