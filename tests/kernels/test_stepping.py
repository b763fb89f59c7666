"""Steps of many columns, against products of full matrices; distances, against their powers."""

import numpy as np
import pytest
from scipy import sparse

from pgbench.kernels.stepping import advance, distances


@pytest.mark.parametrize("F", [1, 2, 3])
def test_a_step_is_a_product_with_a_block_lower_triangular_matrix(F):
    rng = np.random.default_rng(F)
    n, C = 7, 5
    pattern = sparse.csr_array(rng.random((n, n)) < 0.4)
    places = [(i, j) for i in range(F) for j in range(i + 1)]
    entries = rng.standard_normal((pattern.nnz, len(places)))
    full = np.zeros((F, n, F, n))
    row = np.repeat(np.arange(n), np.diff(pattern.indptr))
    for b, (i, j) in enumerate(places):
        full[i, row, j, pattern.indices] = entries[:, b]
    x = rng.standard_normal((n, F, C))
    rows = np.array([0, 2, 3, 6])
    out = np.full((n, F, C), np.nan)
    advance(pattern.indptr, pattern.indices, entries, rows, x, out)
    expected = np.einsum("iujv,vjc->uic", full, x)
    np.testing.assert_allclose(out[rows], expected[rows], rtol=0, atol=1e-14)
    assert np.isnan(np.delete(out, rows, axis=0)).all()


def test_distances_are_the_first_powers_that_lead_there():
    rng = np.random.default_rng(0)
    n = 30
    steps = sparse.csr_array(rng.random((n, n)) < 0.04)
    start = np.array([3, 11])
    found = distances(steps.indptr, steps.indices, start)
    expected, reached = np.full(n, n), np.isin(np.arange(n), start)
    for t in range(n):
        expected[reached] = np.minimum(expected[reached], t)
        reached = reached | (steps.T.astype(int) @ reached.astype(int) > 0)
    np.testing.assert_array_equal(found, expected)
    assert found.max() == n  # some are never reached
    assert np.unique(found).size > 3
