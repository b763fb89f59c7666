"""Fisher matrices of sampled steps, and systems with them.

    F̂ = (1-γ) (1/n) Σ_i Σ_t γ^t ψ_{i,t} ψ_{i,t}ᵀ      (for γ = 1 without the factor 1-γ)

over the pairs visited estimates F, up to what rollouts of H steps do not see: its mean is F with
γ^t Pr(s_t = s) summed over t < H only, so it is short by a share of γ^H and steps made of it are
that much too long.

Where every parameter belongs to one state F̂ has a block per state, and any number of states will
do. Else it is one block, which must be small. A pseudo-inverse takes directions in which a block is
less than ``CUTOFF`` times as large as in its largest one for its null space. Rounding errors are
about 1e-16 of the largest, a million times less, so they never decide on the rank.
"""

from functools import singledispatch
from typing import Any

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.exact.finite.several import FiniteTruths
from pgbench.exact.linear_quadratic import QuadraticTruth
from pgbench.exact.remember import remembered
from pgbench.exact.truth import Truth
from pgbench.policies import NotApplicable
from pgbench.process.batch import Batch, QuadraticBatch

LARGEST = 400
"""Largest d of a policy whose states share parameters."""

CUTOFF = 1e-10
"""Least eigenvalue that counts, relative to the largest one of its block."""

SMALL = 8
"""Largest block that rotations of our own are quicker for than a library's reduction."""

_ROUNDING = 1e-13
"""Scores this small relative to the largest are rounding errors, where states share parameters."""

WEIGHED_SCORES = 2**23
"""Numbers that the weighed scores of a part of the replicates may take, 64 MiB."""


def require_small(truth: Truth) -> None:
    """NotApplicable where F would be one block of more than ``LARGEST`` parameters."""
    block_shape(truth)


def block_shape(truth: Truth) -> tuple[int, int, int]:
    """(G, k, k) of the blocks of F; NotApplicable where it is one of more than ``LARGEST``."""
    d = truth.policy.n_parameters
    local = truth.policy.local_scores(np.atleast_2d(truth.theta)[0])
    if local is not None:
        return len(local), local.shape[2], local.shape[2]
    if d > LARGEST:
        raise NotApplicable(
            f"θ has {d} parameters that states share; estimates of a full Fisher matrix are made"
            f" for at most {LARGEST}"
        )
    return 1, d, d


@remembered
def block_scores(truth: Truth) -> FloatArray:
    """Scores (G, p, k): of the p actions of each of G = S states, or of all p = S·A pairs, G = 1.

    NotApplicable as ``require_small`` has it.
    """
    require_small(truth)
    local = truth.policy.local_scores(truth.theta)
    if local is not None:
        return local
    psi = truth.policy.scores(truth.theta).reshape(1, truth.pi.size, -1)
    norms = np.linalg.norm(psi, axis=2, keepdims=True)
    return np.where(norms > _ROUNDING * norms.max(), psi, 0.0)


def sampled(truth: Truth, batch: Batch) -> FloatArray:
    """γ^t times the factor, summed over visits of each pair, a mean over the batch: (m, S, A)."""
    return truth.mdp.visit_weight * batch.tables(batch.discounts())


@singledispatch
def matrices(truth: Truth, weights: FloatArray) -> FloatArray:
    """Σ_{s,a} W(s,a) ψψᵀ in blocks (m, G, k, k) from W (m, S, A)."""
    psi = block_scores(truth)
    G, p, k = psi.shape
    m = len(weights)
    w = weights.reshape(m, G, p)
    if G > 1:
        return _of_states(psi[None], w)
    out = np.empty((m, G, k, k))
    step = max(1, WEIGHED_SCORES // psi.size)
    for i in range(0, m, step):
        part = slice(i, i + step)
        # Only pairs that some replicate of the part visited: most of a large block are not.
        seen = np.flatnonzero(w[part].any(axis=(0, 1)))
        own = psi[:, seen]
        out[part] = (own * w[part][:, :, seen, None]).swapaxes(2, 3) @ own
    return out


@matrices.register
def _(truth: FiniteTruths, weights: FloatArray) -> FloatArray:
    own = [matrices(truth.one(r), weights[r : r + 1]) for r in range(truth.m)]
    return np.concatenate(own)


def _of_states(scores: FloatArray, weights: FloatArray) -> FloatArray:
    """A block for each state from scores (1, G, p, k) and weights (m, G, p)."""
    from pgbench.kernels.blocks import add_squares

    k = scores.shape[3]
    out = np.zeros((*weights.shape[:2], k, k))
    add_squares(np.ascontiguousarray(scores), np.ascontiguousarray(weights), out)
    return out


@singledispatch
def sampled_fisher(truth: Truth, batch: Any) -> FloatArray:
    """F̂ = (1-γ) Σ_t γ^t ψψᵀ of the actions taken, a mean over the batch: blocks (m, G, k, k)."""
    return matrices(truth, sampled(truth, batch))


@sampled_fisher.register
def _(truth: QuadraticTruth, batch: QuadraticBatch) -> FloatArray:
    require_small(truth)
    if truth.theta.ndim > 1:  # a policy for each replicate
        every = range(len(truth.theta))
        own = [sampled_fisher(truth.one(r), batch.part(slice(r, r + 1))) for r in every]
        return np.concatenate(own)
    m, n, T = batch.shape
    d = truth.gradient.size
    F = np.empty((m, 1, d, d))
    step = max(1, WEIGHED_SCORES // (n * T * d))
    discounts = np.sqrt(truth.mdp.visit_weight / n * batch.discounts())[:, None]
    for i in range(0, m, step):
        part = batch.part(slice(i, i + step))
        psi = truth.policy.scores(truth.theta, part.lifted, part.noise) * discounts
        rows = psi.reshape(len(psi), n * T, d)
        F[i : i + step, 0] = np.swapaxes(rows, 1, 2) @ rows
    return F


def applied(blocks: FloatArray, g: FloatArray) -> FloatArray:
    """Blocks (..., G, k, k) times g (..., d)."""
    rows = g.reshape(*g.shape[:-1], *blocks.shape[-3:-1])
    return np.asarray(np.einsum("...gkl,...gl->...gk", blocks, rows).reshape(g.shape), np.float64)


def solved(F: FloatArray, g: FloatArray, damping: float = 0.0) -> FloatArray:
    """(F + λI)⁻¹ g (m, d) of blocks F (m, G, k, k), or F†g where λ is 0."""
    m, G, k, _ = F.shape
    right = g.reshape(m, G, k)
    x: FloatArray
    if damping > 0:
        x = np.asarray(np.linalg.solve(F + damping * np.eye(k), right[..., None])[..., 0])
    elif k <= SMALL:
        x = _pseudo_solved(F, right)
    else:
        values, vectors = np.linalg.eigh(F)
        x = _divided(values, vectors, right, CUTOFF * values[..., -1:])
    return np.asarray(x.reshape(m, -1), np.float64)


def _pseudo_solved(F: FloatArray, right: FloatArray) -> FloatArray:
    """F†g (m, G, k) of small blocks, all of them at once."""
    from pgbench.kernels.blocks import pseudo_solve

    k, out = F.shape[3], np.empty(right.shape)
    rows = np.ascontiguousarray(right).reshape(-1, k)
    pseudo_solve(np.ascontiguousarray(F).reshape(-1, k, k), rows, CUTOFF, out.reshape(-1, k))
    return out


def _divided(
    values: FloatArray, vectors: FloatArray, right: FloatArray, cut: FloatArray
) -> FloatArray:
    """Σ_i v_i (v_iᵀ right)/λ_i over eigenvalues above the cut, in every block."""
    along = np.einsum("...ki,...k->...i", vectors, right)
    along = np.divide(along, values, out=np.zeros_like(along), where=values > np.maximum(cut, 0))
    return np.asarray(np.einsum("...ki,...i->...k", vectors, along), np.float64)


def least_squares(Z: FloatArray, y: FloatArray, scale: FloatArray) -> FloatArray:
    """w (m, d) of least norm with the least ‖y - Z w‖², of Z (m, n, d) and y (m, n).

    Eigenvalues of ZᵀZ at most ``CUTOFF`` times ``scale`` (m,), a square of an entry of Z before
    anything was taken off it, count as zero. Takes the smaller of ZᵀZ and ZZᵀ.
    """
    n, d = Z.shape[1:]
    cut = CUTOFF * scale[:, None]
    if n <= d:
        values, vectors = np.linalg.eigh(Z @ Z.swapaxes(1, 2))
        return np.asarray((_divided(values, vectors, y, cut)[:, None] @ Z)[:, 0])
    values, vectors = np.linalg.eigh(Z.swapaxes(1, 2) @ Z)
    return _divided(values, vectors, (y[:, None] @ Z)[:, 0], cut)
