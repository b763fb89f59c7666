"""Whether J ascends along a mean is told where it can be, and only there."""

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
