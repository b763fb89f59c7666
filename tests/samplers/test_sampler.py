"""Every sampler: its table, the limits in which it is the policy, and what it leaves out."""

import numpy as np
import pytest

from pgbench.declared.parameters import ParameterError
from pgbench.exact import evaluate
from pgbench.policies import NotApplicable, make_policy
from pgbench.problems import FiniteMDP, make_problem
from pgbench.samplers import sampled, samplers
from tests.support.samplers import SAMPLERS, WHOLE, sampled_truth
from tests.support.truths import tiny_truth

ITSELF = [
    (name, {**sampler.identity} or {"top_k": {"k": 3}}.get(name, {}))
    for name, sampler in samplers().items()
]
"""Parameters with which every sampler is the policy itself."""


def of(rows, sampler, **given):
    """The table of a sampler where a direct policy has these rows."""
    rows = np.array(rows, float)
    S, A = rows.shape
    mdp = FiniteMDP.from_arrays(np.full((S, A, S), 1 / S), np.zeros((S, A)), np.ones(S) / S, 0.5)
    truth = evaluate(mdp, make_policy("direct", mdp), rows.ravel())
    return sampled(truth, sampler, **given).process.pi


def test_every_sampler_is_tried():
    assert {*SAMPLERS, "on_policy"} == set(samplers())
    assert [name for name, given in ITSELF if not given] == ["on_policy"]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_tables_are_distributions_over_what_a_state_has(problem, kind, sampler):
    truth, own = sampled_truth(problem, kind, sampler), tiny_truth(problem, kind)
    table = truth.process.pi
    assert table.shape == own.pi.shape
    np.testing.assert_allclose(table.sum(axis=1), 1, atol=1e-12)
    assert (table >= 0).all()
    assert (table[~own.mdp.choices] == 0).all()
    assert np.abs(table - truth.pi).max() > 1e-3


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_what_is_estimated_is_that_of_the_policy_that_learns(problem, sampler):
    truth, own = sampled_truth(problem, "softmax", sampler), tiny_truth(problem, "softmax")
    learner = evaluate(own.mdp, own.policy, truth.theta)
    assert truth.objective == learner.objective
    np.testing.assert_array_equal(truth.gradient, learner.gradient)
    assert truth.on_policy.process.pi is truth.pi
    assert (sampler == "stale") == (not np.array_equal(truth.theta, own.theta))


@pytest.mark.parametrize(("sampler", "given"), ITSELF)
def test_in_the_limit_a_sampler_is_the_policy(problem, kind, sampler, given):
    own = tiny_truth(problem, kind)
    truth = sampled(own, sampler, **given)
    np.testing.assert_allclose(truth.process.pi, own.pi, rtol=1e-12, atol=1e-15)
    assert truth.kept_mass == 1


def test_what_draws_the_policy_itself_changes_nothing():
    own = tiny_truth("dense", "softmax")
    assert sampled(own, "on_policy") is own
    assert own.behaviour is None
    assert sampled(sampled_truth("dense", "softmax", "mixture"), "on_policy").behaviour is None


@pytest.mark.parametrize(
    ("sampler", "given", "table"),
    [
        ("temperature", {"value": 0.5}, [[4 / 6, 1 / 6, 1 / 6], [0, 0.5, 0.5]]),
        ("top_k", {"k": 1}, [[1, 0, 0], [0, 1, 0]]),
        ("top_k", {"k": 2}, [[2 / 3, 1 / 3, 0], [0, 0.5, 0.5]]),
        ("top_p", {"p": 0}, [[1, 0, 0], [0, 1, 0]]),
        ("top_p", {"p": 0.5}, [[1, 0, 0], [0, 1, 0]]),
        ("top_p", {"p": 0.6}, [[2 / 3, 1 / 3, 0], [0, 0.5, 0.5]]),
        ("top_p", {"p": 0.75}, [[2 / 3, 1 / 3, 0], [0, 0.5, 0.5]]),
        ("floor", {"epsilon": 0.5}, [[1 / 3, 1 / 3, 1 / 3], [1 / 3, 1 / 3, 1 / 3]]),
        ("floor", {"epsilon": 0.25}, [[0.5, 0.25, 0.25], [0.2, 0.4, 0.4]]),
        ("mixture", {"weight": 1}, [[1 / 3, 1 / 3, 1 / 3], [1 / 3, 1 / 3, 1 / 3]]),
        ("mixture", {"weight": 0.3}, [[0.45, 0.275, 0.275], [0.1, 0.45, 0.45]]),
    ],
)
def test_tables_by_hand(sampler, given, table):
    """Of equally likely actions the first is kept; what is never taken stays so, but by a floor."""
    rows = [[0.5, 0.25, 0.25], [0, 0.5, 0.5]]
    np.testing.assert_allclose(of(rows, sampler, **given), table, atol=1e-14)


def test_a_temperature_near_zero_is_greedy_and_a_high_one_uniform():
    rows = [[0.5, 0.3, 0.2]]
    np.testing.assert_allclose(of(rows, "temperature", value=1e-3), [[1, 0, 0]], atol=1e-14)
    np.testing.assert_allclose(of(rows, "temperature", value=1e9), [[1 / 3] * 3], atol=1e-8)


def test_noise_of_logits_is_fixed_by_its_seed():
    rows = [[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]]
    xi = np.random.default_rng(4).standard_normal((2, 3))
    expected = np.array(rows) * np.exp(0.2 * xi)
    table = of(rows, "logit_noise", scale=0.2, seed=4)
    np.testing.assert_allclose(table, expected / expected.sum(axis=1, keepdims=True), rtol=1e-13)
    assert np.abs(table - of(rows, "logit_noise", scale=0.2, seed=5)).max() > 1e-3


def test_other_parameters_are_those_of_the_policy_moved():
    own = tiny_truth("dense", "loglinear")
    moved = own.theta + 0.3 * np.random.default_rng(2).standard_normal(own.theta.size)
    table = sampled(own, "theta", scale=0.3, seed=2).process.pi
    np.testing.assert_array_equal(table, own.policy.probabilities(moved))


@pytest.mark.parametrize("natural", [False, True])
def test_stale_data_are_those_of_the_policy_before_its_updates(natural):
    own = tiny_truth("dense", "softmax")
    truth = sampled(own, "stale", updates=2, step=0.2, natural=natural)
    np.testing.assert_array_equal(truth.process.pi, own.pi)
    theta = own.theta
    for _ in range(2):
        at = evaluate(own.mdp, own.policy, theta)
        theta = theta + 0.2 * (at.natural_gradient() if natural else at.gradient)
    np.testing.assert_allclose(truth.theta, theta, rtol=1e-12)
    assert truth.objective > own.objective


def test_support_that_is_lost_is_told_with_its_mass():
    """In a state that is visited; where nobody comes nothing is lost."""
    mdp = make_problem("bandit", n_actions=3)
    policy = make_policy("direct", mdp)
    theta = np.tile([0.5, 0.3, 0.2], mdp.n_states)
    truth = evaluate(mdp, policy, theta)
    assert sampled(truth, "top_k", k=2).kept_mass == pytest.approx(0.8)
    assert sampled(truth, "top_k", k=1).kept_mass == pytest.approx(0.5)
    ended = np.flatnonzero(mdp.terminal)
    table = truth.pi.copy()
    table[ended] = [1.0, 0.0, 0.0]
    assert truth.drawn_from(table).kept_mass == 1


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_whether_support_is_lost_hangs_on_the_kind(problem, sampler):
    truth = sampled_truth(problem, "softmax", sampler)
    assert (truth.kept_mass == 1) == (sampler in WHOLE)


@pytest.mark.parametrize("name", samplers())
def test_samplers_describe_themselves(name):
    sampler = samplers()[name]
    assert all(text.strip() for text in (sampler.summary, sampler.formula, sampler.reference))
    assert all(p.meaning for p in sampler.parameters.values())


def test_wrong_parameters_and_names_are_named():
    truth = tiny_truth("dense", "softmax")
    with pytest.raises(ParameterError, match=r"temperature\.value: missing, must be a number"):
        sampled(truth, "temperature")
    with pytest.raises(ParameterError, match=r"top_k\.k: 0 is out of range, must be an integer"):
        sampled(truth, "top_k", k=0)
    with pytest.raises(ValueError, match=r"unknown sampler 'top_q', did you mean top_p\?"):
        sampled(truth, "top_q", p=0.5)


@pytest.mark.parametrize("name", SAMPLERS)
def test_linear_quadratic_problems_have_the_policy_alone(name):
    mdp = make_problem("lqg")
    policy = make_policy("gaussian", mdp)
    truth = evaluate(mdp, policy, policy.initial(init="zeros"))
    assert sampled(truth, "on_policy") is truth
    with pytest.raises(NotApplicable, match=f"the sampler {name} is for finite problems, lqg is"):
        sampled(truth, name, **SAMPLERS[name])


def test_what_is_no_distribution_is_refused():
    truth = tiny_truth("fewer", "softmax")
    for s, a, value, message in (
        (0, 1, 0.5, "probability 0.5 at state 0, action 1"),
        (0, 0, -0.1, "probability -0.1 at state 0, action 0"),
        (0, 0, np.nan, "probability nan at state 0, action 0"),
        (2, 0, 0.7, "sums to 0.7 in state 2"),
    ):
        table = truth.pi.copy()
        table[s, a] = value
        with pytest.raises(ValueError, match=message):
            truth.drawn_from(table)
    with pytest.raises(ValueError, match=r"shape \(3, 2\), must be \(3, 3\)"):
        truth.drawn_from(truth.pi[:, :2])
