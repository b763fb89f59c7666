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
own, at any number of states: tabular softmax and direct in closed form, to the last digits however
small π is, others from the singular values of √π ψ(s,·), in O(S·A³) time. For policies whose states
share parameters F† comes from the singular values of √(ρπ) ψ, which does not square the condition
number, if its shorter side is at most ``DENSE_LIMIT``; beyond, from conjugate gradients on F-vector
products, which never form F.
"""

import numpy as np
from scipy import linalg
from scipy.sparse.linalg import LinearOperator, cg

from pgbench.arrays import FloatArray
from pgbench.policies import Policy
from pgbench.problems.problem import SolveError

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
    local = policy.local_scores(theta)
    if local is not None:
        x, outside = _solve_by_state(policy, theta, local, state_weights, g)
    else:
        n_pairs = state_weights.size * policy.shape[1]
        dense = min(n_pairs, g.size) <= DENSE_LIMIT and n_pairs * g.size <= DENSE_ENTRIES
        x = (_solve_dense if dense else _solve_iteratively)(policy, theta, state_weights, g)
        outside = product(policy, theta, state_weights, x) - g
    residual = np.linalg.norm(outside) / np.linalg.norm(g)
    if not residual <= 1e-8:
        raise SolveError(
            f"the natural gradient has relative residual {residual:.1e}, more than 1e-8"
        )
    return x


def pseudo_inverse(policy: Policy, theta: FloatArray, state_weights: FloatArray) -> FloatArray:
    """F† as diagonal blocks: (S, k, k) where parameters belong to states, else (1, d, d)."""
    local = policy.local_scores(theta)
    if local is None:
        singular, Vt = _decomposed(policy, theta, state_weights)
        return ((Vt.T / singular**2) @ Vt)[None]
    S, _, k = local.shape
    columns = []
    for unit in np.eye(k):
        # Closed forms take rows that sum to zero; what is taken off is in the null space of F_s.
        x = policy.local_solve(theta, _summing_to_zero(policy, np.tile(unit, (S, 1))))
        if x is None:
            x = _solve_blocks(policy, theta, local, np.tile(unit, (S, 1)))
        columns.append(x)
    blocks = np.stack(columns, axis=2)
    seen = (state_weights > 0)[:, None, None]
    weights = np.where(seen, state_weights[:, None, None], 1.0)
    return np.where(seen, blocks / weights, 0.0)


def _summing_to_zero(policy: Policy, rows: FloatArray) -> FloatArray:
    """Rows (S, A) less their means over the actions that a state has, and zero at others."""
    if policy.allowed is None:
        return rows - 1 / rows.shape[1] * rows.sum(axis=1, keepdims=True)
    own = np.where(policy.allowed, rows, 0.0)
    means = own.sum(axis=1, keepdims=True) / policy.allowed.sum(axis=1, keepdims=True)
    return np.where(policy.allowed, own - means, 0.0)


def _weighted_scores(policy: Policy, theta: FloatArray, state_weights: FloatArray) -> FloatArray:
    weights = np.sqrt(state_weights[:, None] * policy.probabilities(theta))
    return (weights[:, :, None] * policy.scores(theta)).reshape(-1, policy.n_parameters)


def _solve_by_state(
    policy: Policy,
    theta: FloatArray,
    local: FloatArray,
    state_weights: FloatArray,
    g: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """F† g and a measure of what of g is outside the range of F, 0 if nothing is."""
    rows, seen = g.reshape(state_weights.size, -1), state_weights > 0
    # The weight of a state is divided out, so that it has no say in the rank of the block.
    weights = np.where(seen, state_weights, 1.0)[:, None]
    right = np.where(seen[:, None], rows / weights, 0.0)
    x = policy.local_solve(theta, right)
    if x is None:
        x = _solve_blocks(policy, theta, local, right)
        return x.ravel(), product(policy, theta, state_weights, x.ravel()) - g
    # Near the boundary of the simplex F times a rounded x is not g, so ask for the range itself.
    outside = np.where(seen, rows.sum(axis=1), np.linalg.norm(rows, axis=1))
    return np.where(seen[:, None], x, 0.0).ravel(), outside


def _solve_blocks(
    policy: Policy, theta: FloatArray, local: FloatArray, right: FloatArray
) -> FloatArray:
    """F_s† of each row; rounding grows with the ratio of the largest to the least probability."""
    X = np.sqrt(policy.probabilities(theta))[:, :, None] * local
    _, singular, Vt = np.linalg.svd(X, full_matrices=False)
    cut = singular[:, :1] * max(X.shape[1:]) * np.finfo(float).eps
    inverse = np.divide(1, singular**2, out=np.zeros_like(singular), where=singular > cut)
    solution: FloatArray = np.einsum("sik,si->sk", Vt, inverse * np.einsum("sik,sk->si", Vt, right))
    return solution


def _solve_dense(
    policy: Policy, theta: FloatArray, state_weights: FloatArray, g: FloatArray
) -> FloatArray:
    singular, Vt = _decomposed(policy, theta, state_weights)
    coefficients: FloatArray = Vt.T @ ((Vt @ g) / singular**2)
    return coefficients


def _decomposed(
    policy: Policy, theta: FloatArray, state_weights: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Nonzero singular values (r,) of X = √(wπ) ψ = UΣVᵀ, and Vᵀ (r, d).

    They give F† = VΣ⁻²Vᵀ without forming XᵀX.
    """
    X = _weighted_scores(policy, theta, state_weights)
    _, singular, Vt = linalg.svd(X, full_matrices=False, check_finite=False)
    # The longer side counts too: every row of X brings rounding errors of its own.
    rank = int((singular > singular[0] * max(X.shape) * np.finfo(float).eps).sum())
    return singular[:rank], Vt[:rank]


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
