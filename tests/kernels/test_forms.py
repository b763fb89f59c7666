"""Forms and moments at recorded steps, against NumPy."""

import numpy as np
import pytest

from pgbench.kernels.forms import add_moments, evaluate

M, N, T, P, LIFTED, K = 3, 2, 4, 5, 3, 2


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.mark.parametrize("several", [1, M])
@pytest.mark.parametrize("first", [0, 1])
def test_forms_are_evaluated_here_and_after(rng, several, first):
    z, matrices = rng.standard_normal((M, N, T + 1, P)), rng.standard_normal((several, P, P))
    out = np.empty((M, N, T))
    evaluate(matrices, z, first, out)
    own, at = np.broadcast_to(matrices, (M, P, P)), z[:, :, first : first + T]
    np.testing.assert_allclose(out, np.einsum("mnta,mab,mntb->mnt", at, own, at), rtol=1e-12)


def test_moments_are_added_to_what_is_there(rng):
    left, z = rng.standard_normal((M, N, T, 4)), rng.standard_normal((M, N, T + 1, P))
    noise, out = rng.standard_normal((M, N, T, K)), rng.standard_normal((M, 4, LIFTED + K))
    right = np.concatenate([z[:, :, :T, :LIFTED], noise], axis=3)
    expected = out + np.einsum("mnta,mntb->mab", left, right)
    add_moments(left, z, LIFTED, noise, out)
    np.testing.assert_allclose(out, expected, rtol=1e-12)
