"""Ascent from Python, without a grid."""

import numpy as np
import pytest

import pgbench as pg


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


@pytest.mark.parametrize(
    ("given", "words"),
    [
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
