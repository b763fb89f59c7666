"""What is benchmarked: random problems with A = 4 actions, 4 successors, γ = 0.99, and policies."""

import os
from functools import lru_cache

from benchmarks.revisions import find


@lru_cache(maxsize=1)
def garnet(n_states, policy="softmax", **parameters):
    """Problem, policy and normal θ; made once per process, for asv repeats ``setup``."""
    from pgbench import make_policy, make_problem

    mdp = make_problem("garnet", n_states=n_states, n_actions=4, branching=4, gamma=0.99, seed=0)
    made = make_policy(policy, mdp, **parameters)
    return mdp, made, made.initial(seed=0)


def use_threads(n):
    """Kernels use n threads from here on; asv skips what asks for more than there are cores."""
    use_threads = find("kernels.partition.use_threads", "kernels.rollout.use_threads")

    if n > (os.cpu_count() or 1):
        raise NotImplementedError(f"this machine has fewer than {n} cores")
    use_threads(n)


ESTIMATORS = {
    "reinforce": {},
    "reward_to_go": {},
    "baseline_value": {},
    "q_oracle": {},
    "advantage_oracle": {},
    "td": {},
    "gae": {"lam": 0.95},
    "importance_sampling": {},
    "visitation_q": {},
    "visitation_advantage": {},
    "visitation_mc": {},
}
"""Estimators by name, with their parameters."""
