"""The contenders, one way of computing the workload per file; C has six."""

from benchmarks.peers.contenders import (
    c,
    gymnasium_loop,
    jax_scan,
    kernel,
    numpy_batch,
    torch_autograd,
)

CONTENDERS = {
    contender.name: contender
    for contender in (
        kernel.contender,
        c.lockstep,
        c.lockstep_32,
        c.two_draws,
        c.two_draws_32,
        c.avx512,
        c.plain,
        jax_scan.contender,
        torch_autograd.contender,
        numpy_batch.contender,
        gymnasium_loop.contender,
    )
}
"""By name, in the order of the table."""
