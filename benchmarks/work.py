"""Statistical work: exact variance times steps. It depends on no clock and no random number.

A change means that an estimator, the exact moments, a problem or a policy changed.
"""

from benchmarks.settings import ESTIMATORS

PROBLEMS = {
    "garnet": {"n_states": 20, "n_actions": 4, "branching": 4, "gamma": 0.99},
    "gridworld": {"size": 4, "gamma": 0.95},
}
HORIZON = 128


class Work:
    """One trajectory of at most 128 steps under a tabular softmax policy at normal θ.

    The garnet never ends, the gridworld does.
    """

    params = (tuple(PROBLEMS), tuple(ESTIMATORS))
    param_names = ("problem", "estimator")
    unit = "(reward/θ)² steps"

    def track_work_normalised_variance(self, problem, estimator):
        """Exact trace of the covariance times the expected number of steps, to ten digits."""
        from pgbench import exact, make_policy, make_problem
        from pgbench.estimators import find_estimator
        from pgbench.exact.horizon import expected_steps

        mdp = make_problem(problem, **PROBLEMS[problem], seed=0)
        policy = make_policy("softmax", mdp)
        theta, parameters = policy.initial(seed=0), ESTIMATORS[estimator]
        moments = exact.moments(mdp, policy, theta, estimator, horizon=HORIZON, **parameters)
        # An estimator may draw its own horizon, or behave differently from the policy.
        truth = exact.evaluate(mdp, policy, theta)
        process = find_estimator(estimator).make(truth, **parameters).process
        steps = expected_steps(process.mdp, process.pi, process.steps(HORIZON))
        return float(f"{moments.variance.sum() * steps:.10g}")
