"""Rules, and the nodes of a system: what they integrate is known."""

from dataclasses import replace

import numpy as np
import pytest

from pgbench.trials.continuous import quadrature
from pgbench.trials.continuous.cases import PLANS
from pgbench.trials.continuous.quadrature import FINE, Grid, Resolution, panels, series

CLIPPED = PLANS["clipped"]


def grid(plan, **changes):
    return Grid(replace(plan.system, **changes), np.array(plan.theta), FINE)


def test_panels_integrate_what_has_a_kink_at_an_edge():
    x, weights = panels(np.array([[-1.0, 0.5, 2.0], [0.0, 0.5, 0.5]]), 5)
    found = (weights * np.abs(x - 0.5) * x**4).sum(axis=1)
    exact = [integral(0.5, 2.0) - integral(-1.0, 0.5), -integral(0.0, 0.5)]
    np.testing.assert_allclose(found, exact, rtol=1e-13)


def integral(low, high):
    """∫ (x - ½) x⁴ dx."""
    return (high**6 - low**6) / 6 - (high**5 - low**5) / 10


def test_series_goes_through_the_nodes():
    x, _ = panels(np.array([-3.0, 3.0]), 40)
    own = series(np.exp(np.sin(x)), 3.0)
    between = np.linspace(-3, 3, 17)
    np.testing.assert_allclose(own(between), np.exp(np.sin(between)), rtol=1e-11)


@pytest.mark.parametrize("name", PLANS)
def test_laws_on_the_nodes_have_their_moments(name):
    own = grid(PLANS[name])
    (k, c, log_sigma), x = own.theta, own.x
    np.testing.assert_allclose(own.chances.sum(axis=1), 1.0, atol=1e-13)
    np.testing.assert_allclose((own.chances * own.u).sum(axis=1), k * x + c, atol=1e-12)
    squares = (own.chances * (own.u - (k * x + c)[:, None]) ** 2).sum(axis=1)
    np.testing.assert_allclose(squares, np.exp(2 * log_sigma), rtol=1e-12)
    np.testing.assert_allclose(own.start.sum(), 1.0, atol=1e-13)
    np.testing.assert_allclose(own.start @ x, own.system.start_mean, rtol=1e-12)


def test_where_there_is_no_limit_all_states_that_are_met_are_nodes():
    own = grid(CLIPPED)
    met = own.landing(own.system.drift(np.array([-3.0, 3.0]), np.array([-0.6, 0.6])))
    np.testing.assert_allclose(met.sum(axis=1), 1.0, atol=1e-13)


def test_twice_the_nodes():
    assert Resolution(0.7, 12, 8.5).doubled == Resolution(0.35, 24, 9.5)


def test_states_without_a_stationary_law_are_refused():
    with pytest.raises(ValueError, match=r"^a is 1\.2, must be in \(-1, 1\) where no limit"):
        grid(CLIPPED, a=1.2)
    with pytest.raises(ValueError, match=r"a \+ bk is -1\.3, must be in"):
        grid(PLANS["regulator"], a=-1.0)
    assert grid(CLIPPED, a=1.2, limit=2.0).reach == 2.0


def test_too_many_nodes_are_refused(monkeypatch):
    monkeypatch.setattr(quadrature, "ENTRIES", 1000)
    with pytest.raises(ValueError, match=r"\d+ x \d+ nodes are needed, 1000 transitions"):
        grid(CLIPPED)
