"""Memory of whole tasks: how far they raise the peak of a process that has imported everything.

A process's own peak (asv's ``peakmem_``) would be mostly imported libraries, of which the system
keeps more or fewer pages resident from one day to the next. Kernels are compiled in another
process, so that the compiler does not show up.
"""

import resource
import sys


class Memory:
    """Garnets with A = 4 actions, 4 successors and γ = 0.99, tabular softmax, made in the task."""

    unit = "bytes"
    timeout = 120

    def setup_cache(self):
        """Compile once per revision; later processes load the code from disk."""
        _sample()

    setup_cache.timeout = 600

    def setup(self):
        import pgbench.kernels.rollout
        import pgbench.sampling  # noqa: F401

        self.before = _peak()

    def track_sampling(self):
        """Bytes for 100 reward-to-go gradients of 16 trajectories at S = 1000."""
        _sample()
        return _peak() - self.before

    def track_problem(self):
        """Bytes for a problem with S = 100 000, its policy and θ."""
        _setting(100_000)
        return _peak() - self.before

    def track_evaluate(self):
        """Bytes for the same problem and its exact values and gradient."""
        from pgbench import exact

        exact.evaluate(*_setting(100_000))
        return _peak() - self.before


def _peak():
    """Largest resident memory of this process so far, bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _setting(n_states):
    """Problem, policy and θ."""
    from pgbench import make_policy, make_problem

    mdp = make_problem("garnet", n_states=n_states, n_actions=4, branching=4, gamma=0.99, seed=0)
    policy = make_policy("softmax", mdp)
    return mdp, policy, policy.initial(seed=0)


def _sample():
    from pgbench.sampling import sample_gradients

    sample_gradients(
        *_setting(1000), "reward_to_go", horizon=128, batch_size=16, replicates=100, seed=0
    )
