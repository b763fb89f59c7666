"""Numbers relative to their row, against NumPy; what is only rounding is nothing."""

import numpy as np
import pytest

from pgbench.estimators.parts import advantages
from pgbench.estimators.parts.advantages import BATCH, GROUP, centred, standardised
from pgbench.kernels.advantages import centre, standardise


def test_rows_are_centred():
    x = np.random.default_rng(5).standard_normal((6, 9)) + 3.0
    out = np.empty_like(x)
    centre(x, out)
    np.testing.assert_allclose(out, x - x.mean(axis=1, keepdims=True), rtol=0, atol=1e-15)


@pytest.mark.parametrize(("eps", "correction"), [(0.0, 0), (1e-4, 1), (0.5, 1)])
def test_rows_are_divided_by_their_deviation(eps, correction):
    x = np.random.default_rng(6).standard_normal((6, 9)) * 10.0
    out = np.empty_like(x)
    standardise(x, eps, correction, out)
    deviation = x.std(axis=1, ddof=correction, keepdims=True)
    expected = (x - x.mean(axis=1, keepdims=True)) / (deviation + eps)
    np.testing.assert_allclose(out, expected, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("n", [1, 3, 10, 1000, 4096])
@pytest.mark.parametrize("value", [0.1, -1 / 3, 1e150, 0.0])
def test_what_is_all_the_same_has_no_signal(n, value):
    """However many: a sum of n equal numbers errs by up to n roundings."""
    x, out = np.full((2, n), value), np.ones((2, n))
    centre(x, out)
    assert not out.any()
    standardise(x, 0.0, 1, out)
    assert not out.any()


def test_a_small_difference_is_one():
    """Ten roundings of the largest are more than four."""
    x = np.array([[1.0, 1.0 + 10 * np.finfo(float).eps]])
    out = np.empty_like(x)
    standardise(x, 0.0, 0, out)
    np.testing.assert_allclose(out, [[-1.0, 1.0]], rtol=1e-12)


@pytest.mark.parametrize("axes", [GROUP, BATCH])
def test_few_numbers_have_the_results_of_many_bit_for_bit(axes, monkeypatch):
    x = np.random.default_rng(8).standard_normal((5, 3, 17)) + 2.0
    x[0], x[1, 0] = 0.1, -1 / 3

    def both():
        return centred(x, axes).tobytes(), standardised(x, 1e-4, axes, 1).tobytes()

    few = both()
    monkeypatch.setattr(advantages, "FEW", 0)
    assert both() == few


def test_other_axes_are_refused():
    with pytest.raises(ValueError, match=r"axes is \(-2,\), must be \(-1,\) of a group"):
        centred(np.zeros((2, 3)), (-2,))
