"""Responses of sampled batches: what the classes of all trajectories say of each."""

import numpy as np
import pytest

from pgbench.exact import evaluate
from pgbench.policies import make_policy
from pgbench.rollout.simulator import Draws, Simulator
from tests.support.problems import TINY
from tests.support.responses import tokens


@pytest.mark.parametrize(
    ("make", "horizon"), [(tokens, 2), (tokens, 1), (TINY["ending"][0], 4)],
    ids=["sequences", "cut by the horizon", "nothing said"],
)  # fmt: skip
def test_responses_of_a_batch(make, horizon):
    mdp = make()
    policy = make_policy("softmax", mdp)
    truth = evaluate(mdp, policy, policy.initial(seed=3))
    batch = Simulator(truth, Draws(horizon, 6, 20, 0, 0), 0, 20).batch()
    found = batch.responses(3, horizon)
    rows = batch.successors.reshape(-1, batch.shape[2])
    last = np.array([row[t - 1] for row, t in zip(rows, batch.lengths.ravel(), strict=True)])
    cut = (
        ~mdp.terminal[last]
        if mdp.truncated is None
        else (last == mdp.n_states - 1) | ~mdp.terminal[last]
    )
    assert found.returns.shape == found.lengths.shape == (20, 2, 3)
    np.testing.assert_array_equal(found.returns.ravel(), batch.returns.ravel())
    np.testing.assert_array_equal(found.lengths.ravel(), batch.lengths.ravel())
    np.testing.assert_array_equal(found.truncated.ravel(), cut)
    assert (found.outcomes is None) == (mdp.outcomes is None)
    if mdp.outcomes is not None:
        np.testing.assert_array_equal(found.outcomes.reshape(120, 2), mdp.outcomes[last])
    assert found.truncated.any()
    assert not found.truncated.all()
