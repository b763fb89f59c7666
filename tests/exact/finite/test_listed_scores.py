"""Responses one by one: their list against plain enumeration, their sums against those by nodes."""

from collections import Counter
from functools import cache

import numpy as np
import pytest

from pgbench.exact import Size, TooLarge, evaluate
from pgbench.exact.finite.listed_scores import listed, listed_scores, number
from pgbench.exact.finite.outcome_moments import outcome_moments
from pgbench.exact.finite.response_scores import ResponseScores
from pgbench.exact.finite.responses import unrolled
from pgbench.rollout.enumeration import count_trajectories, trajectories
from tests.support.numbers import close
from tests.support.problems import TINY
from tests.support.responses import KEY, centred, tokens
from tests.support.truths import KINDS, make_kind

WAYS = pytest.mark.parametrize("grouped", [True, False])
PROBLEMS = pytest.mark.parametrize("problem", ["prompts", "merged", "dense", "coins", "fewer"])


@cache
def truth_of(problem, kind="softmax"):
    own = {"prompts": tokens, "merged": lambda: tokens(length=3, vocabulary=1, merged=True)}
    mdp = own[problem]() if problem in own else TINY[problem][0]()
    policy = make_kind(kind, mdp)
    return evaluate(mdp, policy, policy.initial(seed=3))


def paths_of(truth, grouped, horizon=3):
    return unrolled(truth.process, horizon, grouped)


@PROBLEMS
@WAYS
def test_every_trajectory_is_there_once(problem, grouped):
    truth = truth_of(problem)
    paths = paths_of(truth, grouped)
    every, A = listed(paths, truth.pi), truth.mdp.n_actions
    assert number(paths) == len(every.probability) <= count_trajectories(truth.process, 3)
    assert every.states.shape == every.actions.shape == every.taken.shape
    chance = every.probability * (paths.mu[every.start] if grouped else 1.0)
    found, expected = Counter(), Counter()
    for p, s, a, taken in zip(chance, every.states, every.actions, every.taken, strict=True):
        found[tuple((s * A + a)[taken])] += p
    for p, pairs, _ in trajectories(truth.process, 3):
        expected[tuple(pairs)] += p
    expected = {pairs: p for pairs, p in expected.items() if p > 0}
    assert found.keys() == expected.keys()
    close([found[pairs] for pairs in expected], list(expected.values()))
    # Each is in the class of its length, and classes are as likely as their responses.
    np.testing.assert_array_equal(every.taken.sum(axis=1), paths.classes.lengths[every.ends])
    total = np.zeros(paths.size)
    np.add.at(total, (every.start, every.ends), every.probability)
    close(total, paths.probability)


@PROBLEMS
@WAYS
@pytest.mark.parametrize("kind", KINDS)
def test_sums_are_those_by_nodes(problem, grouped, kind):
    """With two factors of tokens that look at the token alone."""
    truth, rng = truth_of(problem, kind), np.random.default_rng(4)
    paths, factors = paths_of(truth, grouped), rng.standard_normal((2, *truth.pi.shape))
    nodes = ResponseScores(truth, paths, truth.pi, factors)
    one_by_one = listed_scores(
        truth, paths, truth.pi, lambda every: factors[:, every.states, every.actions]
    )
    assert nodes.n_factors == one_by_one.n_factors == 2
    f, scale = rng.standard_normal((*paths.size, 2, 3)), rng.standard_normal((paths.size[0], 3))
    close(one_by_one.mean(f), nodes.mean(f))
    close(one_by_one.squares(f, scale), nodes.squares(f, scale))
    close(one_by_one.second(f[..., 0]), nodes.second(f[..., 0]))


def test_columns_of_scores_at_a_time_change_nothing(monkeypatch):
    truth = truth_of("prompts")
    paths = paths_of(truth, True)

    def sums():
        return listed_scores(truth, paths, truth.pi, lambda every: 1.0 + every.actions[None])

    whole = sums()
    monkeypatch.setattr("pgbench.exact.finite.listed_scores.COLUMN_NUMBERS", 200)
    parts = sums()
    np.testing.assert_array_equal(parts.gradients, whole.gradients)
    np.testing.assert_array_equal(parts.squared, whole.squared)


def test_too_many_are_refused_before_they_are_listed():
    """2^40 responses that meet in 80 states."""
    mdp = tokens(length=40, vocabulary=2, merged=True)
    policy = make_kind("softmax", mdp)
    truth = evaluate(mdp, policy, policy.initial(seed=3))
    paths = paths_of(truth, True, 40)
    assert number(paths) == 2 * (2**41 - 1)
    with pytest.raises(TooLarge, match="too large for exact moments"):
        listed(paths, truth.pi)
    small = paths_of(truth_of("prompts"), True)
    with pytest.raises(TooLarge):
        listed_scores(truth_of("prompts"), small, truth_of("prompts").pi,
                      lambda every: np.ones((1, *every.taken.shape)), Size(1e3, 1e3))  # fmt: skip


def test_two_factors_need_somebody_to_choose():
    truth = truth_of("prompts")
    with pytest.raises(ValueError, match="a token has one of 2 factors, so channel must say"):
        outcome_moments(
            truth, 3, centred, KEY, group_size=2, batch_size=2,
            tokens=lambda every: np.ones((2, *every.taken.shape)),
        )  # fmt: skip
