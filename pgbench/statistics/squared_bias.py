"""The squared bias ‖E ĝ - g‖² with its interval.

It inverts a noncentral χ² with fitted scale and degrees of freedom.
"""

import numpy as np
from scipy import optimize, special

from pgbench.statistics.estimate import NORMAL, Estimate
from pgbench.statistics.sample import Sample, share_held


def bias_squared(sample: Sample) -> Estimate:
    """‖ḡ - g‖² - tr(Σ̂)/R with the interval of ‖E ĝ - g‖².

    ‖ḡ - g‖² = ‖b + ε‖² has mean ‖b‖² + tr(Σ)/R and variance 2 tr(Σ²)/R² + 4 b'Σb/R. It is taken to
    be c χ'²_ν(λ) with that mean and variance and cλ = ‖b‖² (Satterthwaite 1946, for λ = 0), and
    ‖b‖² inverted. The upper end is that of a squared bias estimated as 0 where the estimate is
    negative, so that it never claims more than the noise allows; the lower end is that of a
    covariance as many times larger as the replicates may have missed (``_missing``).
    """
    K, R = sample.gram.shape[0], sample.squared_error.size
    total = float(sample.gram.sum()) / R**2
    noise = sample.variance / R
    value = total - noise
    if sample.unseen or K < 4 or noise == 0:
        return Estimate(value, np.nan, np.nan, np.nan)
    square = _trace_of_square(sample) / R**2
    square = min(max(square, noise**2 / sample.d), noise**2)
    measured, exact = _variances_along_bias(sample, total)
    se = float(np.sqrt(2 * square + 4 * max(value, 0.0) * exact))
    # The larger, for the interval's sake: the first hangs on few blocks, the second on E ĝ.
    along = max(measured, exact)

    # From here on in units of the noise tr(Σ)/R, so that tolerances are relative.
    square, along = square / noise**2, along / noise

    def z(beta: float, observed: float) -> float:
        c = (square + 2 * beta * along) / (1 + 2 * beta)
        return _noncentral_z(observed / c, 1 / c, beta / c)

    def solve(quantile: float, noise: float, floor: float = 0.0) -> float:
        observed = max(total / noise, floor)
        if z(0.0, observed) <= quantile:
            return 0.0
        upper = observed
        while z(upper, observed) > quantile:
            upper *= 2
        return noise * float(optimize.brentq(lambda x: z(x, observed) - quantile, 0.0, upper))

    low = solve(NORMAL, noise * _missing(sample))
    return Estimate(value, se, low, solve(-NORMAL, noise, floor=1.0))


def _missing(sample: Sample) -> float:
    """How many times larger than measured tr(Σ) may be, at least 1: exactly, or by its tail."""
    if sample.checked:
        return max(1.0, sample.exact_variance / sample.variance)
    return 1 / share_held(sample.squared_deviation)


def _trace_of_square(sample: Sample) -> float:
    """tr(Σ²) from the inner products of the blocks, unbiased (Himeno & Yamada 2014).

    A block of n replicates stands for (Σ_{r∈b} ĝ_r - nḡ)/√n, which has covariance Σ.
    """
    gram, K, R = sample.gram, sample.gram.shape[0], sample.squared_error.size
    n = sample.sizes
    lean = np.outer(n, gram.sum(axis=0)) / R
    centred = gram - lean - lean.T + np.outer(n, n) * gram.sum() / R**2
    centred = centred / np.sqrt(np.outer(n, n))
    norms = np.diagonal(centred)
    square, trace = float((centred**2).sum()) / (K - 1) ** 2, float(norms.sum()) / (K - 1)
    fourth = float((norms**2).sum()) / (K - 1)
    scale = (K - 1) / (K * (K - 2) * (K - 3))
    return scale * ((K - 1) * (K - 2) * square + trace**2 - K * fourth)


def _variances_along_bias(sample: Sample, total: float) -> tuple[float, float]:
    """u'Σu/R with u along the measured ḡ - g, from the blocks, and along the exact bias b.

    (ĝ_r - g)·b is ½(‖ĝ_r - g‖² - ‖ĝ_r - E ĝ‖² + ‖b‖²), so the second needs no other sums; where b
    is nothing but rounding it is the first. Where ḡ = g it has no direction: no more than tr(Σ̂)/R.
    """
    K, R = sample.gram.shape[0], sample.squared_error.size
    measured = sample.variance / R
    if total > 0:
        n = sample.sizes
        along = sample.gram.sum(axis=1) / R - n * total
        measured = float(np.sum(along**2 / n)) / (K - 1) / total / R
    b2 = sample.exact_bias_squared
    if not b2 > 1e-20 * float(sample.squared_error.mean()):
        return measured, measured
    along = (sample.squared_error - sample.squared_deviation) / 2
    return measured, float(along.var(ddof=1)) / b2 / R


def _noncentral_z(x: float, nu: float, lam: float) -> float:
    """Φ⁻¹(P(χ'²_ν(λ) ≤ x)); beyond ν + λ = 10⁴ the approximation of Sankaran (1963)."""
    if nu + lam < 1e4:
        return max(-40.0, min(40.0, float(special.ndtri(special.chndtr(x, nu, lam)))))
    h = 1 - 2 * (nu + lam) * (nu + 3 * lam) / (3 * (nu + 2 * lam) ** 2)
    p, m = (nu + 2 * lam) / (nu + lam) ** 2, (h - 1) * (1 - 3 * h)
    mean = 1 + h * p * (h - 1 - (2 - h) * m * p / 2)
    return float(((x / (nu + lam)) ** h - mean) / (h * np.sqrt(2 * p) * (1 + m * p / 2)))
