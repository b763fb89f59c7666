"""The powers of a matrix applied to a vector, and their sums.

Where the terms soon only shrink by a constant factor the rest of a sum is known in closed form.
"""

from collections.abc import Callable, Iterator
from math import isqrt
from typing import Any

import numpy as np
from scipy import sparse

from pgbench.arrays import FloatArray

KEPT_BYTES = 2**29
"""Most that the terms of one sequence may take; beyond, they are computed again when needed."""

_CHECK_EVERY = 4


class Powers:
    """z_t = Mᵗ b for t = 0, 1, ..., or with Mᵀ, and from where on z_{t+1} = c z_t.

    The closed form is used once its error, however M passes it on, is below the rounding errors
    that the products themselves would add: in every entry of the sum where nothing is negative,
    or nothing positive, in M and b, and beside the largest entry else.
    """

    def __init__(self, M: sparse.csr_array, b: FloatArray, transposed: bool) -> None:
        self._matrix = M.T if transposed else M
        # Every product grows a vector's norm, Σ|z| if transposed, else max |z|, by so much at most.
        self._growth = float(abs(M).sum(axis=1).max(initial=0.0))
        self._norm: Callable[[FloatArray], float] = _sum_norm if transposed else _max_norm
        entries = int(np.diff(M.indptr).max(initial=0))
        self._rounding = (entries + 10) * np.finfo(float).eps
        self._kept = [b]
        self._ratio, self._defect = 0.0, np.inf
        one_sign = b.min(initial=0.0) >= 0 or b.max(initial=0.0) <= 0
        self._total = b.copy() if one_sign and M.data.min(initial=0.0) >= 0 else None

    def settled(self, n: int) -> tuple[int, float]:
        """m < n and c such that z_{m+k} = cᵏ z_m for m + k < n; m = n - 1 where there is none."""
        limit = max(2, KEPT_BYTES // max(self._kept[0].nbytes, 1))
        while not self._holds(n) and len(self._kept) < min(n, limit):
            z = self._matrix @ self._kept[-1]
            self._defect = np.inf
            if self._total is not None:
                self._total += z
            if len(self._kept) % _CHECK_EVERY == 1:
                self._compare(self._kept[-1], z)
            self._kept.append(z)
        return (len(self._kept) - 1, self._ratio) if self._holds(n) else (n - 1, 0.0)

    def _compare(self, z: FloatArray, following: FloatArray) -> None:
        """Note c, and how far two successive terms are from z' = c z.

        That is ‖z' - c z‖/‖z'‖ or, where all terms have one sign, the largest |z' - c z| of an
        entry over the sum of its terms so far.
        """
        square = float(np.sum(z * z))
        self._ratio = float(np.sum(z * following)) / square if square > 0 else 0.0
        away = following - self._ratio * z
        if self._total is None:
            size = self._norm(following)
            self._defect = self._norm(away) / size if size > 0 else 0.0
        else:
            met = self._total != 0
            self._defect = float(np.abs(away[met] / self._total[met]).max(initial=0.0))

    def _holds(self, n: int) -> bool:
        """Whether the last term kept stands for all up to z_{n-1}."""
        k = n - len(self._kept)
        if k < 0 or self._defect == np.inf:
            return False
        if self._defect == 0 or self._ratio == 0:
            return self._defect == 0
        if self._total is not None:
            # Mᵏ |z' - c z| is at most the defect times the whole sum, since Mᵏ only moves the
            # terms that it is made of up to later places.
            passed_on = min(max(k, 1), 1 / (1 - self._ratio) if self._ratio < 1 else np.inf)
            return bool(self._defect * passed_on <= self._rounding)
        with np.errstate(over="ignore"):
            spread = geometric_sum(self._growth / abs(self._ratio), max(k, 1))
        return bool(self._defect * spread <= self._rounding * max(k, 1))

    def terms(self, n: int) -> Iterator[FloatArray]:
        """z_0, ..., z_{n-1}."""
        yield from self._kept[:n]
        z = self._kept[-1]
        for _ in range(n - len(self._kept)):
            z = self._matrix @ z
            yield z

    def backwards(self, n: int) -> Iterator[FloatArray]:
        """z_{n-1}, ..., z_0."""
        kept = self._kept[:n]
        if n > len(kept):
            yield from descending(self._matrix.__matmul__, kept.pop(), n - len(kept))
        yield from reversed(kept)

    def sum(self, n: int) -> FloatArray:
        """Σ_{t<n} z_t."""
        m, c = self.settled(n)
        total = np.zeros_like(self._kept[0])
        for t, z in enumerate(self.terms(m + 1)):
            total += z if t < m else geometric_sum(c, n - m) * z
        return total

    def limit(self, n: int) -> FloatArray | None:
        """Σ_t z_t without end, or None unless the terms settle within n."""
        m, c = self.settled(n)
        if m == n - 1 or not abs(c) < 1:
            return None
        return sum(self._kept[:m], np.zeros_like(self._kept[0])) + self._kept[m] / (1 - c)


def geometric_sum(c: float, n: Any) -> Any:
    """1 + c + ... + c^(n-1), also where c is 1 but for rounding."""
    if c == 1:
        return n * 1.0
    power = np.expm1(n * np.log(c)) if c > 0.5 else np.float64(c) ** n - 1
    return power / (c - 1)


def descending(
    step: Callable[[FloatArray], FloatArray], first: FloatArray, count: int
) -> Iterator[FloatArray]:
    """x_{count-1}, ..., x_0 of the recursion x_k = step(x_{k-1}), x_0 = first.

    Keeps only about 2√count of the vectors at a time and computes each one twice.
    """
    stride = max(1, isqrt(count))
    kept = [x := first]
    for k in range(1, count):
        x = step(x)
        if k % stride == 0:
            kept.append(x)
    while kept:
        segment = [kept.pop()]
        for _ in range(min(stride, count - len(kept) * stride) - 1):
            segment.append(step(segment[-1]))
        yield from reversed(segment)


def _sum_norm(z: FloatArray) -> float:
    return float(np.abs(z).sum())


def _max_norm(z: FloatArray) -> float:
    return float(np.abs(z).max(initial=0.0))
