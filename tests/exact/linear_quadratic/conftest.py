"""Gaussian policies and settings that the tests of exact quantities share."""

import pytest

from pgbench.policies import make_policy
from tests.support.linear_quadratic import (
    PARAMETERS,
    SETTINGS,
    VECTORS,
    Setting,
    make_setting,
    unlike_zero,
)


@pytest.fixture(params=SETTINGS)
def setting(request) -> Setting:
    """A problem, a policy and θ, all of whose trajectories can be listed."""
    return make_setting(request.param)


@pytest.fixture(params=VECTORS)
def problem(request):
    """Problems of several sizes."""
    return VECTORS[request.param]()


@pytest.fixture(params=PARAMETERS, ids=lambda p: "-".join(p.values()))
def policy(request, problem):
    """Every parameterisation."""
    return make_policy("gaussian", problem, **request.param)


@pytest.fixture
def theta(policy):
    """No special values."""
    return unlike_zero(policy)
