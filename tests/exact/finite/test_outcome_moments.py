"""Exact moments of outcome estimators against all batches of responses that there are."""

from functools import cache

import numpy as np
import pytest

from pgbench.exact import Size, TooLarge, evaluate
from pgbench.exact.finite.outcome_moments import chance_of_keeping, outcome_moments
from pgbench.exact.finite.tallies import Looks
from pgbench.exact.table_moments import SUMS_LIMIT
from pgbench.process.process import Process
from pgbench.rollout.simulator import Draws, Simulator
from tests.support.numbers import close
from tests.support.problems import TINY
from tests.support.responses import (
    BATCHES,
    CASES,
    KEY,
    LENGTHS,
    SAID,
    centred,
    left_out,
    listed_moments,
    per_token,
    said,
    scaled,
    token_mean,
    tokens,
)
from tests.support.truths import KINDS, make_kind

SEQUENCES = {
    "prompts": tokens(),
    "merged": tokens(length=3, vocabulary=1, merged=True),
    "cost": tokens(cost=0.1),
}

EVERY = {**CASES, "said": SAID, **BATCHES}

kinds = pytest.mark.parametrize("kind", KINDS)


@cache
def truth_of(problem, kind):
    mdp = SEQUENCES[problem] if problem in SEQUENCES else TINY[problem][0]()
    policy = make_kind(kind, mdp)
    return evaluate(mdp, policy, policy.initial(seed=3))


def agree(truth, horizon, case, group_size, batch_size, listing=None, **given):
    """Mean and variance are those of the list, of these weights or of others."""
    sizes = {"group_size": group_size, "batch_size": batch_size}
    exact = outcome_moments(truth, horizon, case.weights, case.looks, **sizes, **given)
    mean, variance = listed_moments(truth, horizon, listing or case.weights, **sizes, **given)
    close(exact.mean, mean)
    np.testing.assert_allclose(
        exact.variance, variance, rtol=0, atol=1e-12 * (variance + mean**2).max()
    )


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("problem", SEQUENCES)
@kinds
def test_groups(problem, kind, name):
    agree(truth_of(problem, kind), 5, EVERY[name], 3, 3)


@pytest.mark.parametrize("name", EVERY)
def test_responses_without_groups(name):
    agree(truth_of("prompts", "softmax"), 5, EVERY[name], None, 2)


@pytest.mark.parametrize("name", ["centred", *BATCHES])
@pytest.mark.parametrize("kind", ["softmax", "loglinear"])
def test_batches_of_two_groups(kind, name):
    agree(truth_of("cost", kind), 5, EVERY[name], 2, 4)


@pytest.mark.parametrize("name", BATCHES)
def test_batches_of_three_groups(name):
    mdp = tokens(length=1, vocabulary=1, cost=0.1)
    policy = make_kind("softmax", mdp)
    agree(evaluate(mdp, policy, policy.initial(seed=3)), 1, EVERY[name], 2, 6)


@pytest.mark.parametrize("name", ["scaled", "per token", "token mean", "centred by sums"])
@pytest.mark.parametrize(
    ("problem", "horizon"), [("dense", 2), ("coins", 2), ("ending", 2), ("fewer", 2)]
)
@kinds
def test_random_rewards_and_cycles_that_the_horizon_cuts(problem, horizon, kind, name):
    agree(truth_of(problem, kind), horizon, CASES[name], 2, 2)


@pytest.mark.parametrize("name", ["uncut", "said"])
@pytest.mark.parametrize("kind", ["softmax", "loglinear"])
def test_horizon_within_the_limit(kind, name):
    """What the horizon cuts is truncated, and nothing is said of it."""
    agree(truth_of("prompts", kind), 1, EVERY[name], 3, 3)


def warm(truth):
    """The problem under another law of actions, and the ratios of the policy to it."""
    pi = truth.pi**0.6
    pi /= pi.sum(axis=1, keepdims=True)
    return Process(truth.mdp, pi), truth.pi / np.where(pi > 0, pi, 1.0)


def by_sign(responses, w):
    return (w < 0).astype(int)


@pytest.mark.parametrize("problem", ["prompts", "dense"])
@pytest.mark.parametrize("kind", ["softmax", "loglinear"])
@pytest.mark.parametrize("name", ["scaled", "token mean"])
def test_other_samplers_and_factors_of_tokens(problem, kind, name):
    truth = truth_of(problem, kind)
    process, ratio = warm(truth)
    clipped = np.stack([np.minimum(ratio, 1.1), np.maximum(ratio, 0.9)])
    agree(truth, 2, CASES[name], 2, 2, process=process)
    agree(truth, 2, CASES[name], 2, 2, process=process, factor=ratio)
    agree(truth, 2, CASES[name], 2, 2, process=process, factor=clipped, channel=by_sign)


@pytest.mark.parametrize("name", BATCHES)
def test_factors_by_the_sign_of_a_weight_of_the_batch(name):
    truth = truth_of("prompts", "loglinear")
    process, ratio = warm(truth)
    clipped = np.stack([np.minimum(ratio, 1.1), np.maximum(ratio, 0.9)])
    agree(truth, 5, BATCHES[name], 2, 4, process=process, factor=clipped, channel=by_sign)


def signal(responses):
    return np.ptp(responses.returns, axis=-1) > 0.5


@pytest.mark.parametrize(
    ("name", "G", "n"),
    [("scaled", 3, 3), ("token mean", 3, 3), *((name, 2, 4) for name in BATCHES)],
)
def test_groups_without_signal_are_drawn_again(name, G, n):
    agree(truth_of("prompts", "softmax"), 5, EVERY[name], G, n, keep=signal)


def test_chance_of_keeping_a_group():
    truth = truth_of("prompts", "softmax")
    p, mu = truth.v[truth.mdp.mu0 > 0], truth.mdp.mu0[truth.mdp.mu0 > 0]
    expected = mu @ (1 - p**4 - (1 - p) ** 4)
    found = chance_of_keeping(truth.process, 5, signal, KEY, group_size=4, batch_size=8)
    assert found == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("G", [2, 8])
@pytest.mark.parametrize("kind", ["softmax", "loglinear"])
def test_mean_centring_keeps_its_share_of_the_gradient(kind, G):
    truth = truth_of("merged", kind)
    for weights, share in (centred, 1 - 1 / G), (left_out, 1):
        mean, _ = outcome_moments(truth, 3, weights, KEY, group_size=G, batch_size=4 * G)
        close(mean, share * truth.gradient)


def test_groups_of_more_prompts_share_the_variance():
    truth = truth_of("prompts", "softmax")
    one, four = (
        outcome_moments(truth, 5, scaled, KEY, group_size=4, batch_size=n) for n in (4, 16)
    )
    close(four.mean, one.mean)
    close(four.variance, one.variance / 4)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("centred", lambda r: 1.001 * centred(r)),
        ("left out", centred),
        ("per token", lambda r: per_token(r) * r.lengths / r.lengths.mean(-1, keepdims=True)),
        ("token mean", per_token),
        ("uncut", centred),
        ("batch token mean", token_mean),
        ("batch standardised", scaled),
    ],
)
def test_other_weights_are_seen(name, wrong):
    with pytest.raises(AssertionError):
        agree(truth_of("prompts", "softmax"), 5, EVERY[name], 2, 4, listing=wrong)


@pytest.mark.parametrize(
    ("weights", "looks"),
    [
        (token_mean, KEY),
        (centred, Looks(sums=("lengths",))),
        (said, KEY),
        (lambda r: centred(r) * r.truncated.any(-1, keepdims=True), KEY),
        (lambda r: centred(r) * (r.lengths > 1).any(-1, keepdims=True), KEY),
    ],
    ids=["lengths", "returns", "outcomes", "truncated", "compared"],
)
def test_looking_at_more_than_declared_is_an_error(weights, looks):
    with pytest.raises(ValueError, match="more of other responses than is declared"):
        outcome_moments(
            truth_of("prompts", "softmax"), 5, weights, looks, group_size=2, batch_size=2
        )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"batch_size": 5}, "batch_size is 5, must be a positive multiple of group_size"),
        ({"keep": lambda r: r.returns[..., 0] > 2}, "no group is kept"),
        ({"factor": np.ones((2, *truth_of("merged", "softmax").pi.shape))}, "one of 2 factors"),
        ({"factor": np.ones((2, 3))}, r"factor has \(S, A\) = \(2, 3\), must be"),
        ({"process": truth_of("dense", "softmax").process}, r"process.pi has .* as the policy"),
        ({"weights": lambda r: 0 * r.returns / 0.0}, "weights hold nan, must be finite"),
    ],
)
def test_what_makes_no_sense_is_an_error(given, words):
    sizes = {"weights": centred, "looks": KEY, "group_size": 2, "batch_size": 4, **given}
    with pytest.raises(ValueError, match=words):
        outcome_moments(truth_of("merged", "softmax"), 3, **sizes)


@pytest.mark.parametrize(
    ("problem", "horizon", "case", "G", "limit"),
    [
        ("dense", 12, CASES["scaled"], 2, Size(1e6, 1e12)),
        ("cost", 5, CASES["scaled"], 60, Size(1e8, 1e8)),
        ("prompts", 5, BATCHES["batch token mean"], 40, Size(1e8, 1e7)),
    ],
    ids=["nodes", "tallies", "weights"],
)
def test_too_large_is_refused(problem, horizon, case, G, limit):
    with pytest.raises(TooLarge):
        outcome_moments(
            truth_of(problem, "softmax"), horizon, case.weights, case.looks,
            group_size=G, batch_size=2 * G, limit=limit,
        )  # fmt: skip


def test_a_mean_is_known_where_pairs_are_too_many(monkeypatch):
    truth, case = truth_of("prompts", "softmax"), BATCHES["batch token mean"]
    given = truth, 5, case.weights, case.looks
    whole = outcome_moments(*given, group_size=4, batch_size=8)
    assert whole.variance is not None
    few = "pgbench.exact.finite.outcome_moments.pairs_size"
    monkeypatch.setattr(few, lambda E, others: Size(0.0, 1e99))
    alone = outcome_moments(*given, group_size=4, batch_size=8)
    np.testing.assert_array_equal(alone.mean, whole.mean)
    assert alone.variance is None


def test_totals_and_keys_give_the_same():
    """Weights that see totals agree with those that see every length as a key."""
    truth = truth_of("cost", "loglinear")
    sizes = {"group_size": 6, "batch_size": 6}
    totals = outcome_moments(truth, 5, token_mean, LENGTHS, **sizes)
    apart = outcome_moments(truth, 5, token_mean, Looks(key=("returns", "lengths")), **sizes)
    close(totals.mean, apart.mean)
    close(totals.variance, apart.variance)


def sampled(truth, weights, replicates):
    """Estimates (m, d) from sampled batches of two groups of eight; there is one prompt."""
    simulator = Simulator(truth, Draws(4, 16, replicates, 0, 0), 0, replicates)
    batch = simulator.batch()
    w = weights(batch.responses(8, 4)).reshape(replicates, 16, 1)
    return 16 * simulator.pull_back(batch.tables(w))


@pytest.mark.parametrize("name", ["scaled", "length weighted", "batch token mean"])
def test_sampled_batches_have_these_moments(name):
    """Within 4.5 standard errors, which half of the responses in a group fail."""
    mdp = tokens(length=4, starts=(1,), merged=True)
    policy = make_kind("loglinear", mdp)
    truth = evaluate(mdp, policy, policy.initial(seed=3))
    weights, looks = EVERY[name]
    g = sampled(truth, weights, 4000)
    z = {}
    for G in (4, 8):
        sizes = {"group_size": G, "batch_size": 2 * G}
        exact = outcome_moments(truth, 4, weights, looks, **sizes, limit=SUMS_LIMIT)
        noise = np.sqrt(exact.variance / len(g))
        z[G] = [np.abs(g.mean(axis=0) - exact.mean) / noise]
        ratios = (g - exact.mean) ** 2 / exact.variance
        z[G].append(np.abs(ratios.mean(axis=0) - 1) * np.sqrt(len(g)) / ratios.std(axis=0))
    assert np.max(z[8]) < 4.5
    assert np.max(z[4]) > 9


def test_actions_that_are_never_taken():
    """On the boundary of the simplex scores have a mean, and responses of chance 0 no class."""
    mdp = tokens(cost=0.1)
    policy = make_kind("direct", mdp)
    table = policy.initial(seed=3).reshape(policy.shape)
    table[0], table[2] = [0, 0.4, 0.6], [1, 0, 0]
    truth = evaluate(mdp, policy, table.ravel())
    agree(truth, 2, CASES["scaled"], 3, 3)
    agree(truth, 2, BATCHES["batch standardised"], 2, 4)
