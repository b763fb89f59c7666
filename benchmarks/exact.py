"""Exact truth: time of the linear solves behind values and gradient, and of the exact moments.

Tabular softmax policy at normal θ, γ = 0.99. What a problem remembers, such as its transition
matrix, is made before anything is timed.
"""

from functools import lru_cache

from benchmarks.settings import garnet

SIDES = {10: 4, 1000: 33, 10_000: 105}
"""Side of the gridworld whose number of states is nearest to each size."""


class Evaluate:
    """``exact.evaluate`` over the infinite horizon, in seconds."""

    params = (("garnet", "gridworld"), tuple(SIDES))
    param_names = ("family", "n_states")
    timeout = 30
    rounds = 1
    repeat = (3, 10, 2.0)

    def setup(self, family, n_states):
        self.arguments = garnet(n_states) if family == "garnet" else _gridworld(SIDES[n_states])

    def time_evaluate(self, family, n_states):
        """Seconds for V, Q, visitation, objective and gradient."""
        from pgbench import exact

        exact.evaluate(*self.arguments)


class Moments:
    """``exact.moments`` on a garnet with a tabular policy, in seconds."""

    params = (("reward_to_go", "reinforce"), (10, 200, 1000), ("128 steps", "no limit"))
    param_names = ("estimator", "n_states", "horizon")
    timeout = 60
    rounds = 1
    repeat = (1, 3, 3.0)

    def setup(self, estimator, n_states, horizon):
        if estimator == "reinforce" and horizon == "no limit":
            raise NotImplementedError("a total return has no finite variance")
        self.arguments = garnet(n_states)
        self.horizon = 128 if horizon == "128 steps" else None

    def time_moments(self, estimator, n_states, horizon):
        """Seconds for the mean and the variance of every coordinate."""
        from pgbench import exact

        exact.moments(*self.arguments, estimator, horizon=self.horizon)


@lru_cache(maxsize=1)
def _gridworld(size):
    """Problem, policy and θ."""
    from pgbench import make_policy, make_problem

    mdp = make_problem("gridworld", size=size, gamma=0.99, seed=0)
    policy = make_policy("softmax", mdp)
    return mdp, policy, policy.initial(seed=0)
