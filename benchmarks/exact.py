"""Exact truth: time of the linear solves behind values and gradient, and of the exact moments.

Tabular softmax policy at normal θ, γ = 0.99. Setting up calls once, so imports and what a problem
remembers, such as its transition matrix, are not timed.
"""

SIDES = {10: 4, 1000: 33, 10_000: 105}
"""Side of the gridworld whose number of states is nearest to each size."""


class Evaluate:
    """``exact.evaluate`` over the infinite horizon, in seconds."""

    params = (("garnet", "gridworld"), tuple(SIDES))
    param_names = ("family", "n_states")
    timeout = 30

    def setup(self, family, n_states):
        self.arguments = _setting(family, n_states)
        self.time_evaluate(family, n_states)

    def time_evaluate(self, family, n_states):
        """Seconds for V, Q, visitation, objective and gradient."""
        from pgbench import exact

        exact.evaluate(*self.arguments)


class Moments:
    """``exact.moments`` of reward-to-go on a garnet, horizon 128, in seconds."""

    params = (10, 50)
    param_names = ("n_states",)

    def setup(self, n_states):
        self.arguments = _setting("garnet", n_states)
        self.time_moments(n_states)

    def time_moments(self, n_states):
        """Seconds for the mean and the variance of every coordinate."""
        from pgbench import exact

        exact.moments(*self.arguments, "reward_to_go", horizon=128)


def _setting(family, n_states):
    """Problem, policy and θ."""
    from pgbench import make_policy, make_problem

    if family == "garnet":
        size = {"n_states": n_states, "n_actions": 4, "branching": 4}
    else:
        size = {"size": SIDES[n_states]}
    mdp = make_problem(family, **size, gamma=0.99, seed=0)
    policy = make_policy("softmax", mdp)
    return mdp, policy, policy.initial(seed=0)
