"""Every batch estimator in every variant, against the list of all batches of tiny problems."""

from functools import cache

import numpy as np
import pytest

from pgbench.estimators import CAUSES, HORIZON, estimators
from pgbench.estimators.parts.estimator import declared_mean
from pgbench.exact import evaluate
from pgbench.measure.gradients import estimates
from pgbench.rollout.enumeration import Enumerator, Listed, enumerated_batches
from pgbench.rollout.simulator import Draws
from tests.support.numbers import relative_gap
from tests.support.truths import WEIGHTS_OF
from tests.support.variants import (
    SAMPLED,
    alone,
    batch_variants,
    each,
    knows_its_mean,
    listed_variants,
    record,
    size,
)

TOLERANCE = 1e-11
STEPS = 2
LISTED_PROBLEMS = pytest.mark.parametrize("problem", ["dense", "ending", "coins"])


KNOWN = [v for v in batch_variants() if knows_its_mean(v)]
UNKNOWN = [v for v in batch_variants() if not knows_its_mean(v)]


def truth_of(truth, variant, causes, steps=STEPS):
    """What the mean is when nothing but the horizon is declared."""
    mean = declared_mean(truth, steps, set(causes))
    return mean if record(variant).target == "gradient" else truth.natural(mean)


@cache
def moments_of(truth, variant) -> Listed:
    """Kept for the next test of the same truth, of which there is one object."""
    return enumerated_batches(truth, record(variant), STEPS, size(variant), **variant.given)


@LISTED_PROBLEMS
@WEIGHTS_OF
@each(v for v in KNOWN if v.name not in SAMPLED)
def test_known_moments_are_exact(truth, variant):
    exact = record(variant).exact(truth, STEPS, size(variant), **variant.given)
    listed = moments_of(truth, variant)
    assert relative_gap(listed.mean, exact.mean) < TOLERANCE
    if exact.variance is not None:
        scale = np.abs(listed.variance + listed.mean**2).max()
        assert np.abs(exact.variance - listed.variance).max() <= TOLERANCE * scale


@LISTED_PROBLEMS
@WEIGHTS_OF
@each(UNKNOWN)
def test_only_what_declares_a_bias_of_its_own_has_no_exact_mean(truth, variant):
    assert record(variant).exact(truth, STEPS, size(variant), **variant.given).mean is None
    assert set(variant.causes) - HORIZON


@LISTED_PROBLEMS
@WEIGHTS_OF
@each(listed_variants())
def test_declared_causes_of_bias_are_true(truth, variant):
    """What declares none but the horizon's has the declared mean, the others have not."""
    causes, listed = variant.causes, moments_of(truth, variant)
    assert set(causes) <= CAUSES.keys()
    assert len(set(causes) & HORIZON) <= 1
    gaps = [relative_gap(listed.mean, truth_of(truth, variant, {c})) for c in (*HORIZON, "")]
    if set(causes) <= HORIZON:
        assert relative_gap(listed.mean, truth_of(truth, variant, causes)) < TOLERANCE
    else:
        assert min(gaps) > 1e-5


@LISTED_PROBLEMS
@pytest.mark.parametrize("kind", ["softmax"])
@each(alone())
def test_means_of_longer_trajectories_are_declared(truth, horizon, variant):
    """In two steps no sum over later steps has more than one term."""
    estimator = record(variant)
    mean = enumerated_batches(truth, estimator, horizon, 1, **variant.given).mean
    assert relative_gap(mean, truth_of(truth, variant, variant.causes, horizon)) < TOLERANCE


def cured(variant):
    """The parameters without each cause that has a cure, and the causes that are left.

    The cause "batch" needs no other parameters: it ends where the batch is endless.
    """
    values = dict(record(variant).bound(**variant.given))
    for cause in variant.causes:
        values |= record(variant).cures.get(cause, {})
    return values, set(record(variant).causes(**values)) - {"batch"}


def is_curable(variant):
    """Whether that leads to an estimator with a formula, and to no bias but the horizon's."""
    values, left = cured(variant)
    return knows_its_mean(variant, **values) and left <= HORIZON


@LISTED_PROBLEMS
@WEIGHTS_OF
@each(v for v in batch_variants() if is_curable(v))
def test_cures_remove_their_causes(truth, variant):
    """Without its declared causes an estimator has only the horizon's, and the exact mean of it."""
    values, left = cured(variant)
    n = np.inf if "batch" in variant.causes else float(size(variant))
    mean = record(variant).exact(truth, STEPS, n, **values).mean
    assert relative_gap(mean, truth_of(truth, variant, left)) < TOLERANCE


@each(v for v in batch_variants() if not is_curable(v))
def test_a_bias_that_is_known_can_be_split(variant):
    """As far as its causes have cures."""
    cures = {*record(variant).cures, "batch", *HORIZON}
    assert not knows_its_mean(variant) or set(variant.causes) - cures


@pytest.mark.parametrize("problem", ["ending"])
@pytest.mark.parametrize("kind", ["softmax"])
@each(batch_variants())
def test_estimates_do_not_depend_on_blocks(truth, variant, monkeypatch):
    """Replicates simulated together are those simulated in several blocks, but for rounding."""
    draws = Draws(4, size(variant), 20, 5, 6)
    whole, steps = estimates(truth, record(variant), variant.given, draws)
    assert whole.shape == (20, truth.gradient.size)
    assert (steps >= draws.batch_size).all()
    again, _ = estimates(truth, record(variant), variant.given, draws)
    assert again.tobytes() == whole.tobytes()
    fewer = Draws(4, size(variant), 7, 5, 6)
    part, _ = estimates(truth, record(variant), variant.given, fewer)
    np.testing.assert_allclose(part, whole[:7], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("problem", ["ending"])
@pytest.mark.parametrize("kind", ["softmax"])
def test_a_wrong_claim_fails_the_same_check(truth):
    """The batch mean as baseline is biased by exactly -∇J_H/n: the check must see it."""
    listed = enumerated_batches(truth, estimators()["group_mean"], STEPS, 2)
    g = declared_mean(truth, STEPS, {"truncation"})
    assert relative_gap(listed.mean, g) == pytest.approx(0.5, abs=1e-12)


@pytest.mark.parametrize("problem", ["ending"])
@pytest.mark.parametrize("kind", ["softmax"])
def test_enumerated_batches_are_all_there_are(truth):
    finite_objective = evaluate(truth.mdp, truth.policy, truth.theta, STEPS).objective
    listing = Enumerator(truth, STEPS, 2)
    batch = listing.batch()
    assert listing.probability.sum() == pytest.approx(1, abs=1e-13)
    mean = listing.probability @ batch.returns.mean(axis=1)
    assert mean == pytest.approx(finite_objective, abs=1e-13)
