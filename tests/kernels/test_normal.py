"""Normal numbers: the inverse distribution function to the last digits, tails included."""

from hashlib import blake2b

import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtri

from pgbench.kernels.normal import DEGREE, OCTAVES, PARTS, from_words, table

SCALE = 2.0**-53


def words(k, sign=0):
    """Words whose 52 highest bits are k."""
    return (np.asarray(k, np.uint64) << np.uint64(12)) | np.uint64(sign)


def coefficients():
    """(segments, DEGREE + 1) of -Φ⁻¹ in t ∈ [-1, 1), interpolated at Chebyshev's points."""
    t = np.cos(np.pi * (np.arange(DEGREE + 1) + 0.5) / (DEGREE + 1))
    octave, part = np.divmod(np.arange(OCTAVES * PARTS), PARTS)
    low = 2.0 ** (octave - 1) * (1 + part / PARTS)
    width = 2.0 ** (octave - 1) / PARTS
    p = (low[:, None] + width[:, None] * (t + 1) / 2) * SCALE
    return np.linalg.solve(np.vander(t), -ndtri(p).T).T


def test_coefficients_are_those_of_the_interpolation():
    expected = coefficients()
    assert table().shape == expected.shape
    np.testing.assert_allclose(table(), expected, rtol=0, atol=1e-12)


def test_coefficients_are_the_same_bits_everywhere():
    """No machine computes them anew: another digest is another stream of numbers."""
    assert table().dtype == np.dtype("<f8")
    digest = blake2b(np.ascontiguousarray(table()).tobytes(), digest_size=16).hexdigest()
    assert digest == "32ca9df92afe93dcfecdfd9037b9bac7"


def test_every_octave_is_the_inverse_distribution_function():
    rng = np.random.default_rng(0)
    drawn = [rng.integers(2**e, 2 ** (e + 1), 2000, dtype=np.uint64) for e in range(52)]
    ends = [2**e + d for e in range(1, 52) for d in (-1, 0, 1)]
    k = np.concatenate([np.array([0, *ends, 2**52 - 1], np.uint64), *drawn])
    expected = -ndtri((k.astype(np.float64) + 0.5) * SCALE)
    found = from_words(words(k))
    assert np.abs(found - expected).max() < 1e-14
    far = expected > 0.1
    assert np.abs(found / expected - 1)[far].max() < 1e-13


def test_the_tail_is_as_long_as_the_words_allow():
    assert from_words(words([0]))[0] == pytest.approx(-ndtri(0.5 * SCALE), rel=1e-13)
    assert from_words(words([0]))[0] > 8.29


def test_the_lowest_bit_is_the_sign():
    k = np.random.default_rng(1).integers(0, 2**52, 1000, dtype=np.uint64)
    np.testing.assert_array_equal(from_words(words(k, 1)), -from_words(words(k, 0)))


def test_numbers_fall_as_probabilities_grow():
    k = np.unique(np.random.default_rng(2).integers(0, 2**52, 100_000, dtype=np.uint64))
    assert (np.diff(from_words(words(k))) <= 0).all()


@pytest.fixture(scope="module")
def drawn():
    """Four million numbers."""
    words = np.random.default_rng(3).integers(0, 2**64, 2**22, dtype=np.uint64)
    return from_words(words)


def test_tails_have_their_probability(drawn):
    """Counts beyond 1, 2, ..., 5 on either side; bounds: four standard errors."""
    n = drawn.size
    for x in range(1, 6):
        p = stats.norm.sf(x)
        for count in ((drawn > x).sum(), (drawn < -x).sum()):
            assert abs(count - n * p) < 4 * np.sqrt(n * p) + 1


def test_moments_are_those_of_the_normal_distribution(drawn):
    n = drawn.size
    for power, mean, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96), (6, 15, 10170)):
        assert abs((drawn**power).mean() - mean) < 4.5 * np.sqrt(variance / n)


def test_the_whole_distribution_fits(drawn):
    assert stats.kstest(drawn[: 2**20], "norm").pvalue > 1e-3


@pytest.mark.parametrize("wrong", [lambda z: z * 1.01, lambda z: np.clip(z, -3.9, 3.9)])
def test_wrong_numbers_fail_the_same_checks(drawn, wrong):
    with pytest.raises(AssertionError):
        test_tails_have_their_probability(wrong(drawn))
