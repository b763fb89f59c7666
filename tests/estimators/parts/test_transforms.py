"""What outcome estimators climb: polynomials of the chance of success, and their limits."""

from functools import partial

import numpy as np
import pytest

from pgbench.estimators import estimators
from pgbench.estimators.parts.outcomes import OutcomeEstimator
from pgbench.exact import evaluate
from pgbench.exact.finite.transform import transform
from pgbench.policies import make_policy
from pgbench.problems import FiniteMDP
from pgbench.rollout.enumeration import enumerated_batches

P = np.array([0.0, 0.1, 0.35, 0.8, 1.0])
EVERY = [e for e in estimators().values() if isinstance(e, OutcomeEstimator)]


def climbed(name, G, **given):
    estimator = estimators()[name]
    return transform(partial(estimator.weights, **estimator.bound(**given)), G).value(P)


@pytest.mark.parametrize("G", [2, 3, 8])
def test_closed_forms(G):
    np.testing.assert_allclose(climbed("rloo", G), P, atol=1e-14)
    np.testing.assert_allclose(climbed("group_mean", G), (1 - 1 / G) * P, atol=1e-14)
    for k in range(1, G + 1):
        np.testing.assert_allclose(climbed("pass_at_k", G, k=k), 1 - (1 - P) ** k, atol=1e-13)
    for centred, last in ((True, G - 1), (False, G)):
        k = np.arange(1, last + 1)
        cut_off_log = ((1 - (1 - P[:, None]) ** k) / k).sum(axis=1)
        found = climbed("max_likelihood", G, centred=centred)
        np.testing.assert_allclose(found, cut_off_log, atol=1e-13)


DECLARED = [e for e in EVERY if e.follows(**e.bound())]


def test_all_climb_something_but_what_looks_at_length_even_then():
    assert {e.name for e in EVERY} - {e.name for e in DECLARED} == {"soft_length_penalty"}


@pytest.mark.parametrize("estimator", DECLARED, ids=lambda e: e.name)
def test_large_groups_climb_what_is_declared(estimator):
    values = estimator.bound()
    limit = estimator.follows(**values)
    p, G = np.array([0.2, 0.5, 0.9]), 400
    found = transform(partial(estimator.weights, **values), G).value(p)
    np.testing.assert_allclose(np.diff(found), np.diff(limit.value(p)), rtol=0.02)


def coin(p):
    """One action that succeeds and one that fails, and what the policy is that has the chance p."""
    mdp = FiniteMDP.from_arrays(
        np.array([[[0, 0, 1.0], [0, 1, 0]], [[0, 1, 0]] * 2, [[0, 0, 1]] * 2]),
        np.array([[1.0, 0], [0, 0], [0, 0]]),
        [1, 0, 0],
        1.0,
        terminal=[False, True, True],
        outcomes=[[0], [0], [1]],
    )
    policy = make_policy("softmax", mdp)
    theta = np.array([np.log(p / (1 - p)), 0, 0, 0, 0, 0])
    return evaluate(mdp, policy, theta)


@pytest.mark.parametrize("estimator", EVERY, ids=lambda e: e.name)
def test_means_are_derivatives_of_the_transform(estimator):
    p, G = 0.3, 4
    truth = coin(p)
    weights = partial(estimator.weights, **estimator.bound())
    slope = transform(weights, G).slope(p)
    mean = enumerated_batches(truth, estimator, 1, G, **estimator.bound()).mean
    np.testing.assert_allclose(mean, slope * truth.gradient, rtol=1e-12, atol=1e-15)
