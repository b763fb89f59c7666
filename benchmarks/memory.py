"""Memory of whole tasks, and of one environment step.

A process's own peak (asv's ``peakmem_``) would be mostly imported libraries, of which the system
keeps more or fewer pages resident from one day to the next; so the figures are differences. Kernels
are compiled in another process, so that the compiler does not show up.
"""

import resource
import sys
import tracemalloc

from benchmarks.estimates import HORIZON, sampling
from benchmarks.settings import garnet


class Memory:
    """How far a task raises the peak of a process that has imported everything.

    Garnets with A = 4 actions, 4 successors and γ = 0.99, tabular softmax, made in the task.
    """

    unit = "bytes"
    timeout = 120

    def setup_cache(self):
        """Compile once per revision; later processes load the code from disk."""
        _sample()

    setup_cache.timeout = 600

    def setup(self):
        import pgbench.kernels.streams  # noqa: F401
        from pgbench import sample_gradients  # noqa: F401

        self.before = _peak()

    def track_sampling(self):
        """Bytes for 100 reward-to-go gradients of 16 trajectories at S = 1000."""
        _sample()
        return _peak() - self.before

    def track_problem(self):
        """Bytes for a problem with S = 100 000, its policy and θ."""
        garnet(100_000)
        return _peak() - self.before

    def track_evaluate(self):
        """Bytes for the same problem and its exact values and gradient."""
        from pgbench import exact

        exact.evaluate(*garnet(100_000))
        return _peak() - self.before


class Step:
    """Memory of one environment step while reward-to-go is sampled, 128 steps per trajectory.

    What 96 estimates hold at their peak beyond 32 of them, over the steps of the 64 between: arrays
    of numpy, weights of visited states above all. Buffers inside compiled kernels do not count.
    """

    params = ((100, 1000, 10_000), (1, 16))
    param_names = ("n_states", "batch_size")
    unit = "bytes"

    def track_bytes(self, n_states, batch_size):
        """Bytes per environment step."""
        held = [_held(sampling(n_states, batch_size=batch_size, replicates=r)) for r in (32, 96)]
        return round((held[1] - held[0]) / (64 * batch_size * HORIZON), 2)


def _peak():
    """Largest resident memory of this process so far, bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _sample():
    from pgbench import sample_gradients

    sample_gradients(
        *garnet(1000), "reward_to_go", horizon=128, batch_size=16, replicates=100, seed=0
    )


def _held(call):
    """Most bytes that numpy and Python held during a call beyond what they held before it."""
    call()
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak
