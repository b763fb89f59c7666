"""Steps of an ascent that are logged."""

import numpy as np
import pytest

from pgbench.ascent.climb import logged_steps


@pytest.mark.parametrize("steps", [1, 2, 10, 1000, 10**6])
def test_logged_steps(steps):
    log = logged_steps(steps, 40)
    assert log[0] == 0
    assert log[-1] == steps
    assert (np.diff(log) > 0).all()
    assert log.size <= 41
