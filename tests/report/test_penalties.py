"""The figure of penalties: errors over the penalty's own gradient, means over instances."""

import numpy as np
import pytest

from pgbench.exact import evaluate
from pgbench.grid.plan import settings
from pgbench.grid.reader import parse_grid
from pgbench.harness.runner import execute
from pgbench.report.panels import NothingToDraw
from pgbench.report.penalties import penalties
from pgbench.results.folding import folded
from tests.support.runs import unpublished

GRID = """
name: t
problems:
  problem: sequences
  instances: 2
  vocabulary: 2
  length: [1, 2, 3]
  prompts: 1
  prompt_length: 1
  states: prefixes
objectives: [J, {objective: kl, beta: 0.5}]
horizon: 3
estimators: [reward_to_go, {estimator: penalty_in_loss, form: [k1, k2]}]
batch_sizes: [4]
replicates: 200
"""


@pytest.fixture(scope="module")
def summary(tmp_path_factory):
    with unpublished():
        run = execute(parse_grid(GRID), tmp_path_factory.mktemp("run"))
    return folded(run.tree.to_dataset())


def test_the_norm_is_that_of_the_difference_of_gradients(summary):
    truths = [setting.prepare().truth for setting in settings(parse_grid(GRID))]
    for i, truth in enumerate(truths[1::2]):
        plain = evaluate(truth.penalty.plain, truth.policy, truth.theta).gradient
        expected = np.linalg.norm(truth.gradient - plain)
        found = summary["penalty_gradient_norm"].values[i, 1]
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert np.isnan(summary["penalty_gradient_norm"].values[:, 0]).all()


def test_lines_are_means_of_exact_errors(summary):
    error = penalties(summary).figure.axes[0]
    lines = [line.get_ydata() for line in error.get_lines() if len(line.get_xdata()) == 3]
    norm = summary["penalty_gradient_norm"].values[:, 1, None]
    exact = (summary["exact_bias"].values[:, 1, :, 0] / norm).reshape(3, 2, 3).mean(axis=1)
    for e in range(3):
        assert any(np.allclose(y, exact[:, e], atol=1e-12) for y in lines)
    # No penalty at all in k1; k2 is right for one token and lacks the later ones of more.
    np.testing.assert_allclose(exact[:, 1], 1.0, rtol=1e-9)
    assert exact[0, 2] < 1e-12 < 0.01 < exact[1, 2]
    assert error.get_title() == "kl[beta=0.5]"


def test_without_a_penalty_or_sizes_nothing_is_drawn(summary):
    with pytest.raises(NothingToDraw, match="no objective with a penalty"):
        penalties(summary.isel(policy=[0]))
    with pytest.raises(NothingToDraw):
        penalties(summary.isel(problem=[0, 1]))
    with pytest.raises(NothingToDraw):
        penalties(summary.drop_vars("penalty_gradient_norm"))
