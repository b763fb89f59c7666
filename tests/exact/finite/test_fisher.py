"""Fisher information and the natural gradient."""

from itertools import combinations_with_replacement

import numpy as np
import pytest
from scipy import linalg

from pgbench.exact import SolveError, evaluate
from pgbench.exact.finite import fisher
from pgbench.policies import Direct, LogLinear, Softmax, make_policy
from pgbench.problems import make_problem
from tests.support.numbers import close, tangents


def curvature(f, direction, step):
    """Second derivative of f(x·direction) at 0 by central differences of fourth order; f(0) = 0."""
    near, far = (f(k * step * direction) + f(-k * step * direction) for k in (1, 2))
    return (16 * near - far) / (12 * step**2)


def kl_hessian(truth, tangents):
    """Hessian at θ' = θ of Σ_s ρ(s) KL(π_θ(s,·) ‖ π_θ'(s,·)), by polarisation.

    Where θ is constrained, along the tangent parts of the unit vectors.
    """
    directions, reach = tangents(truth.policy, truth.theta)
    d = truth.theta.size
    hessian = np.empty((d, d))
    for i, j in combinations_with_replacement(range(d), 2):
        plus, minus = (
            curvature(
                lambda change: truth.kl(truth.theta + change),
                directions[i] + sign * directions[j],
                step=1e-3 * reach,
            )
            for sign in (1, -1)
        )
        hessian[i, j] = hessian[j, i] = (plus - minus) / 4
    return hessian


def test_fisher_is_the_hessian_of_the_expected_divergence(truth):
    expected = kl_hessian(truth, tangents)
    np.testing.assert_allclose(truth.fisher(), expected, rtol=0, atol=1e-8 * np.abs(expected).max())


def test_product_is_that_of_the_matrix(truth):
    v = np.random.default_rng(0).standard_normal(truth.theta.size)
    product = fisher.product(truth.policy, truth.theta, truth.state_weights, v)
    close(product, truth.fisher() @ v)


def test_natural_gradient_is_the_pseudo_inverse_solution(truth):
    F, x = truth.fisher(), truth.natural_gradient()
    expected = np.linalg.pinv(F, rcond=1e-12, hermitian=True) @ truth.gradient
    np.testing.assert_allclose(x, expected, rtol=0, atol=1e-9 * np.abs(expected).max())


def assembled(blocks):
    """The (d, d) matrix of its diagonal blocks."""
    return linalg.block_diag(*blocks)


def test_pseudo_inverse_meets_the_conditions_of_penrose(truth):
    F = truth.fisher()
    K = assembled(fisher.pseudo_inverse(truth.policy, truth.theta, truth.state_weights))
    close(F @ K @ F, F, 1e-11)
    close(K @ F @ K, K, 1e-10)
    close(K @ F, (K @ F).T, 1e-10)
    close(F @ K, (F @ K).T, 1e-10)
    close(K @ truth.gradient, truth.natural_gradient(), 1e-11)


@pytest.mark.parametrize(
    ("name", "given_parameters"),
    [
        ("random", {"n_states": 4}),
        ("garnet", {"n_states": 30, "gamma": 0.95}),
        ("riverswim", {}),
        ("corridor", {}),
        ("gridworld", {"size": 4}),
    ],
)
def test_natural_gradient_of_tabular_softmax_is_the_advantage(name, given_parameters):
    """F†∇J = (A - mean_a A)/(1-γ) on visited states (Agarwal et al. 2021, Lemma 5.1)."""
    mdp = make_problem(name, **given_parameters)
    policy = make_policy("softmax", mdp)
    truth = evaluate(mdp, policy, policy.initial(seed=1))
    A = truth.advantage / (1 - mdp.gamma if mdp.gamma < 1 else 1)
    expected = np.where((truth.visitation > 0)[:, None], A - A.mean(axis=1, keepdims=True), 0)
    close(truth.natural_gradient().reshape(truth.pi.shape), expected, 1e-10)


@pytest.mark.parametrize("scale", [0.5, 5, 50, 500])
def test_natural_gradient_is_exact_near_deterministic_policies(scale):
    """A - mean_a A for softmax and πA for the direct policy, over 1-γ, however small π is.

    Direct: F†∇J = π(A + c)/(1-γ) with rows that sum to zero, so c = 0; but for states on the
    boundary of the simplex, where actions that are never taken have a say.
    """
    mdp = make_problem("garnet", n_states=50, gamma=0.95)
    tabular, direct = Softmax(50, 4), Direct(50, 4)
    theta = tabular.initial(seed=1, scale=scale)
    truth = evaluate(mdp, tabular, theta)
    pi, A = truth.pi, truth.advantage / 0.05
    taken = pi >= np.finfo(float).tiny
    mean = np.sum(A * taken, axis=1, keepdims=True) / taken.sum(axis=1, keepdims=True)
    close(truth.natural_gradient().reshape(50, 4), np.where(taken, A - mean, 0), 1e-12)
    truth = evaluate(mdp, direct, pi.ravel())
    atol = 1e-10 * np.abs(truth.q).max()
    inside = taken.all(axis=1)
    found = truth.natural_gradient().reshape(50, 4)
    np.testing.assert_allclose(found[inside], (pi * A)[inside], rtol=0, atol=atol)


def support(truth, absent):
    """The truth of the direct policy with the last ``absent`` actions of state 0 never taken."""
    S, A = truth.pi.shape
    pi = truth.pi.copy()
    pi[0, A - absent :] = 0
    pi[0] /= pi[0].sum()
    return evaluate(truth.mdp, Direct(S, A), pi.ravel())


@pytest.mark.parametrize("absent", [0, 1, 2, 3])
def test_direct_on_the_boundary_gives_the_pseudo_inverse_solution(absent):
    mdp = make_problem("random", n_states=4, n_actions=4)
    truth = support(evaluate(mdp, Softmax(4, 4), Softmax(4, 4).initial(seed=1)), absent)
    expected = np.linalg.pinv(truth.fisher(), rcond=1e-12, hermitian=True) @ truth.gradient
    x = truth.natural_gradient()
    np.testing.assert_allclose(x, expected, rtol=0, atol=1e-11 * np.abs(expected).max())


class Decomposed(Softmax):
    """Tabular softmax without its closed form, so that blocks are decomposed."""

    def local_solve(self, theta, g):
        return None


class DecomposedDirect(Direct):
    """Direct without its closed form."""

    def local_solve(self, theta, g):
        return None


def in_shared_parameters(truth):
    """The same policy as one whose states share parameters, so that F is decomposed as a whole."""
    S, A = truth.pi.shape
    policy = LogLinear(np.eye(S * A).reshape(S, A, S * A))
    return evaluate(truth.mdp, policy, truth.theta)


@pytest.mark.parametrize("policy", [Decomposed(30, 4), Softmax(30, 4)], ids=["svd", "closed form"])
def test_pseudo_inverse_by_state_is_the_dense_one(policy):
    mdp = make_problem("garnet", n_states=30, gamma=0.95)
    truth = evaluate(mdp, policy, policy.initial(seed=1))
    K = assembled(fisher.pseudo_inverse(policy, truth.theta, truth.state_weights))
    close(K, np.linalg.pinv(truth.fisher(), rcond=1e-12, hermitian=True), 1e-9)


@pytest.mark.parametrize("policy", [Decomposed(30, 4), Softmax(30, 4)], ids=["svd", "closed form"])
def test_solution_by_state_is_the_dense_solution(policy):
    mdp = make_problem("garnet", n_states=30, gamma=0.95)
    truth = evaluate(mdp, policy, policy.initial(seed=1))
    close(truth.natural_gradient(), in_shared_parameters(truth).natural_gradient(), 1e-10)


def test_blocks_of_the_direct_policy_give_its_closed_form():
    mdp = make_problem("garnet", n_states=30, gamma=0.95)
    theta = Direct(30, 4).initial(seed=1)
    decomposed, closed = (
        evaluate(mdp, policy, theta) for policy in (DecomposedDirect(30, 4), Direct(30, 4))
    )
    close(decomposed.natural_gradient(), closed.natural_gradient(), 1e-10)


@pytest.mark.parametrize("policy", [Decomposed(6, 3), Softmax(6, 3)], ids=["svd", "closed form"])
def test_visitation_has_no_say_in_the_rank(policy):
    """Weights from 1 to 10⁻³⁰⁰: x of a state depends on g/w alone, and no weight gives zero."""
    theta = policy.initial(seed=1)
    weights = np.array([1.0, 1e-10, 1e-100, 1e-200, 1e-300, 0.0])
    table = np.random.default_rng(0).standard_normal((6, 3))
    g = policy.pull_back(theta, weights[:, None] * table)
    x = fisher.solve(policy, theta, weights, g).reshape(6, 3)
    one = fisher.solve(policy, theta, np.ones(6), policy.pull_back(theta, table)).reshape(6, 3)
    close(x[:5], one[:5], 1e-11)
    np.testing.assert_array_equal(x[5], 0)


@pytest.mark.parametrize("kind", ["loglinear", "neural"])  # the others are solved state by state
def test_iterations_give_the_dense_solution(truth, monkeypatch):
    dense = truth.natural_gradient()
    monkeypatch.setattr(fisher, "DENSE_LIMIT", 0)
    close(truth.natural_gradient(), dense, 1e-7)


def test_iterations_give_the_advantage(monkeypatch):
    monkeypatch.setattr(fisher, "DENSE_LIMIT", 0)
    mdp = make_problem("garnet", n_states=30, gamma=0.95)
    truth = in_shared_parameters(evaluate(mdp, Softmax(30, 4), Softmax(30, 4).initial(seed=1)))
    A = truth.advantage / 0.05
    close(truth.natural_gradient(), (A - A.mean(axis=1, keepdims=True)).ravel(), 1e-8)


def test_iterations_on_a_large_network_solve_without_null_component():
    """More than 1000 parameters and 1000 pairs, so that neither side is decomposed by default."""
    mdp = make_problem("garnet", n_states=252, gamma=0.9)
    policy = make_policy("neural", mdp, hidden=4)
    truth = evaluate(mdp, policy, policy.initial(seed=1))
    assert policy.n_parameters > fisher.DENSE_LIMIT
    assert truth.pi.size > fisher.DENSE_LIMIT
    x = truth.natural_gradient()
    moved = fisher.product(policy, truth.theta, truth.state_weights, x)
    close(moved, truth.gradient, 1e-8)
    # The last four parameters are biases of the logits; equal ones change nothing.
    assert abs(x[-4:].sum()) < 1e-10 * np.abs(x).max()


def test_few_pairs_are_decomposed_however_many_parameters_there_are(monkeypatch):
    mdp = make_problem("random", n_states=4, n_actions=3)
    policy = make_policy("neural", mdp)
    truth = evaluate(mdp, policy, policy.initial(seed=1))
    assert policy.n_parameters > fisher.DENSE_LIMIT
    monkeypatch.setattr(fisher, "DENSE_ENTRIES", 0)
    iterated = truth.natural_gradient()
    monkeypatch.undo()
    monkeypatch.setattr(fisher, "cg", None)
    close(truth.natural_gradient(), iterated, 1e-6)


def test_one_null_direction_per_state_of_tabular_softmax():
    mdp = make_problem("random", n_states=4, n_actions=3)
    truth = evaluate(mdp, Softmax(4, 3), Softmax(4, 3).initial(seed=1))
    eigenvalues = np.linalg.eigvalsh(truth.fisher())
    assert (eigenvalues > 1e-6).sum() == 8
    assert np.abs(eigenvalues[:4]).max() < 1e-15
    shifts = np.repeat(np.eye(4), 3, axis=1)
    np.testing.assert_allclose(shifts @ truth.natural_gradient(), 0, atol=1e-12)


def test_null_space_of_direct_is_that_of_constants():
    mdp = make_problem("random", n_states=4, n_actions=3)
    truth = evaluate(mdp, Direct(4, 3), Direct(4, 3).initial(seed=1))
    eigenvalues = np.linalg.eigvalsh(truth.fisher())
    assert (eigenvalues > 1e-6).sum() == 8
    shifts = np.repeat(np.eye(4), 3, axis=1)
    np.testing.assert_allclose(truth.fisher() @ shifts.T, 0, atol=1e-14)
    np.testing.assert_allclose(shifts @ truth.natural_gradient(), 0, atol=1e-12)


@pytest.mark.parametrize(
    ("policy", "limit"),
    [
        (Softmax(2, 2), 1000),
        (Decomposed(2, 2), 1000),
        (LogLinear(np.eye(4).reshape(2, 2, 4)), 1000),
        (LogLinear(np.eye(4).reshape(2, 2, 4)), 0),
    ],
    ids=["closed form", "by state", "dense", "iterative"],
)
def test_vector_outside_the_range_is_refused(policy, limit, monkeypatch):
    monkeypatch.setattr(fisher, "DENSE_LIMIT", limit)
    g = np.array([2.0, 0.0, 1.0, -1.0])  # the first state's part has a sum, so no solution
    with (
        np.errstate(all="ignore"),  # the iteration diverges before it is refused
        pytest.raises(SolveError, match="natural gradient has relative residual"),
    ):
        fisher.solve(policy, policy.initial(seed=1), np.ones(2), g)


def test_vector_of_a_state_without_weight_is_refused():
    policy = Softmax(2, 2)
    with pytest.raises(SolveError, match="natural gradient has relative residual"):
        fisher.solve(policy, policy.initial(seed=1), np.array([1.0, 0.0]), np.array([1.0, -1] * 2))


def test_zero_gradient_has_zero_natural_gradient():
    policy = Softmax(2, 2)
    solution = fisher.solve(policy, policy.initial(seed=1), np.ones(2), np.zeros(4))
    np.testing.assert_array_equal(solution, 0)


def test_rounding_of_many_rows_does_not_count_as_rank():
    """Far out on the corridor the null direction's singular value is rounding of eight rows."""
    mdp = make_problem("corridor")
    policy = make_policy("loglinear", mdp)
    truth = evaluate(mdp, policy, np.log([0.99, 0.01]))
    assert truth.gradient @ truth.natural_gradient() == pytest.approx(
        truth.gradient[0] ** 2 / truth.fisher()[0, 0], rel=1e-9
    )
    theta = policy.initial(seed=3)
    direction = evaluate(mdp, policy, theta).natural_gradient()
    assert direction[0] == pytest.approx(-direction[1], rel=1e-9)
