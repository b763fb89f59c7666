"""Batches hold what they say, for any sampler and objective, with functions of θ."""

from dataclasses import replace

import numpy as np
import pytest

from pgbench.exact.truth import evaluate
from pgbench.functions import Place, UserBatch, drawn
from pgbench.functions.batch import FIELDS
from pgbench.functions.place import LARGEST
from pgbench.policies import NotApplicable, make_policy
from pgbench.problems import make_problem
from pgbench.trials.battery import cases
from pgbench.trials.case import GENERAL, PLAIN, SEQUENCES, Laboratory
from tests.support.numbers import differentiate

KL = '{"objective": "kl", "beta": 0.3}'
WARM = '{"sampler": "temperature", "value": 1.5}'
ELSEWHERE = Laboratory(GENERAL, WARM, KL)


def test_batches_are_what_is_documented():
    for case in cases():
        batches = drawn(case, 40, 0, case.batch_size)
        mdp, pi, psi = case.truth.mdp, case.truth.pi, case.truth.policy.scores(case.truth.theta)
        for r in range(40):
            b = batches[r]
            N, T, d = case.batch_size, case.horizon, case.truth.theta.size
            assert b.states.shape == b.rewards.shape == b.mask.shape == (N, T)
            assert b.scores.shape == (N, T, d)
            assert b.features.shape == (b.n_states, b.n_actions, d)
            for n in range(N):
                steps = int(b.mask[n].sum())
                assert b.mask[n, :steps].all()
                s, a, after = b.states[n], b.actions[n], b.next_states[n]
                assert (b.probabilities[n, :steps] == pi[s[:steps]]).all()
                assert (b.scores[n, :steps] == psi[s[:steps], a[:steps]]).all()
                assert (after[: steps - 1] == s[1:steps]).all()
                assert b.ended[n] == mdp.terminal[after[steps - 1]]
                assert b.ended[n] or steps == T
                for array in (s, a, after, b.rewards[n], b.scores[n], b.probabilities[n]):
                    assert not array[steps:].any()


def test_batches_of_groups_are_what_is_documented():
    """Groups share their start; outcomes are of the state in which a response ends."""
    for case in cases(SEQUENCES):
        batches, mdp, G = drawn(case, 40, 0, case.batch_size), case.truth.mdp, case.group_size
        for r in range(40):
            b = batches[r]
            assert b.group_size == G
            assert b.group.tolist() == [n // G for n in range(case.batch_size)]
            starts = b.states[:, 0].reshape(-1, G)
            assert (starts == starts[:, :1]).all()
            final = b.next_states[np.arange(case.batch_size), b.mask.sum(axis=1) - 1]
            assert b.ended.all()
            assert (b.truncated.any(axis=1) == mdp.truncated[final]).all()
            assert (b.outcomes == mdp.outcomes[final]).all()
            assert (b.truncated.any(axis=1) == (b.outcomes[:, 1] == 0)).all()
        whole = batches.at_once()
        assert whole.ended.shape == whole.group.shape == (40, case.batch_size)
        assert whole.outcomes.shape == (40, case.batch_size, 2)


def test_without_groups_all_trajectories_are_one_and_nothing_is_said_of_their_end():
    for case in cases():
        b = drawn(case, 1, 0, case.batch_size)[0]
        assert b.group_size == case.batch_size
        assert not b.group.any()
        assert b.outcomes.shape == (case.batch_size, 0)
        assert (b.truncated.any(axis=1) == ~b.ended).all()


def test_features_give_the_policy_and_its_scores():
    for case in (*cases(), *cases(SEQUENCES)):
        b = drawn(case, 1, 0, case.batch_size)[0]

        def log_pi(theta, features=b.features):
            logits = features @ theta
            return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))

        np.testing.assert_allclose(np.exp(log_pi(b.theta)), case.truth.pi, atol=1e-14)
        slopes = differentiate(log_pi, b.theta)
        where = b.mask
        np.testing.assert_allclose(
            b.scores[where], slopes[b.states[where], b.actions[where]], atol=1e-9
        )


def test_a_batch_cannot_be_written_to_and_has_its_own_random_numbers():
    batches = drawn(cases()[0], 2, 0, 4)
    one, same, other = batches[0], batches[0], batches[1]
    for value in vars(one).values():
        assert not isinstance(value, np.ndarray) or not value.flags.writeable
    first = one.rng.random(3)
    assert (first == same.rng.random(3)).all()
    assert (first != other.rng.random(3)).all()


@pytest.mark.parametrize("laboratory", [PLAIN, ELSEWHERE, Laboratory(SEQUENCES, WARM, KL)])
def test_steps_hold_what_a_loss_needs(laboratory):
    """Flags, values of the critic, and probabilities of the three policies, one by one."""
    for case in cases(laboratory):
        b, truth = drawn(case, 3, 0)[2], case.truth
        mu = truth.pi if truth.behaviour is None else truth.behaviour
        for n, t in zip(*np.nonzero(b.mask), strict=True):
            s, a, after = b.states[n, t], b.actions[n, t], b.next_states[n, t]
            last = t == b.mask[n].sum() - 1
            limit = truth.mdp.truncated is not None and truth.mdp.truncated[after]
            assert b.terminated[n, t] == truth.mdp.terminal[after]
            assert b.truncated[n, t] == (last and (limit or not truth.mdp.terminal[after]))
            assert (b.values[n, t], b.next_values[n, t]) == (b.critic[s], b.critic[after])
            assert b.log_probs[n, t] == np.log(truth.pi[s, a])
            assert b.behaviour_log_probs[n, t] == np.log(mu[s, a])
            assert b.reference_log_probs[n, t] == np.log(case.reference[s, a])
            assert (b.behaviour_probabilities[n, t] == mu[s]).all()
            assert (b.reference_probabilities[n, t] == case.reference[s]).all()
        for name in ("terminated", "truncated", "values", "next_values", "log_probs"):
            assert not getattr(b, name)[~b.mask].any()


def test_rewards_are_the_environments_under_a_penalty():
    """Only what the problem pays; r - c log(π/q) of the truth makes that of the objective."""
    for case, plain in zip(cases(ELSEWHERE), cases(), strict=True):
        b, mdp = drawn(case, 2, 0)[1], plain.truth.mdp
        assert b.coefficient == 0.3
        paid = mdp.reward[b.states, b.actions]
        arrived = mdp.successor[b.states, b.actions] == b.next_states[..., None]
        gap = np.where(arrived, np.abs(paid - b.rewards[..., None]), np.inf).min(axis=-1)
        assert gap[b.mask].max() < 1e-14
        soft = b.rewards - b.coefficient * (b.log_probs - b.reference_log_probs)
        own = case.truth.mdp.reward[b.states, b.actions]
        gap = np.where(arrived, np.abs(own - soft[..., None]), np.inf).min(axis=-1)
        assert gap[b.mask].max() < 1e-14


def test_values_of_the_behaviour_are_those_of_its_own_policy():
    case = cases(ELSEWHERE)[0]
    b = drawn(case, 1, 0)[0]
    other = make_policy("softmax", case.truth.mdp)
    own = evaluate(case.truth.mdp, other, np.log(case.behaviour).ravel())
    np.testing.assert_allclose(b.behaviour_v, own.v, rtol=1e-12)
    np.testing.assert_allclose(b.behaviour_q, own.q, rtol=1e-12)
    assert (drawn(cases()[0], 1, 0)[0].behaviour_q == cases()[0].truth.q).all()


def test_functions_of_theta_are_the_policys_and_have_its_scores():
    """log_prob is the logarithm of π at another θ too, entropy that of its rows."""
    for case in (*cases(ELSEWHERE), *cases(SEQUENCES)):
        b = drawn(case, 1, 0)[0]
        theta = b.theta + 0.1 * np.random.default_rng(3).standard_normal(b.theta.size)
        pi = case.truth.policy.probabilities(theta)
        taken = np.where(b.mask, pi[b.states, b.actions], 1.0)
        np.testing.assert_allclose(b.log_prob(theta), np.log(taken), atol=1e-13)
        rows = pi[b.states]
        H = -(rows * np.log(rows)).sum(axis=-1) * b.mask
        np.testing.assert_allclose(b.entropy(theta), H, atol=1e-13)
        slopes = differentiate(b.log_prob, b.theta)
        np.testing.assert_allclose(slopes, b.scores, atol=1e-8)
        weights = np.random.default_rng(4).standard_normal(b.mask.shape)
        np.testing.assert_allclose(
            b.pull_back(weights), np.einsum("nt,ntd->d", weights, b.scores), atol=1e-13
        )


def test_pull_backs_of_many_batches_are_those_of_each():
    every = drawn(cases()[3], 5, 0)
    weights = np.random.default_rng(5).standard_normal(every.mask.shape)
    together = every.at_once().pull_back(weights)
    for r in range(5):
        np.testing.assert_allclose(together[r], every[r].pull_back(weights[r]), atol=1e-14)


def test_all_floats_are_single_where_that_is_claimed():
    every = replace(drawn(cases()[1], 2, 0), dtype="float32")
    for name in set(FIELDS) - {"inputs"}:
        value = getattr(every[1], name)
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            assert value.dtype == np.float32, name
    double = drawn(cases()[1], 2, 0)[1]
    np.testing.assert_allclose(every[1].scores, double.scores, rtol=1e-6)


def test_every_field_is_documented_and_an_unknown_one_is_named():
    for field in FIELDS:
        assert field in (UserBatch.__doc__ or "")
    with pytest.raises(AttributeError, match=r"no 'reward', did you mean rewards\?"):
        drawn(cases()[0], 1, 0)[0].reward  # noqa: B018


def test_what_is_too_large_or_not_linear_is_refused_and_pull_back_is_not():
    mdp = make_problem("garnet", n_states=200, n_actions=4, branching=2, seed=0)
    policy = make_policy("neural", mdp)
    place = Place(evaluate(mdp, policy, policy.initial()), 5, 2, 0)
    b = drawn(place, 1, 0)[0]
    with pytest.raises(NotApplicable, match="logits of Neural are not linear in θ"):
        b.features  # noqa: B018
    np.testing.assert_allclose(b.pull_back(b.mask), b.scores.sum(axis=(0, 1)), atol=1e-10)
    np.testing.assert_allclose(b.log_prob(b.theta), b.log_probs, atol=1e-12)
    with pytest.raises(NotApplicable, match="Neural takes no features of states"):
        b.inputs  # noqa: B018
    large = make_problem("garnet", n_states=20_000, n_actions=4, branching=2, seed=0)
    policy = make_policy("softmax", large)
    place = Place(evaluate(large, policy, policy.initial()), 3, 2, 0)
    b = drawn(place, 1, 0)[0]
    assert 20_000 * 4 * policy.n_parameters > LARGEST
    for name in ("scores", "features"):
        with pytest.raises(NotApplicable, match=rf"batch.{name} would be .* GiB, at most 1 GiB"):
            getattr(b, name)
    assert b.pull_back(b.mask).shape == b.theta.shape


def test_the_stream_is_the_steps_taken_one_trajectory_after_another():
    """With it the batch can be put together again."""
    for case in (*cases(), *cases(SEQUENCES)):
        b = drawn(case, 2, 0)[1]
        flat, steps = b.flat, b.mask.sum(axis=1)
        assert len(flat) == steps.sum()
        assert flat.starts.sum() == np.sum(steps > 0)
        assert (flat.trajectory == np.repeat(np.arange(len(steps)), steps)).all()
        assert (flat.times == np.concatenate([np.arange(k) for k in steps])).all()
        ends = flat.terminated | flat.truncated
        assert (np.roll(ends, 1) == flat.starts).all()
        for name in ("states", "rewards", "scores", "log_probs", "probabilities"):
            again = np.zeros_like(getattr(b, name))
            again[flat.trajectory, flat.times] = getattr(flat, name)
            assert (again == getattr(b, name)).all()
        assert (flat.log_prob(b.theta) == b.log_prob(b.theta)[b.mask]).all()
        assert flat.entropy(b.theta).shape == flat.times.shape
        assert flat.log_policy(b.theta).shape == (len(flat), b.n_actions)
        with pytest.raises(AttributeError, match=r"batch\.theta belongs to no step"):
            flat.theta  # noqa: B018
