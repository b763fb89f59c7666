"""Surrogates of an older policy's data are objectives: their gradients are derivatives."""

import numpy as np
import pytest

from pgbench.estimators import make_tables
from pgbench.estimators.trust_region_surrogate import older_policy
from pgbench.exact.expectation import expectation
from pgbench.exact.finite.horizon import truncated_visitation
from pgbench.exact.finite.values import action_values, state_values
from tests.support.numbers import differentiate

TOLERANCE = 1e-8

pytestmark = [
    pytest.mark.parametrize("problem", ["dense", "coins"]),
    pytest.mark.parametrize("kind", ["softmax", "loglinear"]),
]


def surrogate(truth, horizon, clip, drift=0.5):
    """θ ↦ Σ_{t<H} γ^t E_old[min(w A, clip(w) A)] (Schulman et al. 2017, eq. 7)."""
    mdp, old = truth.mdp, older_policy(truth.pi, drift)
    v, _ = state_values(mdp, old)
    A = action_values(mdp, v) - v[:, None]
    visits = truncated_visitation(mdp, old, horizon)[:, None] * old

    def objective(theta):
        w = truth.policy.probabilities(theta) / old
        return np.sum(visits * np.minimum(w * A, np.clip(w, 1 - clip, 1 + clip) * A))

    return objective


@pytest.mark.parametrize("clip", [0.05, 0.2, np.inf])
def test_gradients_are_derivatives_of_the_surrogate(truth, horizon, clip):
    expected = differentiate(surrogate(truth, horizon, clip), truth.theta)
    name, given = ("ppo", {"clip": clip}) if clip < np.inf else ("trust_region_surrogate", {})
    found = expectation(truth, make_tables(truth, name, horizon, **given), horizon)
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max())


def test_clipping_is_seen(truth, horizon):
    """The gradient without clipping is not the derivative of the clipped objective."""
    clipped = differentiate(surrogate(truth, horizon, 0.05), truth.theta)
    tables = make_tables(truth, "trust_region_surrogate", horizon)
    gap = np.abs(expectation(truth, tables, horizon) - clipped).max()
    assert gap > 1e5 * TOLERANCE * np.abs(clipped).max()
