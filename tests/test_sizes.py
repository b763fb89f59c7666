"""Numbers of extreme size: refused with their place, or measured; never silently lost."""

import numpy as np
import pytest

from pgbench.estimators import find_estimator
from pgbench.exact import evaluate, moments
from pgbench.grid.plan import Prepared
from pgbench.measure.cells import measure
from pgbench.measure.subject import make_subject
from pgbench.measure.sums import Sums
from pgbench.policies import make_policy
from pgbench.problems import FiniteMDP, LinearQuadratic, make_problem
from pgbench.problems.linear_quadratic import LARGEST
from pgbench.problems.problem import REWARDS, ProblemError, SolveError
from pgbench.rollout.simulator import Draws


def paying(size, gamma=0.9):
    """Two states, two actions, rewards of a size."""
    rng = np.random.default_rng(0)
    P = rng.dirichlet(np.ones(2), size=(2, 2))
    return FiniteMDP.from_arrays(P, size * rng.normal(size=(2, 2)), [0.5, 0.5], gamma)


def measured(mdp, policy, theta, name):
    """What a run measures of an estimator."""
    truth = evaluate(mdp, policy, theta)
    prepared = Prepared(truth, horizon=5, expected_steps=5.0)
    subject = make_subject(prepared, find_estimator(name), {})
    return measure(prepared, [subject], Draws(5, 2, 2000, seed=0, stream=0))[0].values


@pytest.mark.parametrize("size", [1e155, -1e300, 1e32])
def test_rewards_whose_squares_are_lost_are_refused(size):
    with pytest.raises(ProblemError, match=r"r\[\d, \d\] is .* at most 1e\+30 in size"):
        paying(size)
    slots = {"successor": np.zeros((1, 1, 1), int), "probability": np.ones((1, 1, 1))}
    with pytest.raises(ProblemError, match=r"reward\[0, 0, 0\] is"):
        FiniteMDP(**slots, reward=np.full((1, 1, 1), size), mu0=np.ones(1), gamma=0.5)


@pytest.mark.parametrize("name", ["A", "B", "Q", "R", "noise", "start_covariance"])
def test_arrays_of_linear_quadratic_problems_have_the_same_kind_of_limit(name):
    one = dict(A=0.5, B=1.0, Q=1.0, R=1.0, noise=1.0, start_mean=0.0, start_covariance=1.0)
    with pytest.raises(ProblemError, match=rf"{name}\[0, 0\] is 1e\+155"):
        LinearQuadratic(**{**one, name: 1e155}, gamma=0.9)


@pytest.mark.parametrize("size", [0.3 * REWARDS, 1e-30])
@pytest.mark.parametrize("name", ["reward_to_go", "reinforce", "visitation_mc", "rloo"])
def test_allowed_rewards_are_measured_to_the_end(size, name):
    """Every number is the one at rewards of size one, in its unit, far from a power's limit."""
    policy = make_policy("softmax", paying(1.0))
    theta = policy.initial(seed=0)
    plain = measured(paying(1.0), policy, theta, name)
    scaled = measured(paying(size), policy, theta, name)
    assert np.isfinite(scaled["bias_test_p"])
    for key, power in {"variance": 2, "variance_se": 2, "mse": 2, "exact_variance": 2}.items():
        assert scaled[key] == pytest.approx(plain[key] * size**power, rel=1e-9)
    assert scaled["bias_test_p"] == pytest.approx(plain["bias_test_p"], rel=1e-6)


@pytest.mark.parametrize("name", ["reward_to_go", "reinforce"])
def test_allowed_linear_quadratic_problems_have_finite_moments(name):
    mdp = LinearQuadratic(0.5, 1.0, 0.1 * LARGEST, LARGEST, LARGEST, 0.0, LARGEST, 0.9)
    policy = make_policy("gaussian", mdp)
    found = moments(mdp, policy, [-0.1, 1.0], name, horizon=5)
    assert np.isfinite(found.mean).all()
    assert np.isfinite(found.variance).all()
    assert (found.variance > 0).all()


@pytest.mark.parametrize("variance", [1e-300, 1e200])
def test_variances_that_cannot_be_squared_are_refused(variance):
    mdp = make_problem("lqg")
    with pytest.raises(ValueError, match=r"theta\[1\] is .* from 1e-100 to 1e\+100"):
        evaluate(mdp, make_policy("gaussian", mdp), [-0.5, variance])
    log = make_policy("gaussian", mdp, scale="log_std")
    with pytest.raises(ValueError, match="from 1e-100 to"):
        evaluate(mdp, log, [-0.5, np.log(variance) / 2])


def test_the_gradient_at_the_least_variance_is_right():
    """It was 0 at a variance of 1e-300, whose square is lost."""
    mdp = make_problem("lqg")
    policy = make_policy("gaussian", mdp)
    least = evaluate(mdp, policy, [-0.5, 1e-100])
    assert least.gradient[1] == pytest.approx(evaluate(mdp, policy, [-0.5, 0.1]).gradient[1])
    assert least.gradient_bound < 1e-9


def test_values_that_overflow_are_not_returned():
    mdp = make_problem("lqg", A=1e25, gamma=0.5)
    policy = make_policy("gaussian", mdp)
    with pytest.raises(SolveError, match=r"lqg.*J\[0\] is (nan|-inf), must be finite"):
        evaluate(mdp, policy, [0.0, 1.0], horizon=20)


def test_probabilities_that_overflow_are_not_used():
    mdp = paying(1.0)
    policy = make_policy("neural", mdp)
    theta = np.full(policy.n_parameters, 1.7e308) * np.resize([1, -1], policy.n_parameters)
    with pytest.raises(ValueError, match=r"theta has entries of 1.7e\+308 in size"):
        evaluate(mdp, policy, theta)


def test_values_of_more_steps_than_fit_are_refused():
    mdp = make_problem("lqg")
    policy = make_policy("gaussian", mdp)
    with pytest.raises(ValueError, match=r"horizon is 10000000: .* GiB, at most 4 GiB"):
        evaluate(mdp, policy, [-0.5, 1.0], horizon=10_000_000)


def test_moments_that_overflow_are_not_returned():
    mdp = LinearQuadratic(1e25, 1.0, 1.0, 1e25, 1e25, 0.0, 1e25, 0.9)
    policy = make_policy("gaussian", mdp)
    with pytest.raises(OverflowError, match="coordinate 0 of the exact variance is"):
        moments(mdp, policy, [-1e25, 1e-100], "reward_to_go", horizon=5)


def test_sums_of_squares_that_overflow_are_not_summarised():
    sums = Sums(np.ones(2), [np.ones(2)], 20, np.eye(2))
    gradients = 1e80 * np.random.default_rng(0).standard_normal((20, 1, 2))
    sums.add_gradients(0, gradients, np.ones(20, np.int64))
    with pytest.raises(OverflowError, match="sum of squares of estimates is"):
        sums.sample(0)


@pytest.mark.parametrize("name", ["reward_to_go", "rloo"])
def test_squares_that_underflow_are_not_summarised(name):
    mdp = paying(1e-155)
    policy = make_policy("softmax", mdp)
    with pytest.raises(OverflowError, match="squares of estimates are lost"):
        measured(mdp, policy, policy.initial(seed=0), name)
