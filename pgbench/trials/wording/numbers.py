"""Numbers as they are printed."""

import math

from pgbench.statistics import Estimate


def digits(x: float) -> str:
    """Two digits, or all before the point."""
    if x < 1e-4:
        return "0"
    return f"{x:.0f}" if x >= 99.5 else f"{x:.2g}"


def percent(share: float) -> str:
    """``12 %``; a dash where there is none."""
    return f"{digits(100 * share)} %" if math.isfinite(share) else "-"


def percent_of(size: Estimate) -> str:
    """A share with its interval; a dash where nothing can be said."""
    if math.isnan(size.value) or math.isnan(size.high):
        return "-"
    value = percent(max(size.value, 0.0))
    if not size.high - size.low > 0:
        return value
    return f"{value} ({digits(100 * size.low)} to {digits(100 * size.high)})"


def factor(c: Estimate) -> str:
    """A factor with half the width of its interval; a dash where nothing can be said."""
    if math.isnan(c.se):
        return "-"
    return f"{c.value:.3g} ± {1.96 * c.se:.1g}" if c.se > 0 else f"{c.value:.4g}"


def seconds(x: float) -> str:
    """A duration in µs, ms or s."""
    if x < 1e-3:
        return f"{1e6 * x:.0f} µs"
    return f"{1e3 * x:.3g} ms" if x < 1 else f"{x:.2g} s"
