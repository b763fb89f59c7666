"""Numbers relative to their row: less its mean, and over its standard deviation."""

import numpy as np

from pgbench.kernels.jit import kernel

HIDDEN = 4 * np.finfo(np.float64).eps
"""What a number deviates from the mean by, relative to the row's largest, may be rounding."""


@kernel
def centre(x, out):
    """x less the mean of its row, of rows (R, n); zero where that is no more than rounding."""
    R, n = x.shape
    for r in range(R):
        total, largest = 0.0, 0.0
        for i in range(n):
            total += x[r, i]
            largest = max(largest, abs(x[r, i]))
        mean, left = total / n, 0.0
        for i in range(n):
            left += x[r, i] - mean
        mean += left / n  # what the sum has lost in rounding
        for i in range(n):
            y = x[r, i] - mean
            out[r, i] = y if abs(y) > HIDDEN * largest else 0.0


@kernel
def standardise(x, eps, correction, out):
    """``centre`` over the standard deviation plus ε; zero where nothing differs.

    The variance has n less the correction below, at least 1.
    """
    R, n = x.shape
    centre(x, out)
    for r in range(R):
        square = 0.0
        for i in range(n):
            square += out[r, i] * out[r, i]
        below = np.sqrt(square / max(n - correction, 1)) + eps
        for i in range(n):
            out[r, i] = out[r, i] / below if below > 0.0 else 0.0
