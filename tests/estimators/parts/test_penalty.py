"""Estimators of a penalty's gradient: what each follows, on a tree of sequences and elsewhere."""

import numpy as np
import pytest

from pgbench.estimators import HORIZON, estimators
from pgbench.estimators.parts.penalty import plain_value
from pgbench.exact import evaluate
from pgbench.exact.expectation import expectation
from pgbench.exact.horizon import finite_gradient, truncated_gradient
from pgbench.grid.plan import Prepared
from pgbench.measure.gradients import estimates
from pgbench.measure.subject import make_subject
from pgbench.objectives import make_objective
from pgbench.policies import NotApplicable, Softmax
from pgbench.problems import FiniteMDP
from pgbench.rollout.enumeration import enumerated_batches, trajectories
from pgbench.rollout.simulator import Draws, Simulator
from tests.support.numbers import close, differentiate, relative_gap
from tests.support.samplers import sampled_truth
from tests.support.truths import PENALISED, tiny_truth
from tests.support.variants import (
    HORIZON_ALONE,
    alone,
    batch_variants,
    each,
    record,
    table_variants,
)

STEPS = 2
SCORED = {"in the reward": {"form": "k2", "later": True}, "k1": {"form": "k1"},
          "k2": {"form": "k2"}, "k3": {"form": "k3"}}  # fmt: skip


def tree():
    """Sequences of at most two of three tokens, the last of which ends them; nothing is paid.

    State 0 is the empty prefix, 1 and 2 are the prefixes of one token, 3 is the end.
    """
    P = np.zeros((4, 3, 4))
    P[0, [0, 1, 2], [1, 2, 3]] = 1
    P[1:, :, 3] = 1
    ends = [False, False, False, True]
    return FiniteMDP.from_arrays(P, np.zeros((4, 3)), [1, 0, 0, 0], 1.0, terminal=ends)


@pytest.fixture(scope="module")
def truth():
    """Logits of policy and reference are standard normal, rows of prefixes, from one seed."""
    mdp = tree()
    rng = np.random.default_rng(0)
    theta, reference = (np.append(rng.standard_normal(9), np.zeros(3)) for _ in range(2))
    policy = Referred(4, 3, reference)
    return make_objective("kl", mdp, policy, beta=1.0).truth(theta)


class Referred(Softmax):
    """Tabular softmax whose starting θ is given."""

    def __init__(self, n_states, n_actions, start):
        super().__init__(n_states, n_actions)
        object.__setattr__(self, "start", start)

    def initial(self, seed=0, init="normal", scale=1.0):
        return self.start


def mean(truth, **given):
    """Exact mean of the penalty in the loss."""
    return expectation(truth, estimators()["penalty_in_loss"].make(truth, STEPS, **given), STEPS)


def reference_of(truth):
    return truth.policy.probabilities(truth.policy.start)


def sequences(truth, pi):
    """Probabilities of all whole sequences under π (S, A)."""
    listed = trajectories(truth.process, STEPS)
    return np.array([np.prod(pi.ravel()[pairs]) for _, pairs, _ in listed])


def test_the_errors_of_the_four_forms_on_a_small_tree(truth):
    """Relative to the gradient of the divergence of sequences: 0, 1, 0.40 and 0.55."""
    ref = sequences(truth, reference_of(truth))

    def divergence(theta):
        P = sequences(truth, truth.policy.probabilities(theta))
        return P @ np.log(P / ref)

    g = -differentiate(divergence, truth.theta)
    close(truth.gradient, g, 1e-9)
    found = [np.linalg.norm(mean(truth, **given) - g) for given in SCORED.values()]
    expected = [0.0, 1.0, 0.40241193937062375, 0.5547778831747336]
    np.testing.assert_allclose(found / np.linalg.norm(g), expected, atol=1e-9)


def test_k1_in_the_loss_is_no_penalty_at_all(truth):
    assert (truth.penalty.plain.reward == 0).all()
    assert np.abs(mean(truth, form="k1")).max() < 1e-16
    whole = estimators()["penalty_of_sequence"]
    assert np.abs(whole.exact(truth, STEPS, 1, form="k1").mean).max() < 1e-16
    assert np.abs(enumerated_batches(truth, whole, STEPS, 1, form="k1").mean).max() < 1e-16


@pytest.mark.parametrize("form", ["k2", "k3"])
def test_what_is_followed_at_fixed_prefixes(truth, form):
    """k2 follows KL(π ‖ π_ref) of every prefix, k3 KL(π_ref ‖ π), as often as they are visited."""
    q = reference_of(truth)

    def divergence(theta):
        pi = truth.policy.probabilities(theta)
        own = pi * np.log(pi / q) if form == "k2" else q * np.log(q / pi)
        return truth.visitation @ own.sum(axis=1)

    expected = -differentiate(divergence, truth.theta)
    close(mean(truth, form=form), expected, 1e-9)
    every = {"k2": estimators()["penalty_all_action"].exact(truth, STEPS, 1).mean}
    close(every.get(form, expected), expected, 1e-9)


@pytest.mark.parametrize("form", ["k2", "k3"])
def test_what_whole_sequences_follow(truth, form):
    """The square follows KL(P ‖ P_ref), k3 KL(P_ref ‖ P), of whole sequences."""
    ref = sequences(truth, reference_of(truth))

    def divergence(theta):
        P = sequences(truth, truth.policy.probabilities(theta))
        return P @ np.log(P / ref) if form == "k2" else ref @ np.log(ref / P)

    whole = estimators()["penalty_of_sequence"]
    found = enumerated_batches(truth, whole, STEPS, 1, form=form).mean
    close(found, -differentiate(divergence, truth.theta), 1e-9)


def test_whole_sequences_vary_more_than_steps(truth):
    """All three have the mean of the penalty in the reward, and more and more is averaged out."""
    names = {"penalty_of_sequence": {}, "penalty_all_action": {"later": True}}
    found = {
        name: enumerated_batches(truth, estimators()[name], STEPS, 1, **given)
        for name, given in names.items()
    }
    for listed in found.values():
        close(listed.mean, truth.gradient, 1e-12)
    traces = [listed.variance.sum() for listed in found.values()]
    assert traces[0] > 1.5 * traces[1]


@pytest.mark.parametrize("name", PENALISED)
@pytest.mark.parametrize("kind", ["softmax", "loglinear"])
@pytest.mark.parametrize("problem", ["dense", "ending"])
@pytest.mark.parametrize(
    ("estimator", "given"),
    [
        ("penalty_in_loss", {"form": "k1"}),
        ("penalty_in_loss", {"form": "k2", "baseline": True}),
        ("penalty_in_loss", {"form": "k3"}),
        ("penalty_in_loss", {"form": "k3", "later": True}),
        ("penalty_all_action", {}),
        ("penalty_of_sequence", {"form": "k1"}),
    ],
)
def test_the_bias_is_split_into_its_causes(problem, kind, name, estimator, given):
    truth, steps = tiny_truth(problem, kind, name), 4
    chosen = estimators()[estimator]
    subject = make_subject(Prepared(truth, steps, float(steps)), chosen, given)
    parts = subject.parts(1)
    causes = set(chosen.causes(**given)) - HORIZON
    assert set(parts) == {*causes, "horizon"}
    close(sum(parts.values()), subject.exact(1).mean - truth.gradient, 1e-12)
    cut = evaluate(truth.mdp, truth.policy, truth.theta, steps).gradient
    close(parts["horizon"], cut - truth.gradient, 1e-11)
    assert all(np.linalg.norm(parts[cause]) > 1e-3 * np.linalg.norm(cut) for cause in causes)


UNBIASED = [v for v in table_variants() if v.objective == "J" and v.causes in ((), *HORIZON_ALONE)]
ALONE = [v for v in alone() if v.objective == "J" and record(v).target == "gradient"]


def expected_mean(truth, variant, steps):
    """∇J_β of the truth, or what the declared cause of the horizon leaves of it."""
    if not variant.causes:
        return truth.gradient
    if variant.causes == ("tail",):
        return truncated_gradient(truth, steps)
    return evaluate(truth.mdp, truth.policy, truth.theta, steps).gradient


@pytest.mark.parametrize("name", PENALISED)
@each(UNBIASED)
def test_table_estimators_need_no_word_of_the_penalty(name, variant):
    """What knows of rewards alone estimates the gradient of the objective with it."""
    truth = tiny_truth("ending", "softmax", name)
    steps = None if variant.simulates_its_horizon else 3
    mean = expectation(truth, variant.tables(truth, steps), steps)
    close(mean, expected_mean(truth, variant, 3), 1e-11)
    assert relative_gap(mean, expected_mean(tiny_truth("ending", "softmax"), variant, 3)) > 1e-2


@pytest.mark.parametrize("name", PENALISED)
@each(ALONE)
def test_batch_estimators_need_no_word_of_the_penalty(name, variant):
    truth = tiny_truth("ending", "softmax", name)
    found = enumerated_batches(truth, record(variant), 3, 1, **variant.given)
    close(found.mean, expected_mean(truth, variant, 3), 1e-11)


def test_the_penalty_in_the_reward_is_one_of_the_forms():
    truth = tiny_truth("ending", "softmax", "kl")
    found = estimators()["penalty_in_loss"].make(truth, 3, form="k2", later=True)
    expected = estimators()["reward_to_go"].make(truth, 3)
    close(found.sigma, expected.sigma)
    assert np.abs(found.beta).max() < 1e-15


def test_the_value_without_the_penalty():
    truth = tiny_truth("ending", "softmax", "kl")
    plain = tiny_truth("ending", "softmax")
    close(plain_value(truth), plain.v)
    assert relative_gap(truth.v, plain.v) > 0.1


@pytest.mark.parametrize("name", [n for n, e in estimators().items() if e.penalised])
def test_where_there_is_no_penalty_there_is_nothing_to_differentiate(name):
    truth = tiny_truth("ending", "softmax")
    with pytest.raises(NotApplicable, match="the objective has no penalty"):
        estimates(truth, estimators()[name], {}, Draws(4, 2, 2, 0, 0))


def weighed(truth, path, name, form="k3", later=False, ratio="none", baseline=False):
    """The estimate of one trajectory of another policy, step by step."""
    s, a, paid = path
    penalty, gamma, T = truth.penalty, truth.mdp.gamma, len(s)
    c, ratios, psi = penalty.coefficient, penalty.log_ratio[s, a], truth.policy.scores(truth.theta)
    w = truth.pi[s, a] / truth.process.pi[s, a]
    if name == "penalty_of_sequence":
        whole = sum(gamma**t * ratios[t] for t in range(T))
        own = c * {"k1": 1.0, "k2": whole, "k3": 1 - np.exp(-whole)}[form]
        v = plain_value(truth)[s] if baseline else np.zeros(T)
        to_go = [sum(gamma ** (m - t) * paid[m] for m in range(t, T)) - v[t] for t in range(T)]
        found = sum((gamma**t * to_go[t] - own) * psi[s[t], a[t]] for t in range(T))
        return found * (np.prod(w) if ratio else 1.0)
    if ratio == "none":
        w = np.ones(T)
    divergence = (truth.pi * penalty.log_ratio).sum(axis=1)
    every, total = name == "penalty_all_action", 0.0
    own = np.zeros(T) if every else c * np.array(
        {"k1": np.ones(T), "k2": ratios, "k3": 1 - np.exp(-ratios)}[form])  # fmt: skip
    lost = c * divergence[s] if every else c * ratios
    v = truth.v + c * divergence if every and later else truth.v if later else plain_value(truth)
    for t in range(T):
        x = w[t] * (paid[t] - own[t] - (v[s[t]] if baseline else 0.0))
        for m in range(t + 1, T):
            step = paid[m] - (lost[m] if later else 0.0)
            x += gamma ** (m - t) * np.prod(w[t : m + 1]) * step
        led = gamma**t * (np.prod(w[:t]) if ratio == "prefix" else 1.0)
        total = total + led * x * psi[s[t], a[t]]
        if every:
            table = truth.pi[s[t]] * penalty.log_ratio[s[t]]
            total = total - led * c * table @ psi[s[t]]
    return total


RATIOS = [v for v in (*table_variants(), *batch_variants()) if v.name.startswith("penalty_")]


@pytest.mark.parametrize("sampler", ["temperature", "mixture", "stale"])
@pytest.mark.parametrize("problem", ["dense", "ending"])
@each(RATIOS)
def test_ratios_to_a_sampler_step_by_step(problem, sampler, variant):
    """Mean and, where it is known, variance of one trajectory, all trajectories written out."""
    truth, estimator = sampled_truth(problem, "softmax", sampler, "kl"), estimators()[variant.name]
    chance, found = [], []
    for p, pairs, slots in trajectories(truth.process, 2):
        s, a = np.divmod(np.array(pairs), truth.mdp.n_actions)
        path = s, a, truth.penalty.plain.reward.ravel()[slots]
        chance.append(p)
        found.append(weighed(truth, path, variant.name, **estimator.bound(**variant.given)))
    mean = np.array(chance) @ np.array(found)
    spread = np.array(chance) @ (np.array(found) - mean) ** 2
    exact = make_subject(Prepared(truth, 2, 2.0), estimator, variant.given).exact(1)
    if exact.mean is not None:
        close(exact.mean, mean)
    if exact.variance is not None:
        close(exact.variance, spread)
    assert (exact.variance is None) == (variant.name == "penalty_of_sequence")
    causes = {*estimator.causes(**variant.given), *estimator.causes_elsewhere(**variant.given)}
    assert (causes <= HORIZON) == (relative_gap(mean, finite_gradient(truth, 2)) < 1e-10)


@pytest.mark.parametrize("sampler", ["temperature", "mixture"])
def test_estimates_of_batch_estimators_with_ratios(sampler):
    truth = sampled_truth("ending", "softmax", sampler, "kl")
    draws = Draws(3, 1, 20, 3, 4)
    batch = Simulator(truth, draws, 0, 20).batch()
    plain = batch.rewards + batch.at(truth.penalty.table)
    for variant in [v for v in RATIOS if v.name != "penalty_in_loss"]:
        values = estimators()[variant.name].bound(**variant.given)
        found = estimates(truth, estimators()[variant.name], values, draws)[0]
        for r in range(20):
            T = batch.lengths[r, 0]
            path = batch.states[r, 0, :T], batch.actions[r, 0, :T], plain[r, 0, :T]
            close(found[r], weighed(truth, path, variant.name, **values))
