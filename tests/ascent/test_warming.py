"""Algorithms with compiled code of their own say how to warm it up, and that is enough."""

import pytest

from pgbench.api import ascend
from pgbench.ascent import algorithms
from pgbench.policies import make_policy
from pgbench.problems import make_problem


def test_those_with_kernels_declare_it():
    warmed = {name for name, record in algorithms().items() if record.warming is not None}
    assert warmed == {"gradient", "svrpg", "storm", "page", "actor_critic"}


@pytest.mark.parametrize("name", [n for n, r in algorithms().items() if r.warming is not None])
def test_two_updates_run_with_what_is_declared(name):
    mdp = make_problem("two_state")
    policy = make_policy("softmax", mdp)
    trace = ascend(
        mdp,
        policy,
        policy.initial(init="zeros"),
        algorithm={"algorithm": name, **algorithms()[name].warming},
        estimator="reward_to_go",
        steps=2,
        replicates=2,
        batch_size=2,
        horizon=2,
    )
    assert (trace.stopped < 0).all()
