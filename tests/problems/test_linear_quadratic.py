"""The problem record, its families, and the regulator."""

import numpy as np
import pytest

from pgbench.declared.parameters import ParameterError
from pgbench.exact import SolveError, evaluate, optimal_regulator
from pgbench.policies import NotApplicable, make_policy
from pgbench.problems import LinearQuadratic, ProblemError, make_problem
from tests.support.linear_quadratic import VECTORS, scalar


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"A": [[1.0, 2.0]]}, r"A has shape \(1, 2\), must be \(1, 1\)"),
        ({"B": [[1.0], [2.0]]}, r"B has shape \(2, 1\), must be \(1, 1\)"),
        ({"Q": -1.0}, r"Q has the eigenvalue -1, none may be negative"),
        ({"R": 0.0}, r"R has the eigenvalue 0, all must be positive"),
        ({"noise": np.nan}, r"noise\[0, 0\] is nan, must be finite"),
        ({"start_mean": [0.0, 0.0]}, r"start_mean has shape \(2,\), must be \(1,\)"),
        ({"gamma": 1.1}, r"gamma is 1.1, must be a number in \[0, 1\]"),
        ({"A": "one"}, "A is not an array of numbers"),
    ],
)
def test_wrong_arrays_are_named(wrong, words):
    with pytest.raises(ProblemError, match=words):
        scalar(**wrong)


def test_asymmetric_costs_are_named():
    with pytest.raises(ProblemError, match=r"Q\[0, 1\] is 1 and Q\[1, 0\] is 0, must be symmetric"):
        LinearQuadratic(
            np.eye(2), np.eye(2), [[1, 1], [0, 1]], np.eye(2), np.eye(2), [0, 0], np.eye(2), 0.9
        )


def test_every_number_is_part_of_the_digest():
    changes = [{}, {"A": 0.8}, {"B": 1.0}, {"Q": 1.0}, {"R": 1.0}, {"noise": 1.0}, {"gamma": 0.8},
               {"start_mean": [0.0]}, {"start_covariance": 1.0}]  # fmt: skip
    assert len({scalar(**change).digest for change in changes}) == len(changes)
    assert scalar().digest == scalar().digest


def test_matrices_are_written_row_by_row():
    mdp = make_problem("lqg", A="1 0.1; 0 1", B="0; .5", noise="0 0;0 1e-2", Q=2.0, start_mean=1.5)
    np.testing.assert_array_equal(mdp.A, [[1, 0.1], [0, 1]])
    np.testing.assert_array_equal(mdp.B, [[0], [0.5]])
    np.testing.assert_array_equal(mdp.noise, [[0, 0], [0, 0.01]])
    np.testing.assert_array_equal(mdp.Q, 2 * np.eye(2))
    np.testing.assert_array_equal(mdp.start_mean, [1.5, 1.5])
    assert mdp.noise_factor.shape == (2, 1)


@pytest.mark.parametrize("text", ["1 0.1; x 1", "[1]", "1;", ""])
def test_what_is_no_matrix_is_refused(text):
    with pytest.raises(ParameterError, match=r"lqg\.A"):
        make_problem("lqg", A=text)


def test_rows_of_unequal_length_are_refused():
    with pytest.raises(ProblemError, match=r"A has rows of \[1, 2\] numbers"):
        make_problem("lqg", A="1 2; 3")


def test_random_systems_have_their_radius():
    mdp = make_problem("lqg_random", n=7, m=2, radius=0.8, seed=5)
    assert np.abs(np.linalg.eigvals(mdp.A)).max() == pytest.approx(0.8, rel=1e-12)
    assert mdp.stability(np.zeros((2, 7))) == pytest.approx(0.8 * np.sqrt(0.95), rel=1e-12)
    assert mdp.facts == {"state_dimension": 7, "action_dimension": 2, "gamma": 0.95}


@pytest.mark.parametrize("masses", [1, 4])
def test_a_chain_moves_freely_without_growing(masses):
    mdp = make_problem("lqg_chain", masses=masses, step=0.3)
    assert np.abs(np.linalg.eigvals(mdp.A)).max() == pytest.approx(1, abs=1e-7)
    # A push on the first mass moves it by step² and changes its velocity by step.
    np.testing.assert_allclose(mdp.B[:, 0][[0, masses]], [0.09, 0.3])
    if masses > 1:
        still = np.concatenate([np.ones(masses), np.zeros(masses)])
        np.testing.assert_allclose(mdp.A @ still, still, atol=1e-15)


def test_springs_that_are_too_hard_are_refused():
    with pytest.raises(ProblemError, match="must be below 1"):
        make_problem("lqg_chain", masses=2, step=1.0, stiffness=1.0)


@pytest.fixture(params=VECTORS)
def problem(request):
    """Problems of several sizes."""
    return VECTORS[request.param]()


def test_no_gain_is_better_than_the_optimal_one(problem):
    best = optimal_regulator(problem)
    policy = make_policy("gaussian", problem)
    theta = policy.initial(init="zeros")
    theta[policy.n_means :] = 1e-9
    gains = slice(0, policy.n_means)
    theta[gains] = best.gain.ravel()
    truth = evaluate(problem, policy, theta)
    assert truth.objective == pytest.approx(best.objective, rel=1e-6)
    assert np.abs(truth.gradient[gains]).max() < 1e-6 * abs(best.objective)
    rng = np.random.default_rng(0)
    for _ in range(5):
        moved = theta.copy()
        moved[gains] += 0.01 * rng.standard_normal(policy.n_means)
        assert evaluate(problem, policy, moved).objective < best.objective


def test_finite_horizons_tend_to_the_infinite_one(problem):
    best, finite = optimal_regulator(problem), optimal_regulator(problem, horizon=400)
    assert finite.objective == pytest.approx(best.objective, rel=1e-6)
    np.testing.assert_allclose(finite.gain, best.gain, atol=1e-6)
    assert optimal_regulator(problem, 5).objective > optimal_regulator(problem, 6).objective


def test_one_step_needs_no_action():
    one = optimal_regulator(scalar(), horizon=1)
    assert one.gain == 0
    assert one.objective == pytest.approx(-0.7 * (0.8 + 0.25))


def test_without_discount_there_is_no_infinite_horizon():
    mdp = scalar(gamma=1.0, A=0.5)
    with pytest.raises(SolveError, match="gamma is 1"):
        optimal_regulator(mdp)
    policy = make_policy("gaussian", mdp)
    with pytest.raises(SolveError, match="give a horizon"):
        evaluate(mdp, policy, [0.0, 1.0])
    assert np.isfinite(evaluate(mdp, policy, [0.0, 1.0], horizon=9).objective)


def test_policies_and_problems_of_other_kinds_are_not_applicable():
    finite = make_problem("bandit")
    with pytest.raises(NotApplicable, match="gaussian is a policy for linear-quadratic problems"):
        make_policy("gaussian", finite)
    with pytest.raises(NotApplicable, match="softmax is a policy for finite problems, lqg is"):
        make_policy("softmax", scalar())
    with pytest.raises(ValueError, match="must be made by make_policy for a linear-quadratic"):
        evaluate(scalar(), make_policy("softmax", finite), [0.0])
