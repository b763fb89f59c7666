"""Fisher information and the natural gradient.

    F(θ) = E_{s~ρ} E_{a~π} [ψ ψᵀ],   ρ = (1-γ) d  (for γ = 1, where ρ vanishes, d itself)
    natural gradient = F†∇J, the solution of least norm  (Kakade 2001; Bagnell & Schneider 2003)

F is singular for softmax policies: adding a constant to the logits of a state changes nothing. The
least-norm solution has no component along such directions. Up to ``DENSE_LIMIT`` parameters F†
comes from the singular values of √(ρπ) ψ, which does not square the condition number; beyond, from
conjugate gradients on F-vector products, which never form F.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from scipy.sparse.linalg import LinearOperator, cg

from pgbench.exact.linear import SolveError
from pgbench.policies import Policy

FloatArray = NDArray[np.float64]

DENSE_LIMIT = 1000


def matrix(policy: Policy, theta: FloatArray, state_weights: FloatArray) -> FloatArray:
    """F (d, d) = Σ_s w(s) Σ_a π(s,a) ψ(s,a) ψ(s,a)ᵀ; takes O(S·A·d) memory."""
    X = _weighted_scores(policy, theta, state_weights)
    return X.T @ X


def product(
    policy: Policy, theta: FloatArray, state_weights: FloatArray, v: FloatArray
) -> FloatArray:
    """F v (d,) in O(S·A) memory."""
    weights = state_weights[:, None] * policy.probabilities(theta)
    return policy.pull_back(theta, weights * policy.push_forward(theta, v))


def solve(
    policy: Policy, theta: FloatArray, state_weights: FloatArray, g: FloatArray
) -> FloatArray:
    """F† g (d,) for g in the range of F.

    Raises
    ------
    SolveError
        If conjugate gradients leave a relative residual above 1e-8, or g is not in the range of F.
    """
    if not g.any():
        return np.zeros_like(g)
    x = (_solve_dense if g.size <= DENSE_LIMIT else _solve_iteratively)(
        policy, theta, state_weights, g
    )
    residual = np.linalg.norm(product(policy, theta, state_weights, x) - g) / np.linalg.norm(g)
    if not residual <= 1e-8:
        raise SolveError(
            f"the natural gradient has relative residual {residual:.1e}, more than 1e-8"
        )
    return x


def _weighted_scores(policy: Policy, theta: FloatArray, state_weights: FloatArray) -> FloatArray:
    weights = np.sqrt(state_weights[:, None] * policy.probabilities(theta))
    return (weights[:, :, None] * policy.scores(theta)).reshape(-1, policy.n_parameters)


def _solve_dense(
    policy: Policy, theta: FloatArray, state_weights: FloatArray, g: FloatArray
) -> FloatArray:
    # X = UΣVᵀ gives F† = VΣ⁻²Vᵀ without forming XᵀX.
    _, singular, Vt = linalg.svd(
        _weighted_scores(policy, theta, state_weights), full_matrices=False, check_finite=False
    )
    rank = int((singular > singular[0] * max(Vt.shape) * np.finfo(float).eps).sum())
    coefficients: FloatArray = Vt[:rank].T @ ((Vt[:rank] @ g) / singular[:rank] ** 2)
    return coefficients


def _solve_iteratively(
    policy: Policy, theta: FloatArray, state_weights: FloatArray, g: FloatArray
) -> FloatArray:
    operator = LinearOperator(
        (g.size, g.size),
        matvec=lambda v: product(policy, theta, state_weights, np.asarray(v)),
        dtype=np.float64,
    )
    x, _ = cg(operator, g, rtol=1e-10, atol=0.0, maxiter=10_000)
    return np.asarray(x)
