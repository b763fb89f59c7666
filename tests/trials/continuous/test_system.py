"""Laws of actions and their scores, against finite differences."""

from dataclasses import replace

import numpy as np
import pytest

from pgbench.trials.continuous.cases import PLANS
from pgbench.trials.continuous.policy import LINEAR
from pgbench.trials.continuous.system import LAWS, System

THETA = np.array([-0.4, 0.3, np.log(0.6)])
X, U = np.linspace(-2.0, 2.0, 9), np.linspace(3.0, -3.0, 9)
STEP = 1e-5


def system(law):
    bound = np.inf if law == "gaussian" else 0.8
    return replace(PLANS["regulator"].system, law=law, bound=bound)


def test_score_is_the_slope_of_the_log_density():
    steps = STEP * np.eye(3)
    slopes = [
        LINEAR.log_density(THETA + h, X, U) - LINEAR.log_density(THETA - h, X, U) for h in steps
    ]
    expected = np.stack(slopes, axis=-1) / (2 * STEP)
    np.testing.assert_allclose(LINEAR.score(THETA, X, U), expected, atol=1e-8)


@pytest.mark.parametrize("law", LAWS)
def test_slope_of_what_is_applied(law):
    own = system(law)
    expected = (own.applied(U + STEP) - own.applied(U - STEP)) / (2 * STEP)
    np.testing.assert_allclose(own.slope(U), expected, atol=1e-9)


def test_jacobian_is_that_of_tanh_however_far_out():
    own, u = system("squashed"), np.array([-0.7, 0.0, 1.3])
    np.testing.assert_allclose(own.log_jacobian(u), np.log(0.8 / np.cosh(u) ** 2), atol=1e-14)
    far = np.log(4 * 0.8) - 2 * 400.0
    np.testing.assert_allclose(own.log_jacobian(np.array([-400.0, 400.0])), far, rtol=1e-14)
    assert not system("clipped").log_jacobian(u).any()


@pytest.mark.parametrize("law", LAWS)
def test_slope_of_the_log_jacobian(law):
    own = system(law)
    expected = (own.log_jacobian(U + STEP) - own.log_jacobian(U - STEP)) / (2 * STEP)
    np.testing.assert_allclose(own.log_jacobian_slope(U), expected, atol=1e-8)


def test_clipped_actions_stay_within_the_bound():
    e = system("clipped").applied(U)
    assert np.abs(e).max() == 0.8
    np.testing.assert_array_equal(e[np.abs(U) < 0.8], U[np.abs(U) < 0.8])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"law": "tanh"}, "law is 'tanh', must be one of gaussian, clipped, squashed"),
        ({"gamma": 1.0}, r"gamma is 1.0, must be in \[0, 1\)"),
        ({"noise": 0.0}, "noise is 0.0, must be positive"),
        ({"limit": -1.0}, "limit is -1.0, must be positive"),
        ({"bound": 1.0}, "bound is 1.0, must be infinite under the law gaussian"),
        ({"law": "clipped"}, "bound is inf, must be finite under the law clipped"),
    ],
)
def test_impossible_systems_are_refused(change, message):
    given = {**vars(PLANS["regulator"].system), **change}
    with pytest.raises(ValueError, match=message):
        System(**given)
