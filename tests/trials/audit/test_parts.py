"""The bias of what equals a known estimator, by cause, is that of its exact means."""

import numpy as np
import pytest

from pgbench.trials.audit.parts import parts_of_bias
from pgbench.trials.batteries import every_known
from pgbench.trials.battery import cases
from pgbench.trials.candidate import Estimates
from pgbench.trials.measured_mean import measured


def results():
    for case in cases():
        d = case.finite.size
        made = Estimates(case, case.batch_size, np.zeros((2, d)), np.ones(2, int), None, 0.0)
        yield measured(made)


def of(name):
    (one,) = (k for k in every_known() if k.name == name)
    return one, parts_of_bias(one, [*results()])


def test_the_critic_of_td_is_the_largest_part_and_what_is_left_is_the_horizons():
    one, parts = of("td[critic_noise=0.1]")
    exact, right = (
        {case.name: known.exact(case, case.batch_size) for case in cases()}
        for known in (one, of("td")[0])
    )
    largest = max(
        np.linalg.norm(exact[c.name] - right[c.name]) / np.linalg.norm(c.truth.gradient)
        for c in cases()
    )
    assert parts["critic"] == pytest.approx(largest, rel=1e-9)
    assert set(parts) == {"critic", "horizon"}


def test_what_is_right_has_the_part_of_the_horizon_alone_and_mistakes_have_none():
    assert set(of("reinforce")[1]) == {"horizon"}
    assert of("wrong_sign")[1] == {}
