"""Pull-backs row by row: the same numbers as NumPy's, bit for bit, at any size."""

import numpy as np
import pytest

from pgbench.policies import make_policy, tabular
from pgbench.problems import make_problem


@pytest.mark.parametrize("kind", ["softmax", "direct"])
@pytest.mark.parametrize("states", [None, np.array([0, 2])])
def test_a_compiled_pull_back_has_the_same_numbers(kind, states, monkeypatch):
    mdp = make_problem("random", n_states=4, n_actions=3, seed=1)
    policy = make_policy(kind, mdp)
    theta = policy.initial(seed=2)
    rows = mdp.n_states if states is None else len(states)
    weights = np.random.default_rng(3).standard_normal((5, 2, rows, mdp.n_actions))
    plain = policy.pull_back(theta, weights, states)
    monkeypatch.setattr(tabular, "WORTH_COMPILING", 0)
    assert policy.pull_back(theta, weights, states).tobytes() == plain.tobytes()
    turned = policy.pull_back(theta, weights[::-1, :, :, ::-1], states)
    again = np.ascontiguousarray(weights[::-1, :, :, ::-1])
    assert turned.tobytes() == policy.pull_back(theta, again, states).tobytes()
    assert not np.array_equal(turned, plain)
