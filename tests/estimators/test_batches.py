"""Every batch estimator in every variant, against the list of all batches of tiny problems."""

from functools import cache

import numpy as np
import pytest

from pgbench.estimators import CAUSES, HORIZON, BatchEstimator, estimators
from pgbench.estimators.parts.estimator import declared_mean
from pgbench.exact import evaluate
from pgbench.measure.gradients import estimates
from pgbench.rollout.enumeration import Enumerator, Listed, enumerated_batches
from pgbench.rollout.simulator import Draws

TOLERANCE = 1e-11
STEPS = 2
LISTED_PROBLEMS = pytest.mark.parametrize("problem", ["dense", "ending", "coins"])
LISTED_KINDS = pytest.mark.parametrize("kind", ["softmax", "loglinear"])


def record(variant) -> BatchEstimator:
    found = estimators()[variant.name]
    assert isinstance(found, BatchEstimator)
    return found


def size(variant) -> int:
    return max(record(variant).fewest, 2)


def gap(actual, expected) -> float:
    """Largest difference, relative to the largest expected entry."""
    return float(np.abs(actual - expected).max() / np.abs(expected).max())


def truth_of(truth, variant, causes, steps=STEPS):
    """What the mean is when nothing but the horizon is declared."""
    mean = declared_mean(truth, steps, set(causes))
    return mean if record(variant).target == "gradient" else truth.natural(mean)


@pytest.fixture
def listed(truth, batch_variant) -> Listed:
    return moments_of(truth, batch_variant)


@cache
def moments_of(truth, variant) -> Listed:
    """Kept for the next test of the same truth, of which there is one object."""
    return enumerated_batches(truth, record(variant), STEPS, size(variant), **variant.given)


@LISTED_PROBLEMS
@LISTED_KINDS
def test_known_moments_are_exact(truth, batch_variant, listed):
    """Only an estimator that declares a bias of its own may have no formula for its mean."""
    exact = record(batch_variant).exact(truth, STEPS, size(batch_variant), **batch_variant.given)
    if exact.mean is None:
        assert set(batch_variant.causes) - HORIZON
        return
    assert gap(listed.mean, exact.mean) < TOLERANCE
    if exact.variance is not None:
        scale = np.abs(listed.variance + listed.mean**2).max()
        assert np.abs(exact.variance - listed.variance).max() < TOLERANCE * scale


@LISTED_PROBLEMS
@LISTED_KINDS
def test_declared_causes_of_bias_are_true(truth, batch_variant, listed):
    """What declares none but the horizon's has the declared mean, the others have not."""
    causes = batch_variant.causes
    assert set(causes) <= CAUSES.keys()
    assert len(set(causes) & HORIZON) <= 1
    gaps = [gap(listed.mean, truth_of(truth, batch_variant, {c})) for c in (*HORIZON, "")]
    if set(causes) <= HORIZON:
        assert gap(listed.mean, truth_of(truth, batch_variant, causes)) < TOLERANCE
    else:
        assert min(gaps) > 1e-5


@LISTED_PROBLEMS
@pytest.mark.parametrize("kind", ["softmax"])
def test_means_of_longer_trajectories_are_declared(truth, horizon, variant_alone):
    """In two steps no sum over later steps has more than one term."""
    estimator = record(variant_alone)
    mean = enumerated_batches(truth, estimator, horizon, 1, **variant_alone.given).mean
    assert gap(mean, truth_of(truth, variant_alone, variant_alone.causes, horizon)) < TOLERANCE


@LISTED_PROBLEMS
@LISTED_KINDS
def test_cures_remove_their_causes(truth, batch_variant):
    """Without its declared causes an estimator has only the horizon's, and the exact mean of it.

    What cannot be removed, or leads to an estimator without a formula, belongs to one that has no
    exact mean either: a bias that is known can be split.
    """
    estimator = record(batch_variant)
    values = dict(estimator.bound(**batch_variant.given))
    n = float(size(batch_variant))
    for cause in batch_variant.causes:
        values |= estimator.cures.get(cause, {})
        n = np.inf if cause == "batch" else n
    left = set(estimator.causes(**values)) - {"batch"}
    mean = estimator.exact(truth, STEPS, n, **values).mean
    if mean is None or not left <= HORIZON:
        known = estimator.exact(truth, STEPS, size(batch_variant), **batch_variant.given)
        assert known.mean is None
        return
    assert gap(mean, truth_of(truth, batch_variant, left)) < TOLERANCE


@pytest.mark.parametrize("problem", ["ending"])
@pytest.mark.parametrize("kind", ["softmax"])
def test_estimates_do_not_depend_on_blocks(truth, batch_variant, monkeypatch):
    """Replicates simulated together are those simulated in several blocks, but for rounding."""
    draws = Draws(4, size(batch_variant), 20, 5, 6)
    whole, steps = estimates(truth, record(batch_variant), batch_variant.given, draws)
    assert whole.shape == (20, truth.gradient.size)
    assert (steps >= draws.batch_size).all()
    again, _ = estimates(truth, record(batch_variant), batch_variant.given, draws)
    assert again.tobytes() == whole.tobytes()
    fewer = Draws(4, size(batch_variant), 7, 5, 6)
    part, _ = estimates(truth, record(batch_variant), batch_variant.given, fewer)
    np.testing.assert_allclose(part, whole[:7], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("problem", ["ending"])
@pytest.mark.parametrize("kind", ["softmax"])
def test_a_wrong_claim_fails_the_same_check(truth):
    """The batch mean as baseline is biased by exactly -∇J_H/n: the check must see it."""
    listed = enumerated_batches(truth, estimators()["group_mean"], STEPS, 2)
    g = declared_mean(truth, STEPS, {"truncation"})
    assert gap(listed.mean, g) == pytest.approx(0.5, abs=1e-12)


@pytest.mark.parametrize("problem", ["ending"])
@pytest.mark.parametrize("kind", ["softmax"])
def test_enumerated_batches_are_all_there_are(truth):
    finite_objective = evaluate(truth.mdp, truth.policy, truth.theta, STEPS).objective
    listing = Enumerator(truth, STEPS, 2)
    batch = listing.batch()
    assert listing.probability.sum() == pytest.approx(1, abs=1e-13)
    mean = listing.probability @ batch.returns.mean(axis=1)
    assert mean == pytest.approx(finite_objective, abs=1e-13)
