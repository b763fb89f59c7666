"""Whether J ascends along a mean is told where it can be, and only there."""

from dataclasses import replace

import numpy as np
import pytest

from pgbench.trials.ascending import Ascending, ascending
from pgbench.trials.battery import cases
from pgbench.trials.candidate import Estimates
from pgbench.trials.measured_mean import measured


def results(mean, noise, replicates=400):
    """Estimates on every case with a mean that is ``mean`` times ∇J_H and noise across."""
    found = []
    for case in cases():
        rng = np.random.default_rng(case.stream)
        g = case.finite
        made = mean * g + noise * np.linalg.norm(g) * rng.standard_normal((replicates, g.size))
        steps = np.ones(replicates, np.int64)
        found.append(measured(Estimates(case, 4, made, steps, None, 1e-9)))
    return found


@pytest.mark.parametrize(
    ("mean", "noise", "state"),
    [
        (0.5, 0.5, Ascending.YES),
        (0.5, 0.0, Ascending.YES),
        (-0.5, 0.5, Ascending.NO),
        (-0.5, 0.0, Ascending.NO),
        (0.01, 1.0, Ascending.UNKNOWN),
        (0.0, 1.0, Ascending.UNKNOWN),
    ],
)
def test_it_is_told_beyond_doubt_or_not_at_all(mean, noise, state):
    assert ascending(results(mean, noise)) is state


def test_one_problem_on_which_it_descends_is_enough():
    mixed = results(0.5, 0.1)
    mixed[3] = results(-0.5, 0.1)[3]
    assert ascending(mixed) is Ascending.NO


def test_rare_events_across_the_gradient_do_not_hide_that_it_ascends():
    """As of steps of bounded length: along the gradient everything is plain."""
    rare = []
    for result in results(0.5, 0.2):
        own = result.estimates
        g = own.case.finite / np.linalg.norm(own.case.finite)
        across = np.eye(g.size)[int(np.argmin(np.abs(g)))]
        across = across - (across @ g) * g
        events = np.zeros(len(own.gradients))
        events[:2] = 1e4 * np.linalg.norm(own.case.finite)
        rare.append(
            measured(
                replace(own, gradients=(own.gradients @ g)[:, None] * g + events[:, None] * across)
            )
        )
    assert any(result.analysis is None for result in rare)
    assert ascending(rare) is Ascending.YES
