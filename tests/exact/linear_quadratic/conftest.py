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


OTHERS = [name for name in VECTORS if name != "random"]

PAIRS = [
    *(("random", given) for given in PARAMETERS),
    *((name, PARAMETERS[k]) for i, name in enumerate(OTHERS) for k in (i, -1 - i)),
]
"""Every parameterisation where states and actions have several coordinates; each other problem
with two that have nothing in common, all eight among them."""


@pytest.fixture(params=PAIRS, ids=lambda pair: "-".join([pair[0], *pair[1].values()]))
def policy(request):
    """Every parameterisation, and problems of several sizes."""
    name, given = request.param
    return make_policy("gaussian", VECTORS[name](), **given)


@pytest.fixture
def theta(policy):
    """No special values."""
    return unlike_zero(policy)
