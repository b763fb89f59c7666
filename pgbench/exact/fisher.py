"""Fisher information and the natural gradient.

    F(θ) = E_{s~ρ} E_{a~π} [ψ ψᵀ],   ρ = (1-γ) d  (for γ = 1, where ρ vanishes, d itself)
    natural gradient = F†∇J, the solution of least norm  (Kakade 2001; Bagnell & Schneider 2003)

F is singular for most policies, and the least-norm solution has no component along its null space:

    tabular softmax   one direction per visited state: constants added to its logits
    direct            one per visited state: constants added to its row, which leave the simplex
    both              every parameter of a state that is not visited, where ρ = 0
    loglinear         features that are the same for all actions, or dependent
    neural            the like, and units that are saturated or switched off in every state

Where every parameter belongs to one state, F has one block per state, and each is solved on its
own, at any number of states. Else F† comes from the singular values of √(ρπ) ψ, which does not
square the condition number, as long as its shorter side is at most ``DENSE_LIMIT``; beyond, from
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
DENSE_ENTRIES = 2**26
"""Largest (S·A, d) table of scores that is decomposed: 512 MiB."""


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
    pairs = state_weights.size * policy.shape[1]
    dense = min(pairs, g.size) <= DENSE_LIMIT and pairs * g.size <= DENSE_ENTRIES
    x = _solve_blocks(policy, theta, state_weights, g)
    if x is None:
        x = (_solve_dense if dense else _solve_iteratively)(policy, theta, state_weights, g)
    residual = np.linalg.norm(product(policy, theta, state_weights, x) - g) / np.linalg.norm(g)
    if not residual <= 1e-8:
        raise SolveError(
            f"the natural gradient has relative residual {residual:.1e}, more than 1e-8"
        )
    return x


def _weighted_scores(policy: Policy, theta: FloatArray, state_weights: FloatArray) -> FloatArray:
    weights = np.sqrt(state_weights[:, None] * policy.probabilities(theta))
    return (weights[:, :, None] * policy.scores(theta)).reshape(-1, policy.n_parameters)


def _solve_blocks(
    policy: Policy, theta: FloatArray, state_weights: FloatArray, g: FloatArray
) -> FloatArray | None:
    """F† g state by state in O(S·A³) time, or None for policies whose states share parameters."""
    local = policy.local_scores(theta)
    if local is None:
        return None
    # Dividing the weight of a state out first keeps it from having a say in the rank.
    seen = state_weights > 0
    weights = np.where(seen, state_weights, 1.0)[:, None]
    right = np.where(seen[:, None], g.reshape(len(seen), -1) / weights, 0.0)
    x = policy.local_solve(theta, right)
    if x is None:
        X = np.sqrt(policy.probabilities(theta))[:, :, None] * local
        _, singular, Vt = np.linalg.svd(X, full_matrices=False)
        cut = singular[:, :1] * max(X.shape[1:]) * np.finfo(float).eps
        inverse = np.divide(1, singular**2, out=np.zeros_like(singular), where=singular > cut)
        x = np.einsum("sik,si->sk", Vt, inverse * np.einsum("sik,sk->si", Vt, right))
    return x.ravel()


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
