"""Every objective: what it maximises, by enumeration and differences, and what it refuses."""

import numpy as np
import pytest

from pgbench.declared.parameters import ParameterError
from pgbench.exact import evaluate, optimal_value
from pgbench.objectives import Objective, make_objective, objectives
from pgbench.policies import NotApplicable, Softmax, make_policy
from pgbench.problems import FiniteMDP, make_problem
from pgbench.rollout.enumeration import trajectories
from tests.support.numbers import close, differentiate
from tests.support.problems import TINY
from tests.support.truths import PENALISED, make_kind, tiny_objective, tiny_truth

EVERY = pytest.mark.parametrize("name", objectives())
WITH_PENALTY = pytest.mark.parametrize("name", PENALISED)


def theta_of(policy):
    return policy.initial(seed=3, scale=0.5)


@EVERY
@pytest.mark.parametrize("horizon", [None, 4])
def test_the_gradient_is_that_of_the_objective(problem, kind, name, horizon):
    """The rewards move with θ in the differences, and stand still in the gradient."""
    objective = tiny_objective(problem, kind, name)
    theta = theta_of(objective.policy)
    found = objective.truth(theta, horizon)
    expected = differentiate(
        lambda x: objective.truth(x, horizon).objective, theta, policy=objective.policy
    )
    close(found.gradient, expected, rtol=1e-8)


@WITH_PENALTY
def test_rewards_that_stand_still_are_another_objective(name):
    """Else the test above would not see whether they move."""
    objective = tiny_objective("dense", "softmax", name)
    theta = theta_of(objective.policy)
    still = objective.truth(theta).mdp
    other = theta_of(objective.policy) + 0.5
    other[0] += 1.0
    moved = objective.truth(other).objective
    assert abs(evaluate(still, objective.policy, other).objective - moved) > 1e-3


def reference_of(objective, name):
    """The weights that probabilities are compared with, made once more."""
    if name == "entropy":
        return np.ones(objective.policy.shape)
    return objective.policy.probabilities(objective.policy.initial(seed=0, scale=1.0))


@WITH_PENALTY
def test_the_objective_is_that_of_all_trajectories(problem, name, horizon):
    """Σ_τ P(τ) Σ_t γ^t (r_t - c log(π/q)(s_t, a_t))."""
    objective = tiny_objective(problem, "softmax", name)
    truth = objective.truth(theta_of(objective.policy), horizon)
    mdp, (c,) = objective.mdp, PENALISED[name].values()
    pi, q = truth.pi.ravel(), reference_of(objective, name).ravel()
    total = 0.0
    for p, pairs, slots in trajectories(truth.process, horizon):
        if p > 0:
            paid = mdp.reward.ravel()[slots] - c * np.log(pi[pairs] / q[pairs])
            total += p * mdp.gamma ** np.arange(len(pairs)) @ paid
    assert truth.objective == pytest.approx(total, rel=1e-12)


def test_j_is_what_it_always_was(problem, kind):
    objective = tiny_objective(problem, kind)
    assert objective.plain
    theta = theta_of(objective.policy)
    found, expected = objective.truth(theta, 3), evaluate(objective.mdp, objective.policy, theta, 3)
    assert found.mdp is objective.mdp
    assert found.penalty is None
    np.testing.assert_array_equal(found.gradient, expected.gradient)
    assert objective.optimum.objective == optimal_value(objective.mdp).objective


@pytest.mark.parametrize("given", [{"name": "kl", "beta": 0.0}, {"name": "entropy", "alpha": 0}])
def test_a_penalty_that_costs_nothing_is_none(given):
    mdp = TINY["dense"][0]()
    objective = make_objective(mdp=mdp, policy=make_kind("softmax", mdp), **given)
    assert objective.plain
    assert objective.truth(np.zeros(6)).penalty is None
    assert objective.optimum.objective == optimal_value(mdp).objective


def test_entropy_and_a_uniform_reference_differ_by_a_constant():
    """KL(π ‖ uniform) = log A - H(π) in every state, so J differs by c log A/(1-γ)."""
    mdp = TINY["dense"][0]()
    policy = make_kind("softmax", mdp)
    one = make_objective("kl", mdp, policy, beta=0.3, reference="uniform").truth(np.arange(6.0))
    other = make_objective("entropy", mdp, policy, alpha=0.3).truth(np.arange(6.0))
    constant = 0.3 * np.log(2) / (1 - mdp.gamma)
    assert other.objective - one.objective == pytest.approx(constant, rel=1e-12)
    close(one.gradient, other.gradient)


def test_the_uniform_reference_is_over_actions_that_a_state_has():
    mdp = TINY["fewer"][0]()
    objective = make_objective("kl", mdp, make_kind("softmax", mdp), reference="uniform")
    close(objective.reference, [[0.5, 0, 0.5], [0, 0.5, 0.5], [1, 0, 0]])
    assert np.isfinite(objective.truth(np.zeros(9)).objective)


def test_at_the_reference_the_penalty_and_its_gradient_are_zero(problem, kind):
    mdp = TINY[problem][0]()
    policy = make_kind(kind, mdp)
    objective = make_objective("kl", mdp, policy, beta=2.0, seed=5, scale=0.5)
    theta = policy.initial(seed=5, scale=0.5)
    found, plain = objective.truth(theta), evaluate(mdp, policy, theta)
    assert found.objective == pytest.approx(plain.objective, rel=1e-13)
    close(found.gradient, plain.gradient)
    away = objective.truth(theta_of(policy)).gradient
    assert not np.allclose(away, tiny_truth(problem, kind).gradient, rtol=1e-3)


def tree(length):
    """Sequences of three tokens, every prefix a state, no rewards."""
    sizes = 3 ** np.arange(length)
    S = int(sizes.sum()) + 1
    P = np.zeros((S, 3, S))
    for s in range(S - 1):
        for a in range(3):
            P[s, a, min(3 * s + 1 + a, S - 1)] = 1
    P[-1, :, -1] = 1
    start = np.eye(S)[0]
    return FiniteMDP.from_arrays(P, np.zeros((S, 3)), start, 1.0, terminal=np.arange(S) == S - 1)


def test_the_divergence_of_sequences_is_that_of_all_prefixes():
    """KL(P ‖ P_ref) over whole sequences = Σ_prefix P(prefix) KL(π ‖ π_ref): the chain rule."""
    mdp = tree(3)
    policy = make_policy("softmax", mdp)
    objective = make_objective("kl", mdp, policy, beta=1.0)
    truth = objective.truth(policy.initial(seed=1))
    ratios = (truth.pi / objective.reference).ravel()
    listed = list(trajectories(truth.process, 3))
    assert len(listed) == 27
    whole = sum(p * np.log(np.prod(ratios[pairs])) for p, pairs, _ in listed)
    assert -truth.objective == pytest.approx(whole, rel=1e-13)
    own = truth.visitation @ truth.penalty.divergence(truth.pi)
    assert own == pytest.approx(whole, rel=1e-13)


@WITH_PENALTY
def test_the_boundary_of_the_simplex_is_refused(name):
    mdp = TINY["ending"][0]()
    policy = make_policy("direct", mdp)
    objective = make_objective(name, mdp, policy)
    objective.truth(np.array([0.5, 0.5, 0.1, 0.9, 0.0, 1.0]))  # at the end nothing is decided
    with pytest.raises(NotApplicable, match=r"action 0 has probability 0 in state 1.*no finite"):
        objective.truth(np.array([0.5, 0.5, 0.0, 1.0, 0.5, 0.5]))


@WITH_PENALTY
def test_a_probability_that_underflows_costs_nothing(name):
    """x log x → 0, and so does its derivative, for logits."""
    mdp = TINY["dense"][0]()
    objective = make_objective(name, mdp, make_policy("softmax", mdp))
    sure, nearly = (objective.truth(np.array([x, 0.0, 0, 0, 0, 0])) for x in (800.0, 60.0))
    assert sure.pi[0, 1] == 0
    assert sure.objective == pytest.approx(nearly.objective, rel=1e-12)
    close(sure.gradient, nearly.gradient, 1e-12)


def test_a_reference_must_take_every_action():
    mdp = TINY["dense"][0]()
    with pytest.raises(NotApplicable, match=r"gives action \d in state \d probability 0"):
        make_objective("kl", mdp, Softmax(3, 2), scale=1e5)


@WITH_PENALTY
def test_problems_of_another_class_are_refused(name):
    mdp = make_problem("lqg")
    policy = make_policy("gaussian", mdp)
    with pytest.raises(NotApplicable, match=f"{name} is an objective for finite problems, lqg is"):
        make_objective(name, mdp, policy)
    theta = policy.initial()
    plain = make_objective("J", mdp, policy).truth(theta)
    assert plain.objective == evaluate(mdp, policy, theta).objective


@EVERY
def test_a_policy_of_another_size_is_refused(name):
    with pytest.raises(ValueError, match=r"the policy has \(S, A\) = \(4, 2\), the problem"):
        make_objective(name, TINY["dense"][0](), Softmax(4, 2))


@EVERY
def test_an_objective_describes_itself(name):
    record = objectives()[name]
    assert record.name == name
    for text in (record.summary, record.formula, record.reference):
        assert text.strip()
    assert all(p.meaning for p in record.parameters.values())
    mdp = TINY["dense"][0]()
    made = record.make(mdp, make_kind("softmax", mdp))
    assert isinstance(made, Objective)
    assert made.plain == (name == "J")


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("kll", {}, "unknown objective 'kll', did you mean kl?"),
        ("kl", {"beta": -1}, "kl.beta: -1 is out of range"),
        ("kl", {"reference": "unifrm"}, "did you mean uniform"),
        ("entropy", {"beta": 1}, "entropy.beta: unknown parameter"),
        ("J", {"beta": 1}, "J.beta: unknown parameter"),
    ],
)
def test_what_is_wrong_is_named(name, given, words):
    mdp = TINY["dense"][0]()
    with pytest.raises((ParameterError, ValueError), match=words.replace("?", r"\?")):
        make_objective(name, mdp, make_kind("softmax", mdp), **given)
