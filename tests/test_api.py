"""Ascents and samples from Python, without a grid."""

import numpy as np
import pytest

import pgbench as pg
from pgbench.api import sample_gradients
from pgbench.declared.parameters import ParameterError
from pgbench.estimators import estimators
from pgbench.exact import evaluate
from pgbench.measure.gradients import gradient_blocks
from pgbench.policies import NotApplicable, make_policy
from pgbench.problems import make_problem
from pgbench.rollout.simulator import Draws


@pytest.fixture(scope="module")
def setting():
    mdp = pg.make_problem("garnet", n_states=5, n_actions=3, gamma=0.8, seed=0)
    policy = pg.make_policy("softmax", mdp)
    return mdp, policy, policy.initial(init="zeros")


def test_an_ascent_in_one_call(setting):
    trace = pg.ascend(*setting, estimator="rloo", batch_size=4, steps=20, replicates=3, horizon=10)
    assert trace.objective.shape == (3, trace.steps.size)
    assert trace.steps[-1] == 20
    again = pg.ascend(*setting, estimator="rloo", batch_size=4, steps=20, replicates=3, horizon=10)
    np.testing.assert_array_equal(trace.theta, again.theta)
    other = pg.ascend(
        *setting, estimator="rloo", batch_size=4, steps=20, replicates=3, horizon=10, seed=1
    )
    assert not np.array_equal(trace.theta, other.theta)


def test_choices_are_those_of_grids(setting):
    trace = pg.ascend(
        *setting,
        algorithm={"algorithm": "adam", "beta1": 0.5},
        estimator={"estimator": "gae", "lam": 0.9},
        step_size={"step_size": "decaying", "step": 0.1, "power": 1},
        steps=5,
        replicates=2,
        horizon=5,
    )
    assert np.isfinite(trace.objective).all()
    exact = pg.ascend(*setting, algorithm="natural", step_size=1, steps=50)
    assert exact.objective.shape[0] == 1
    best = pg.exact.optimal_value(setting[0]).objective
    assert exact.objective[0, -1] == pytest.approx(best, rel=1e-6)


def test_an_objective_is_chosen_by_name(setting):
    mdp, policy, _ = setting
    theta, chosen = policy.initial(seed=2), {"objective": "kl", "beta": 0.5}
    expected = pg.make_objective("kl", mdp, policy, beta=0.5).truth(theta, 6).gradient
    exact = pg.moments(mdp, policy, theta, "reward_to_go", horizon=6, objective=chosen)
    np.testing.assert_allclose(exact.mean, expected, atol=1e-12)
    found = pg.sample_gradients(
        mdp, policy, theta, "reward_to_go", horizon=6, replicates=2000, objective=chosen
    )
    z = (found.mean(axis=0) - expected) / np.sqrt(exact.variance / 2000)
    assert np.abs(z).max() < 4.5
    plain = pg.moments(mdp, policy, theta, "reward_to_go", horizon=6)
    assert np.abs((found.mean(axis=0) - plain.mean) / np.sqrt(exact.variance / 2000)).max() > 9


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"objective": "kll"}, "unknown objective 'kll'"),
        ({"objective": {"beta": 1}}, "must be a name or a mapping with key 'objective'"),
        ({"algorithm": "gradint"}, "unknown algorithm 'gradint'.*gradient"),
        ({"step_size": "kll"}, "unknown step size 'kll'.*kl"),
        ({"step_size": {"radius": 1}}, "must be a name or a mapping with key 'step_size'"),
        ({"step_size": {"step_size": "kl"}}, "radius"),
        ({"estimator": {"estimator": "exact", "lam": 1}}, "takes no parameters"),
        ({"estimator": "gae"}, "lam"),
        ({"estimator": "rloo"}, "batch size is 1, rloo needs at least 2"),
        ({"steps": 0}, "steps is 0"),
        ({"algorithm": {"algorithm": "adam", "beta3": 1}}, "beta3"),
    ],
)
def test_mistakes_are_named(setting, given, words):
    with pytest.raises(ValueError, match=words):
        pg.ascend(*setting, **{"steps": 2, **given})


def test_sampling_by_name_is_the_same_sample():
    mdp = make_problem("random", n_states=4)
    policy = make_policy("softmax", mdp)
    theta = policy.initial(seed=1)
    named = sample_gradients(
        mdp, policy, theta, "gae", lam=0.7, horizon=10, batch_size=3, replicates=100, seed=5,
        stream=6,
    )  # fmt: skip
    truth = evaluate(mdp, policy, theta)
    tables, draws = estimators()["gae"].make(truth, lam=0.7), Draws(10, 3, 100, seed=5, stream=6)
    direct = [block.gradients[0] for block in gradient_blocks(truth, [tables], draws)]
    assert named.tobytes() == np.concatenate(direct).tobytes()
    assert named.shape == (100, 12)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"horizon": 0}, "horizon is 0, must be an integer ≥ 1"),
        ({"horizon": 2.0}, r"horizon is 2\.0, must be an integer"),
        ({"batch_size": -1}, "batch_size is -1"),
        ({"batch_size": True}, "batch_size is True"),
        ({"replicates": "many"}, "replicates is 'many'"),
        ({"seed": -1}, r"seed is -1, must be an integer in \[0, 2\*\*64\)"),
        ({"seed": 2**64}, "seed is 18446744073709551616"),
        ({"seed": 0.5}, r"seed is 0\.5"),
        ({"stream": None}, "stream is None"),
        ({"estimator": "gaee"}, "unknown estimator 'gaee', did you mean gae?"),
        ({"lam": 2.0}, r"gae\.lam: 2\.0 is out of range"),
        ({"lambda": 0.5}, r"gae\.lambda: unknown parameter, did you mean lam"),
        ({"theta": np.zeros(3)}, r"theta has shape \(3,\)"),
    ],
)
def test_wrong_arguments_are_named(changes, message):
    mdp = make_problem("two_state")
    policy = make_policy("softmax", mdp)
    arguments = {"theta": policy.initial(), "estimator": "gae", "lam": 0.5, "horizon": 3}
    with pytest.raises(ValueError, match=message):
        sample_gradients(mdp, policy, **arguments | changes)


def test_wrong_parameters_are_parameter_errors():
    mdp = make_problem("two_state")
    policy = make_policy("softmax", mdp)
    with pytest.raises(ParameterError, match=r"reinforce\.baseline: 'value' is unknown"):
        sample_gradients(mdp, policy, policy.initial(), "reinforce", horizon=3, baseline="value")


def test_data_may_come_from_a_sampler(setting):
    """Sampled on data of another policy, an estimator has the moments that are exact there."""
    given = {"horizon": 3, "sampler": {"sampler": "top_k", "k": 2}}
    exact = pg.moments(*setting, "reward_to_go", **given)
    plain = pg.moments(*setting, "reward_to_go", horizon=3)
    found = sample_gradients(*setting, "reward_to_go", replicates=4000, **given)
    error = np.sqrt(exact.variance / 4000)
    assert (np.abs(found.mean(axis=0) - exact.mean) < 4 * error + 1e-12).all()
    assert (np.abs(plain.mean - exact.mean) > 4 * error + 1e-3).any()
    on_policy = pg.moments(*setting, "reward_to_go", horizon=3, sampler="on_policy")
    np.testing.assert_array_equal(on_policy.mean, plain.mean)
    with pytest.raises(ValueError, match="unknown sampler 'top_kk'"):
        pg.moments(*setting, "td", sampler="top_kk")
    with pytest.raises(NotApplicable, match="spsa takes no sampler's data"):
        sample_gradients(*setting, "spsa", **given)


def test_moments_of_groups_are_those_of_samples():
    mdp = pg.make_problem("sequences", verifier="parity", length=3, prompts=2)
    policy = pg.make_policy("softmax", mdp)
    theta = policy.initial(seed=1)
    given = {"horizon": 3, "batch_size": 8, "group_size": 4}
    for name, more in (("reward_to_go", {}), ("grpo", {"std": False}), ("dapo", {})):
        exact = pg.moments(mdp, policy, theta, name, **given, **more)
        found = pg.sample_gradients(mdp, policy, theta, name, replicates=20_000, **given, **more)
        error = np.sqrt(exact.variance / len(found))
        assert (np.abs(found.mean(axis=0) - exact.mean) <= 4.5 * error).all(), name
        total = found.var(axis=0).sum()
        assert total == pytest.approx(exact.variance.sum(), rel=0.03), name
        alone = pg.moments(mdp, policy, theta, name, **(given | {"group_size": None}), **more)
        assert abs(alone.variance.sum() / exact.variance.sum() - 1) > 0.05, name
    mean_centred = pg.moments(mdp, policy, theta, "group_mean", **given)
    gradient = mean_centred.mean - mean_centred.bias
    np.testing.assert_allclose(mean_centred.bias, -gradient / 4, rtol=1e-9, atol=1e-15)


def test_moments_say_what_they_lack():
    mdp = pg.make_problem("sequences", verifier="parity", length=3, prompts=2)
    policy = pg.make_policy("softmax", mdp)
    setting = (mdp, policy, policy.initial(seed=1))
    with pytest.raises(ValueError, match="horizon is None, grpo is a function of batches"):
        pg.moments(*setting, "grpo", batch_size=4)
    with pytest.raises(ValueError, match="the group size is 1, grpo needs at least 2"):
        pg.moments(*setting, "grpo", horizon=3, batch_size=4, group_size=1)
    with pytest.raises(ValueError, match="no exact mean of optimal_token_baseline is known here"):
        pg.moments(*setting, "optimal_token_baseline", horizon=3, batch_size=4)
    with pytest.raises(ValueError, match="must be a multiple of group_size, 4"):
        pg.moments(*setting, "reinforce", horizon=3, batch_size=6, group_size=4)
