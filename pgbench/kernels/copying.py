"""Arrays copied by loops: to assign slices numba compiles all it takes to complain in words."""

from pgbench.kernels.jit import part


@part
def copy_to(target, source):
    """Fill a vector with another of the same length."""
    for i in range(target.size):
        target[i] = source[i]
