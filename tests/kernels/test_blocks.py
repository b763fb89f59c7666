"""Small symmetric blocks, against NumPy."""

import numpy as np
import pytest

from pgbench.kernels.blocks import add_squares, pseudo_solve


@pytest.mark.parametrize("several", [1, 3])
def test_squares_of_scores_are_added_up(several):
    rng = np.random.default_rng(1)
    scores, weights = rng.standard_normal((several, 2, 4, 3)), rng.standard_normal((3, 2, 4))
    out = np.ones((3, 2, 3, 3))
    add_squares(scores, weights, out)
    own = np.broadcast_to(scores, (3, 2, 4, 3))
    expected = 1.0 + np.einsum("mgp,mgpa,mgpb->mgab", weights, own, own)
    np.testing.assert_allclose(out, expected, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("k", [1, 2, 4, 7])
@pytest.mark.parametrize("rank", [1, 3, 7])
def test_systems_are_solved_with_the_pseudo_inverse(k, rank):
    """The eigenvalues that count are between 1 and 10, so that both ways err by rounding alone."""
    rng, rank = np.random.default_rng(k), min(rank, k)
    vectors = np.linalg.qr(rng.standard_normal((50, k, k)))[0][:, :, :rank]
    blocks = (vectors * rng.uniform(1, 10, (50, 1, rank))) @ vectors.swapaxes(1, 2)
    right, out = rng.standard_normal((50, k)), np.empty((50, k))
    pseudo_solve(blocks, right, 1e-10, out)
    expected = np.linalg.pinv(blocks, rcond=1e-10, hermitian=True) @ right[:, :, None]
    np.testing.assert_allclose(out, expected[:, :, 0], rtol=0, atol=1e-13)


def test_small_eigenvalues_are_the_null_space():
    blocks = np.array([np.diag([1.0, 1e-9, 1e-11]), np.zeros((3, 3))])
    out = np.ones((2, 3))
    pseudo_solve(blocks, np.ones((2, 3)), 1e-10, out)
    np.testing.assert_allclose(out, [[1.0, 1e9, 0.0], [0.0, 0.0, 0.0]], rtol=1e-12)


def test_what_is_scaled_far_apart_is_diagonalised():
    """Entries of 1e±150: squares that count for the end of rotations do not overflow."""
    base = np.array([[2.0, 1.0], [1.0, 3.0]])
    for size in (1e-140, 1e140):
        out = np.empty((1, 2))
        pseudo_solve(size * base[None], np.ones((1, 2)), 1e-10, out)
        np.testing.assert_allclose(out[0] * size, np.linalg.solve(base, [1.0, 1.0]), rtol=1e-12)
