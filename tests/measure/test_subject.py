"""Estimators ready to be measured: exact moments, and the bias split into its causes."""

from dataclasses import replace

import numpy as np
import pytest

from pgbench.estimators import Exact, estimators, find_estimator
from pgbench.estimators.parts.estimator import finite_gradient
from pgbench.exact import evaluate
from pgbench.exact.expectation import expectation
from pgbench.exact.table_moments import TooLarge
from pgbench.grid.plan import Prepared
from pgbench.measure.subject import make_subject
from pgbench.policies import NotApplicable, make_policy
from pgbench.problems import make_problem
from pgbench.rollout.enumeration import Enumerator
from tests.support.numbers import close
from tests.support.truths import TWO_KINDS, tiny_truth

H = 15


@pytest.fixture(scope="module")
def prepared():
    mdp = make_problem("garnet", n_states=5, gamma=0.9, seed=2)
    policy = make_policy("softmax", mdp)
    return Prepared(evaluate(mdp, policy, policy.initial(seed=4)), H, float(H))


def subject(prepared, name, **values):
    return make_subject(prepared, find_estimator(name), values)


SPLIT = {
    "gae": {"lam": 0.7, "critic_noise": 0.5, "discounted": False},
    "td": {"critic_noise": 0.5},
    "reward_to_go": {"discounted": False},
    "group_mean": {},
    "rloo": {},
}


@pytest.mark.parametrize("name", SPLIT)
def test_parts_add_up_to_the_bias(prepared, name):
    made = subject(prepared, name, **SPLIT[name])
    parts = made.parts(4)
    assert set(parts) == {c for c in made.estimator.causes(**SPLIT[name]) if c != "tail"} - {
        "truncation"
    } | {"horizon"}
    np.testing.assert_allclose(sum(parts.values()), made.exact(4).mean - made.target, atol=1e-13)


def test_each_part_is_what_its_removal_changes(prepared):
    truth = prepared.truth
    given = {"lam": 0.7, "critic_noise": 0.5}
    parts = subject(prepared, "gae", **given, discounted=False).parts(1)

    def mean(**values):
        return expectation(truth, find_estimator("gae").make(truth, lam=0.7, **values), H)

    right = mean(discounted=False)
    noisy = mean(critic_noise=0.5, discounted=False)
    np.testing.assert_allclose(parts["critic"], noisy - right, atol=1e-13)
    np.testing.assert_allclose(parts["discount"], right - mean(), atol=1e-13)
    np.testing.assert_allclose(parts["horizon"], mean() - truth.gradient, atol=1e-13)
    assert all(np.linalg.norm(part) > 1e-3 for part in parts.values())


@pytest.mark.parametrize("n", [1, 2, 10])
def test_the_batch_mean_costs_one_nth_of_the_gradient(prepared, n):
    """Bias of exactly -∇J_H/n beside that of the horizon."""
    parts = subject(prepared, "group_mean").parts(n)
    g = finite_gradient(prepared.truth, H)
    np.testing.assert_allclose(parts["batch"], -g / n, atol=1e-13)
    np.testing.assert_allclose(parts["horizon"], g - prepared.truth.gradient, atol=1e-13)


def test_a_batch_too_small_is_refused(prepared):
    assert "rloo needs at least 2" in subject(prepared, "rloo").refuses(1)
    assert subject(prepared, "rloo").refuses(2) == ""
    assert subject(prepared, "reinforce").refuses(1) == ""


@pytest.mark.parametrize("name", ["reward_to_go", "rloo"])
def test_a_larger_batch_costs_more(prepared, name):
    cost = subject(prepared, name).cost
    assert cost.seconds(1000) > cost.seconds(10) > 0


class OfThreeSteps:
    """What a subject needs of a setting."""

    def __init__(self, truth):
        self.truth, self.horizon, self.group_size = truth, 3, None


def failing(error):
    def moments(truth, horizon, batch_size):
        raise error

    return replace(estimators()["rloo"], moments=moments)


@pytest.mark.parametrize("problem", ["ending"])
@pytest.mark.parametrize("kind", ["softmax"])
def test_refusals_come_before_anything_is_drawn(truth):
    with pytest.raises(NotApplicable, match="no sense"):
        make_subject(OfThreeSteps(truth), failing(NotApplicable("no sense")), {})


@pytest.mark.parametrize("problem", ["ending"])
@pytest.mark.parametrize("kind", ["softmax"])
def test_what_is_too_large_is_not_known_but_the_declared_mean_is(truth):
    subject = make_subject(OfThreeSteps(truth), failing(TooLarge("too large")), {})
    found, known = subject.exact(4), estimators()["rloo"].exact(truth, 3, 4)
    assert isinstance(found, Exact)
    assert found.variance is None
    close(found.mean, known.mean, 1e-12)


IN_GROUPS = {
    "reinforce": lambda b, v: b.returns[:, :, None],
    "reward_to_go": lambda b, v: b.discounts() * b.to_go,
    "gae": lambda b, v: b.discounts() * b.backward(b.td_errors(v), b.process.mdp.gamma * 0.95),
}
"""Weights of every step, as functions of a batch and V."""

GIVEN = {"gae": {"lam": 0.95}}


@pytest.mark.parametrize("kind", TWO_KINDS)
@pytest.mark.parametrize("name", IN_GROUPS)
@pytest.mark.parametrize(("H", "n"), [(2, 2), (1, 4)], ids=["one group", "one step"])
def test_moments_in_groups_are_those_over_all_batches(kind, name, H, n):
    truth = tiny_truth("ending", kind)
    simulator = Enumerator(truth, H, n, 2)
    batch = simulator.batch()
    g = simulator.pull_back(batch.tables(IN_GROUPS[name](batch, truth.v)))
    mean = simulator.probability @ g
    assert simulator.probability.sum() == pytest.approx(1, abs=1e-12)
    made = make_subject(Prepared(truth, H, float(H), 2), find_estimator(name), GIVEN.get(name, {}))
    exact, apart = made.exact(n), replace(made, prepared=Prepared(truth, H, float(H))).exact(n)
    np.testing.assert_allclose(exact.mean, mean, rtol=1e-12, atol=1e-15)
    spread = simulator.probability @ (g - mean) ** 2
    np.testing.assert_allclose(exact.variance, spread, rtol=1e-11)
    assert (np.abs(apart.variance - spread) > 1e-3 * spread.max()).any()
    u = made.target / np.linalg.norm(made.target)
    along = simulator.probability @ ((g - mean) @ u) ** 2
    assert made.signal_variance(n) == pytest.approx(along, rel=1e-11)


def test_what_trajectories_of_a_group_share_may_be_unknown():
    mdp = make_problem("lqg", A=0.9, B=1.2)
    policy = make_policy("gaussian", mdp)
    truth = evaluate(mdp, policy, policy.initial(seed=0))
    made = make_subject(Prepared(truth, 5, 5.0, 2), find_estimator("reinforce"), {})
    assert made.exact(4).variance is None
    assert made.exact_note(4) == "what trajectories of a group share is not known exactly"
    assert np.isnan(made.signal_variance(4))
    one = replace(mdp, start_covariance=np.zeros((1, 1)), start_mean=np.ones(1))
    truth = evaluate(one, policy, policy.initial(seed=0))
    made = make_subject(Prepared(truth, 5, 5.0, 2), find_estimator("reinforce"), {})
    assert made.exact(4).variance is not None


def test_what_draws_its_own_trajectories_takes_no_groups(prepared):
    grouped = replace(prepared, group_size=2)
    with pytest.raises(NotApplicable, match="antithetic takes no groups: it drives its rollouts"):
        subject(grouped, "antithetic")
    assert subject(prepared, "antithetic").refuses(4) == ""


def test_in_groups_moments_of_independent_trajectories_are_not_taken(prepared):
    grouped = replace(prepared, group_size=2)
    assert subject(prepared, "all_action").exact(4).variance is not None
    assert subject(grouped, "all_action").exact(4).variance is None
    means = [subject(p, "all_action").exact(4).mean for p in (grouped, prepared)]
    np.testing.assert_allclose(*means, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", ["rloo", "grpo", "importance_ratio"])
def test_groups_of_one_are_too_small_at_any_batch_size(name):
    mdp = make_problem("sequences", vocabulary=2, length=3, prompts=2, prompt_length=1)
    policy = make_policy("softmax", mdp)
    truth = evaluate(mdp, policy, policy.initial(seed=0))
    with pytest.raises(NotApplicable, match=f"the group size is 1, {name} needs at least 2"):
        make_subject(Prepared(truth, 3, 3.0, 1), find_estimator(name), {})


@pytest.mark.parametrize("name", ["penalty_in_loss", "penalty_of_sequence", "penalty_all_action"])
@pytest.mark.parametrize("group_size", [None, 2])
def test_without_a_penalty_its_estimators_are_refused_alone(name, group_size):
    mdp = make_problem("sequences", vocabulary=2, length=2)
    policy = make_policy("softmax", mdp)
    truth = evaluate(mdp, policy, policy.initial(seed=0))
    with pytest.raises(NotApplicable, match="the objective has no penalty"):
        make_subject(Prepared(truth, 2, 2.0, group_size), find_estimator(name), {})


def test_why_there_is_no_exact_variance_is_said_at_each_batch_size():
    """Token means of a batch look at the lengths of all groups: of many they are too many."""
    mdp = make_problem("sequences", vocabulary=2, length=8, prompts=3, prompt_length=1)
    policy = make_policy("softmax", mdp)
    truth = evaluate(mdp, policy, policy.initial(seed=0))
    made = make_subject(Prepared(truth, 8, 8.0, 8), find_estimator("dapo"), {})
    assert made.exact(8).variance is not None
    assert made.exact_note(8) == ""
    assert made.exact(32).mean is not None
    assert made.exact(32).variance is None
    assert "too large a computation" in made.exact_note(32)
