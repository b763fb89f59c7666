"""How far the gradient of a finite problem can be from the true one: proven, from V's and d's.

    C = d A        |δC| ≤ (|d| + |δd|) |δA| + |δd| |A|        |δA| ≤ |δV| + γP |δV|

entry by entry, and what rounding adds to each; the policy says how long that makes the error of
Σ C ∇π. It is about rows of P and π divided by their sums, which differ from those stored by
rounding alone.
"""

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.exact.finite.powers import geometric_sum
from pgbench.exact.finite.walk import Walk
from pgbench.exact.truth import Truth
from pgbench.rounding import UNIT

_TINY = float(np.finfo(np.float64).tiny)
_STEP = 24 * UNIT
"""Rounding of a few products and sums, and differences that ``horizon.advantages`` sets to zero."""


def gradient_error(truth: Truth, worth: FloatArray) -> float:
    """Bound on the length of the error of ∇J, or of ∇J_H, reward per unit of θ.

    ∇J is computed as Σ C ∇π from the worth C (S, A).
    """
    with np.errstate(over="ignore", invalid="ignore"):
        relative = truth.policy.table_error(truth.theta)
        if truth.horizon is None:
            error = _error(truth, relative) + _STEP * np.abs(worth)
        else:
            error = _finite_error(truth, relative)
        length = truth.policy.derivative_error(truth.theta, worth, error)
    # Products may underflow on the way, and squares of what is below 1e-154 do.
    return length + np.sqrt(_TINY * truth.gradient.size) if np.isfinite(length) else np.inf


def _error(truth: Truth, relative: float) -> FloatArray:
    """Bound on the error of d A (S, A), of d and A; π is right to ``relative``."""
    mdp = truth.mdp
    size = mdp.reward_size
    walk = Walk.of(mdp, truth.pi)
    chain = walk.fundamental(mdp.gamma)
    defect = chain.defect + relative
    reward, rewards = walk.mean(mdp.expected_reward), walk.mean(size)
    v_wrong = chain.error(reward, truth.v, magnitude=rewards, defect=defect)
    d_wrong = chain.error(mdp.mu0, truth.visitation, transposed=True, defect=defect)
    following = mdp.gamma * walk.following(np.abs(truth.v))
    a_wrong = (chain.defect + (mdp.branching + 8) * UNIT) * (size + following)
    a_wrong += mdp.gamma * walk.following(v_wrong) + v_wrong[:, None]
    a_wrong += _STEP * (np.abs(truth.q) + np.abs(truth.v)[:, None])
    wrong = (truth.visitation + d_wrong)[:, None] * a_wrong
    return wrong + d_wrong[:, None] * np.abs(truth.advantage)


def _finite_error(truth: Truth, relative: float) -> FloatArray:
    """Bound on the error of d A (S, A) over H steps, sums of products of at most H factors."""
    mdp, H = truth.mdp, truth.horizon
    assert H is not None
    walk = Walk.of(mdp, truth.pi).within(H)
    own = mdp.reward_size[walk.states]
    occupied, later = walk.swept(mdp.gamma, mdp.gamma, walk.mean(own), H)
    returns = occupied[:, None] * own + mdp.gamma * later
    if mdp.reward.min() < 0 < mdp.reward.max():
        # Closed forms of terms of both signs are right beside the largest entry only.
        returns += occupied[:, None] * own.max() * geometric_sum(mdp.gamma, H)
    wrong = (2 * H * (_of_a_step(walk) + relative) + relative + _STEP) * returns
    error = np.zeros(truth.pi.shape)
    error[walk.states] = wrong + walk.mean(wrong)[:, None]
    return error


def finite_value_error(walk: Walk, reward: FloatArray, gamma: float, horizon: int) -> float:
    """Bound on the largest error of V_H of rewards whose terms' sizes add up to ``reward``."""
    size = float(reward.max(initial=0.0)) * float(geometric_sum(gamma, horizon))
    return horizon * _of_a_step(walk) * size


def _of_a_step(walk: Walk) -> float:
    """Relative error of one more product with M, or Mᵀ, and of what is added up of them."""
    M = walk.matrix
    most = int(max(np.diff(M.indptr).max(), np.bincount(M.indices, minlength=1).max()))
    return walk.defect + (4 * most + 4 * walk.pi.shape[1] + 80) * UNIT
