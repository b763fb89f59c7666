"""Lyapunov's discrete equation, discounted."""

import warnings

import numpy as np
from scipy.linalg import LinAlgWarning, solve_discrete_lyapunov

from pgbench.arrays import FloatArray


def lyapunov(a: FloatArray, c: FloatArray, decay: float) -> FloatArray:
    """X = c + decay·aᵀXa, refined once; ``bounds`` says how far it is from the exact solution.

    Near instability the equation is ill-conditioned; the bounds say that, so scipy need not.
    """
    scaled = np.sqrt(decay) * a.T
    X = np.zeros_like(c)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LinAlgWarning)
        for _ in range(2):
            X = X + solve_discrete_lyapunov(scaled, c - X + scaled @ X @ scaled.T)
    return np.asarray((X + X.T) / 2, np.float64)
